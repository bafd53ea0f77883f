"""Text as its tokens print it: a text cut into what each position prints, the word at a place, the positions around a peak."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_WORD = 40
"""characters: scripts without spaces would otherwise give a whole sentence"""


def cut(text: str, lengths: Sequence[int]) -> tuple[str, ...]:
    """What each position prints, by the number of its characters. Put together it is the text, if the numbers add up to its length."""
    tokens: list[str] = []
    start = 0
    for n in lengths:
        tokens.append(text[start : start + n])
        start += n
    return tuple(tokens)


def word_around(text: str, start: int, end: int) -> str:
    """The word that characters [start, end) stand in, spaces at their ends left out; what is no part of a word stands alone.

    Empty where nothing but space is there.
    """
    part = text[start:end]
    start, end = start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
    if start >= end:
        return ""
    first, last = max(0, start - LONGEST_WORD), min(len(text), end + LONGEST_WORD)
    while start > first and _in_word(text[start]) and _in_word(text[start - 1]):
        start -= 1
    while end < last and _in_word(text[end - 1]) and _in_word(text[end]):
        end += 1
    return text[start:end]


def _in_word(letter: str) -> bool:
    return letter.isalnum() or letter in "'\u2019_"


def around(tokens: Sequence[str], at: int, before: int, after: int) -> tuple[int, int]:
    """Positions [start, end): `before` and `after` positions around `at`, made longer where one printed character would be cut in two."""
    start, end = max(0, at - before), min(len(tokens), at + after + 1)
    while start > 0 and not tokens[start]:
        start -= 1
    while end < len(tokens) and not tokens[end]:
        end += 1
    return start, end


def visible(text: str) -> str:
    """A text on one line, without what cannot be seen: control characters, zero width, writing directions."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
