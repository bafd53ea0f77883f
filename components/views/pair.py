"""Two units beside each other: their figures, what they do over one clip, and their strongest clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.errors import EarmarkError
from earmark.links import Link, media_href, own_href
from earmark.live.desk import Desk
from earmark.live.line.kept import Clip
from earmark.live.texts.passage import Passage
from earmark.passages import visible
from earmark.shelf.folders import Corpus
from earmark.shelf.pairs import Pair, compare, partner, three_kinds
from earmark.shelf.store import Store
from earmark.units import UnitId

from .. import prose
from ..figures import TraceView, line_view, log_share, ticks
from .address import pick
from .listing import with_tables
from .pair_text import TextPair, own_text_pair, scale_of, text_pair
from .unit import LEAD_S, FeaturePage, feature_page

N_CLIPS = 4
MAX_GIST = 120
"""characters of a text that stand for it"""


@dataclass(frozen=True)
class Own:
    """The tokens of what the visitor brought: of a clip, of a text; each may be empty."""

    clip: str = ""
    passage: str = ""

    @property
    def given(self) -> bool:
        return bool(self.clip or self.passage)


@dataclass(frozen=True)
class Line:
    """One unit over the clip, as shares of its largest value in the corpus."""

    name: str
    trace: TraceView | None
    """None while the model has not heard the clip"""
    peak: str
    """the largest value here, in words"""


@dataclass(frozen=True)
class ClipChart:
    """Both units over one clip, on one axis of seconds."""

    sample: str
    """the corpus's clip; empty for the visitor's own"""
    transcript: str
    own_words: bool
    duration_s: float
    play_s: float
    sound: str
    picture: str
    ticks: list[tuple[float, str]]
    lines: tuple[Line, Line]
    low: float
    high: float
    """bottom and top of the chart, as shares of each unit's largest value"""

    @property
    def waiting(self) -> bool:
        return any(line.trace is None for line in self.lines)


@dataclass(frozen=True)
class ClipChoice:
    """A clip that both units can be seen over."""

    text: str
    note: str
    href: str
    current: bool


@dataclass(frozen=True)
class PairPage:
    """The whole comparison."""

    link: Link
    title: str
    sides: tuple[FeaturePage, ...]
    """one or two cards; one where there is nothing to compare it with"""
    dictionaries: tuple[tuple[str, str], ...]
    """slug and title of what can be chosen"""
    pair: Pair | None = None
    problem: str | None = None
    proposed: UnitId | None = None
    """the partner that the tables propose, where another one is set"""
    positive: tuple[tuple[str, float, float], ...] = ()
    """title, share of positive values, length of its bar in percent"""
    chart: ClipChart | None = None
    text: TextPair | None = None
    """in place of the chart, where the samples are texts"""
    clips: tuple[ClipChoice, ...] = ()
    lines: tuple[UnitId, ...] = ()
    """whose line plots are drawn"""
    expected_shared: float = 0.0
    """strongest clips that two units without any relation would share"""
    another: str = ""
    """address of some other pair"""

    @property
    def waiting(self) -> bool:
        """The model has not heard or read the sample yet."""
        return bool((self.chart and self.chart.waiting) or (self.text and self.text.waiting))

    @property
    def words(self) -> prose.Words:
        """How the samples of both are spoken of."""
        found = {side.words for side in self.sides}
        return found.pop() if len(found) == 1 else prose.MIXED

    @property
    def first(self) -> UnitId:
        return UnitId(self.link.dictionary, self.link.unit or 0)


def pair_page(store: Store, desk: Desk, link: Link, tokens: Own = Own()) -> PairPage:
    """Everything that the comparison of a settled link shows, over the visitor's own sample unless another is asked for."""
    units = [UnitId(link.dictionary, link.unit or 0), *((link.other,) if link.other else ())]
    sides = tuple(feature_page(store, Link("feature", u.dictionary, u.index), ("top",)) for u in units)
    choices = with_tables(store, link.dictionary)
    another = Link("compare", link.dictionary, pick(store, link.dictionary, in_pair=True)).href() if store.has_tables(link.dictionary) else ""
    title = " and ".join([sides[0].title, *(s.title.lower() for s in sides[1:])])
    problems = [s.problem for s in sides if s.problem]
    if problems or link.other is None:
        nobody = f"Nothing correlates with {sides[0].title.lower()}: it is silent, or alone over its layer. Choose a unit yourself."
        return PairPage(link, title, sides, choices, problem=problems[0] if problems else nobody, another=another)
    a, b = units
    pair = compare(store, a, b)
    proposed = partner(store, a)
    own = _own(desk, tokens, {a.dictionary, b.dictionary})
    shares = tuple((store.catalog.dictionary(slug).title or slug, share, log_share(share)) for slug, share in pair.positive.items())
    corpus = store.corpus(store.dictionary(a.dictionary).corpus)
    samples = _samples(pair, corpus, link.sample)
    chart, text = None, None
    if isinstance(own, Clip) and not link.sample:
        chart = _own_chart(own, tokens.clip, pair)
    elif own and not isinstance(own, Clip) and not link.sample:
        text = own_text_pair(own, pair)
    elif samples and all(side.is_text for side in sides):
        text = text_pair(store, desk.texts, corpus, pair, samples[0])
    elif samples and not any(side.is_text for side in sides):
        chart = _chart(store, desk, pair, samples[0])
    expected = pair.n_top**2 / max(pair.n_samples, 1)
    clips = tuple(_choices(store, corpus, link, pair, samples, own)) if chart or text else ()
    return PairPage(
        link, title, sides, choices, pair, None, proposed if proposed != b else None, shares, chart, text, clips, _lines(store, (a, b)), expected, another
    )  # fmt: skip


def _own(desk: Desk, tokens: Own, slugs: set[str]) -> Clip | Passage | None:
    """What the visitor brought, if it has been run through the layers of these dictionaries."""
    kept = desk.kept.get(tokens.clip) if tokens.clip else None, desk.texts.kept.get(tokens.passage) if tokens.passage else None
    return next((own for own in kept if own is not None and slugs <= set(own.codes)), None)


def _lines(store: Store, units: tuple[UnitId, UnitId]) -> tuple[UnitId, ...]:
    if len({store.corpus(store.dictionary(u.dictionary).corpus).is_text for u in units}) > 1:
        return ()
    try:
        for unit in units:
            store.timeline(unit)
        return three_kinds(store, units)
    except EarmarkError:
        return ()


def _samples(pair: Pair, corpus: Corpus, first: str | None) -> tuple[str, ...]:
    """Clips of the corpus worth seeing both units over: the one asked for, those that both rank high, each one's strongest."""
    tops = [[e.sample for e in card.examples if e.group == "top"] for card in pair.cards]
    found = [*([first] if first else []), *(s.sample for s in pair.shared), *tops[0][:2], *tops[1][:2]]
    return tuple(s for s in dict.fromkeys(found) if s in corpus.row_of)[:N_CLIPS]


def _choices(store: Store, corpus: Corpus, link: Link, pair: Pair, samples: tuple[str, ...], own: Clip | Passage | None) -> list[ClipChoice]:
    shared = {s.sample for s in pair.shared}
    tops = [[e.sample for e in card.examples if e.group == "top"] for card in pair.cards]
    names = [prose.unit_name(store.catalog.dictionary(c.id.dictionary).kind, c.id.index) for c in pair.cards]

    def note(sample: str) -> str:
        if sample in shared:
            return "strong for both"
        return next((f"strong for {name.lower()}" for name, top in zip(names, tops, strict=True) if sample in top), "chosen")

    shown = None if own and not link.sample else samples[0] if samples else None
    said = own.transcript or "your clip" if isinstance(own, Clip) else visible(own.text[:MAX_GIST]) if own else ""
    found = [ClipChoice(said, "yours", replace(link, sample=None).href(), shown is None)] if own else []
    return found + [ClipChoice(_gist(corpus, pair, s) or "no words", note(s), replace(link, sample=s).href(), s == shown) for s in samples]


def _gist(corpus: Corpus, pair: Pair, sample: str) -> str:
    """What is said in a sound; of a text what stands around the stronger peak."""
    at = next((e.at for card in pair.cards for e in card.examples if e.sample == sample), 0)
    return visible(corpus.near(corpus.row(sample), at))


def _own_chart(clip: Clip, token: str, pair: Pair) -> ClipChart:
    traces = [(clip.codes[c.id.dictionary].trace(c.id.index), 0.0) for c in pair.cards]
    lines, low, high = _drawn(pair, traces, clip.grid.hop_s)
    sound, picture = own_href(token, "sound.wav"), own_href(token, "mel.png")
    return ClipChart("", clip.transcript, True, clip.duration_s, 0.0, sound, picture, ticks(clip.duration_s), lines, low, high)


def _chart(store: Store, desk: Desk, pair: Pair, sample: str) -> ClipChart:
    """Both units over a clip of the corpus: from what the model has heard, else from stored traces where they span the clip."""
    d = store.dictionary(pair.cards[0].id.dictionary)
    corpus = store.corpus(d.corpus)
    row = corpus.row_of[sample]
    duration = max(corpus.durations_s[row], 1e-3)
    traces: list[tuple[np.ndarray, float] | None] = []
    for card in pair.cards:
        clip = desk.heard(card.id.dictionary, sample)
        stored = next((e for e in card.examples if e.sample == sample and len(e.trace) * d.hop_s >= duration - d.hop_s), None)
        if clip is not None and card.id.dictionary in clip.codes:
            traces.append((clip.codes[card.id.dictionary].trace(card.id.index), 0.0))
        else:
            traces.append((stored.trace, stored.start_s) if stored else None)
    lines, low, high = _drawn(pair, traces, d.hop_s)
    at = next((e.at_s for card in pair.cards for e in card.examples if e.sample == sample), 0.0)
    sound, picture = media_href(d.corpus, sample, "audio"), media_href(d.corpus, sample, "mel.png")
    own_words = corpus.transcript_by[row] == "model"
    return ClipChart(
        sample, corpus.transcripts[row], own_words, duration, max(0.0, round(at - LEAD_S, 3)), sound, picture, ticks(duration), lines, low, high
    )  # fmt: skip


def _drawn(pair: Pair, traces: Sequence[tuple[np.ndarray, float] | None], hop_s: float) -> tuple[tuple[Line, Line], float, float]:
    """Both lines on one scale: shares of each unit's own largest value in the corpus."""
    shares = [None if t is None else t[0] / scale_of(card) for card, t in zip(pair.cards, traces, strict=True)]
    known = [s for s in shares if s is not None and len(s)]
    low, high = min([0.0, *(float(s.min()) for s in known)]), max([0.01, *(float(s.max()) for s in known)])
    line: Callable[[int], Line] = lambda i: _line(pair, i, shares[i], traces[i], hop_s, low, high)  # noqa: E731
    return (line(0), line(1)), low, high


def _line(pair: Pair, i: int, share: np.ndarray | None, trace: tuple[np.ndarray, float] | None, hop_s: float, low: float, high: float) -> Line:
    card = pair.cards[i]
    if share is None or trace is None or not len(share):
        return Line(str(card.id), None, "")
    peak = float(trace[0].max())
    words = f"{prose.short(peak)}, {prose.percent(max(0.0, peak / scale_of(card)))} of its largest"
    return Line(str(card.id), line_view(share, trace[1], hop_s, low, high), words)
