"""How many units of a dictionary have a label that holds: the method of `label`, counted only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ....dictionaries.base import Dictionary
from ...labels.activity import blocks
from ...labels.firing import Block, Firing, count_nonzero, firing_of
from ...labels.label import Layer, count_by_kind, eligible, labels_that_hold
from ..harvest import Harvest

_COLUMNS = ("held_phone", "held_word", "held_class", "held_context")


@dataclass(frozen=True)
class Held:
    """Units by what they hold."""

    n_eligible: int
    by_kind: dict[str, int]
    """phone (of texts: token), word, class, context -> units whose best label is of that kind and holds"""
    n_active: int
    """positions at which the median eligible unit counts as active"""

    def columns(self) -> dict[str, int | float]:
        """As the table of a sweep has them."""
        counts = list(self.by_kind.values())
        shares = {"held_share": sum(counts[:2]) / max(self.n_eligible, 1), "held_any_share": sum(counts) / max(self.n_eligible, 1)}
        return {"n_eligible": self.n_eligible, **dict(zip(_COLUMNS, counts, strict=True)), **shares}


def held_features(layer: Layer, stored: Harvest, sae: Dictionary, grid: tuple[float, float]) -> Held:
    """A unit is active on the top fifth of its non-zero positions. Values are computed once and kept: few of them are not 0."""
    kept = [Block(b.first_position, b.rows, b.first_unit, csr_matrix(b.values)) for b in blocks(stored, sae)]
    n_active = -(-count_nonzero(kept, sae.n_units, layer.half) // 5)
    return _held(layer, stored, grid, firing_of(kept, n_active, layer.half), n_active)


def held_at(layer: Layer, stored: Harvest, dictionary: Dictionary, grid: tuple[float, float], n_active: int) -> Held:
    """Units that are never 0 are active on their n_active highest positions."""
    matched = np.full(dictionary.n_units, n_active)
    return _held(layer, stored, grid, firing_of(blocks(stored, dictionary), matched, layer.half), matched)


def _held(layer: Layer, stored: Harvest, grid: tuple[float, float], firing: Firing, n_active: NDArray[np.int64]) -> Held:
    fit = eligible(firing)
    labels = labels_that_hold(firing, layer.ground(stored, grid))
    return Held(int(fit.sum()), count_by_kind(labels, layer.kinds), int(np.median(n_active[fit])) if fit.any() else 0)
