"""Areas under ROC curves, for many units at once: the chance that a unit is higher where something is true than where it is not, ties counted half."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def areas(values: NDArray[np.float32], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[n_units] of values [n, n_units] for truth [n], both classes of which must be there."""
    from scipy.stats import rankdata

    if not values.shape[1]:
        return np.zeros(0)
    n_true = int(truth.sum())
    return (rankdata(values, axis=0)[truth].sum(axis=0) - n_true * (n_true + 1) / 2) / (n_true * (len(truth) - n_true))


def areas_of_peaks(
    unit: NDArray[np.int32], peak: NDArray[np.float64], truth: NDArray[np.bool_], n_true: int, n_samples: int, n_units: int
) -> NDArray[np.float64]:
    """[n_units] of the samples' peaks, from rows; samples without a row have the peak 0. Not a number where a class is missing.

    unit, peak, truth: of each row, in any order, the peak above 0; truth says whether the row's sample is one of the n_true.
    """
    n_false = n_samples - n_true
    if not n_true or not n_false or not len(unit):
        return np.full(n_units, np.nan)
    order = np.lexsort((-peak, unit))
    unit, peak, truth = unit[order], peak[order], truth[order]
    first = np.flatnonzero(np.r_[True, (unit[1:] != unit[:-1]) | (peak[1:] != peak[:-1])])  # of each run of equal peaks of a unit
    trues, falses = (np.add.reduceat(part.astype(np.int64), first) for part in (truth, ~truth))
    owner, so_far = unit[first], np.cumsum(falses)
    before = np.concatenate([[0], np.cumsum(np.bincount(owner, falses, minlength=n_units))])[owner]  # falses of the units before
    won = np.bincount(owner, trues * (n_false - (so_far - before) + falses / 2), minlength=n_units)
    silent_true = n_true - np.bincount(owner, trues, minlength=n_units)
    silent_false = n_false - np.bincount(owner, falses, minlength=n_units)
    return (won + silent_true * silent_false / 2) / (n_true * n_false)
