"""What a GGUF file says of itself, walked through by its own counts before anybody relies on them.

llama.cpp's reader for Python believes every count: a list of 2^60 words is read until the memory is full, and tensors may all lie in the same place. Here
everything must fit into the file, once (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Tensors are not looked into.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

MAGIC, VERSIONS = b"GGUF", (2, 3)
STRING, ARRAY = 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""type of a value -> its bytes"""
INTEGERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 10: "<Q", 11: "<q"}
LEAST_ENTRY, LEAST_TENSOR, LEAST_STRING = 13, 24, 8
"""bytes that an entry, a tensor's description and a string take at least"""
MOST_DIMS = 4
ALIGNMENT, MOST_ALIGNMENT = 32, 1 << 20


@dataclass(frozen=True)
class Head:
    """What is said before the tensors' values."""

    numbers: dict[str, int]
    """the whole numbers among its entries, by key"""
    n_tensors: int
    n_weights: int
    """of all tensors together"""


def read_head(path: Path) -> Head:
    """Raises ValueError, with the place, for a file that says what it cannot hold."""
    if path.stat().st_size < 24:
        raise ValueError("it is too short for a GGUF file")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Walk(data).head()


class _Walk:
    """A place in the file that only goes on as far as there is something."""

    def __init__(self, data: mmap.mmap):
        from gguf import GGML_QUANT_SIZES

        self._data, self._at = data, 0
        self._blocks = {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()}
        """type of a tensor -> (weights, bytes) of a block"""

    def head(self) -> Head:
        if self._take(4, "its name") != MAGIC:
            raise ValueError("it does not begin as a GGUF file does")
        version = self._whole("<I", "its version")
        if version not in VERSIONS:
            raise ValueError(f"it is of version {version}; those of version 2 and 3, whose bytes begin with the lowest, are read")
        n_tensors, n_entries = self._count(LEAST_TENSOR, "tensors"), self._count(LEAST_ENTRY, "entries")
        numbers: dict[str, int] = {}
        keys: set[str] = set()
        for _ in range(n_entries):
            key = self._text("the key of an entry")
            if key in keys:
                raise ValueError(f"its entry '{key[:60]}' is there twice")
            keys.add(key)
            number = self._value(self._whole("<I", key), key)
            if number is not None:
                numbers[key] = number
        tensors = [self._tensor() for _ in range(n_tensors)]
        self._check_room(tensors, numbers.get("general.alignment", ALIGNMENT))
        return Head(numbers, n_tensors, sum(n for n, _, _ in tensors))

    def _value(self, kind: int, key: str) -> int | None:
        """Go past a value; the value itself, where it is a whole number."""
        if kind in INTEGERS:
            return self._whole(INTEGERS[kind], key)
        if kind == STRING:
            self._text(key)
        elif kind == ARRAY:
            inner = self._whole("<I", key)
            n = self._count(LEAST_STRING if inner == STRING else SIZES.get(inner, 1), f"values of '{key[:60]}'")
            if inner == STRING:
                for _ in range(n):
                    self._text(key)
            else:
                self._skip(n * self._size(inner, key), key)
        else:
            self._skip(self._size(kind, key), key)
        return None

    def _tensor(self) -> tuple[int, int, int]:
        """(weights, bytes, offset) of a tensor."""
        name = self._text("the name of a tensor")
        n_dims = self._whole("<I", name)
        if n_dims > MOST_DIMS:
            raise ValueError(f"its tensor '{name[:60]}' has {n_dims} dimensions; at most {MOST_DIMS} can be")
        shape = [self._whole("<Q", name) for _ in range(n_dims)]
        kind, offset = self._whole("<I", name), self._whole("<Q", name)
        if kind not in self._blocks:
            raise ValueError(f"its tensor '{name[:60]}' is of the type {kind}, which is not known")
        in_block, of_block = self._blocks[kind]
        n = math.prod(shape)
        if n % in_block or (shape and shape[0] % in_block):
            raise ValueError(f"its tensor '{name[:60]}' is {' x '.join(map(str, shape))}, whose rows are no multiple of {in_block}")
        return n, n // in_block * of_block, offset

    def _check_room(self, tensors: list[tuple[int, int, int]], alignment: int) -> None:
        if not 0 < alignment <= MOST_ALIGNMENT or alignment & (alignment - 1):
            raise ValueError(f"its alignment is {alignment}; a power of two up to {MOST_ALIGNMENT:,} can be")
        start = -(-self._at // alignment) * alignment
        room, said = max(len(self._data) - start, 0), sum(n for _, n, _ in tensors)
        if said > room or any(offset + n > room for _, n, offset in tensors):
            raise ValueError(f"its {len(tensors):,} tensors say that they take {said:,} bytes, of which the file has {room:,}")

    def _text(self, of: str) -> str:
        return self._take(self._count(1, f"bytes of {of[:60]}"), of).decode("utf-8")

    def _count(self, least: int, what: str) -> int:
        n = self._whole("<Q", f"the number of {what}")
        left = len(self._data) - self._at
        if n * least > left:
            raise ValueError(f"it says that it has {n:,} {what}, for which the {left:,} bytes that are left are too few")
        return n

    def _whole(self, form: str, of: str) -> int:
        return int(struct.unpack(form, self._take(struct.calcsize(form), of))[0])

    def _size(self, kind: int, of: str) -> int:
        if kind not in SIZES:
            raise ValueError(f"its entry '{of[:60]}' is of the type {kind}, which is not read")
        return SIZES[kind]

    def _take(self, n: int, of: str) -> bytes:
        start = self._at
        self._skip(n, of)
        return self._data[start : self._at]

    def _skip(self, n: int, of: str) -> None:
        if self._at + n > len(self._data):
            raise ValueError(f"it ends in the midst of '{of[:60]}'")
        self._at += n
