"""Files and folders that appear whole or not at all; what killed writers leave; and the machine's own errors, each library's, as sentences."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file
from scipy import sparse

from earmark import machine
from earmark.atomic import new_file, new_folder, put_back, remove_folder, scratch, write_json
from earmark.errors import BadInput, NoMemory, NoRoom
from earmark.machine import check_room, sentence

BIG = np.random.default_rng(0).random((1000, 100))
LIMIT_BYTES = 200_000


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def killed(work: Callable[[], object]) -> None:
    """`work` in a fork, which kills itself in its midst."""
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a") as fresh:
        (fresh / "x").write_text("old")
    write_json(tmp_path / "b.json", {"n": 1})
    with pytest.raises(RuntimeError), new_folder(tmp_path / "a") as fresh:
        (fresh / "x").write_text("new")
        raise RuntimeError
    with pytest.raises(RuntimeError), new_file(tmp_path / "b.json") as file:
        file.write(b"{")
        raise RuntimeError
    assert names(tmp_path) == ["a", "b.json"]
    assert (tmp_path / "a/x").read_text() == "old" and json.loads((tmp_path / "b.json").read_text()) == {"n": 1}


def test_a_second_rename_that_fails_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with new_folder(tmp_path / "a") as fresh:
        (fresh / "x").write_text("old")
    whole, n_renamed = os.rename, 0

    def second_fails(*args: Path) -> None:
        nonlocal n_renamed
        n_renamed += 1
        if n_renamed == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(*args)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(NoRoom, match="disk is full"), new_folder(tmp_path / "a") as fresh:
        (fresh / "x").write_text("new")
    assert names(tmp_path) == ["a"] and (tmp_path / "a/x").read_text() == "old"


def test_leftovers_of_the_killed_are_swept_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    def half() -> None:
        with new_folder(tmp_path / "a") as fresh, new_file(tmp_path / "a.json") as file:
            (fresh / "x").write_text("half")
            file.write(b"half")
            die()

    killed(half)
    assert len(names(tmp_path)) == 2 and not (tmp_path / "a").exists()
    with new_folder(tmp_path / "a.b"), new_file(tmp_path / "a") as living:
        assert len(names(tmp_path)) == 3, "the killed folder went, the living two and another's file stay"
        with pytest.raises(RuntimeError), new_file(tmp_path / "a"):
            raise RuntimeError
        living.write(b"whole")
    with new_file(tmp_path / "a.json"):
        pass
    assert names(tmp_path) == ["a", "a.b", "a.json"] and (tmp_path / "a").read_bytes() == b"whole"


def test_a_scratch_folder_goes_and_one_that_was_killed_goes_when_the_next_is_made(tmp_path: Path) -> None:
    def half() -> None:
        with scratch(tmp_path / "a") as folder:
            (folder / "x").write_text("half")
            die()

    killed(half)
    assert len(names(tmp_path)) == 1
    with scratch(tmp_path / "a") as living:
        assert names(tmp_path) == [living.name] and names(living) == [], "what was killed is gone"
        with pytest.raises(RuntimeError), scratch(tmp_path / "a") as other:
            assert other != living and other.is_dir()
            raise RuntimeError
        assert names(tmp_path) == [living.name]
    assert names(tmp_path) == []


def test_a_folder_killed_between_its_two_renames_is_put_back(tmp_path: Path) -> None:
    for target in ("a", "a.b"):
        with new_folder(tmp_path / target) as fresh:
            (fresh / "x").write_text(target)

    def half() -> None:
        whole, os.rename = os.rename, lambda *args: (whole(*args), die())  # type: ignore[assignment, func-returns-value]
        with new_folder(tmp_path / "a.b"):
            pass

    killed(half)
    assert not (tmp_path / "a.b").exists()
    put_back(tmp_path / "a.b")
    assert (tmp_path / "a.b/x").read_text() == "a.b"
    killed(half)
    remove_folder(tmp_path / "a")
    put_back(tmp_path / "a")
    assert not (tmp_path / "a").exists(), "what was left of 'a.b' is not taken for 'a'"
    with new_folder(tmp_path / "a.b"):
        assert (tmp_path / "a.b/x").read_text() == "a.b"
    assert names(tmp_path) == ["a.b"]


# -- the machine's errors ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files of this process may not grow beyond LIMIT_BYTES: a real fault in the middle of a write, for code in any language."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


WRITERS: dict[str, Callable[[Path], object]] = {
    "numpy": lambda path: np.save(path, BIG),
    "numpy archive": lambda path: np.savez(path, x=BIG),
    "scipy": lambda path: sparse.save_npz(path, sparse.csr_matrix(BIG)),
    "torch": lambda path: torch.save({"x": torch.from_numpy(BIG)}, path),
    "safetensors": lambda path: save_file({"x": torch.from_numpy(BIG)}, path),
    "pyarrow": lambda path: pq.write_table(pa.table({"x": BIG.ravel()}), path),
    "python": lambda path: path.write_bytes(BIG.tobytes()),
}


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("name", WRITERS)
def test_every_librarys_failure_to_write_is_a_sentence(name: str, tmp_path: Path) -> None:
    said = r"/a' could not be written: (its disk is full \(\d[\d.]* MB of it were written, [\d,.]+ MB are free|it is larger than a file may be)"
    with pytest.raises(NoRoom, match=said), new_folder(tmp_path / "a") as fresh:
        WRITERS[name](fresh / "file.npz")
    assert names(tmp_path) == []


def test_memory_that_does_not_suffice_is_a_sentence() -> None:
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(1 << 55)
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(1 << 55)
    for error, asked in ((of_torch.value, "MB more were asked for"), (of_numpy.value, "PiB more were asked for"), (MemoryError(), "suffice for this.")):
        said = sentence(error)
        assert isinstance(said, NoMemory) and asked in str(said)
    assert isinstance(sentence(OSError(errno.ENOMEM, "Cannot allocate memory")), NoMemory)


def test_other_errors_stay_what_they_are() -> None:
    for error in (RuntimeError("size mismatch"), KeyError("x"), FileNotFoundError(errno.ENOENT, "No such file"), BadInput("out of memory"), ValueError("full")):
        assert sentence(error) is None


def test_what_will_not_fit_is_said_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_room(tmp_path / "not" / "there", 1000)
    monkeypatch.setattr(machine, "free_bytes", lambda place: 5_000_000)
    with pytest.raises(NoRoom, match=r"12 MB are needed, 5\.00 MB are free there"):
        check_room(tmp_path, 12_000_000)
