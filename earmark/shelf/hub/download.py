"""Files of the Hub, through its own client: of one commit, whole, checked, and every fault a sentence within 15 seconds.

A set of files is ready when all of them are there and fit their digests; a note in Earmark's cache then says so, and the set is
used without asking again. A download may take as long as it moves: it is given up when no new byte has come for STALL_S.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...atomic import write_json
from ...errors import EarmarkError, MissingWeights
from ...machine import free_bytes, size
from ...settings import Settings
from ..catalog import HubFiles, check_inside, check_repo
from .faults import Clock, Unreachable, watched

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

ANSWER_S = 10.0
"""for an answer without a body"""
PIECE_BYTES = 1 << 16
"""the client passes bytes on in such pieces; its own are of 10 MB, and a slow line would seem to stand still"""
MB = 1_000_000

RepoKind = Literal["model", "dataset"]


@dataclass(frozen=True)
class Terms:
    """How far a download may go, and who is told."""

    allowed: bool = True
    """False: only what is on this machine already"""
    max_mb: int | None = None
    """largest download in megabytes; None: any"""
    tell: Callable[[int, int], object] = lambda done, total: None
    """called with bytes so far and bytes in all"""


@dataclass(frozen=True)
class RemoteFile:
    """One file at one commit."""

    path: str
    size: int
    commit: str
    etag: str
    """the sha256 of a large file; of a small one git's sha1"""


def fetch(source: HubFiles, settings: Settings, kind: RepoKind = "model", terms: Terms = Terms()) -> Path:
    """The folder of a commit in which all of the named files lie. Raises MissingWeights with what the Hub said."""
    check_repo(source.repo)
    found = at_hand(source, settings, kind)
    if found is not None:
        return found
    reason = why_silent(settings)
    if reason is None and terms.allowed:
        clock = Clock(terms.tell)
        try:
            return watched(lambda: _fetch(source, settings, kind, terms, clock), clock, source.repo)
        except Unreachable as error:
            found = _loose(source, kind)
            if found is None:
                raise MissingWeights(str(error)) from None
            return found
    found = _loose(source, kind) if reason or not _has_pattern(source) else None
    if found is None:
        raise MissingWeights(f"{source.repo} is not on this machine yet" + (f", and {reason}" if reason else ""))
    return found


def why_silent(settings: Settings) -> str | None:
    """Why the Hub is not asked at all."""
    from huggingface_hub.constants import is_offline_mode

    if settings.offline:
        return "EARMARK_OFFLINE keeps Earmark from asking the Hub"
    return "HF_HUB_OFFLINE keeps the Hub's client from asking" if is_offline_mode() else None


# -- what is here --------------------------------------------------------------------------------------------------------


def _note(source: HubFiles, settings: Settings, kind: RepoKind) -> Path:
    key = json.dumps([kind, source.repo, source.revision, source.files, sorted(source.sha256.items())])
    return settings.cache / "hub" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def at_hand(source: HubFiles, settings: Settings, kind: RepoKind = "model") -> Path | None:
    """The folder of an earlier `fetch`, if all of its files are still there. Never asks the Hub."""
    try:
        note = json.loads(_note(source, settings, kind).read_text(encoding="utf-8"))
        folder, files = Path(note["folder"]), list(note["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return folder if files and all((folder / name).is_file() for name in files) else None


def _has_pattern(source: HubFiles) -> bool:
    return not source.files or any("*" in name for name in source.files)


def _loose(source: HubFiles, kind: RepoKind) -> Path | None:
    """The folder in the Hub client's cache where something lies for each of the names; others may have put it there."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    store = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=source.repo, repo_type=kind)
    ref = store / "refs" / source.revision
    try:
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else source.revision
    except OSError:
        return None
    folder = store / "snapshots" / commit
    if not source.files or not folder.is_dir():
        return None
    have = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    return folder if all(any(fnmatchcase(name, pattern) for name in have) for pattern in source.files) else None


# -- asking the Hub ------------------------------------------------------------------------------------------------------


def _fetch(source: HubFiles, settings: Settings, kind: RepoKind, terms: Terms, clock: Clock) -> Path:
    from huggingface_hub import constants, logging

    constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES
    logging.set_verbosity_error()  # standard error is for sentences
    files = remote_files(source, kind)
    wanted = [f for f in files if not _is_cached(source.repo, f, kind)]
    clock.total = sum(f.size for f in wanted)
    if terms.max_mb is not None and clock.total > terms.max_mb * MB:
        raise MissingWeights(
            f"{source.repo} would be a download of {size(clock.total)}; this page fetches "
            f"{f'at most {terms.max_mb:,} MB' if terms.max_mb else 'nothing'} at a visitor's wish (EARMARK_HUB_MAX_MB)"
        )
    free = free_bytes(Path(constants.HF_HUB_CACHE))
    if free is not None and free < clock.total:
        told = f"{source.repo} would be a download of {size(clock.total)}, and {size(free)} are free where the Hub's files are kept"
        raise MissingWeights(f"{told}. Make room, or let HF_HOME name a larger disk")
    paths: list[Path] = []
    for file in files:
        paths.append(fetched(source.repo, file.path, kind, file.commit, _bar(clock)))
        clock.touch()
    for file, path in zip(files, paths, strict=True):
        _verify(source, file, path, clock)
    folder = paths[0].parents[files[0].path.count("/")]
    note = _note(source, settings, kind)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_json(note, {"repo": source.repo, "commit": files[0].commit, "folder": str(folder), "files": [f.path for f in files]})
    except (OSError, EarmarkError):
        pass  # without the note the Hub is asked again next time, nothing else
    return folder


def fetched(repo: str, name: str, kind: RepoKind, revision: str | None, bar: Any = None) -> Path:
    """One file of the Hub, in the client's cache. bar: a class of tqdm's, the client's own by default."""
    from huggingface_hub import hf_hub_download  # pyright: ignore[reportUnknownVariableType] -- its class of bars is a bare type[tqdm]

    return Path(hf_hub_download(repo, name, repo_type=kind, revision=revision, etag_timeout=ANSWER_S, tqdm_class=bar))


def remote_files(source: HubFiles, kind: RepoKind = "model") -> list[RemoteFile]:
    """Size and digest of the named files, all of one commit; of all the repository's files where none is named."""
    names, revision = list(source.files), source.revision
    if _has_pattern(source):
        revision, listed = _listing(source.repo, revision, kind)
        for pattern in names:
            if not any(fnmatchcase(name, pattern) for name in listed):
                raise MissingWeights(f"{source.repo} has no file {pattern}; it has {_some(listed)}")
        names = [n for n in listed if not source.files or any(fnmatchcase(n, pattern) for pattern in source.files)]
    found: list[RemoteFile] = []
    for name in names:
        found.append(_head(source.repo, check_inside(name), revision, kind))
        revision = found[-1].commit  # a branch that moves meanwhile does not mix two commits
    if not found:
        raise MissingWeights(f"{source.repo} has no files")
    return found


def _listing(repo: str, revision: str, kind: RepoKind) -> tuple[str, list[str]]:
    """(commit, paths of all files): one request, which the client does not repeat."""
    from huggingface_hub import HfApi

    info = HfApi().repo_info(repo, revision=revision, repo_type=kind, timeout=ANSWER_S)
    siblings: list[RepoSibling] = getattr(info, "siblings", None) or []
    return info.sha or revision, [s.rfilename for s in siblings]


def _head(repo: str, name: str, revision: str, kind: RepoKind) -> RemoteFile:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url  # pyright: ignore[reportUnknownVariableType] -- its user_agent is a bare dict

    told = get_hf_file_metadata(hf_hub_url(repo, name, repo_type=kind, revision=revision), timeout=ANSWER_S)
    if not told.commit_hash or not told.etag:
        raise MissingWeights(f"what answered for {repo} is no Hub: it named neither commit nor digest of {name}")
    return RemoteFile(name, told.size or 0, told.commit_hash, told.etag)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "none"


def _is_cached(repo: str, file: RemoteFile, kind: RepoKind) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repo, file.path, revision=file.commit, repo_type=kind), str)


def _bar(clock: Clock) -> Any:
    """A progress bar of the client's kind that shows nothing and tells the clock."""
    from tqdm import tqdm

    class Bar(tqdm):  # pyright: ignore[reportMissingTypeArgument] -- it takes none when it runs
        def __init__(self, *args: Any, **options: Any):
            options.pop("name", None)
            super().__init__(*args, **{**options, "disable": True})  # pyright: ignore[reportUnknownMemberType] -- its further keywords are open

        def update(self, n: float | None = 1) -> None:
            clock.add(n or 0)

    return Bar


def _verify(source: HubFiles, file: RemoteFile, path: Path, clock: Clock) -> None:
    """Raise MissingWeights, and take the file away, when it is not what the catalog or the Hub says that it is."""
    blob = path.resolve()
    known = source.sha256.get(file.path)
    expected = known or file.etag
    if len(expected) == 64:
        actual = _digest(path, "sha256", clock)
    elif len(expected) == 40:
        actual = _digest(path, "sha1", clock, f"blob {blob.stat().st_size}\0".encode())
    else:
        return
    if actual == expected:
        return
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)
    of = "the catalog names" if known else "the Hub names"
    raise MissingWeights(f"{file.path} of {source.repo} is not the file that {of} (its digest differs); it was thrown away. Try again")


def _digest(path: Path, name: str, clock: Clock, start: bytes = b"") -> str:
    digest = hashlib.new(name, start, usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(1 << 22):
            digest.update(part)
            clock.touch()
    return digest.hexdigest()


# -- looking around ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listed:
    """A file or a folder of a repository."""

    path: str
    is_folder: bool


def list_folder(repo: str, folder: str, revision: str, settings: Settings, kind: RepoKind = "model") -> list[Listed]:
    """What lies in one folder of a repository ('' for its root). Raises MissingWeights with what the Hub said."""
    check_repo(repo)
    reason = why_silent(settings)
    if reason:
        raise MissingWeights(f"{repo} would have to be looked up, and {reason}")
    _, names = watched(lambda: _listing(repo, revision, kind), Clock(lambda done, total: None), repo)
    start = f"{folder}/" if folder else ""
    inside = [name.removeprefix(start).partition("/") for name in names if name.startswith(start)]
    return [Listed(path, is_folder) for path, is_folder in dict.fromkeys((start + head, bool(slash)) for head, slash, _ in inside)]
