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
from ..figures import TraceView, clip_trace, log_share
from ..tokens import Piece, pieces
from .clip import N_HITS, Pick, known_units, label_of, pick


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
class ReadRow:
    """One unit that fires."""

    unit: int
    name: str
    card: str
    href: str
    """the text shaded by it"""
    shades: bool
    label: str | None
    said: str
    """the words at the peaks of its strongest windows"""
    silent: bool
    trace: TraceView
    peak: float
    at: int
    token: Piece
    """what is printed at the peak"""
    at_href: str
    """the units at that token"""
    relative: float | None
    relative_bar: float
    density: float | None
    density_bar: float
    detail: str
    """the value that the list is sorted by, where no column has it"""


@dataclass(frozen=True)
class ReadHits:
    """The units that fire, in one order."""

    link: Link
    entry: DictionaryEntry
    picks: tuple[Pick, ...]
    rows: tuple[ReadRow, ...] = ()
    problem: str | None = None
    bare: bool = False
    """the dictionary has no tables that say more of its units"""
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
    picks = tuple(pick(store, link, e, passage.problems) for e in store.catalog.siblings(link.dictionary))
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
    return ReadRow(
        unit=hit.unit,
        name=prose.unit_name(entry.kind, hit.unit),
        card=Link("feature", entry.slug, hit.unit).href(),
        href=replace(link, unit=hit.unit).href(),
        shades=hit.unit == shades,
        label=hit.label,
        said=" · ".join(filter(None, known["heard"])) if known else "",
        silent=known is None or bool(known["dead"]),
        trace=clip_trace(trace, 1.0),
        peak=hit.peak,
        at=at,
        token=token,
        at_href=replace(link, unit=hit.unit, heard=HeardView(MOMENT, float(at))).href(),
        relative=hit.relative,
        relative_bar=100 * min(1.0, hit.relative or 0.0),
        density=hit.density,
        density_bar=log_share(hit.density or 0.0),
        detail=now.get(link.heard.order, ""),
    )
