"""What the Hub's client says, as sentences; what lies in its cache; and files whose digest differs: without a server."""

from __future__ import annotations

import errno
import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import errors

from earmark.errors import BadTable, MissingWeights
from earmark.shelf.catalog import HubFiles, PackageFile
from earmark.shelf.hub import Terms, download, faults, fetch, find_package_file
from earmark.shelf.hub.download import RemoteFile, list_folder, remote_files
from earmark.shelf.hub.faults import Clock, Unreachable, said, watched
from earmark.shelf.hub.remote import Places
from tests.fixtures.toy import settings_for


def answered(status: int, kind: type[errors.HfHubHTTPError] = errors.HfHubHTTPError, url: str = "") -> errors.HfHubHTTPError:
    return kind("no", response=SimpleNamespace(status_code=status, headers={}, request=None, url=url))  # type: ignore[arg-type]


class ReadError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "words", "kind"),
    [
        (answered(403, errors.GatedRepoError), "o/n is gated: accept its terms", MissingWeights),
        (answered(401), "no repository o/n, or it is private", MissingWeights),
        (answered(404, errors.RevisionNotFoundError), "o/n has no such revision", MissingWeights),
        (answered(404, errors.RemoteEntryNotFoundError, "http://h/o/n/resolve/main/a/b.bin"), "o/n has no file a/b.bin", MissingWeights),
        (answered(404, errors.RemoteEntryNotFoundError), "o/n has no file of that name", MissingWeights),
        (answered(429), r"could not answer for o/n \(status 429\). Try again later", Unreachable),
        (answered(503), r"could not answer for o/n \(status 503\)", Unreachable),
        (errors.HFValidationError("x"), "'o/n' is no name of a Hub repository", MissingWeights),
        (OSError(28, "No space left on device"), r"o/n could not be written to this machine \(No space left on device\)", MissingWeights),
        (ConnectionResetError(104, "Connection reset by peer"), r"the Hub did not answer for o/n \(ConnectionResetError\)", Unreachable),
        (OSError("Consistency check failed: file should be of size 3"), "broke off while sending o/n. Try again", Unreachable),
        (ReadError(), "broke off while sending o/n", Unreachable),
        (ValueError("what"), r"the Hub did not answer for o/n \(ValueError\)", Unreachable),
    ],
)
def test_each_failure_of_the_client_is_its_own_sentence(error: Exception, words: str, kind: type[MissingWeights]) -> None:
    """Unreachable alone lets what is on this machine serve."""
    found = said(error, "o/n")
    assert type(found) is kind
    with pytest.raises(kind, match=words):
        raise found


def test_a_defect_on_the_way_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)

    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(MissingWeights, match="fetching o/n failed"):
        watched(broken, Clock(lambda done, total: None), "o/n")
    assert watched(lambda: 3, Clock(lambda done, total: None), "o/n") == 3


def test_a_file_that_starts_again_is_no_progress() -> None:
    told: list[tuple[int, int]] = []
    clock = Clock(lambda done, total: told.append((done, total)), 10)
    moved_at = []
    for n in (4, -4, 3, 9):
        clock.add(n)
        moved_at.append(clock.moved_at)
    assert told == [(4, 10), (12, 12)] and moved_at[0] == moved_at[1] == moved_at[2] < moved_at[3]


# -- one file --------------------------------------------------------------------------------------------------------------


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("etag", "sha256", "of"),
    [
        (hashlib.sha256(b"abc").hexdigest(), "", None),
        (git_sha1(b"abc"), "", None),
        ("weak-etag", "", None),
        (git_sha1(b"abd"), "", "the Hub names"),
        (hashlib.sha256(b"abd").hexdigest(), "", "the Hub names"),
        (hashlib.sha256(b"abc").hexdigest(), "0" * 64, "the catalog names"),
    ],
)
def test_a_file_is_what_the_catalog_or_the_hub_says_or_thrown_away(tmp_path: Path, etag: str, sha256: str, of: str | None) -> None:
    """As in the client's cache: a link to the bytes; an etag that is no digest says nothing."""
    blob, path = tmp_path / "blob", tmp_path / "a.bin"
    blob.write_bytes(b"abc")
    path.symlink_to(blob)
    source = HubFiles("o/n", ("a.bin",), sha256={"a.bin": sha256} if sha256 else {})

    def verify() -> None:
        download._verify(source, RemoteFile("a.bin", 3, "c", etag), path, Clock(lambda done, total: None))

    if of is None:
        verify()
    else:
        with pytest.raises(MissingWeights, match=f"a.bin of o/n is not the file that {of}.*thrown away"):
            verify()
    assert path.exists() == blob.exists() == (of is None)


def test_what_answers_like_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda *_, **__: SimpleNamespace(commit_hash=None, etag="e", size=1))
    with pytest.raises(MissingWeights, match="what answered for o/n is no Hub: it named neither commit nor digest of a.bin"):
        remote_files(HubFiles("o/n", ("a.bin",)))


def test_a_repository_without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_listing", lambda *_: ("c", []))
    with pytest.raises(MissingWeights, match="o/n has no files"):
        remote_files(HubFiles("o/n"))
    with pytest.raises(MissingWeights, match=r"o/n has no file \*.pt; it has none"):
        remote_files(HubFiles("o/n", ("*.pt",)))


# -- what is here already --------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A commit of o/n in the client's cache, as another program has left it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    store = tmp_path / "models--o--n"
    (store / "refs").mkdir(parents=True)
    (store / "refs" / "main").write_text("c0ffee\n")
    (store / "snapshots" / "c0ffee" / "sub").mkdir(parents=True)
    (store / "snapshots" / "c0ffee" / "sub" / "a.bin").write_bytes(b"abc")
    return store / "snapshots" / "c0ffee"


def unreachable(*_: Any) -> None:
    raise ConnectionError


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (HubFiles("o/n", ("sub/a.bin",)), True),
        (HubFiles("o/n", ("sub/a.bin",), "c0ffee"), True),
        (HubFiles("o/n", ("sub/*",)), True),
        (HubFiles("o/n", ("sub/a.bin", "b.bin")), False),
        (HubFiles("o/n"), False),
        (HubFiles("o/n", ("sub/a.bin",), "v2"), False),
    ],
)
@pytest.mark.parametrize("offline", [True, False])
def test_what_another_program_has_fetched_serves_where_the_hub_does_not(
    tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch, source: HubFiles, found: bool, offline: bool
) -> None:
    monkeypatch.setattr(download, "_fetch", unreachable)
    settings = replace(settings_for(tmp_path / "own"), offline=offline)
    if found:
        assert fetch(source, settings) == cached
        return
    with pytest.raises(MissingWeights, match="EARMARK_OFFLINE keeps Earmark from asking" if offline else "the Hub did not answer for o/n"):
        fetch(source, settings)


def test_without_leave_only_names_that_are_here_serve(tmp_path: Path, cached: Path) -> None:
    """A pattern may stand for more than the cache holds: then the Hub must be asked."""
    settings = replace(settings_for(tmp_path / "own"), offline=False)
    assert fetch(HubFiles("o/n", ("sub/a.bin",)), settings, terms=Terms(allowed=False)) == cached
    with pytest.raises(MissingWeights, match="o/n is not on this machine yet$"):
        fetch(HubFiles("o/n", ("sub/*",)), settings, terms=Terms(allowed=False))


def test_a_folder_is_listed_as_files_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "STALL_S", 5.0)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    names = ["README.md", "layers.1/cfg.json", "layers.1/sae.safetensors", "layers.1/deep/x.bin", "layers.10/cfg.json"]
    monkeypatch.setattr(download, "_listing", lambda *_: ("c", names))
    settings = replace(settings_for(tmp_path), offline=False)
    assert [(e.path, e.is_folder) for e in list_folder("o/n", "", "main", settings)] == [("README.md", False), ("layers.1", True), ("layers.10", True)]
    expected = [("layers.1/cfg.json", False), ("layers.1/sae.safetensors", False), ("layers.1/deep", True)]
    assert [(e.path, e.is_folder) for e in list_folder("o/n", "layers.1", "main", settings)] == expected
    with pytest.raises(MissingWeights, match="o/n would have to be looked up, and EARMARK_OFFLINE"):
        list_folder("o/n", "", "main", replace(settings, offline=True))


def no_room(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(params=["a file", "no room", "damaged"])
def cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which nothing can be noted, or what is noted cannot be read."""
    found = tmp_path / "cache"
    if request.param == "a file":
        found.write_text("")
    elif request.param == "no room":
        monkeypatch.setattr("earmark.atomic.os.replace", no_room)
    else:
        found.mkdir()
        (found / "sha256.json").write_text("[3]")
    return found


def test_a_packages_file_is_found_whatever_the_cache_is_like(cache: Path) -> None:
    path = Path(pytest.__file__)
    source = PackageFile("any", "pytest", "pytest/__init__.py", hashlib.sha256(path.read_bytes()).hexdigest())
    assert find_package_file(source, cache) == path
    with pytest.raises(MissingWeights, match="sha256 differs"):
        find_package_file(replace(source, sha256="0" * 64), cache)


def test_what_was_fetched_serves_whatever_the_cache_is_like(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c0ffee" / "sub").mkdir(parents=True)
    path = tmp_path / "c0ffee" / "sub" / "a.bin"
    path.write_bytes(b"abc")
    monkeypatch.setattr(download, "remote_files", lambda *_: [RemoteFile("sub/a.bin", 3, "c0ffee", git_sha1(b"abc"))])
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    settings = replace(settings_for(tmp_path), cache=cache, offline=False)
    assert fetch(HubFiles("o/n", ("sub/a.bin",)), settings) == tmp_path / "c0ffee"


# -- tables ----------------------------------------------------------------------------------------------------------------


def at_the_same_time(places: Places, make: Callable[[Any], Any], n: int, begun: threading.Event, go_on: threading.Event) -> list[str]:
    """What n visitors get who ask for one folder, all of them before the first has an answer."""
    answers: list[str] = []

    def visit() -> None:
        try:
            answers.append(places.opened("d", None, make))
        except BadTable as error:
            answers.append(str(error))

    threads = [threading.Thread(target=visit) for _ in range(n)]
    threads[0].start()
    assert begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(5)
    return answers


@pytest.mark.parametrize("fails", [True, False])
def test_who_waits_for_a_folder_shares_what_comes_of_it(tmp_path: Path, fails: bool) -> None:
    places, made = Places(settings_for(tmp_path)), []
    begun, go_on = threading.Event(), threading.Event()

    def make(_: Any) -> str:
        made.append(1)
        begun.set()
        assert go_on.wait(5)
        time.sleep(0.2)  # meanwhile the others come
        if fails:
            raise BadTable("The Hub is gone.")
        return "tables"

    assert at_the_same_time(places, make, 4, begun, go_on) == ["The Hub is gone." if fails else "tables"] * 4
    assert len(made) == 1, "one attempt for all who came before it ended"
    if fails:
        with pytest.raises(BadTable):
            places.opened("d", None, make)
        assert len(made) == 2, "who comes later makes an attempt of their own"
