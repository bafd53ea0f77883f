"""A visitor's own text: its tokens shaded by a unit, and the units that fire on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from earmark.inputs.text import MAX_CHARACTERS, MAX_TOKENS
from earmark.inputs.textfile import MAX_TEXT_BYTES
from earmark.links import MAX_LINK_TEXT, HeardView, Link, ReadView
from earmark.live.analysis import MOMENT, REGION
from earmark.live.texts.passage import Passage, ranked
from earmark.shelf.catalog import DictionaryEntry
from earmark.shelf.store import Store
from earmark.units import TextAnalysis, UnitHit

from .. import prose
from ..figures import clip_trace
from ..tokens import Piece, pieces
from .firing import N_HITS, Firing, Firings, firing, known_units, label_of, picks_of, words_of


@dataclass(frozen=True)
class ReadForm:
    """Where a text is brought."""

    dictionary: str
    model: str
    text: str
    tries: tuple[tuple[str, str], ...]
    """(title, address) of the texts to try"""
    kept_minutes: int
    max_tokens: int = MAX_TOKENS
    max_characters: int = MAX_CHARACTERS
    max_bytes: int = MAX_TEXT_BYTES
    max_link: int = MAX_LINK_TEXT


@dataclass(frozen=True)
class Shading:
    """Which unit shades a text, and how strongly."""

    unit: int
    name: str
    href: str
    label: str | None
    low: float
    """the value that is shaded most on the side below 0; 0 where there is none"""
    high: float


@dataclass(frozen=True)
class PassageView:
    """The text itself."""

    token: str
    shared: bool
    """its address carries it"""
    pieces: tuple[Piece, ...]
    shading: Shading | None
    n_tokens: int
    n_sinks: int
    front: bool
    """the model is given a token in front of it"""
    notices: tuple[str, ...]
    chosen: tuple[int, int] | None
    """first and last position of the token or stretch that is asked for"""


@dataclass(frozen=True)
class ReadRow(Firing):
    """One unit that fires on a text."""

    href: str
    """the text shaded by it"""
    shades: bool
    at: int
    token: Piece
    """what is printed at the peak"""
    at_href: str
    """the units at that token"""


@dataclass(frozen=True)
class ReadHits(Firings):
    """The units that fire on a text."""

    rows: tuple[ReadRow, ...] = ()
    at_sink: bool = False
    """the token that is asked for is an attention sink"""


def read_form(store: Store, link: Link, kept_s: float) -> ReadForm:
    tries = tuple((title, Link("text", link.dictionary, read=ReadView(text)).href()) for title, text in prose.TEXTS.items())
    model = store.catalog.model(store.catalog.dictionary(link.dictionary).model)
    return ReadForm(link.dictionary, model.title or model.slug, link.read.text, tries, round(kept_s / 60))


def sorted_link(store: Store, link: Link) -> Link:
    """The link in an order that its dictionary can be sorted by: without tables nothing is known of the corpus."""
    if store.is_bare(link.dictionary) and link.heard.order in prose.NEED_TABLES:
        return replace(link, heard=HeardView("peak"))
    return link


def analysis_of(store: Store, link: Link, passage: Passage) -> TextAnalysis:
    """The units of a link's dictionary on a passage that was run through it, in the link's order."""
    at, to = int(link.heard.at_s or 0), int(link.heard.to_s or 0)
    return ranked(store, link.dictionary, passage, N_HITS, link.heard.order, at, to)


def passage_view(store: Store, link: Link, passage: Passage, token: str, analysis: TextAnalysis | None) -> PassageView:
    """The text, shaded by the link's unit or else by the first that fires; without an analysis it is not shaded."""
    sinks = tuple(np.flatnonzero(passage.sinks).tolist())
    shading, values = None, None
    if analysis is not None:
        unit = link.unit if link.unit is not None else analysis.hits[0].unit if analysis.hits else None
        if unit is not None and unit < passage.codes[link.dictionary].n_units:
            values = passage.codes[link.dictionary].trace(unit)
            shading = _shading(store, link, unit, values)
    n = len(passage.tokens)
    found = pieces(passage.tokens, values, sinks=sinks, each=True)
    return PassageView(token, bool(link.read.text), found, shading, n, len(sinks), passage.sample.n_before > 0, passage.sample.notices, _chosen(link, n))


def _shading(store: Store, link: Link, unit: int, values: np.ndarray) -> Shading:
    entry = store.catalog.dictionary(link.dictionary)
    label = label_of(known_units(store, link.dictionary, [unit]).get(unit))
    name, card = prose.unit_name(entry.kind, unit), Link("feature", entry.slug, unit).href()
    return Shading(unit, name, card, label, min(0.0, float(values.min())), max(0.0, float(values.max())))


def _chosen(link: Link, n: int) -> tuple[int, int] | None:
    at, to = link.heard.at_s, link.heard.to_s
    if link.heard.order not in {MOMENT, REGION} or at is None:
        return None
    first = min(int(at), n - 1)
    return first, first if link.heard.order == MOMENT or to is None else min(int(to), n - 1)


def read_hits(store: Store, link: Link, passage: Passage, analysis: TextAnalysis | None, shading: Shading | None) -> ReadHits:
    """The units that fire; without an analysis, why there is none."""
    entry, bare = store.catalog.dictionary(link.dictionary), store.is_bare(link.dictionary)
    picks = picks_of(store, link, passage.problems)
    if analysis is None:
        return ReadHits(link, entry, picks, problem=passage.problems.get(link.dictionary), bare=bare)
    known = known_units(store, link.dictionary, [h.unit for h in analysis.hits])
    tokens = {t.start: t for t in pieces(passage.tokens, each=True)}
    shown = {i: t for t in tokens.values() for i in range(t.start, t.end)}
    shades = shading.unit if shading else None
    rows = tuple(_row(link, entry, h, analysis.traces[h.unit], shown[int(h.at_s)], known.get(h.unit), shades) for h in analysis.hits)
    at = min(int(link.heard.at_s or 0), len(passage.sinks) - 1)
    return ReadHits(link, entry, picks, rows, bare=bare, at_sink=link.heard.order == MOMENT and bool(passage.sinks[at]))


def _row(link: Link, entry: DictionaryEntry, hit: UnitHit, trace: np.ndarray, token: Piece, known: dict[str, Any] | None, shades: int | None) -> ReadRow:
    at = int(hit.at_s)
    then = float(trace[min(int(link.heard.at_s or 0), len(trace) - 1)])
    now = {MOMENT: f"here {prose.short(then)}", "mean": f"mean {prose.short(hit.mean)}"}
    said = words_of(known)
    common = firing(entry, hit, clip_trace(trace, 1.0), known, (said,) if said else (), now.get(link.heard.order, ""))
    shaded, at_href = replace(link, unit=hit.unit), replace(link, unit=hit.unit, heard=HeardView(MOMENT, float(at))).href()
    return ReadRow(**common, href=shaded.href(), shades=hit.unit == shades, at=at, token=token, at_href=at_href)
