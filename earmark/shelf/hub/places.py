"""Where the files of a model, a checkpoint or a table lie: a local path, an installed package, or the Hub, in that order; nothing is loaded here."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from ...atomic import write_json
from ...errors import EarmarkError, MissingWeights
from ...settings import Settings
from ..catalog import DictionaryEntry, HubFiles, ModelEntry, PackageFile
from ..tables import sha256_of
from .download import Terms, fetch

ALL = Terms()
HERE = Terms(allowed=False)


def find_model(entry: ModelEntry, settings: Settings, terms: Terms = ALL) -> dict[str, Path]:
    """{role: path} of a model's files. Raises MissingWeights, which says what was tried and what would help."""
    tried: list[str] = []
    if entry.path is not None:
        folder = settings.data / entry.path
        if folder.is_dir():
            return {"folder": folder}
        tried.append(f"no folder '{entry.path}'")
    if entry.packages:
        try:
            return {p.role: find_package_file(p, settings.cache) for p in entry.packages}
        except MissingWeights as error:
            tried.append(str(error).rstrip("."))
    if entry.hub is not None:
        try:
            found = {"folder": fetch(entry.hub, settings, terms=terms)}
            return found | ({"tokenizer": fetch(entry.tokenizer, settings, terms=terms)} if entry.tokenizer else {})
        except MissingWeights as error:
            tried.append(str(error).rstrip("."))
    help_ = " Run `make setup`, or let this machine reach the Hub." if entry.packages or not tried else ""
    raise MissingWeights(f"The weights of {entry.slug} were not found: {'; '.join(tried) or 'no source is listed'}.{help_}")


def checkpoint_files(entry: DictionaryEntry) -> HubFiles | None:
    """The files of the Hub that an SAE's checkpoint consists of; None for a local one."""
    if entry.hub is None or entry.hub.files:
        return entry.hub
    folder = (entry.folder or "").strip("/")
    return replace(entry.hub, files=(entry.file,) if entry.file else (f"{folder}/*" if folder else "*",))


def find_checkpoint(entry: DictionaryEntry, settings: Settings, terms: Terms = ALL) -> Path:
    """The folder or the file of an SAE's checkpoint. Raises MissingWeights, which says what was tried."""
    inside = entry.file or entry.folder or ""
    source = checkpoint_files(entry)
    if source is None:
        path = settings.data / inside
        if not path.exists():
            raise MissingWeights(f"The checkpoint of {entry.slug} was not found: there is no '{inside}' beside the catalog.")
        return path
    try:
        return fetch(source, settings, terms=terms) / inside
    except MissingWeights as error:
        raise MissingWeights(f"The checkpoint of {entry.slug} was not found: {str(error).rstrip('.')}.") from None


def far_away(entry: DictionaryEntry, model: ModelEntry, settings: Settings) -> tuple[str, ...]:
    """The Hub repositories that opening a dictionary would fetch from. Nothing is asked and nothing is fetched."""
    far: list[str] = []
    for hub, find in ((model.hub, lambda: find_model(model, settings, HERE)), (entry.hub, lambda: find_checkpoint(entry, settings, HERE))):
        if hub is not None:
            try:
                find()
            except MissingWeights:
                far.append(hub.repo)
    return tuple(far)


def find_package_file(source: PackageFile, cache: Path) -> Path:
    """A file of an installed package, its sha256 checked once and remembered by size and time of change."""
    try:
        listed = files(source.package) or []
    except PackageNotFoundError:
        raise MissingWeights(f"the package {source.package} is not installed") from None
    for item in listed:
        if item.as_posix() == source.file:
            path = Path(str(item.locate()))
            break
    else:
        raise MissingWeights(f"the package {source.package} has no file {source.file}")
    if _digest(path, cache) != source.sha256:
        raise MissingWeights(f"{source.file} of {source.package} is not the expected file (sha256 differs)")
    return path


@lru_cache(maxsize=64)
def _digest(path: Path, cache: Path) -> str:
    try:
        stat = path.stat()
    except OSError:
        raise MissingWeights(f"{path.name} is missing from its package: install it again") from None
    note = cache / "sha256.json"
    key = f"{path} {stat.st_size} {stat.st_mtime_ns}"
    known: dict[str, str] = {}
    try:
        known = dict(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        pass  # a note that cannot be read is written again
    if key not in known:
        known = {**known, key: sha256_of(path)}
        try:
            cache.mkdir(parents=True, exist_ok=True)
            write_json(note, known)
        except (OSError, EarmarkError):
            pass  # a cache that cannot be written costs time, nothing else
    return known[key]
