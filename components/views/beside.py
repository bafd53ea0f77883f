"""What a model expects of a visitor's text with and without an SAE, and the units that tell given words apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from earmark.errors import EarmarkError
from earmark.links import Link
from earmark.live.texts.passage import Passage
from earmark.live.texts.words import Separation, WordScores, parse_words, words_in_corpus, words_in_text
from earmark.shelf.store import Store

from .. import prose
from ..tokens import Piece, pieces
from .firing import known_units, label_of, words_of

if TYPE_CHECKING:
    from earmark.live.texts.splice import Expected, Spliced

N_POSITIONS = 100
"""positions listed at a time"""
N_WORD_UNITS = 20


@dataclass(frozen=True)
class Next:
    """A token that is expected next."""

    token: Piece
    share: str
    other: bool
    """it is not among the other list's"""
    true: bool
    """it is what the text goes on with"""


@dataclass(frozen=True)
class Step:
    """One position: what is expected after it, without and with the SAE."""

    at: int
    token: Piece
    plain: tuple[Next, ...]
    spliced: tuple[Next, ...]
    changed: bool
    """the likeliest token is another one"""
    loss: str
    loss_spliced: str
    error: str


@dataclass(frozen=True)
class BesideView:
    """A text without and with the SAE."""

    figures: tuple[tuple[str, str], ...]
    """(name, value)"""
    pieces: tuple[Piece, ...]
    """the text, shaded by the reconstruction's error"""
    high: float
    steps: tuple[Step, ...]
    n_changed: int
    n_positions: int
    first: int
    """of the listed positions"""


def beside_view(spliced: Spliced, passage: Passage, link: Link) -> BesideView:
    """All positions' figures, and the lists of those around the chosen token, or the first ones."""
    n = len(spliced.tokens)
    first = max(0, min(int(link.heard.at_s or 0) - N_POSITIONS // 2, n - N_POSITIONS))
    changed = [a[0].token != b[0].token for a, b in zip(spliced.plain.expected, spliced.spliced.expected, strict=True)]
    names = ("CE without the SAE", "CE with it", "CE with zeros", "CE recovered", "Mean error")
    error = float(np.nanmean(spliced.error)) if np.isfinite(spliced.error).any() else None
    values = (prose.short(spliced.plain.ce), prose.short(spliced.spliced.ce), prose.short(spliced.ablated.ce), prose.percent(spliced.recovered))
    shown = pieces(spliced.tokens, spliced.error, sinks=tuple(np.flatnonzero(passage.sinks).tolist()), each=True)
    by_place = {i: one(t.text) for t in shown if t.start < first + N_POSITIONS and t.end > first for i in range(t.start, t.end)}
    steps = tuple(_step(spliced, at, by_place[at], changed[at]) for at in range(first, min(first + N_POSITIONS, n)))
    figures = tuple(zip(names, (*values, prose.percent(error)), strict=True))
    return BesideView(figures, shown, float(np.nan_to_num(spliced.error).max()), steps, sum(changed), n, first)


def _step(spliced: Spliced, at: int, token: Piece, changed: bool) -> Step:
    follows = spliced.tokens[at + 1] if at + 1 < len(spliced.tokens) else None
    plain, other = spliced.plain.expected[at], spliced.spliced.expected[at]
    loss, loss_spliced = (prose.short(float(way.losses[at])) if at < len(way.losses) else "–" for way in (spliced.plain, spliced.spliced))
    error = prose.percent(float(spliced.error[at]))
    return Step(at, token, _nexts(plain, other, follows), _nexts(other, plain, follows), changed, loss, loss_spliced, error)


def _nexts(those: tuple[Expected, ...], others: tuple[Expected, ...], follows: str | None) -> tuple[Next, ...]:
    known = {e.token for e in others}
    return tuple(Next(one(e.token), prose.percent(e.probability), e.token not in known, e.token == follows) for e in those)


def one(token: str) -> Piece:
    """A token by itself."""
    return pieces([token], each=True)[0]


@dataclass(frozen=True)
class WordRow:
    """One unit that tells the words apart."""

    found: Separation
    name: str
    card: str
    href: str
    """the text shaded by it, where there is a text; else its card"""
    shades: bool
    label: str | None
    said: str


@dataclass(frozen=True)
class WordsView:
    """Units by a list of words."""

    link: Link
    scores: WordScores | None = None
    rows: tuple[WordRow, ...] = ()
    problem: str | None = None
    has_text: bool = False
    has_corpus: bool = False


def words_view(store: Store, link: Link, passage: Passage | None) -> WordsView:
    """For the words of a link, in the text that was read or in the corpus; no words, no rows."""
    has_text = passage is not None and link.dictionary in passage.codes
    has_corpus = store.has_tables(link.dictionary)
    where = link.read.where if has_text and has_corpus else "corpus" if has_corpus else "text"
    link = replace(link, read=replace(link.read, where=where))
    empty = WordsView(link, has_text=has_text, has_corpus=has_corpus)
    if not link.read.words.strip() or not (has_text or has_corpus):
        return empty
    try:
        words, order = parse_words(link.read.words), link.read.word_order
        if where == "text" and passage is not None:
            scores = words_in_text(passage, link.dictionary, words, order, N_WORD_UNITS)
        else:
            scores = words_in_corpus(store, link.dictionary, words, order, N_WORD_UNITS)
    except EarmarkError as error:
        return replace(empty, problem=str(error))
    return replace(empty, scores=scores, rows=_word_rows(store, link, scores, has_text))


def _word_rows(store: Store, link: Link, scores: WordScores, has_text: bool) -> tuple[WordRow, ...]:
    entry = store.catalog.dictionary(link.dictionary)
    known = known_units(store, link.dictionary, [s.unit for s in scores.units])
    rows: list[WordRow] = []
    for found in scores.units:
        row, card = known.get(found.unit), Link("feature", entry.slug, found.unit).href()
        href = replace(link, unit=found.unit).href() if has_text else card
        rows.append(WordRow(found, prose.unit_name(entry.kind, found.unit), card, href, link.unit == found.unit, label_of(row), words_of(row)))
    return tuple(rows)
