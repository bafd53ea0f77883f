"""Files and folders that appear whole or not at all, whatever ends the process that writes them: a kill, a full disk, an error.

What is being written bears another name (`.NAME.TOKEN.new`) and is locked for as long as its process lives: the lock goes with it, so
that the leftovers of a killed one are known by it, here and in every other process of the machine, and are swept away by whoever writes
in the same place next.
"""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .machine import told

NEW, OLD, GONE = "new", "old", "gone"
"""being written; moved away while another takes its place; being deleted"""
N_TOKEN = 8


@contextmanager
def new_folder(target: Path) -> Generator[Path]:
    """A temporary folder beside `target` that takes its place when the block ends well, and vanishes when it does not."""
    with told(target):
        tidy(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _fresh(target, folder=True) as fresh, told(target, lambda: _n_bytes(fresh)):
            yield fresh
            if not target.exists():
                os.rename(fresh, target)
                return
            with _held(target):
                old = _beside(target, OLD)
                os.rename(target, old)
                try:
                    os.rename(fresh, target)
                except BaseException:
                    os.rename(old, target)
                    raise
                shutil.rmtree(old, ignore_errors=True)


@contextmanager
def new_file(target: Path) -> Generator[BinaryIO]:
    """An open file that takes the place of `target` when the block ends well, and vanishes when it does not."""
    with told(target):
        tidy(target)
        with _fresh(target, folder=False) as fresh, told(target, lambda: _n_bytes(fresh)):
            with fresh.open("r+b") as file:
                yield file
            os.replace(fresh, target)


@contextmanager
def scratch(target: Path) -> Generator[Path]:
    """A folder beside `target`, under a name of its own, that is gone when the block ends; what killed ones have left goes when the next is made."""
    with told(target):
        tidy(target)
        with _fresh(target, folder=True) as fresh, told(target, lambda: _n_bytes(fresh)):
            yield fresh


def write_text(target: Path, text: str) -> None:
    with new_file(target) as file:
        file.write(text.encode("utf-8"))


def write_json(target: Path, value: Any) -> None:
    write_text(target, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def remove_folder(target: Path) -> None:
    """Delete a folder such that nobody finds half of it, should this be killed."""
    with told(target):
        tidy(target)
        gone = _beside(target, GONE)
        with suppress(FileNotFoundError):
            os.rename(target, gone)
    shutil.rmtree(gone, ignore_errors=True)


def put_back(target: Path) -> None:
    """Put back a folder whose replacement was killed between its two renames. Where nothing may be written, nothing happens."""
    if target.exists() or not target.parent.is_dir():
        return
    for old in _leftovers(target, OLD):
        with suppress(OSError):
            os.rename(old, target)
        return


def tidy(target: Path) -> None:
    """Put back what belongs there, and sweep away what killed writers of `target` have left beside it."""
    put_back(target)
    for kind in (NEW, OLD, GONE):
        for left in _leftovers(target, kind):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


# -- names and locks -----------------------------------------------------------------------------------------------------


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(N_TOKEN // 2)}.{kind}")


@contextmanager
def _fresh(target: Path, folder: bool) -> Generator[Path]:
    """A new, locked name beside `target`, which is gone afterwards, unless it was renamed."""
    while True:
        fresh = _beside(target, NEW)
        fresh.mkdir() if folder else os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        with _held(fresh) as still_there:
            if not still_there:  # swept away between its making and its lock
                continue
            try:
                yield fresh
            finally:
                shutil.rmtree(fresh, ignore_errors=True) if folder else fresh.unlink(missing_ok=True)
            return


@contextmanager
def _held(path: Path, wait: bool = True) -> Generator[bool]:
    """Lock a file or folder for the block, whatever it is called by then; gives whether it was locked, and is still called so."""
    try:
        number = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _lock(number, wait) and path.exists()
    finally:
        os.close(number)


def _n_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def _leftovers(target: Path, kind: str) -> Generator[Path]:
    """What bears such a name and belongs to no living process; each is locked while it is looked at."""
    for path in sorted(target.parent.glob(f".{glob.escape(target.name)}.{'[0-9a-f]' * N_TOKEN}.{kind}")):
        with _held(path, wait=False) as left:
            if left:
                yield path


def _lock(number: int, wait: bool) -> bool:
    """Whether the lock was had. Where there are no such locks, whoever waits has it, and nothing is taken for a leftover."""
    try:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (ImportError, OSError):
        return wait
    return True
