"""A transcript as words that a pronouncing dictionary has: punctuation, hyphens, numbers, and what can honestly be guessed of other words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

Lookup = Callable[[str], str | None]
"""a word in small letters -> its phones, separated by blanks; None for a word that is not in the dictionary"""

_ASIDE = re.compile(r"\[[^\]]*\]|\([^)]*\)|[♪♫]")
_PARTS = re.compile(r"\d+(?:,\d{3})+(?![\d,])|\d+\.\d+|\d+|[a-z']+")
_SIGNS = {"&": " and ", "%": " percent ", "+": " plus ", "=": " equals "}
_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand"), (100, "hundred"))
_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth", "twelve": "twelfth"}
MAX_DIGITS = 12
"""longer numbers are read digit by digit"""

_HISSING = {"S", "Z", "SH", "ZH", "CH", "JH"}
_VOICELESS = {"P", "T", "K", "F", "TH"}
SHORTEST_PART, SHORTEST_COMPOUND = 3, 6
"""letters"""
_SPELLINGS = (
    (r"(.)\1{2,}", r"\1\1"),
    (r"(.)\1+", r"\1"),
    (r"(\w)our", r"\1or"),
    (r"is(e|ed|es|ing|ation)$", r"iz\1"),
    (r"yse(d|s)?$", r"yze\1"),
    (r"lle(d|r|ry)$", r"le\1"),
    (r"oah$", "oa"),
)
"""(pattern, what stands for it) for longer sounds (ummm), British spelling and what people write for cries"""


def written(transcript: str) -> list[tuple[str, list[str]]]:
    """(as written, words spoken) for each word of a transcript; asides in brackets are left out, signs without a word join the word before."""
    found: list[tuple[str, list[str]]] = []
    for token in _ASIDE.sub(" ", transcript).split():
        spoken = list(_spoken(token))
        if spoken:
            found.append((token, spoken))
        elif found:
            found[-1] = (f"{found[-1][0]} {token}", found[-1][1])
    return found


def _spoken(token: str) -> Iterator[str]:
    plain = unicodedata.normalize("NFKD", token.replace("\u2019", "'").replace("\u2018", "'").lower())
    plain = re.sub(r"\$(\d[\d,.]*)", r"\1 dollars ", plain)
    plain = "".join(_SIGNS.get(c, c) for c in plain if not unicodedata.combining(c))
    parts = _PARTS.findall(plain)
    for n, part in enumerate(parts):
        if not part[0].isdigit():
            before = parts[n - 1] if n else ""
            if before[:1].isdigit() and part in _ENDINGS:
                continue
            if part.strip("'"):
                yield part
            continue
        yield from _number(part.replace(",", ""), parts[n + 1] if n + 1 < len(parts) else "")


_ENDINGS = {"st", "nd", "rd", "th", "s", "'s"}


def _number(digits: str, ending: str) -> list[str]:
    """Words for a number and what is written right behind it, such as the th of 24th."""
    whole, _, fraction = digits.partition(".")
    if fraction:
        return [*number_words(whole), "point", *(_ONES[int(c)] for c in fraction)]
    words = number_words(whole)
    if ending in {"st", "nd", "rd", "th"}:
        last = words[-1]
        words[-1] = _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + ("h" if last.endswith("t") else "th"))
    elif ending in {"s", "'s"}:
        last = words[-1]
        words[-1] = last[:-1] + "ies" if last.endswith("y") else last + ("es" if last.endswith("x") else "s")
    return words


def number_words(digits: str) -> list[str]:
    """A whole number as it is read: 1948 as a year, 007 and very long ones digit by digit."""
    value = int(digits)
    if len(digits) > MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
        return [_ONES[int(c)] for c in digits]
    if 1100 <= value <= 2099 and value % 1000 >= 10 and len(digits) == 4:
        century, rest = divmod(value, 100)
        return [*_count(century), *(["hundred"] if not rest else ["oh", _ONES[rest]] if rest < 10 else _count(rest))]
    return _count(value)


def _count(value: int) -> list[str]:
    if value < 20:
        return [_ONES[value]]
    if value < 100:
        return [_TENS[value // 10], *([_ONES[value % 10]] if value % 10 else [])]
    scale, name = next((s, n) for s, n in _SCALES if value >= s)
    return [*_count(value // scale), name, *(_count(value % scale) if value % scale else [])]


def pronounce(word: str, lookup: Lookup) -> tuple[str, str] | None:
    """(word, phones) for a word: the dictionary's own, or by rule from others it has; None where that would be a mere guess.

    The rules: quotation marks that look like apostrophes; a plural or possessive s, which is IH Z after a hissing sound, S after a
    voiceless one, else Z; British spelling and drawn-out letters; two words written as one, split where the shorter is longest.
    """
    for form in dict.fromkeys((word, word.lstrip("'"), word.rstrip("'"), word.strip("'"))):
        phones = lookup(form)
        if phones is not None:
            return form, phones
    word = word.strip("'")
    for phones in (_inflected(word, lookup), _respelt(word, lookup), _compound(word, lookup)):
        if phones is not None:
            return word, phones
    return None


def _inflected(word: str, lookup: Lookup) -> str | None:
    stem = re.sub(r"('s|s'|s)$", "", word)
    phones = lookup(stem) if len(stem) >= SHORTEST_PART and stem != word else None
    if phones is None:
        return None
    last = phones.split()[-1]
    return f"{phones} {'IH Z' if last in _HISSING else 'S' if last in _VOICELESS else 'Z'}"


def _respelt(word: str, lookup: Lookup) -> str | None:
    for pattern, instead in _SPELLINGS:
        other = re.sub(pattern, instead, word)
        phones = lookup(other) if other != word else None
        if phones is not None:
            return phones
    return None


def _compound(word: str, lookup: Lookup) -> str | None:
    if len(word) < SHORTEST_COMPOUND:
        return None
    cuts = sorted(range(SHORTEST_PART, len(word) - SHORTEST_PART + 1), key=lambda n: abs(2 * n - len(word)))
    for n in cuts:
        first, second = lookup(word[:n]), lookup(word[n:])
        if first is not None and second is not None:
            return f"{first} {second}"
    return None
