"""Where a model's files lie: a local path, an installed package, or the Hub, in that order; nothing is loaded here."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from ..errors import MissingWeights
from ..settings import Settings
from .catalog import HubFiles, ModelEntry, PackageFile
from .tables import sha256_of, write_json

HUB_TIMEOUT_S = "10"


def find_model(entry: ModelEntry, settings: Settings) -> dict[str, Path]:
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
            return {"folder": fetch_hub(entry.hub, settings)}
        except MissingWeights as error:
            tried.append(str(error).rstrip("."))
    raise MissingWeights(
        f"The weights of {entry.slug} were not found: {'; '.join(tried) or 'no source is listed'}. Run `make setup`, or let this machine reach the Hub."
    )


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
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if key not in known:
        known = {**known, key: sha256_of(path)}
        try:
            cache.mkdir(parents=True, exist_ok=True)
            write_json(note, known)
        except OSError:
            pass  # a cache that cannot be written costs time, nothing else
    return known[key]


def fetch_hub(source: HubFiles, settings: Settings) -> Path:
    """A local folder with the named files of a Hub repository, from its cache where they are."""
    import os

    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", HUB_TIMEOUT_S)
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", HUB_TIMEOUT_S)
    import httpx2
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source.repo, revision=source.revision, allow_patterns=list(source.files) or None, local_files_only=settings.offline))
    except (OSError, ValueError, httpx2.HTTPError) as error:
        raise MissingWeights(f"the Hub did not give {source.repo} ({type(error).__name__})") from None
