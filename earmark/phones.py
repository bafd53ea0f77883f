"""Phones as the CMU Pronouncing Dictionary writes them (ARPAbet without stress) and as linguists do (IPA), and the sounds that a query names.

The correspondence is that of the CMU dictionary's 39 phones and of TIMIT's phone codes, in General American. The dictionary tells some
pairs apart by stress alone, which labels leave out: AH is both of strut and comma, ER of nurse and letter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping

_TABLE = """
aa ɑ, ae æ, ah ʌ/ə, ao ɔ, aw aʊ, ay aɪ, eh ɛ, er ɝ/ɚ, ey eɪ, ih ɪ, iy i, ow oʊ, oy ɔɪ, uh ʊ, uw u,
p p, b b, t t, d d, k k, g g, ch tʃ, jh dʒ, f f, v v, th θ, dh ð, s s, z z, sh ʃ, zh ʒ, hh h, m m, n n, ng ŋ, l l, r ɹ, w w, y j"""
_OTHERS = """
g ɡ, r r, l ɫ, ch ʧ, jh ʤ, aa ɒ, ih ɨ, er ɜ, er ɜr, er ɜɹ, er ər, er əɹ, ey e, ey ei, ay ai, aw au, ow o, ow ou, ow əʊ, oy ɔi"""
"""other ways in which they are written: older and British symbols, and diphthongs as people type them"""
IPA: dict[str, tuple[str, ...]] = {phone: tuple(symbols.split("/")) for phone, symbols in map(str.split, _TABLE.split(","))}
"""a phone -> what it is in IPA: its own symbol, or both of those that it does not tell apart"""
_OF_IPA = {symbol: phone for phone, symbol in map(str.split, _OTHERS.split(","))} | {symbol: phone for phone in IPA for symbol in IPA[phone]}
_ARPABET = {phone: phone for phone in IPA}
_MARKS = frozenset("ˈˌ'ːˑ:.ʰʷʲˠˤ˞ˀ‿-")
"""stress, length, syllables and finer articulation, which no phone here tells apart; tie bars and other diacritics combine, and go with them"""
_SLASHED = re.compile(r"(?<![\w/])(?:/([^/\s](?:[^/]*[^/\s])?)/|\[([^\]]+)\])(?![\w/])")
_QUOTED = re.compile("“[^”]*”")
_THE_WORD = re.compile(r"^((?:before|after) the word) (.+)$")

Sounds = tuple[str, ...]
"""phones in a row, small letters: ("s", "k")"""


def phones_of(text: str) -> Sounds | None:
    """The phones that a transcription names, in ARPAbet (`s k`, `sk`, `AH0`) or in IPA (`ʃ`, `t͡ʃ`, `ˈsiː`); None where it is neither.

    ARPAbet goes first where both would do: `th` is the phone of thing, not t and h.
    """
    return _named(text, lambda piece: _arpabet(piece) or _spelt(_plain(piece), _OF_IPA))


def bare_phones(text: str) -> Sounds | None:
    """The same without slashes around it, where `so` is a word: ARPAbet, or IPA with a symbol that no English word has."""
    has_symbols = any(letter in _OF_IPA or letter in _MARKS for letter in text.casefold() if not letter.isascii())
    return phones_of(text) if has_symbols else _named(text, _arpabet)


def _named(text: str, read: Callable[[str], Sounds | None]) -> Sounds | None:
    pieces = [read(piece) for piece in text.casefold().split()]
    return tuple(phone for piece in pieces for phone in piece or ()) if pieces and all(pieces) else None


def _arpabet(piece: str) -> Sounds | None:
    return _spelt(re.sub(r"(?<=[a-z])[012]", "", piece), _ARPABET)


def _plain(piece: str) -> str:
    letters = unicodedata.normalize("NFD", piece)
    return "".join(letter for letter in letters if letter not in _MARKS and not unicodedata.combining(letter))


def _spelt(piece: str, symbols: Mapping[str, str]) -> Sounds | None:
    """A row of symbols with nothing between them, long ones first; None where there is no way to read it so."""
    ways: list[Sounds | None] = [()]  # of what lies behind each letter, from the last to the first
    for start in reversed(range(len(piece))):
        found = ((symbols.get(piece[start : start + size]), ways[-size]) for size in (3, 2, 1) if size <= len(ways))
        ways.append(next(((symbol, *rest) for symbol, rest in found if symbol and rest is not None), None))
    return ways[-1] or None


def slashed(text: str) -> tuple[tuple[str, ...], str]:
    """What stands between slashes, or in brackets if it names phones, as it is written; and the rest. `and/or` has nothing between slashes."""
    found = [m for m in _SLASHED.finditer(text) if m[1] or phones_of(m[2])]
    rest = text
    for m in reversed(found):
        rest = f"{rest[: m.start()]} {rest[m.end() :]}"
    return tuple((m[1] or m[2]).strip() for m in found), rest


def sounds_in(label: str) -> Iterator[Sounds]:
    """The phones in a label such as `before /k/`; what it quotes is printed, not heard."""
    for written in re.findall(r"/([^/]+)/", _QUOTED.sub(" ", label)):
        yield tuple(written.casefold().split())


def in_ipa(phones: Sounds) -> str:
    """`ʃ`, `k s`, `ʌ/ə n`; a phone that IPA does not have stays as it is."""
    return " ".join("/".join(IPA.get(phone, (phone,))) for phone in phones)


def shown_label(kind: str, text: str, ipa: bool = True) -> str:
    """A label as people read it: a word in quotation marks, a class without, phones in slashes with their IPA behind them where it differs."""
    if kind == "word" and not text.startswith("/"):
        return f"“{text}”"
    if kind == "context":
        text = _THE_WORD.sub(r"\1 “\2”", text)
    others = [in_ipa(phones) for phones in sounds_in(text) if ipa and in_ipa(phones) != " ".join(phones)]
    return f"{text} ({', '.join(others)})" if others else text


def answers_to_silence(label: str) -> bool:
    """Whether a label names a silence itself, not a sound at its edge."""
    return label == "silence" or label.startswith(("silence ", "pause "))
