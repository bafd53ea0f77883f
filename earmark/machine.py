"""What a machine runs out of, or forbids, as sentences: room on a disk, memory, leave to write. Only here such errors are told from others.

Python, pyarrow, numpy, torch and safetensors each have words of their own for the same fault; a number of errno where there is one,
else the text of the error, is what they are known by.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BadInput, EarmarkError, NoMemory, NoRoom

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FULL_WORDS = re.compile(
    r"no space left|file too large|disk quota|storagefull|os error 28|file write failed|failed writing file|"  # Rust's and C++'s words
    r"requested and \d+ written|unexpected pos \d+ vs",  # numpy's tofile; torch.save, which trips over its own half file
    re.IGNORECASE,
)
_BARRED = {errno.EROFS: "it is read-only", errno.EACCES: "this user may not", errno.EPERM: "this user may not"}
_MEMORY_WORDS = re.compile(r"can(?:'|no)t allocate memory|not enough memory|out of memory|bad_alloc|os error 12\b", re.IGNORECASE)
MB = 1_000_000


@contextmanager
def told(place: Path | None = None, written: Callable[[], int] | None = None) -> Iterator[None]:
    """What the machine lacks while the block runs is raised as a sentence.

    place: where the block writes, if anywhere; written: how many bytes of it are there already.
    """
    try:
        yield
    except Exception as error:
        said = sentence(error, place, written)
        if said is None:
            raise
        raise said from None


def sentence(error: BaseException, place: Path | None = None, written: Callable[[], int] | None = None) -> NoRoom | NoMemory | BadInput | None:
    """What a person reads in place of an error of the machine; None for every other error."""
    if isinstance(error, (NoRoom, NoMemory)):
        return error
    if isinstance(error, EarmarkError):
        return None
    number = error.errno if isinstance(error, OSError) else None
    named = Path(error.filename) if isinstance(error, OSError) and isinstance(error.filename, str) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM or (number is None and _MEMORY_WORDS.search(str(error))):
        return NoMemory(f"The machine's memory does not suffice for this{_asked_for(str(error))}. Close other work, or take less at a time.")
    if number == errno.EFBIG:
        return NoRoom(f"{_what(place or named)} could not be written: it is larger than a file may be here. Raise that limit (`ulimit -f`), then try again.")
    if number in _FULL or (number is None and _FULL_WORDS.search(str(error))):
        return no_room(place or named, f"{size(written())} of it were written" if written else "")
    if number in _BARRED:
        return BadInput(
            f"{_what(named or place)} cannot be opened or written: {_BARRED[number]}. EARMARK_DATA and EARMARK_CACHE name the folders that are used."
        )
    return None


def no_room(place: Path | None, how_much: str) -> NoRoom:
    """That a disk is full; how_much: what is known of the bytes that it takes."""
    free = free_bytes(place) if place else None
    known = [*([how_much] if how_much else []), *([] if free is None else [f"{size(free)} are free there"])]
    figures = f" ({', '.join(known)})" if known else ""
    return NoRoom(
        f"{_what(place)} could not be written: its disk is full{figures}. Nothing half is kept. "
        "Make room, or let EARMARK_DATA and EARMARK_CACHE name a larger disk, then try again."
    )


def check_room(place: Path, n_needed: int) -> None:
    """Raises NoRoom before anything is written, where what is to be written will not fit."""
    free = free_bytes(place)
    if free is not None and free < n_needed:
        raise no_room(place, f"{size(n_needed)} are needed")


def free_bytes(place: Path) -> int | None:
    """What is free on a path's disk; the path itself need not be there."""
    for folder in (place, *place.absolute().parents):
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None


def _what(place: Path | None) -> str:
    return f"'{short(place)}'" if place else "A file"


def short(place: Path) -> str:
    """The end of a path: enough to know it by, and nothing of what lies above it."""
    return "/".join(place.parts[-2:])


def size(n_bytes: int) -> str:
    return f"{n_bytes / MB:,.{0 if n_bytes >= 10 * MB or n_bytes == 0 else 2}f} MB"


def _asked_for(text: str) -> str:
    """The number of bytes that torch or numpy name when they ask in vain."""
    asked = re.search(r"tried to allocate (\d+) bytes", text)
    if asked:
        return f" ({size(int(asked[1]))} more were asked for)"
    asked = re.search(r"Unable to allocate ([\d.]+ \w+)", text)
    return f" ({asked[1]} more were asked for)" if asked else ""
