"""When each unit is active, from one walk over stored activations: its highest positions, its peak in every sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

PRUNE_ROWS = 1 << 24
Values = NDArray[np.float32] | csr_matrix
"""[n_positions, n_units]; compressed by rows where few are active"""


@dataclass(frozen=True)
class Firing:
    """The activity of all units of a dictionary over a corpus."""

    units: NDArray[np.int32]
    """[n] unit of each active position, ascending"""
    positions: NDArray[np.int64]
    """[n] position in the row of all samples"""
    peaks: NDArray[np.float16]
    """[n_units, n_samples] largest value in each sample"""
    n_samples_active: NDArray[np.int64]
    """[n_units, 2] labelled samples of each half in which the unit is not 0 throughout"""

    @property
    def n_units(self) -> int:
        return len(self.peaks)


class Highest:
    """The n[u] highest positions of each unit u, ties to the earlier position; memory stays within a few times what is kept."""

    def __init__(self, n: NDArray[np.int64]):
        self._n = n
        self.floor = np.where(n > 0, -np.inf, np.inf).astype(np.float32)
        self._units: list[NDArray[np.int32]] = []
        self._positions: list[NDArray[np.int64]] = []
        self._values: list[NDArray[np.float32]] = []
        self._n_rows = 0
        self._limit = max(PRUNE_ROWS, 2 * int(n.sum()))

    def add(self, units: NDArray[np.integer], positions: NDArray[np.integer], values: NDArray[np.float32]) -> None:
        """Candidates [m] above each unit's `floor`; of equal values that of the earlier call, or the earlier position, stays."""
        self._units.append(units.astype(np.int32))
        self._positions.append(positions.astype(np.int64))
        self._values.append(values)
        self._n_rows += len(units)
        if self._n_rows > self._limit:
            self._prune()

    def _prune(self) -> None:
        units, positions, values = np.concatenate(self._units), np.concatenate(self._positions), np.concatenate(self._values)
        order = np.lexsort((positions, -values, units))
        units, positions, values = units[order], positions[order], values[order]
        starts = np.searchsorted(units, np.arange(len(self._n)))
        rank = np.arange(len(units)) - starts[units]
        keep = rank < self._n[units]
        full = rank == self._n[units] - 1
        self.floor[units[full]] = values[full]
        self._units, self._positions, self._values = [units[keep]], [positions[keep]], [values[keep]]
        self._n_rows = int(keep.sum())

    def result(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """(units, positions), sorted by unit, then position."""
        if self._units:
            self._prune()
            order = np.lexsort((self._positions[0], self._units[0]))
            return self._units[0][order], self._positions[0][order]
        return np.empty(0, np.int32), np.empty(0, np.int64)


@dataclass(frozen=True)
class Block:
    """Values of some units over some whole samples in a row."""

    first_position: int
    rows: NDArray[np.int32]
    """[n_positions] sample of each position, ascending"""
    first_unit: int
    values: Values
    """[n_positions, n]: units first_unit .. first_unit + n"""

    @property
    def units(self) -> slice:
        return slice(self.first_unit, self.first_unit + self.values.shape[1])

    def samples(self) -> Iterator[tuple[int, Values]]:
        """Each sample with its positions."""
        samples, starts = np.unique(self.rows, return_index=True)
        for sample, first, last in zip(samples.tolist(), starts, [*starts[1:], len(self.rows)], strict=True):
            yield sample, self.values[first:last]


def _n_nonzero(values: Values) -> NDArray[np.integer]:
    """Of each column."""
    return np.count_nonzero(values, axis=0) if isinstance(values, np.ndarray) else np.bincount(values.indices[values.data != 0], minlength=values.shape[1])


def count_nonzero(blocks: Iterable[Block], n_units: int, half: NDArray[np.int8]) -> NDArray[np.int64]:
    """[n_units] positions of labelled samples (half >= 0) at which each unit is not 0."""
    found = np.zeros(n_units, np.int64)
    for block in blocks:
        found[block.units] += _n_nonzero(block.values[half[block.rows] >= 0])
    return found


def firing_of(blocks: Iterable[Block], n_active: NDArray[np.int64], half: NDArray[np.int8]) -> Firing:
    """n_active [n_units]: how many positions count as active; half [n_samples]: 0 or 1, -1 for a sample without labels, which is left out."""
    highest = Highest(n_active)
    peaks = np.zeros((len(n_active), len(half)), np.float16)
    moved = np.zeros((len(n_active), 2), np.int64)
    for block in blocks:
        place, column, values = _above(block.values, highest.floor[block.units])
        chosen = half[block.rows[place]] >= 0
        highest.add(column[chosen] + block.first_unit, block.first_position + place[chosen], values[chosen])
        for sample, part in block.samples():
            if half[sample] >= 0:
                top = part.max(axis=0)
                peaks[block.units, sample] = top if isinstance(top, np.ndarray) else top.toarray()[0]
                moved[block.units, half[sample]] += _n_nonzero(part) > 0
    return Firing(*highest.result(), peaks, moved)


def _above(values: Values, floor: NDArray[np.float32]) -> tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.float32]]:
    """(position, unit, value) of what is not 0 and above its unit's floor."""
    if isinstance(values, np.ndarray):
        place, column = np.nonzero((values > floor) & (values != 0))
        return place, column, values[place, column]
    entries = values.tocoo()
    keep = (entries.data > floor[entries.col]) & (entries.data != 0)
    return entries.row[keep], entries.col[keep], entries.data[keep]
