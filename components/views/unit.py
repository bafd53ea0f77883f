"""One unit's card: its facts, its examples in groups, and the samples that a filter finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from earmark.cards import Example, Hit, UnitCard
from earmark.errors import EarmarkError
from earmark.links import HeardView, Link, media_href
from earmark.shelf.catalog import CorpusEntry, DictionaryEntry
from earmark.shelf.folders import Corpus, Dictionary
from earmark.shelf.store import GROUPS, Store
from earmark.units import UnitId
from earmark.web.media import modality_of, place_of

from .. import prose
from ..figures import Bar, TraceView, bars, group_span, ticks, trace_view
from .bare import BareView
from .edits import EditPanel
from .effect import EffectView
from .passages import Passage, TokenList, passages, token_lists
from .said import SaidRows, said_rows

LEAD_S = 0.25
"""playback starts this long before the peak"""
AROUND_S = 0.5
"""the stretch around a peak whose units are asked for"""
N_HITS = 40
N_FIRST = 8


@dataclass(frozen=True)
class Figure:
    """One sample with what a unit did on it."""

    sample: str
    caption: str
    transcript: str
    own_words: bool
    """the transcript is the model's own"""
    peak: float
    at_s: float
    play_s: float
    """where playback starts"""
    duration_s: float
    marker: float
    """the peak's place on the time axis, in percent"""
    sound: str
    picture: str
    ticks: list[tuple[float, str]]
    trace: TraceView | None
    target: bool = False
    said: SaidRows = SaidRows()
    fires: str = ""
    """the address of what else fires around the peak"""


@dataclass(frozen=True)
class Group:
    """A row of examples under one title."""

    name: str
    title: str
    note: str
    low: float
    high: float
    figures: tuple[Figure, ...] | tuple[Passage, ...]
    """passages where the samples are texts"""


@dataclass(frozen=True)
class FeaturePage:
    """A unit's card."""

    link: Link
    entry: DictionaryEntry
    place: str
    title: str
    words: prose.Words = prose.WORDS["audio"]
    is_text: bool = False
    card: UnitCard | None = None
    problem: str | None = None
    signed: bool = False
    corpus: CorpusEntry | None = None
    n_samples: int = 0
    groups: tuple[Group, ...] = ()
    hits: Group | None = None
    bars: tuple[Bar, ...] = ()
    match_name: str | None = None
    n_units: int = 0
    labelled: bool = False
    """labels have been looked for"""
    lists: tuple[TokenList, ...] = ()
    """tokens that a unit of a language model makes likelier and less likely"""
    bare: BareView | None = None
    """in place of the card where there are no tables"""
    panel: EditPanel | None = None
    """to turn it up, down or off"""
    effect: EffectView | None = None
    """what it does, where that has been measured"""
    n_first: int = N_FIRST
    """how many of a group's examples are shown before one asks for more"""


def feature_page(store: Store, link: Link, shown: Sequence[str] = GROUPS) -> FeaturePage:
    """Everything that the card of a settled link's unit shows; of its examples the groups that are named."""
    entry = store.catalog.dictionary(link.dictionary)
    title = prose.unit_name(entry.kind, link.unit or 0)
    place = place_of(store, link.dictionary)
    modality = modality_of(store, link.dictionary)
    words = prose.WORDS[modality]
    try:
        dictionary = store.dictionary(link.dictionary)
        corpus = store.corpus(dictionary.corpus)
        unit = UnitId(link.dictionary, link.unit or 0)
        card = store.card(unit)
        hits = None
        if link.filter.active:
            found = store.search(unit, link.filter.low, link.filter.high, link.filter.absolute, N_HITS)
            floor = card.stats.floor_abs if link.filter.absolute else card.stats.floor
            note = prose.exactness(floor, link.filter.low, len(found), N_HITS, words)
            hits = Group("hits", f"{len(found)} {words.samples}", note, 0, 0, _found(corpus, dictionary, card, found, link))
    except EarmarkError as error:
        return FeaturePage(link, entry, place, title, words, problem=str(error))
    groups = [] if hits else [_group(corpus, dictionary, name, card, link, words) for name in shown]
    match_name = None
    if card.match and card.match.dictionary in store.catalog.dictionaries:
        match_name = prose.unit_name(store.catalog.dictionary(card.match.dictionary).kind, card.match.unit)
    return FeaturePage(
        link, entry, place, title, words, modality == "text", card, None, dictionary.signed, store.catalog.corpus(dictionary.corpus), len(corpus.ids),
        tuple(g for g in groups if g.figures), hits, tuple(bars(card.histogram)), match_name, dictionary.n_units, bool(dictionary.labels),
        token_lists(card.effects),
    )  # fmt: skip


def _group(corpus: Corpus, d: Dictionary, name: str, card: UnitCard, link: Link, words: prose.Words) -> Group:
    examples = [e for e in card.examples if e.group == name]
    low, high = group_span(examples)
    if corpus.is_text:
        figures = passages(corpus, examples, max(high, -low), link.sample)
    else:
        figures = tuple(_figure(corpus, d.corpus, e, d.hop_s, link, trace_view(e, low, high)) for e in examples)
    return Group(name, prose.GROUP_TITLES[name], prose.group_note(name, words), low, high, figures)


def _found(corpus: Corpus, d: Dictionary, card: UnitCard, hits: Sequence[Hit], link: Link) -> tuple[Figure, ...] | tuple[Passage, ...]:
    """What a filter has found; of texts with the trace where it is stored, else with the peak alone."""
    if not corpus.is_text:
        return tuple(_figure(corpus, d.corpus, h, d.hop_s, link) for h in hits)
    stored = {(e.sample, e.at): e for e in card.examples}
    return passages(corpus, [stored.get((h.sample, h.at), h) for h in hits], max((abs(h.peak) for h in hits), default=0.0), link.sample)


def _figure(corpus: Corpus, slug: str, item: Example | Hit, hop_s: float, link: Link, trace: TraceView | None = None) -> Figure:
    duration = max(item.duration_s, 1e-3)
    said = said_rows(corpus.speech(item.sample), duration, item.at_s + hop_s / 2)
    around = HeardView("region", max(0.0, round(item.at_s - AROUND_S / 2, 3)), min(duration, round(item.at_s + AROUND_S / 2, 3)))
    return Figure(
        sample=item.sample,
        caption=f"{prose.short(item.peak)} at {prose.seconds(item.at_s)}{', ' if said.at_peak else ''}{said.at_peak}",
        transcript=item.transcript,
        own_words=corpus.transcript_by[corpus.row_of[item.sample]] == "model",
        peak=item.peak,
        at_s=item.at_s,
        play_s=max(0.0, round(item.at_s - LEAD_S, 3)),
        duration_s=duration,
        marker=min(100.0, 100 * (item.at_s + hop_s / 2) / duration),
        sound=media_href(slug, item.sample, "audio"),
        picture=media_href(slug, item.sample, "mel.png"),
        ticks=ticks(duration),
        trace=trace,
        target=item.sample == link.sample,
        said=said,
        fires=Link("audio", link.dictionary, sample=item.sample, heard=around).href(),
    )
