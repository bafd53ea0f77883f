"""A text's tokens cut into windows, and windows that repeat others told apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ....units import TokenGrid, TokenSample

N_TOKENS = 128
SHORTEST = 16
"""tokens: what remains at the end of a text is a window of its own if it has as many"""
RUN_WORDS, ONE_IN = 8, 8
"""runs of so many words are compared, and of these the ones whose hash is a multiple of ONE_IN"""
REPEATED = 0.5
"""a window repeats others when at least this share of its runs was seen before"""


@dataclass(frozen=True)
class Window:
    """Consecutive tokens of one text."""

    start: int
    """of its first token in the text"""
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    """what each position prints; together they are the window's text"""

    @property
    def text(self) -> str:
        return "".join(self.tokens)


def windows(document: TokenSample) -> Iterator[Window]:
    """Windows of 128 tokens, one after the other. Bytes that decode only together stay together: such a window may be some tokens shorter."""
    start = end = 0
    for first, past, _ in TokenGrid(document.tokens).spans():
        if past - start > N_TOKENS and first > start:
            yield _window(document, start, first)
            start = first
        end = past
    if end - start >= SHORTEST:
        yield _window(document, start, end)


def _window(document: TokenSample, start: int, end: int) -> Window:
    return Window(start, document.ids[start:end], document.tokens[start:end])


def spread(items: Sequence[Window], most: int | None) -> list[Window]:
    """At most so many of them, evenly from first to last."""
    n = len(items)
    if most is None or n <= most:
        return list(items)
    return [items[(2 * i + 1) * n // (2 * most)] for i in range(most)]


class Repeats:
    """What was kept so far, as hashes of every eighth run of eight words (case and punctuation apart)."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def has(self, window: str) -> bool:
        """Whether half of the window or more stood in windows that were kept."""
        runs = _runs(window)
        return bool(runs) and len(runs & self._seen) >= REPEATED * len(runs)

    def keep(self, window: str) -> None:
        self._seen |= _runs(window)


def _runs(text: str) -> set[int]:
    words = re.findall(r"\w+", text.casefold())
    n = min(RUN_WORDS, len(words))
    hashes = {_hash(" ".join(words[i : i + n])) for i in range(len(words) - n + 1)}
    return {h for h in hashes if h % ONE_IN == 0} | ({_hash(" ".join(words))} if words else set())


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
