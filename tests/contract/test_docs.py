"""Docs are contracts: README.md and precomputed/README.md say what the code says, and each visible tuple names all files of its folder."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType
from typing import get_args
from urllib.parse import parse_qsl, urlsplit

import pytest

import components
import earmark.dictionaries
import earmark.models
from earmark import links
from earmark.__main__ import COMMANDS
from earmark.api import routes
from earmark.commands.arguments import parser
from earmark.learning.kinds import TRAINEES
from earmark.learning.settings import SaeKind
from earmark.links import Link
from earmark.offline.corpora.sources import SOURCES
from earmark.settings import SETTINGS, Settings
from earmark.shelf.schema import SPECS, TableSpec
from earmark.shelf.store import Store
from scripts import docs
from scripts.columns import markdown

from .tree import ROOT, modules

README = (ROOT / "README.md").read_text(encoding="utf-8")


def part(name: str) -> str:
    return README.split(f"<!-- {name}: made by make docs -->")[1].split(f"<!-- end of {name} -->")[0]


# -- README ----------------------------------------------------------------------------------------------------------------


def test_generated_parts_are_up_to_date() -> None:
    assert docs.readme(README) == README, "README.md is behind the code: run `make docs`"


@pytest.mark.parametrize("name", [name for name, _, _ in SETTINGS])
def test_every_setting_is_in_the_table(name: str) -> None:
    row = next(line for line in part("settings").splitlines() if f"`EARMARK_{name.upper()}`" in line)
    assert next(help_ for n, _, help_ in SETTINGS if n == name) in row


def test_the_map_names_every_module_and_nothing_else() -> None:
    """Read from the list as a person reads it: an entry's folder is the nearest folder above it that is indented less."""
    named: set[Path] = set()
    folder: dict[int, Path] = {-2: ROOT}
    for line in filter(None, part("map").splitlines()):
        indent = len(line) - len(line.lstrip())
        only_names = re.fullmatch(r"\s*- `[^`]+`(, `[^`]+`)*", line)
        names = re.findall(r"`([^`]+)`", line) if only_names else [line.split("`")[1]]
        for name in names:
            base = folder[max(i for i in folder if i < indent)]
            path = ROOT / name if "/" in name else base / name
            assert path.exists(), f"README's map names {name}, which is not there"
            named.add(path)
            if name.endswith("/"):
                folder = {i: p for i, p in folder.items() if i < indent} | {indent: path}
    missing = {p for p in modules(*docs.CODE) if p.name != "__init__.py"} - named
    assert not missing, f"README's map lacks {sorted(p.relative_to(ROOT).as_posix() for p in missing)}"


def test_every_requirement_file_is_told() -> None:
    assert {p.name for p in ROOT.glob("requirements*.txt")} <= set(re.findall(r"`(requirements[a-z-]*\.txt)`", part("map")))


def test_example_links_open_as_they_are() -> None:
    examples = re.findall(r"http://127\.0\.0\.1:7860(/\S*)", README)
    assert len(examples) >= 3
    slugs = Store(Settings.from_env({})).catalog.dictionaries
    for address in examples:
        query = urlsplit(address).query
        if query:
            link, notices = Link.parse(dict(parse_qsl(query)))
            assert not notices
            assert link.dictionary in slugs or link.tab in links.EVERYWHERE
            assert {unit.dictionary for unit in link.collected.units} <= set(slugs)
            assert dict(parse_qsl(link.query())) == dict(parse_qsl(query))
        else:
            _, f, slug, unit = address.split("/")
            assert (f, slug in slugs, unit.isdigit()) == ("f", True, True)


def test_every_route_is_told() -> None:
    known = {re.sub(r"\{(\w+)\}", lambda m: m[1].upper(), r.path) for r in routes(Store(Settings.from_env({}))) if "{rest" not in r.path}
    told = {a.split("?")[0] for a in re.findall(r"`(/(?:api|media|f)/[^`]*)`", README)}
    assert {r.replace("/f/DICTIONARY/INDEX", "/f/DICTIONARY/UNIT") for r in known} == told


def test_the_catalog_example_is_read(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert example is not None
    (tmp_path / "catalog.toml").write_text(example[1], encoding="utf-8")
    catalog = Store(Settings.from_env({"EARMARK_DATA": str(tmp_path)})).catalog
    assert catalog.default in catalog.dictionaries
    assert {d.corpus for d in catalog.dictionaries.values()} == set(catalog.corpora)
    assert tomllib.loads(example[1].replace("# hub", "hub").replace(" or from the Hub", ""))["models"]["my-whisper"]["hub"]["files"]


@pytest.mark.parametrize("line", re.findall(r"^    python -m earmark (.+)$", README, re.MULTILINE))
def test_example_commands_parse(line: str) -> None:
    assert parser(COMMANDS).parse_args(shlex.split(line)).run


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_links_to_files_lead_somewhere(target: str) -> None:
    if "://" not in target:
        assert (ROOT / target).is_file(), f"README.md points to {target}"


# -- tables ----------------------------------------------------------------------------------------------------------------


def test_readme_of_the_tables_is_up_to_date() -> None:
    assert (ROOT / "precomputed" / "README.md").read_text(encoding="utf-8") == markdown(), "precomputed/README.md is behind the schemas: run `make docs`"


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
def test_every_column_is_told(spec: TableSpec) -> None:
    section = markdown().split(f"## {spec.name}\n")[1].split("\n## ")[0]
    for field in spec.schema:
        assert field.metadata and len(field.metadata[b"help"]) > 5, f"{field.name} has no help text"
        assert f"| `{field.name}` |" in section


# -- tuples: each names all files of its folder -----------------------------------------------------------------------------


def names_in(folder: str, apart: set[str]) -> set[str]:
    return {p.stem for p in (ROOT / folder).glob("*.py")} - {"__init__"} - apart


def imported(folder: str, name: str) -> ModuleType:
    return importlib.import_module(f"{folder.replace('/', '.')}.{name}")


def test_families_name_every_file() -> None:
    apart = {"base", "capture", "decoding", "folder", "gguf", "gguf_head", "hearing", "openai", "size", "steps"}
    found = {n: imported("earmark/models", n) for n in names_in("earmark/models", apart)}
    assert {m.FAMILY: m.load for m in found.values()} == earmark.models.FAMILIES


def test_formats_name_every_file() -> None:
    found = {n: imported("earmark/dictionaries", n) for n in names_in("earmark/dictionaries", {"base", "activations", "norms", "files", "checkpoint"})}
    assert {m.FORMAT: m for m in found.values()} == earmark.dictionaries.FORMATS
    assert all(callable(m.load) and callable(m.recognises) and m.PUBLISHER.source for m in found.values())


def test_kinds_name_every_file() -> None:
    found = [imported("earmark/learning/kinds", n).KINDS for n in names_in("earmark/learning/kinds", set())]
    assert {kind: made for kinds in found for kind, made in kinds.items()} == TRAINEES
    assert set(TRAINEES) == set(get_args(SaeKind))


SOURCES_FOLDER = "earmark/offline/corpora/sources"


def test_sources_name_every_file() -> None:
    assert {module for _, module, _ in SOURCES} == names_in(SOURCES_FOLDER, set())
    assert len({name for name, _, _ in SOURCES}) == len(SOURCES)
    for _, module, help_ in SOURCES:
        assert callable(imported(SOURCES_FOLDER, module).read)
        assert help_


def test_tabs_name_every_file() -> None:
    """A tab is a module of components/ with NAME and `show`."""
    found = {n for n in names_in("components", set()) if {"NAME", "TITLE"} <= set(vars(imported("components", n)))}
    assert {tab.__name__.split(".")[-1] for tab in components.TABS} == found
    assert tuple(tab.NAME for tab in components.TABS) == links.TABS
