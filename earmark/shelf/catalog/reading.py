"""catalog.toml into entries: every value looked at, every entry by itself."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from ...errors import BadInput
from ...raw import is_object
from ...units import KINDS
from .entries import SLUG, Catalog, CorpusEntry, DictionaryEntry, HubFiles, HubTables, ModelEntry, PackageFile, Suggestion

T = TypeVar("T")
MAX_TEXT, MAX_WHOLE = 2_000, 1_000_000_000


@lru_cache(maxsize=8)
def read_catalog(folder: Path) -> Catalog:
    """Read `catalog.toml` of a data folder. Raises BadInput with the entry and the reason when it cannot be used."""
    path = folder / "catalog.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"There is no catalog.toml in '{folder}'. Set EARMARK_DATA to a folder that has one.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"catalog.toml cannot be read: {str(error)[:200]}.") from None
    faults: dict[str, str] = {}
    models = _usable(ModelEntry, "models", raw, faults)
    corpora = _usable(CorpusEntry, "corpora", raw, faults)
    dictionaries = _usable(DictionaryEntry, "dictionaries", raw, faults)
    for d in list(dictionaries.values()):
        if fault := _fault_of(d, models, faults):
            faults[f"dictionaries.{d.slug}"] = f"catalog.toml: dictionaries.{d.slug} {fault}"
            del dictionaries[d.slug]
    default = raw.get("default", next(iter(dictionaries), ""))
    if dictionaries and (not isinstance(default, str) or default not in dictionaries):
        faults["default"] = f"catalog.toml: default is '{str(default)[:80]}', which is no dictionary that can be used."
        default = next(iter(dictionaries))
    if faults and not dictionaries:
        raise BadInput(next(iter(faults.values())))
    return Catalog(folder, str(default), models, corpora, dictionaries, faults=faults)


def _usable(cls: type[T], section: str, raw: dict[str, Any], faults: dict[str, str]) -> dict[str, T]:
    """The entries of a section that can be used; of the others `faults` is told."""
    found: dict[str, T] = {}
    for slug, value in _section(raw, section).items():
        try:
            found[slug] = _entry(cls, section, slug, value)
        except BadInput as error:
            faults[f"{section}.{slug}"] = str(error)
    return found


def _fault_of(d: DictionaryEntry, models: dict[str, ModelEntry], faults: dict[str, str]) -> str:
    """What keeps a dictionary from being used; empty where nothing does."""
    if d.kind not in KINDS:
        return f"has kind '{str(d.kind)[:80]}'; valid: {', '.join(KINDS)}."
    if f"models.{d.model}" in faults:
        return f"names the model '{d.model}', which cannot be used. {faults[f'models.{d.model}']}"
    if d.model not in models:
        return f"names the model '{d.model[:80]}', which is not listed."
    if d.kind == "sae" and (d.folder is None) == (d.file is None):
        return "is an SAE and needs `folder` or `file`, where its checkpoint lies."
    return ""


def _section(raw: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    section = raw.get(name, {})
    if not is_object(section) or not all(is_object(v) for v in section.values()):
        raise BadInput(f"catalog.toml: {name} must be tables such as [{name}.my-slug].")
    return section


_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def check_repo(repo: object) -> str:
    """The name of a Hub repository. Raises BadInput unless it is owner/name."""
    if not isinstance(repo, str) or not _REPO.fullmatch(repo) or ".." in repo or "--" in repo:
        raise BadInput(f"'{str(repo)[:100]}' is no Hub repository: owner/name is needed, such as pavanyellow/wave-sae.")
    return repo


def check_inside(path: str) -> str:
    """A path inside a repository. Raises BadInput when it is absolute or leads out."""
    if path.startswith("/") or "\\" in path or any(part in {"..", "."} for part in path.split("/")):
        raise BadInput(f"'{path[:100]}' is no path inside a repository.")
    return path


def _hub_files(value: dict[str, Any]) -> HubFiles:
    found = HubFiles(**dict[str, Any](value, files=tuple(value.get("files", ())), sha256=dict(value.get("sha256", {}))))
    _check_types(found)
    check_repo(found.repo)
    for path in found.files:
        check_inside(path)
    return found


def _hub_tables(value: dict[str, Any]) -> HubTables:
    found = HubTables(**value)
    _check_types(found)
    check_repo(found.repo)
    check_inside(found.folder)
    return found


# key -> how its value is read, and what it must look like
_NESTED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "hub": (_hub_files, "{ repo, files, revision, sha256 }"),
    "tokenizer": (_hub_files, "{ repo, files, revision, sha256 }"),
    "tables": (_hub_tables, "{ repo, folder, revision }"),
    "packages": (lambda value: tuple(_check_types(PackageFile(**p)) for p in value), "a list of tables with role, package, file and sha256"),
    "suggestions": (lambda value: tuple(_check_types(Suggestion(**s)) for s in value), "a list of { unit, note, unclear }"),
}


def _nested(section: str, slug: str, value: dict[str, Any]) -> dict[str, Any]:
    value = dict(value)
    for key, (read, shape) in _NESTED.items():
        try:
            if key in value:
                value[key] = read(value[key])
        except BadInput as error:
            raise BadInput(f"catalog.toml: {section}.{slug}: {error}") from None
        except (TypeError, AttributeError, ValueError):
            raise BadInput(f"catalog.toml: {key} of {section}.{slug} must be {shape}.") from None
    return value


def _entry(cls: type[T], section: str, slug: str, value: dict[str, Any]) -> T:
    if not SLUG.fullmatch(slug):
        raise BadInput(f"catalog.toml: '{slug[:80]}' in {section} is no slug: lower-case letters, digits, '.', '_' and '-', at most 80.")
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    extra = sorted(set(value) - names)
    if extra:
        raise BadInput(f"catalog.toml: {section}.{slug} has the unknown key '{extra[0][:80]}'; valid: {', '.join(sorted(names - {'slug'}))}.")
    if "slug" in value:
        raise BadInput(f"catalog.toml: {section}.{slug} has the unknown key 'slug': its name stands in its heading.")
    try:
        return _check_types(cls(**{"slug": slug, **_nested(section, slug, value)}), f"catalog.toml: {section}.{slug}: ")
    except TypeError as error:
        raise BadInput(f"catalog.toml: {section}.{slug} is incomplete: {str(error).split('__init__() ')[-1]}.") from None


def _check_types(entry: T, where: str = "") -> T:
    """The entry, where each of its values is of its field's type. Raises BadInput for one that is not."""
    for name, hint in get_type_hints(type(entry)).items():
        value = getattr(entry, name)
        if not _fits(value, hint):
            wanted = {str: f"a text of at most {MAX_TEXT:,} letters", int: "a whole number from 0", bool: "true or false"}.get(hint, "what README says of it")
            raise BadInput(f"{where}{name} is {str(value)[:60]!r}, but must be {wanted}.")
    return entry


def _fits(value: object, hint: Any) -> bool:
    parts = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(one, parts[0]) for one in cast("tuple[object, ...]", value))
    if get_origin(hint) is dict:
        items = cast("dict[object, object]", value).items() if isinstance(value, dict) else None
        return items is not None and all(_fits(one, part) for item in items for one, part in zip(item, parts, strict=True))
    if get_origin(hint) is Literal:
        return isinstance(value, str)  # which of them is told with the valid ones
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_WHOLE
    if hint is str:
        return isinstance(value, str) and len(value) <= MAX_TEXT and not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in value)
    return isinstance(value, hint)
