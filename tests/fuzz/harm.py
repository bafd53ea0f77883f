"""Ways to spoil bytes that were fine, each a function of (bytes, chance)."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
HEAD = 512
"""where most formats say what is to come"""
MOST = 400_000
"""bytes beyond which nothing grows"""


def bits(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 64))):
        changed[_place(data, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def bytes_(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 64))):
        changed[_place(data, chance)] = chance.randrange(256)
    return bytes(changed)


def field(data: bytes, chance: random.Random) -> bytes:
    """A number of 1, 2, 4 or 8 bytes somewhere says something extreme."""
    letter = chance.choice("BHIQ")
    value = chance.choice(EXTREMES) & ((1 << (8 * struct.calcsize(letter))) - 1)
    new = struct.pack(chance.choice("<>") + letter, value)
    at = _place(data, chance)
    return data[:at] + new + data[at + len(new) :]


def number(data: bytes, chance: random.Random) -> bytes:
    """A run of digits, as in headers of text, becomes another number."""
    runs = [i for i, b in enumerate(data[: 20 * HEAD]) if 48 <= b <= 57]
    if not runs:
        return field(data, chance)
    at = chance.choice(runs)
    return data[:at] + str(chance.choice(EXTREMES)).encode() + data[at + 1 :]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def hole(data: bytes, chance: random.Random) -> bytes:
    start, end = sorted((_place(data, chance), chance.randrange(len(data))))
    return data[:start] + data[end:]


def again(data: bytes, chance: random.Random) -> bytes:
    """A piece comes once more, somewhere, a few times."""
    start = _place(data, chance)
    piece = data[start : start + chance.choice((4, 16, 64, 256, 2048))]
    at, times = _place(data, chance), chance.choice((1, 1, 3, 50))
    return data[:at] + piece * times + data[at:]


def zeros(data: bytes, chance: random.Random) -> bytes:
    at, n = _place(data, chance), chance.choice((1, 4, 64, 1024))
    return data[:at] + chance.choice((b"\0", b"\xff")) * n + data[at + n :]


HARMS: tuple[Callable[[bytes, random.Random], bytes], ...] = (bits, bytes_, field, field, field, number, cut, hole, again, zeros)


def harmed(data: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """One to four harms one after the other; sometimes the end of another file stands behind the beginning of this."""
    if others and chance.random() < 0.08:
        other = chance.choice(others)
        data = data[: 1 + chance.randrange(len(data))] + other[chance.randrange(len(other)) :]
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if 0 < len(data) < MOST:
            data = chance.choice(HARMS)(data, chance)
    return data


def _place(data: bytes, chance: random.Random) -> int:
    """Anywhere, but every other time near the beginning or, where archives and tables have their index, near the end."""
    near = chance.random()
    if near < 0.4:
        return chance.randrange(min(HEAD, len(data)))
    return len(data) - 1 - chance.randrange(min(HEAD, len(data))) if near < 0.6 else chance.randrange(len(data))
