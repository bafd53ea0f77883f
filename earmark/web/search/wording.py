"""One query and one label, taken apart, and whether the one asks for the other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ...phones import Sounds, bare_phones, phones_of, slashed, sounds_in


@dataclass(frozen=True)
class Query:
    """What a person typed, taken apart."""

    text: str
    """all of it, in small letters"""
    sounds: tuple[Sounds, ...]
    """phones, of which a label has each"""
    unknown: tuple[str, ...]
    """what stands in slashes and is no phone"""
    slashed: bool
    """phones are meant, and no letters of any text"""
    words: tuple[str, ...]

    @property
    def said(self) -> tuple[str, ...]:
        """The words that are looked for in what samples say."""
        return () if self.slashed else self.words


@lru_cache(maxsize=64)
def query_of(text: str) -> Query:
    """`units that like /s/` asks for a sound, `sk` for a sound or a word, `nasal` for a word."""
    written, rest = slashed(text)
    if written:
        named = {name: phones_of(name) for name in written}
        unknown = tuple(name for name, phones in named.items() if phones is None)
        return Query(text.casefold().strip(), tuple(filter(None, named.values())), unknown, True, words_of(rest))
    text = _UNQUOTED.sub(r"\1", text.casefold().strip()).strip()
    phones = bare_phones(text)
    return Query(text, (phones,) if phones else (), (), False, words_of(text))


_UNQUOTED = re.compile('^[“"](.+)[”"]$')
_SIDES = frozenset({"after", "before"})
"""words around a sound that labels have, too; others around it are only how one speaks"""


@dataclass(frozen=True)
class Wording:
    """A label, taken apart."""

    sounds: tuple[Sounds, ...]
    """its phones, in order"""
    known: tuple[str, ...]
    """its words, without what stands in slashes"""
    words: frozenset[str]
    """all of them"""
    tokens: tuple[str, ...]
    """what a label of texts quotes, without blanks around it"""
    whole: str
    """all of it in small letters, without quotation marks around it"""


@lru_cache(maxsize=1 << 14)
def wording_of(label: str) -> Wording:
    small = label.casefold()
    tokens = tuple(found.strip() for found in re.findall("“([^”]*)”", small) if found.strip())
    known = words_of(re.sub(r"/[^/]+/", " ", small))
    return Wording(tuple(sounds_in(label)), known, frozenset(words_of(label)), tokens, _UNQUOTED.sub(r"\1", small).strip())


def label_fits(text: str, label: str) -> bool:
    """Whether a label is what a query asks for: its phones, however they are spelt, its token, or words that begin as the query's words do."""
    query, its = query_of(text), wording_of(label)
    if query.slashed:
        return bool(query.sounds) and not query.unknown and {*its.sounds}.issuperset(query.sounds) and _SIDES & {*query.words} <= its.words
    if any(sounds in its.sounds for sounds in query.sounds) or is_label(text, label) or query.text in its.tokens:
        return True
    return bool(query.words) and all(any(k.startswith(w) for k in its.known) for w in query.words)


def is_label(text: str, label: str) -> bool:
    """Whether a query names a label exactly: all of its phones with what is beside them, its token, or its words."""
    query, its = query_of(text), wording_of(label)
    if its.sounds and {*its.sounds} == {*query.sounds}:
        return _SIDES & {*query.words} == _SIDES & its.words
    return bool(query.text) and query.text == its.whole


def words_of(text: str) -> tuple[str, ...]:
    """Each once."""
    return tuple(dict.fromkeys(re.findall(r"\w+", text.casefold())))
