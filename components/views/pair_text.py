"""Two units over one text: each token with what both of them do on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from earmark.cards import UnitCard
from earmark.live.texts.desk import Texts
from earmark.live.texts.passage import Passage
from earmark.shelf.folders import Corpus, Provenance
from earmark.shelf.pairs import Pair
from earmark.shelf.store import Store

from .. import prose
from ..tokens import FAINT, Piece, pieces

Trace = NDArray[np.float32] | None
"""[n_positions] of a whole text; None where nobody knows it"""


@dataclass(frozen=True)
class Both:
    """A piece of the text with both units' values on it."""

    piece: Piece
    shares: tuple[float, float]
    """of each unit's own largest value in the corpus, -1..1; 0 for less than is drawn"""
    title: str


@dataclass(frozen=True)
class TextPair:
    """Both units over one text."""

    sample: str
    """the corpus's; empty for the visitor's own"""
    pieces: tuple[Both, ...]
    peaks: tuple[str, str]
    """each one's largest value here, in words; empty where its trace is not known"""
    source: Provenance | None

    @property
    def waiting(self) -> bool:
        return not all(self.peaks)


def text_pair(store: Store, texts: Texts, corpus: Corpus, pair: Pair, sample: str) -> TextPair:
    """Both units over a text of the corpus, from what the tables hold, else from what the model has read."""
    tokens = corpus.tokens_of(sample)
    traces = [_stored(store, c, corpus.row(sample), sample, len(tokens)) for c in pair.cards]
    traces = [_read(texts.window(c.id.dictionary, sample), c) if t is None else t for c, t in zip(pair.cards, traces, strict=True)]
    return TextPair(sample, both(tokens, pair, traces), _peaks(pair, traces), corpus.provenance(sample))


def own_text_pair(passage: Passage, pair: Pair) -> TextPair:
    """Both units over the visitor's own text, which has been run through the layers of both."""
    traces = [_read(passage, card) for card in pair.cards]
    return TextPair("", both(passage.tokens, pair, traces), _peaks(pair, traces), None)


def _read(passage: Passage | None, card: UnitCard) -> Trace:
    return passage.codes[card.id.dictionary].trace(card.id.index) if passage and card.id.dictionary in passage.codes else None


def _stored(store: Store, card: UnitCard, row: int, sample: str, n: int) -> Trace:
    """A unit's trace over a whole sample, where one is stored, or where its peaks, all of which are, tell that it is 0 throughout."""
    trace = next((e.trace for e in card.examples if e.sample == sample and len(e.trace) == n), None)
    d = store.dictionary(card.id.dictionary)
    if trace is None and not d.signed and card.stats.floor is None:
        peaks = d.table("peaks").rows_of(card.id.index, ["sample"]).column("sample").to_numpy()
        trace = None if row in peaks else np.zeros(n, np.float32)
    return trace


def both(tokens: Sequence[str], pair: Pair, traces: Sequence[Trace]) -> tuple[Both, ...]:
    """A text's tokens with both traces; runs on which both are faint are one piece."""
    shares = [np.zeros(len(tokens)) if t is None else np.clip(t / scale_of(card), -1, 1) for card, t in zip(pair.cards, traces, strict=True)]
    cut = pieces(tokens, np.maximum(np.abs(shares[0]), np.abs(shares[1])), 1.0)
    return tuple(_both(piece, pair, traces, shares) for piece in cut)


def _both(piece: Piece, pair: Pair, traces: Sequence[Trace], shares: Sequence[np.ndarray]) -> Both:
    if piece.plain:
        return Both(piece, (0.0, 0.0), "")
    said: list[str] = []
    found: list[float] = []
    for card, trace, share in zip(pair.cards, traces, shares, strict=True):
        place = piece.start + int(np.abs(share[piece.start : piece.end]).argmax())
        found.append(float(share[place]) if abs(share[place]) >= FAINT else 0.0)
        if trace is not None:
            said.append(f"{card.id.dictionary} {card.id.index}: {prose.short(float(trace[place]))}")
    return Both(piece, (found[0], found[1]), f"{', '.join(said)} · {piece.place}")


def _peaks(pair: Pair, traces: Sequence[Trace]) -> tuple[str, str]:
    first, second = (_peak(card, trace) for card, trace in zip(pair.cards, traces, strict=True))
    return first, second


def _peak(card: UnitCard, trace: Trace) -> str:
    if trace is None:
        return ""
    peak = float(trace.max(initial=0.0))
    return f"{prose.short(peak)}, {prose.percent(max(0.0, peak / scale_of(card)))} of its largest"


def scale_of(card: UnitCard) -> float:
    """A unit's largest value in the corpus; its largest magnitude where it is never positive."""
    return card.stats.peak if card.stats.peak > 0 else abs(card.stats.low) or 1.0
