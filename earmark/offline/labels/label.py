"""Labels for all units of a layer, with their controls: random directions at the same activity, and labels that were shifted."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dictionaries.base import Dictionary
from ...errors import BadInput
from ...runtime import Opened, Runtime
from ...settings import Settings
from ...shelf.folders import Corpus, speech_of
from ...shelf.schema import LABELS
from ...shelf.tables import put_table
from ...speech import Speech
from ..training.harvest import Harvest, harvest
from .activity import RandomDirections, blocks, mean_of, positions_of, top_fifth, walks
from .channels import speech_channels
from .choose import Ground, Label, ground, labels_of, shifted
from .firing import Firing, firing_of
from .texts import balanced_halves, text_channels

KINDS = {"audio": ("phone", "word", "class", "context"), "text": ("token", "word", "class", "context")}
"""kinds of labels, the strictest first"""
MIN_SAMPLES_A_HALF = 20
"""labelled samples of each half in which a unit must be non-zero to be counted"""
N_RANDOM = 3072
"""random directions at most, which is enough for their share"""
SHIFT = 0.37
"""of each half's positions: how far shifted labels are moved"""


@dataclass(frozen=True)
class Named:
    """The labels of one dictionary and their summary."""

    labels: tuple[Label, ...]
    """those that hold"""
    n_units: int
    n_eligible: int
    held: dict[str, int]
    """kind of label -> units whose label of that kind holds"""
    shuffled: dict[str, int]
    """the same for shifted labels"""

    def summary(self, random: Named | None) -> dict[str, Any]:
        counted = {"n_units": self.n_units, "n_eligible": self.n_eligible, "held": self.held, "shuffled": self.shuffled}
        return counted | {"random": random.held if random else None, "n_random": random.n_eligible if random else None}


def half_of(ids: Sequence[str], speakers: Sequence[str | None], said: Sequence[Speech | None]) -> NDArray[np.int8]:
    """[n_samples] 0 or 1 by speaker where known, else by sample; -1 where nothing is known of what is said."""
    names = [speaker or name for name, speaker in zip(ids, speakers, strict=True)]
    sides = [hashlib.sha256(n.encode()).digest()[0] & 1 if s is not None else -1 for n, s in zip(names, said, strict=True)]
    return np.array(sides, np.int8)


def eligible(firing: Firing) -> NDArray[np.bool_]:
    return firing.n_samples_active.min(axis=1) >= MIN_SAMPLES_A_HALF


def name_units(firing: Firing, on: Ground, kinds: Sequence[str] = KINDS["audio"]) -> Named:
    """Labels that hold, of units that are active often enough; and how many would hold for labels that were shifted."""
    held = labels_that_hold(firing, on)
    moved = replace(on, channels=[shifted(c, on.sides, SHIFT) for c in on.channels])
    by_chance = labels_that_hold(firing, moved)
    return Named(held, firing.n_units, int(eligible(firing).sum()), count_by_kind(held, kinds), count_by_kind(by_chance, kinds))


def labels_that_hold(firing: Firing, on: Ground) -> tuple[Label, ...]:
    """At most one for each eligible unit."""
    fit = eligible(firing)
    return tuple(label for label in labels_of(firing, on) if label.holds and fit[label.unit])


def count_by_kind(labels: Iterable[Label], kinds: Sequence[str] = KINDS["audio"]) -> dict[str, int]:
    """{kind: units}, every kind named."""
    counted = Counter(label.kind for label in labels)
    return {kind: counted[kind] for kind in kinds}


class Layer:
    """Everything that the dictionaries over one layer of one model share while they are labelled."""

    def __init__(self, settings: Settings, model: str, layer: int, corpus_slug: str, n_workers: int):
        self._settings, self._model, self._layer, self._corpus_slug, self._n_workers = settings, model, layer, corpus_slug, n_workers
        self.corpus = Corpus(settings.data / corpus_slug)
        self._ground: Ground | None = None
        if self.corpus.is_text:
            self.kinds, self.said, self.half = KINDS["text"], [], text_halves(self.corpus)
            return
        self.kinds, self.said = KINDS["audio"], said_in(self.corpus)
        if not any(s is not None for s in self.said):
            raise BadInput(f"Nothing is known of what is said in {corpus_slug}. Run `python -m earmark align {corpus_slug}` first.")
        self.half = half_of(self.corpus.ids, self.corpus.speakers, self.said)

    def harvest(self, site: str) -> Harvest:
        return harvest(self._settings, self._model, site, self._layer, self._corpus_slug, self._n_workers)

    def ground(self, stored: Harvest, grid: tuple[float, float]) -> Ground:
        if self._ground is None:
            rows, sinks = positions_of(stored)
            sides = np.where(sinks, np.int8(-1), self.half[rows])
            if self.corpus.is_text:
                channels = text_channels([self.corpus.tokens_in(row) or () for row in range(len(self.corpus.ids))], sides)
            else:
                channels = speech_channels(self.said, np.bincount(rows, minlength=len(self.corpus.ids)).tolist(), *grid)
            self._ground = ground(channels, rows, self.half, grid[0], sides)
        return self._ground

    def name(self, stored: Harvest, dictionary: Dictionary, grid: tuple[float, float], n_active: NDArray[np.int64]) -> Named:
        return self.named(firing_of(blocks(stored, dictionary), n_active, self.half), stored, grid)

    def named(self, firing: Firing, stored: Harvest, grid: tuple[float, float]) -> Named:
        return name_units(firing, self.ground(stored, grid), self.kinds)


def text_halves(corpus: Corpus) -> NDArray[np.int8]:
    """[n_samples] 0 or 1, by author where known, else by work, else by sample."""
    names = [author or work or name for author, work, name in zip(corpus.speakers, corpus.class_names, corpus.ids, strict=True)]
    return balanced_halves(names, [round(n) for n in corpus.durations_s])


def said_in(corpus: Corpus) -> list[Speech | None]:
    """What is said in each sample; None where that is not known."""
    table = corpus.speech_table
    return [None] * len(corpus.ids) if table is None else [speech_of(row) for row in table.all().to_pylist()]


def label(settings: Settings, slug: str, n_workers: int, only: bool = False) -> dict[str, dict[str, Any]]:
    """Label the units of a dictionary and, unless `only`, of the others over its layer; {dictionary: summary}.

    Units that are never 0 count as active at as many positions as the median eligible feature. Raises BadInput where the layer has no
    SAE to take that number from, the corpus of sounds no words, or no feature enough samples to fire in.
    """
    runtime = Runtime(settings)
    entry = runtime.catalog.dictionary(slug)
    chosen = sorted(runtime.catalog.siblings(slug), key=lambda e: e.kind != "sae")
    if not entry.corpus or chosen[0].kind != "sae":
        raise BadInput(f"{slug} has no SAE over its layer, whose activity neurons and axes are matched to; list one in the catalog and build it.")
    layer = Layer(settings, entry.model, entry.layer, entry.corpus, n_workers)
    halves = [int((layer.half == side).sum()) for side in (0, 1)]
    if min(halves) < MIN_SAMPLES_A_HALF:
        raise BadInput(_too_few(entry.corpus, halves))
    grid = runtime.model(entry.model).grid
    features = runtime.open(chosen[0].slug)
    stored = layer.harvest(chosen[0].site)
    n_active, firing = features_firing(stored, features.dictionary, layer.half)
    if not eligible(firing).any():
        raise BadInput(_too_few(entry.corpus, halves))
    matched = int(np.median(n_active[eligible(firing)]))
    found: dict[str, dict[str, Any]] = {}
    n_random = min(features.dictionary.n_units, N_RANDOM)
    random = layer.name(stored, RandomDirections(n_random, mean_of(stored)), grid, np.full(n_random, matched))
    for sibling in chosen:
        if only and sibling.slug != slug:
            continue
        opened = runtime.open(sibling.slug)
        if opened.entry.kind == "sae":
            named = layer.named(firing, stored, grid) if opened is features else _feature_names(layer, opened, grid)
        else:
            named = layer.name(layer.harvest(sibling.site), opened.dictionary, grid, np.full(opened.dictionary.n_units, matched))
        found[sibling.slug] = write_labels(settings, opened, named, named.summary(random) | {"n_active": matched})
    return found


def _too_few(corpus: str, halves: Sequence[int]) -> str:
    return (
        f"No feature is active in {MIN_SAMPLES_A_HALF} samples of each half of {corpus}, whose halves have {halves[0]} and {halves[1]} that can be judged. "
        "Labels are found on one half and judged on the other: give it more samples."
    )


def _feature_names(layer: Layer, opened: Opened, grid: tuple[float, float]) -> Named:
    stored = layer.harvest(opened.entry.site)
    return layer.named(features_firing(stored, opened.dictionary, layer.half)[1], stored, grid)


def features_firing(stored: Harvest, dictionary: Dictionary, half: NDArray[np.int8]) -> tuple[NDArray[np.int64], Firing]:
    """([n_units] positions at which each feature counts as active: a fifth of those where it is not 0, its firing)."""
    walk = walks(stored, dictionary)
    n_active = top_fifth(walk(), dictionary.n_units, half)
    return n_active, firing_of(walk(), n_active, half)


def write_labels(settings: Settings, opened: Opened, named: Named, summary: dict[str, Any]) -> dict[str, Any]:
    """The table `labels` beside the dictionary's others, and the summary in its manifest."""
    put_table(settings.data / opened.entry.slug, LABELS, [_row(found) for found in named.labels], {"labels": summary})
    return summary


def _row(found: Label) -> dict[str, Any]:
    figures = asdict(found.judged)
    return {"unit": found.unit, "kind": found.kind, "label": found.text, "lag_s": found.lag_s, "auroc": found.auroc, "f1": found.judged.f1, **figures}
