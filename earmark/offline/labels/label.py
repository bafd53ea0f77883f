"""Labels for all units of a layer, with their controls: random directions at the same activity, and labels that were shifted."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
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
from .activity import RandomDirections, blocks, mean_of, sample_rows, top_fifth
from .channels import speech_channels
from .choose import Ground, Label, ground, labels_of, shifted
from .firing import Firing, firing_of

KINDS = ("phone", "word", "class", "context")
MIN_SAMPLES_A_HALF = 20
"""labelled samples of each half in which a unit must be non-zero to be counted"""
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


def name_units(firing: Firing, on: Ground) -> Named:
    """Labels that hold, of units that are active often enough; and how many would hold for labels that were shifted."""
    held = labels_that_hold(firing, on)
    moved = ground([shifted(c, on.rows, on.half, SHIFT) for c in on.channels], on.rows, on.half, on.hop_s)
    by_chance = labels_that_hold(firing, moved)
    return Named(held, firing.n_units, int(eligible(firing).sum()), count_by_kind(held), count_by_kind(by_chance))


def labels_that_hold(firing: Firing, on: Ground) -> tuple[Label, ...]:
    """At most one for each eligible unit."""
    fit = eligible(firing)
    return tuple(label for label in labels_of(firing, on) if label.holds and fit[label.unit])


def count_by_kind(labels: Iterable[Label]) -> dict[str, int]:
    """{kind: units}, every kind named."""
    counted = Counter(label.kind for label in labels)
    return {kind: counted[kind] for kind in KINDS}


class Layer:
    """Everything that the dictionaries over one layer of one model share while they are labelled."""

    def __init__(self, settings: Settings, model: str, layer: int, corpus_slug: str, n_workers: int):
        self._settings, self._model, self._layer, self._corpus_slug, self._n_workers = settings, model, layer, corpus_slug, n_workers
        self.corpus = Corpus(settings.data / corpus_slug)
        self._ground: Ground | None = None
        self.said = said_in(self.corpus)
        if not any(s is not None for s in self.said):
            raise BadInput(f"Nothing is known of what is said in {corpus_slug}. Run `python -m earmark align {corpus_slug}` first.")
        self.half = half_of(self.corpus.ids, self.corpus.speakers, self.said)

    def harvest(self, site: str) -> Harvest:
        return harvest(self._settings, self._model, site, self._layer, self._corpus_slug, self._n_workers)

    def ground(self, stored: Harvest, grid: tuple[float, float]) -> Ground:
        if self._ground is None:
            rows = sample_rows(stored)
            n_positions = np.bincount(rows, minlength=len(self.corpus.ids)).tolist()
            self._ground = ground(speech_channels(self.said, n_positions, *grid), rows, self.half, grid[0])
        return self._ground

    def name(self, stored: Harvest, dictionary: Dictionary, grid: tuple[float, float], n_active: NDArray[np.int64]) -> Named:
        return name_units(firing_of(blocks(stored, dictionary), n_active, self.half), self.ground(stored, grid))


def said_in(corpus: Corpus) -> list[Speech | None]:
    """What is said in each sample; None where that is not known."""
    table = corpus.speech_table
    return [None] * len(corpus.ids) if table is None else [speech_of(row) for row in table.all().to_pylist()]


def label(settings: Settings, slug: str, n_workers: int, only: bool = False) -> dict[str, dict[str, Any]]:
    """Label the units of a dictionary and, unless `only`, of the others over its layer; {dictionary: summary}.

    Units that are never 0 count as active at as many positions as the median eligible feature. Raises BadInput where the layer has no
    SAE to take that number from, or the corpus no words.
    """
    runtime = Runtime(settings)
    entry = runtime.catalog.dictionary(slug)
    chosen = sorted(runtime.catalog.siblings(slug), key=lambda e: e.kind != "sae")
    if not entry.corpus or chosen[0].kind != "sae":
        raise BadInput(f"{slug} has no SAE over its layer, whose activity neurons and axes are matched to; list one in the catalog and build it.")
    layer = Layer(settings, entry.model, entry.layer, entry.corpus, n_workers)
    grid = runtime.model(entry.model).grid
    features = runtime.open(chosen[0].slug)
    stored = layer.harvest(chosen[0].site)
    n_active = top_fifth(stored, features.dictionary, layer.half)
    firing = firing_of(blocks(stored, features.dictionary), n_active, layer.half)
    matched = int(np.median(n_active[eligible(firing)]))
    found: dict[str, dict[str, Any]] = {}
    random = layer.name(stored, RandomDirections(features.dictionary.n_units, mean_of(stored)), grid, np.full(features.dictionary.n_units, matched))
    for sibling in chosen:
        if only and sibling.slug != slug:
            continue
        opened = runtime.open(sibling.slug)
        if opened.entry.kind == "sae":
            named = name_units(firing, layer.ground(stored, grid)) if opened is features else _feature_names(layer, opened, grid)
        else:
            named = layer.name(layer.harvest(sibling.site), opened.dictionary, grid, np.full(opened.dictionary.n_units, matched))
        found[sibling.slug] = write_labels(settings, opened, named, named.summary(random) | {"n_active": matched})
    return found


def _feature_names(layer: Layer, opened: Opened, grid: tuple[float, float]) -> Named:
    stored = layer.harvest(opened.entry.site)
    return layer.name(stored, opened.dictionary, grid, top_fifth(stored, opened.dictionary, layer.half))


def write_labels(settings: Settings, opened: Opened, named: Named, summary: dict[str, Any]) -> dict[str, Any]:
    """The table `labels` beside the dictionary's others, and the summary in its manifest."""
    put_table(settings.data / opened.entry.slug, LABELS, [_row(found) for found in named.labels], {"labels": summary})
    return summary


def _row(found: Label) -> dict[str, Any]:
    figures = asdict(found.judged)
    return {"unit": found.unit, "kind": found.kind, "label": found.text, "lag_s": found.lag_s, "auroc": found.auroc, "f1": found.judged.f1, **figures}
