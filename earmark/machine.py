"""What a machine runs out of, or forbids, as sentences: room on a disk, memory, leave to write. Only here such errors are told from others.

Python, pyarrow, numpy, torch and safetensors each have words of their own for the same fault; a number of errno where there is one,
else the text of the error, is what they are known by.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Generator
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
PROC, GROUP = Path("/proc"), Path("/sys/fs/cgroup")
_GROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""of the second and the first version of Linux's control groups"""


@contextmanager
def told(place: Path | None = None, written: Callable[[], int] | None = None) -> Generator[None]:
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


def check_memory(what: str, n_needed: int) -> None:
    """Raises NoMemory before anything is loaded that will not fit. What is loaded nevertheless might end this process with no word said."""
    free = free_memory()
    if free is not None and free < n_needed:
        raise NoMemory(f"{what} needs {size(n_needed)} of memory, and {size(free)} are free. Close other work, or take something smaller.")


def free_memory() -> int | None:
    """Bytes that this process can still have: of the machine, of its container, and of a limit on its addresses; None where nothing is known."""
    known = (_of_machine(), *(_of_group(*names) for names in _GROUPS), _of_addresses())
    return min((max(n, 0) for n in known if n is not None), default=None)


def _number(path: Path, name: str = "") -> int | None:
    """The only number of a file of the kernel's, or the one after a name; None where there is none, as where the limit is `max`."""
    try:
        words = path.read_text(encoding="ascii", errors="replace").split()
        return int(words[words.index(name) + 1 if name else 0])
    except (OSError, ValueError, IndexError):
        return None


def _of_machine() -> int | None:
    found = _number(PROC / "meminfo", "MemAvailable:")
    return None if found is None else found * 1024


def _of_group(limit: str, used: str, stat: str, cached: str) -> int | None:
    """What a container may still take: files that were read count as used, but leave when memory is needed."""
    found = _number(GROUP / limit), _number(GROUP / used), _number(GROUP / stat, cached)
    return None if found[0] is None or found[1] is None else found[0] - found[1] + (found[2] or 0)


def _of_addresses() -> int | None:
    try:
        import resource

        limit, used = resource.getrlimit(resource.RLIMIT_AS)[0], _number(PROC / "self" / "statm")
        return None if limit == resource.RLIM_INFINITY or used is None else limit - used * resource.getpagesize()
    except (ImportError, OSError):
        return None


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
