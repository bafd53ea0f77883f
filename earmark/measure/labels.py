"""Does a unit's activity predict a label? Counts over positions in, figures out; nothing here knows what a label means.

A unit is *active* on the top fifth of its non-zero positions (matched number of positions for units that are never 0). A label is
chosen on one half of the samples and judged on the other: by precision, recall, lift, and the AUROC of the unit's peak.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_PRECISION, MIN_LIFT = 0.5, 3.0
"""a label holds where P(label | active) and its ratio to P(label) are above these on the half that did not choose it"""
MIN_ACTIVE, MIN_SAMPLES = 20, 5
"""active positions with the label, and samples that they come from, below which the first half chooses nothing"""


@dataclass(frozen=True)
class Counts:
    """One half of the corpus, one channel of labels at one lag."""

    both: NDArray[np.int64]
    """[n_units, n_labels] positions where the unit is active and the label is there"""
    active: NDArray[np.int64]
    """[n_units] active positions whose label is known, "none" included"""
    there: NDArray[np.int64]
    """[n_labels] positions where the label is there"""
    n_positions: int
    """positions whose label is known"""

    def precision(self) -> NDArray[np.float64]:
        """P(label | active), [n_units, n_labels]."""
        return self.both / np.maximum(self.active, 1)[:, None]

    def base(self) -> NDArray[np.float64]:
        """P(label), [n_labels]."""
        return self.there / max(self.n_positions, 1)

    def bits(self) -> NDArray[np.float64]:
        """p log2(p / base), [n_units, n_labels]: what the label adds to the divergence of the labels under activity from those at large.

        0 where the label could not be chosen. It prefers the rare and exact ("sk") to the common and vague (a consonant).
        """
        p, base = self.precision(), np.maximum(self.base(), 1e-12)
        enough = (p > MIN_PRECISION) & (p >= MIN_LIFT * base) & (self.both >= MIN_ACTIVE)
        return np.where(enough, p * np.log2(np.maximum(p, 1e-12) / base), 0.0)


@dataclass(frozen=True)
class Judged:
    """A label on the half that did not choose it."""

    precision: float
    recall: float
    """P(active | label)"""
    lift: float
    n_active: int

    @property
    def f1(self) -> float:
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @property
    def holds(self) -> bool:
        return self.precision > MIN_PRECISION and self.lift >= MIN_LIFT


def judge(counts: Counts, unit: int, label: int) -> Judged:
    """Figures of one unit and label over one half."""
    both, active, there = int(counts.both[unit, label]), int(counts.active[unit]), int(counts.there[label])
    precision = both / active if active else 0.0
    base = there / counts.n_positions if counts.n_positions else 0.0
    return Judged(precision, both / there if there else 0.0, precision / base if base else 0.0, active)


def auroc(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve of scores [n] for truth [n], ties counted half (Mann-Whitney U); None where one class is missing."""
    from scipy.stats import rankdata

    n_true, n_false = int(truth.sum()), int((~truth).sum())
    if not n_true or not n_false:
        return None
    ranks = rankdata(scores)
    return float((ranks[truth].sum() - n_true * (n_true + 1) / 2) / (n_true * n_false))
