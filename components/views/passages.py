"""Texts of the corpus with what a unit did on them, and the tokens that a unit speaks for: what the cards of a language model show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.cards import Effects, Example, Hit
from earmark.passages import around
from earmark.shelf.folders import Corpus, Provenance

from .. import prose
from ..tokens import Piece, pieces, spoken

NEAR = (9, 6)
SNIPPET = (24, 16)
"""tokens before and after the peak"""
LINE, N_LINES = (14, 16), 3


@dataclass(frozen=True)
class Zone:
    """A part of a text that some looks leave out: far, mid, near (before the peak), hit (the peak and what follows)."""

    name: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Passage:
    """One text with what a unit did on it."""

    sample: str
    peak: str
    at: int
    zones: tuple[Zone, ...]
    """of the whole text, in order"""
    spoken: str
    source: Provenance
    traced: bool
    """the values of all its tokens are known, not the peak alone"""
    target: bool


Line = tuple[Zone, ...]
"""some tokens around a peak, on one line: near and hit"""


@dataclass(frozen=True)
class TokenRow:
    """A token with the effect on it."""

    pieces: tuple[Piece, ...]
    value: float
    bar: float
    """in percent of the list's longest"""


@dataclass(frozen=True)
class TokenList:
    """The tokens that a unit makes likelier, or less likely."""

    title: str
    rows: tuple[TokenRow, ...]
    clear: bool
    note: str


def passages(corpus: Corpus, found: Sequence[Example | Hit], scale: float, target: str | None) -> tuple[Passage, ...]:
    """Texts shaded up to `scale`, in the order given; the one named `target` is marked."""
    return tuple(_passage(corpus, item, scale, item.sample == target) for item in found)


def _passage(corpus: Corpus, item: Example | Hit, scale: float, target: bool) -> Passage:
    tokens = item.tokens or ()
    values = np.zeros(len(tokens))
    values[item.at] = item.peak
    if isinstance(item, Example):
        values[item.start : item.start + len(item.trace)] = item.trace
    zones = zones_of(tokens, values, scale, item.at)
    said = spoken([piece for zone in zones for piece in zone.pieces])
    return Passage(item.sample, prose.short(item.peak), item.at, zones, said, corpus.provenance(item.sample), isinstance(item, Example), target)


def zones_of(tokens: Sequence[str], values: np.ndarray, scale: float, at: int) -> tuple[Zone, ...]:
    """A whole text in zones around its peak; each position lies in one of them."""
    (near, past_near), (mid, past_mid) = around(tokens, at, *NEAR), around(tokens, at, *SNIPPET)
    hit = around(tokens, at, 0, 0)[0]
    bounds = (0, mid, near, hit, past_near, past_mid, len(tokens))
    names = ("far", "mid", "near", "hit", "mid", "far")
    found = zip(names, bounds, bounds[1:], strict=False)
    return tuple(Zone(name, _zone(tokens, values, scale, at, a, b)) for name, a, b in found if b > a)


def _zone(tokens: Sequence[str], values: np.ndarray, scale: float, at: int, start: int, end: int) -> tuple[Piece, ...]:
    beside = "".join(tokens[max(0, start - 4) : start]), "".join(tokens[end : end + 4])
    return pieces(tokens[start:end], values[start:end], scale, at, first=start, context=beside, public=True)


def peak_lines(corpus: Corpus, rows: Sequence[int], places: Sequence[int], n: int = N_LINES) -> tuple[Line, ...]:
    """The first n of some peaks, each as a line of text with its token marked; nothing where the samples are sounds."""
    found = ((corpus.tokens_in(row), at) for row, at in zip(rows[:n], places[:n], strict=True))
    return tuple(_line(tokens, at) for tokens, at in found if tokens)


def _line(tokens: tuple[str, ...], at: int) -> Line:
    (start, end), hit = around(tokens, at, *LINE), around(tokens, at, 0, 0)[0]
    marked = np.zeros(end - hit)
    marked[at - hit] = 1.0
    zones = (Zone("near", pieces(tokens[start:hit], first=start, public=True)), Zone("hit", pieces(tokens[hit:end], marked, 1.5, at, first=hit, public=True)))
    return zones if start < hit else zones[1:]


def token_lists(effects: Effects | None) -> tuple[TokenList, ...]:
    """A unit's direct effect on the next token as two lists; none where it is not known."""
    if effects is None:
        return ()
    note, clear = prose.effects_note(effects.kurtosis), effects.kurtosis >= prose.CLEAR_KURTOSIS
    lists = (("Makes likelier", effects.top), ("Makes less likely", effects.bottom))
    return tuple(TokenList(title, _rows(found), clear, note) for title, found in lists if found)


def _rows(found: Sequence[tuple[str, float]]) -> tuple[TokenRow, ...]:
    longest = max((abs(value) for _, value in found), default=0.0) or 1.0
    return tuple(TokenRow(pieces([token], at=0), value, round(100 * abs(value) / longest, 1)) for token, value in found)
