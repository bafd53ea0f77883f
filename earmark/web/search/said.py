"""Lines of speech or text, made ready to be searched for words: all of them are one text, in which Python's own search goes from word to word."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Said:
    """Some lines for each of n units."""

    text: str
    """every line once, in small letters, one after the other"""
    starts: list[int]
    """where each of them begins"""
    lines: NDArray[np.int32]
    """[n, most]: the lines of each unit; behind its last one the number of lines"""

    def times(self, words: Iterable[str]) -> NDArray[np.int64]:
        """[n] lines of each unit in which every one of the words, in small letters, begins a word; a line that it has twice counts twice."""
        asked = list(words)
        found = np.zeros(len(self.starts) + 1, bool)
        if asked:
            found[sorted(functools.reduce(set[int].intersection, (set(self._saying(word)) for word in asked)))] = True
        return found[self.lines].sum(axis=1, dtype=np.int64)

    def _saying(self, word: str) -> Iterator[int]:
        """The lines in which it begins a word."""
        at = self.text.find(word)
        while at >= 0:
            if at and (self.text[at - 1].isalnum() or self.text[at - 1] == "_"):
                at = self.text.find(word, at + 1)
                continue
            line = bisect_right(self.starts, at) - 1
            yield line
            at = self.text.find(word, self.starts[line + 1]) if line + 1 < len(self.starts) else -1


def said_in(units: Sequence[Sequence[str]]) -> Said:
    """The lines of each unit."""
    numbers: dict[str, int] = {}
    own = [[numbers.setdefault(line.casefold(), len(numbers)) for line in lines] for lines in units]
    lines = np.full((len(units), max(map(len, own), default=0)), len(numbers), np.int32)
    for row, found in zip(lines, own, strict=True):
        row[: len(found)] = found
    starts = np.cumsum([0, *(len(line) + 1 for line in numbers)])[:-1].tolist()
    return Said("\n".join(numbers), starts, lines)
