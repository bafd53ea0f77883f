"""Writes what is generated in README.md (settings, commands, map of the files) and precomputed/README.md: `make docs`.

A generated part of README.md lies between `<!-- NAME: made by make docs -->` and `<!-- end of NAME -->`. A test compares.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from earmark.__main__ import COMMANDS  # noqa: E402
from earmark.commands.arguments import parser  # noqa: E402
from earmark.dictionaries import FORMATS  # noqa: E402
from earmark.models import supported  # noqa: E402
from earmark.settings import ROOT as DATA_ROOT  # noqa: E402
from earmark.settings import SETTINGS  # noqa: E402
from scripts.columns import markdown  # noqa: E402
from scripts.limits import limits_table  # noqa: E402

CODE = ("app.py", "components", "earmark", "scripts", "benchmarks")
# What has no docstring, or is told best as a whole; paths that end in / are folders. A test fails when one is not there.
OTHERS = {
    "precomputed/catalog.toml": "What exists: models, corpora, dictionaries, and where their files can come from.",
    "precomputed/README.md": "The tables, column by column; made from their schemas.",
    "recipes/": "Trainings as data: the runs among which a shipped SAE was chosen, and the rule; and how FREUD, wave-sae and gelu-1l's were trained.",
    "tests/unit/": "Tests against independent references on small inputs.",
    "tests/contract/": "Walls, docs, tuples, what may lie in the repository.",
    "tests/browser/": "The page in headless Chromium.",
    "tests/fuzz/": "Hostile input by the thousand, each case in a guarded process: `make fuzz`.",
    "tests/fixtures/": "Small models, corpora and shelves for tests.",
    "Makefile": "The commands that people run.",
    ".ci/run": "All tests on a bare machine: `make test`.",
    "requirements.txt": "What the app needs, and all that a Space installs.",
    "requirements-weights.txt": "Packages that carry the weights, for machines that do not reach the Hub.",
    "requirements.lock": "The same for every platform, in one version each, with hashes: `make setup-locked`.",
    "requirements-tools.txt": "What renews that file and audits it.",
    "requirements-train.txt": "SAELens, for those who want to train with it.",
    "requirements-dev.txt": "What tests and checks need.",
    "requirements-dashboard.txt": "SAEDashboard, for one benchmark of `make bench-long`, in an environment of its own.",
    "requirements-peers.txt": "SAELens, sparsify and dictionary_learning as the tests' independent readers.",
    "pyproject.toml": "Settings of ruff, pyright and pytest.",
    "LICENSE": "Apache-2.0, for the code.",
    "CITATION.cff": "How to cite.",
}


def first_sentence(path: Path) -> str:
    """Of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    found = re.match(r".+?[.!?](?=\s|$)", paragraph)
    return (found[0] if found else paragraph).strip()


def map_of_files() -> str:
    """Folders and modules as a nested list, then the other files."""
    lines: list[str] = []
    for name in CODE:
        path = ROOT / name
        if path.suffix == ".py":
            lines.append(f"- `{name}` {first_sentence(path)}")
        elif path.is_dir() and any(path.rglob("*.py")):
            lines += _folder(path, 0)
    lines += [f"- `{name}` {told}" for name, told in OTHERS.items()]
    return "\n".join(lines)


def _folder(path: Path, depth: int) -> list[str]:
    init = path / "__init__.py"
    lines = [f"{'  ' * depth}- `{path.relative_to(ROOT).as_posix()}/` {first_sentence(init) if init.exists() else ''}".rstrip()]
    files = sorted(p for p in path.glob("*.py") if p != init)
    lines += [f"{'  ' * (depth + 1)}- `{p.name}` {first_sentence(p)}" for p in files]
    assets = sorted(p for p in path.iterdir() if p.suffix in {".css", ".js", ".html"})
    if assets:
        lines.append(f"{'  ' * (depth + 1)}- {', '.join(f'`{p.name}`' for p in assets)}")
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(("_", "."))):
        lines += _folder(folder, depth + 1) if any(p.suffix in {".py", ".css", ".js", ".html"} for p in folder.iterdir()) else []
    return lines


def settings_table() -> str:
    lines = ["| variable | default | |", "|---|---|---|"]
    for name, default, help_ in SETTINGS:
        shown = _as_people_write(default)
        lines.append(f"| `EARMARK_{name.upper()}` | `{shown}` | {help_} |")
    return "\n".join(lines)


def _as_people_write(default: object) -> str:
    if isinstance(default, bool):
        return str(int(default))
    if isinstance(default, Path):
        for base, prefix in ((DATA_ROOT, ""), (Path.home(), "~/")):
            if default.is_relative_to(base):
                return prefix + default.relative_to(base).as_posix()
    return str(default)


def commands_table() -> str:
    """The command line, from the parser itself."""
    lines = ["| `python -m earmark ...` | |", "|---|---|"]
    choices = next(action.choices for action in parser(COMMANDS)._actions if action.metavar == "COMMAND")
    for name, command in cast("dict[str, argparse.ArgumentParser]", choices).items():
        words = [name]
        for action in sorted(command._actions, key=lambda a: bool(a.option_strings)):
            if action.dest == "help":
                continue
            named = action.metavar or action.dest.upper()
            value = "" if action.nargs == 0 else " " + (" [".join(named) + "]" if isinstance(named, tuple) else named)
            word = action.option_strings[0] + value if action.option_strings else value.strip()
            words.append(word if action.required else f"[{word}]")
        lines.append(f"| `{' '.join(words)}` | {command.description} |")
    return "\n".join(lines)


def formats_table() -> str:
    """Whose checkpoints are read, as `python -m earmark formats` prints it."""
    lines = ["| publisher | `format` | files | source |", "|---|---|---|---|"]
    rows = [(module.PUBLISHER, name) for name, module in FORMATS.items()]
    return "\n".join([*lines, *(f"| {p.name} | `{name}` | `{p.file}` | {p.source} |" for p, name in rows)])


def models_table() -> str:
    """What `models --json` lists."""
    lines = ["| `model_type` | | family | neurons are the | described |", "|---|---|---|---|---|"]
    for m in supported():
        lines.append(
            f"| `{m['name']}` | {m['title']} | `{m['family']}`, {m['modality']} | `{m['sites']['neurons']}` | [{m['source'].split('/')[-1]}]({m['source']}) |"
        )
    return "\n".join(lines)


PARTS = {"formats": formats_table, "models": models_table, "settings": settings_table, "limits": limits_table, "commands": commands_table, "map": map_of_files}


def readme(text: str) -> str:
    """README.md with its generated parts made anew. Raises ValueError when the marks of one are missing."""
    for name, make in PARTS.items():
        start, end = f"<!-- {name}: made by make docs -->", f"<!-- end of {name} -->"
        if text.count(start) != 1 or text.count(end) != 1:
            raise ValueError(f"README.md needs one '{start}' and one '{end}'")
        before, rest = text.split(start)
        text = f"{before}{start}\n\n{make()}\n\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    path = ROOT / "README.md"
    path.write_text(readme(path.read_text(encoding="utf-8")), encoding="utf-8")
    (ROOT / "precomputed" / "README.md").write_text(markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
