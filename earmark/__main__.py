"""The command line: `python -m earmark COMMAND`. The same figures as the page and its JSON routes."""

from __future__ import annotations

import sys

from .commands import building, lookups, samples
from .commands.arguments import Command, parser
from .errors import EarmarkError
from .machine import told
from .settings import Settings

COMMANDS: dict[str, Command] = {
    "list": lookups.dictionaries,
    "formats": lookups.formats,
    "unit": lookups.unit,
    "search": lookups.search,
    "compare": lookups.compare,
    "analyse": samples.analyse,
    "words": samples.words,
    "edit": samples.edit,
    "labels": lookups.labels,
    "health": lookups.health,
    "models": lookups.models,
    "open": lookups.checkpoint,
    "encode": samples.encode,
    "corpus": building.corpus,
    "align": building.align,
    "train": building.train,
    "sweep": building.sweep,
    "build": building.build,
    "label": building.label,
    "publish": building.publish,
    "check": building.check,
}


def main(argv: list[str] | None = None) -> int:
    """Run one command. An expected failure is a sentence on standard error and status 1."""
    args = parser(COMMANDS).parse_args(argv)
    try:
        with told():
            return args.run(args, Settings.from_env()) or 0
    except EarmarkError as error:
        print(f"earmark: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
