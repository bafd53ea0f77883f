"""The commands that make something: a corpus, an autoencoder, tables, labels; and those that check and publish it.

Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import dataclasses

from ..errors import BadInput
from ..settings import Settings
from .arguments import workers
from .show import Args, show


def corpus(args: Args, settings: Settings) -> None:
    from ..offline.corpora.command import make_corpus

    if len(args.source) > 2:
        raise BadInput(f"--from takes a source and one place; '{args.source[2]}' is one too many.")
    print(make_corpus(settings, args.slug, args.source[0], args.source[1] if len(args.source) == 2 else None, args))
    if args.align:
        align(args, settings)


def align(args: Args, settings: Settings) -> None:
    from ..offline.corpora.align import align_corpus

    print(align_corpus(settings, args.slug, workers(args), args.letters))


def train(args: Args, settings: Settings) -> None:
    from .training import run

    print("\n".join(run(settings, args, workers(args))))


def sweep(args: Args, settings: Settings) -> None:
    from ..offline.training.sweep.command import lines, sweep

    found = sweep(settings, args.recipe, args.only, workers(args))
    show(args, {"runs": [dataclasses.asdict(run) for run in found.runs], "told": list(found.told)}, lambda: lines(found))


def build(args: Args, settings: Settings) -> None:
    from ..live.checkpoints.facts import settle_input
    from ..offline.tables.build import build

    settle_input(settings, args.dictionary)
    built = build(settings, args.dictionary, args.corpus, workers(args), args.only, n_peaks=args.peaks)
    print(f"Built the tables of {', '.join(built)}.")


def publish(args: Args, settings: Settings) -> None:
    from ..offline.publish import publish

    print("\n".join(publish(settings, args.dictionary, args.repo, args.with_corpus, args.dry_run)))


def label(args: Args, settings: Settings) -> None:
    from ..offline.labels.label import label
    from ..web.records import label_lines

    for slug, found in label(settings, args.dictionary, workers(args), args.only).items():
        print("\n".join([*label_lines(slug, found), ""]))


def check(args: Args, settings: Settings) -> int:
    from ..offline.tables.check import check

    if args.labels:
        from ..offline.labels.check import check_labels

        n, wrong = check_labels(settings, args.dictionary, args.seed, workers(args))
        print("\n".join([*(f"wrong: {line}" for line in wrong), f"{args.dictionary}: computed {n} labels anew; {len(wrong) or 'nothing'} wrong."]))
        return 1 if wrong else 0
    report = check(settings, args.dictionary, args.seed)
    for line in report.wrong:
        print(f"wrong: {line}")
    print(
        f"{args.dictionary}: compared {report.n_peaks} peaks, {report.n_examples} examples and {report.n_units} units; {len(report.wrong) or 'nothing'} wrong."
    )
    return 1 if report.wrong else 0
