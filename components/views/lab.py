"""The Lab: what can be trained on what, and what a training gave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

import numpy as np

from earmark.errors import EarmarkError
from earmark.experiments import KINDS, MAX_POSITIONS, MAX_STEPS, MAX_UNITS, SITES, Experiment
from earmark.inputs.text import MAX_CHARACTERS
from earmark.links import Link, lab_href
from earmark.live.desk import Desk
from earmark.live.lab.run import N_HEAT, Run
from earmark.live.texts.words import WordScores, parse_words, words_in_text
from earmark.presets import PRESETS, LabView
from earmark.shelf.catalog import CorpusEntry

from .. import prose
from ..figures import TraceView, clip_trace, ticks
from ..tokens import Piece, pieces
from .clip import Try, tries_of

N_ROWS = 40
N_WORD_LATENTS = 10


@dataclass(frozen=True)
class LabForm:
    """What is trained on what."""

    link: Link
    experiment: Experiment
    """with its model"""
    has: tuple[str, ...]
    """settings that the kind has, beside those of all kinds"""
    presets: tuple[tuple[str, str, str, bool], ...]
    """(title, what it follows, address, whether it is the link's)"""
    models: tuple[tuple[str, str], ...]
    """(slug, title) of those that are here"""
    hears: bool
    """the model takes sounds"""
    text: str
    gone: bool
    """what was trained on is in no address, and no longer kept"""
    sample: str
    tries: tuple[Try, ...]
    credit: CorpusEntry | None
    kept_minutes: int
    max_mb: int
    after: str
    """what the preset follows"""
    sites: tuple[str, ...] = SITES
    kinds: tuple[str, ...] = tuple(KINDS)
    max_characters: int = MAX_CHARACTERS
    max_positions: int = MAX_POSITIONS
    max_units: int = MAX_UNITS
    max_steps: int = MAX_STEPS


@dataclass(frozen=True)
class LatentRow:
    """One latent in the list."""

    unit: int
    href: str
    """the text or sound shaded by it"""
    shades: bool
    trace: TraceView
    mean: float
    typical: float
    density: float
    peak: float


@dataclass(frozen=True)
class WordLatent:
    """One latent that tells words apart."""

    unit: int
    href: str
    shades: bool
    ratio: float | None
    auroc: float | None
    n_on: int


@dataclass(frozen=True)
class LabWords:
    """Latents by a list of words."""

    words: str
    scores: WordScores | None = None
    rows: tuple[WordLatent, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class LabPage:
    """What a training gave, for a link."""

    link: Link
    run: Run
    unit: int
    """the latent that shades"""
    units: tuple[int, ...]
    """latents in the link's order, as many as the heatmap has"""
    rows: tuple[LatentRow, ...]
    words: LabWords | None
    """of a text"""
    pieces: tuple[Piece, ...]
    """of a text"""
    trace: TraceView | None
    """of a sound"""
    ticks: list[tuple[float, str]]
    high: float
    """the largest value of the latent that shades"""
    uses: str
    """address at which its autoencoder is used on something else"""

    @property
    def places(self) -> list[str]:
        """What stands at each position."""
        if self.run.passage is not None:
            return [self.run.passage.shown_at(at) for at in range(len(self.run.passage.tokens))]
        assert self.run.clip is not None, "a run is over a passage or over a clip"
        grid = self.run.clip.grid
        return [prose.seconds(grid.start_s(frame)) for frame in range(grid.n_frames)]

    @property
    def figures(self) -> str:
        """What the figures are of; they are the same whichever latent shades."""
        return f"{self.run.token} {self.run.fitted.n_steps} {self.link.lab.order}"

    @property
    def hidden(self) -> list[tuple[str, str]]:
        """What a form of words sends along."""
        return [(name, value) for name, value in parse_qsl(self.link.query()) if name not in ("words", "by", "unit")]

    def ordered(self, order: str) -> str:
        """The same with the latents in another order."""
        return replace(self.link, lab=replace(self.link.lab, order=order)).href()

    def media(self, kind: str) -> str:
        return lab_href(self.run.token, kind)


def lab_form(desk: Desk, link: Link, run: Run | None) -> LabForm:
    """The form, as the link and what was trained last fill it."""
    store, view = desk.store, link.lab
    experiment = desk.lab.settled(view.experiment)
    here = desk.lab.models()
    entries = store.catalog.models
    models = tuple((slug, entries[slug].title or slug) for slug in here)
    hears = experiment.model in entries and entries[experiment.model].modality == "audio"
    presets = tuple((p.title, p.after, replace(Link("lab"), lab=_preset_view(name)).href(), name == view.preset) for name, p in PRESETS.items())
    text = run.source.text if run is not None and view.own else "" if view.own else view.source_text
    tries, credit = _tries(desk, experiment.model) if hears else ((), None)
    minutes, mb = round(desk.lab.kept.max_age_s / 60), store.settings.max_upload_mb
    gone = view.own and run is None
    after = PRESETS[view.preset].after
    return LabForm(
        link, experiment, KINDS[experiment.kind], presets, models, hears, text, gone, link.sample or "", tries, credit, minutes, mb, after
    )  # fmt: skip


def _preset_view(name: str) -> LabView:
    return LabView(name, PRESETS[name].experiment)


def _tries(desk: Desk, model: str) -> tuple[tuple[Try, ...], CorpusEntry | None]:
    slug = desk.lab.dictionary_of(model)
    corpus = desk.store.catalog.dictionary(slug).corpus if slug else None
    return (tries_of(desk.store, corpus), desk.store.catalog.corpus(corpus)) if corpus else ((), None)


def source_name(desk: Desk, link: Link) -> str:
    """What a link's training was trained on, as `Source.name` has it; empty where the address does not tell."""
    from earmark.live.lab.material import Source

    experiment = desk.lab.settled(link.lab.experiment)
    entry = desk.store.catalog.models.get(experiment.model)
    if link.lab.own or entry is None:
        return ""
    if entry.modality == "audio":
        return f"sample:{link.sample}" if link.sample else ""
    return Source(text=link.lab.source_text).name


def lab_page(link: Link, run: Run) -> LabPage:
    """Everything that is shown of a training."""
    values, latents = run.values, run.latents
    units = tuple(int(u) for u in run.strongest(link.lab.order, N_HEAT))
    words = _words(link, run) if run.passage is not None else None
    best = words.rows[0].unit if words and words.rows else units[0]
    unit = link.unit if link.unit is not None and link.unit < run.sae.n_units else best
    hop_s = run.clip.grid.hop_s if run.clip else 1.0
    rows = tuple(
        LatentRow(
            u,
            replace(link, unit=u).href(),
            u == unit,
            clip_trace(values[:, u], hop_s),
            float(latents.mean[u]),
            float(latents.typical[u]),
            float(latents.density[u]),
            float(latents.peak[u]),
        )
        for u in units[:N_ROWS]
    )
    shown, trace, marks = (), None, []
    if run.passage is not None:
        shown = pieces(run.passage.tokens, values[:, unit], sinks=tuple(np.flatnonzero(run.passage.sinks).tolist()), each=True)
    elif run.clip is not None:
        trace, marks = clip_trace(values[:, unit], hop_s), ticks(run.clip.duration_s)
    if words is not None:
        words = replace(words, rows=tuple(replace(row, shades=row.unit == unit) for row in words.rows))
    uses = Link("text" if run.passage else "audio", run.slug).href()
    return LabPage(link, run, unit, units, rows, words, shown, trace, marks, float(values[:, unit].max(initial=0)), uses)


def _words(link: Link, run: Run) -> LabWords:
    asked = link.lab.asked_words
    if not asked.strip() or run.passage is None:
        return LabWords(asked)
    try:
        scores = words_in_text(run.passage, run.slug, parse_words(asked), link.lab.by, N_WORD_LATENTS)
    except EarmarkError as error:
        return LabWords(asked, problem=str(error))
    rows = tuple(WordLatent(s.unit, replace(link, unit=s.unit).href(), False, s.ratio, s.auroc, s.n_on) for s in scores.units)
    return LabWords(asked, scores, rows)
