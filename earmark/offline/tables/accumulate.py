"""One pass over a corpus for all units of a dictionary at once: counts, sums, histograms, the best examples, every peak.

Everything kept forms a monoid: two shards merged give what one pass over both gives. Memory is bounded by the number of
units; the peaks of an SAE, whose number grows with the corpus, go to files as they come and are sorted at the end.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...atomic import new_file
from ...dictionaries.base import Codes
from .keep import Best, ascending_key, descending_key

N_TOP = 20
N_QUANTILE_SAMPLES = 200
N_EXTREMES = 500
"""largest and smallest samples kept for each unit of a signed dictionary"""

SUB_BINS = 16
LOWEST_EXPONENT, N_OCTAVES = -16, 32
N_BINS = SUB_BINS * N_OCTAVES
"""bins of non-zero magnitudes from 2^-16 to 2^16, 16 to the octave: a bin's middle is within 3.2 % of what falls into it"""
_KEY_BUFFER = 1 << 22
_SPILL_ROWS = 1 << 20
_CORRELATOR_POSITIONS = 2048
HALF_MAX = 65_504.0
"""the largest number of half precision; a larger peak is kept as this"""
PEAK_ROW = np.dtype([("unit", "<i4"), ("sample", "<i4"), ("peak", "<f2"), ("at", "<i4")])


def bin_of(magnitude: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bin of each positive magnitude, from its float bits: exponent and the first four bits of the mantissa."""
    number = (magnitude.view(np.int32) >> 19).astype(np.int64) - ((127 + LOWEST_EXPONENT) * SUB_BINS)
    return np.clip(number, 0, N_BINS - 1)


def bin_edges() -> NDArray[np.float64]:
    """[N_BINS + 1] edges of the magnitudes."""
    octave, step = np.divmod(np.arange(N_BINS + 1), SUB_BINS)
    return 2.0 ** (octave + LOWEST_EXPONENT) * (1 + step / SUB_BINS)


def sample_hash(name: str) -> int:
    """31 bits from a sample's id: the deterministic lottery of the quantile examples."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> 1


class Accumulator:
    """The running tables of one dictionary in one worker."""

    def __init__(self, n_units: int, signed: bool, spill: Path):
        self.n_units, self.signed, self._spill = n_units, signed, spill
        self.n_positions, self.n_samples, self.n_sinks = 0, 0, 0
        self.n_above, self.n_nonzero, self.n_active_samples = (np.zeros(n_units, np.int64) for _ in range(3))
        self.sum, self.square = np.zeros(n_units), np.zeros(n_units)
        self.histogram = np.zeros((n_units, N_BINS * (2 if signed else 1)), np.int64)
        self.top = Best(n_units, N_TOP, traces=True)
        self.drawn = Best(n_units, N_QUANTILE_SAMPLES, traces=True)
        self.bottom = Best(n_units, N_TOP, traces=True) if signed else None
        self.largest = Best(n_units, N_EXTREMES, traces=False) if signed else None
        self.smallest = Best(n_units, N_EXTREMES, traces=False) if signed else None
        self.n_spilled = 0
        self._keys: list[NDArray[np.int64]] = []
        self._rows: list[NDArray[np.void]] = []

    def add(self, row: int, name: str, codes: Codes, sinks: NDArray[np.bool_] | None = None) -> None:
        """One sample: its row in the corpus, its id, and the values of all units, which are 0 at its sinks: those count for nothing."""
        units, values = codes.active()
        n_sinks = 0 if sinks is None else int(sinks.sum())
        self.n_positions += len(values) - n_sinks
        self.n_sinks += n_sinks
        self.n_samples += 1
        if not len(units):
            return
        at = _ranked(values, sinks, -np.inf).argmax(axis=0)
        peaks = values[at, np.arange(len(units))]
        self._count(units, values)
        self.top.offer(units, descending_key(peaks, row), row, peaks, at, values)
        lottery = np.full(len(units), (sample_hash(name) << 32) + row, np.int64)
        self.drawn.offer(units, lottery, row, peaks, at, values)
        if self.bottom is None or self.largest is None or self.smallest is None:
            self._keep_rows(units, row, peaks, at)
            return
        low_at = _ranked(values, sinks, np.inf).argmin(axis=0)
        lows = values[low_at, np.arange(len(units))]
        self.bottom.offer(units, ascending_key(lows, row), row, lows, low_at, values)
        self.largest.offer(units, descending_key(peaks, row), row, peaks, at, values)
        self.smallest.offer(units, ascending_key(lows, row), row, lows, low_at, values)

    def _count(self, units: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        self.n_active_samples[units] += 1
        self.n_above[units] += (values > 0).sum(axis=0)
        self.n_nonzero[units] += (values != 0).sum(axis=0)
        self.sum[units] += values.sum(axis=0, dtype=np.float64)
        self.square[units] += np.einsum("pu,pu->u", values, values, dtype=np.float64)
        place, column = np.nonzero(values)
        found = values[place, column]
        bins = bin_of(np.abs(found))
        if self.signed:
            bins = np.where(found > 0, N_BINS + bins, N_BINS - 1 - bins)
        self._keys.append(units[column] * self.histogram.shape[1] + bins)
        if sum(map(len, self._keys)) >= _KEY_BUFFER:
            self._flush_histogram()

    def _flush_histogram(self) -> None:
        if self._keys:
            self.histogram += np.bincount(np.concatenate(self._keys), minlength=self.histogram.size).reshape(self.histogram.shape)
            self._keys = []

    def _keep_rows(self, units: NDArray[np.int64], row: int, peaks: NDArray[np.float32], at: NDArray[np.int64]) -> None:
        block = np.empty(len(units), PEAK_ROW)
        block["unit"], block["sample"], block["peak"], block["at"] = units, row, np.clip(peaks, -HALF_MAX, HALF_MAX), at
        self._rows.append(block)
        if sum(map(len, self._rows)) >= _SPILL_ROWS:
            self._flush_rows()

    def _flush_rows(self) -> None:
        """Write the waiting rows to a file of their own, sorted by unit."""
        if self._rows:
            rows = np.concatenate(self._rows)
            with new_file(spill_file(self._spill, self.n_spilled)) as file:
                np.save(file, rows[np.argsort(rows["unit"], kind="stable")])
            self.n_spilled += 1
            self._rows = []

    # -- keeping and joining -----------------------------------------------------------------------------------------

    _ARRAYS = ("n_above", "n_nonzero", "n_active_samples", "sum", "square", "histogram")
    _BESTS = ("top", "drawn", "bottom", "largest", "smallest")
    _NUMBERS = ("n_positions", "n_samples", "n_sinks", "n_spilled")

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything, as arrays under flat names, after writing out what was waiting."""
        self._flush_histogram()
        self._flush_rows()
        found: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in self._ARRAYS}
        found |= {name: np.array(getattr(self, name)) for name in self._NUMBERS}
        for name in self._BESTS:
            best: Best | None = getattr(self, name)
            if best is not None:
                found |= {f"{name}.{key}": array for key, array in best.state().items()}
        return found

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        for name in self._ARRAYS:
            setattr(self, name, state[name])
        for name in self._NUMBERS:
            setattr(self, name, int(state[name]))
        for name in self._BESTS:
            best: Best | None = getattr(self, name)
            if best is not None:
                best.restore({key.split(".", 1)[1]: array for key, array in state.items() if key.startswith(f"{name}.")})

    def merge(self, other: Accumulator) -> None:
        """Take in another shard; its spilled rows stay in its own files."""
        for name in self._ARRAYS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.n_positions += other.n_positions
        self.n_samples += other.n_samples
        self.n_sinks += other.n_sinks
        for name in self._BESTS:
            best: Best | None = getattr(self, name)
            if best is not None:
                best.merge(getattr(other, name))


def _ranked(values: NDArray[np.float32], sinks: NDArray[np.bool_] | None, last: float) -> NDArray[np.float32]:
    """[n_positions, m] with sinks where no ranking reaches them."""
    return values if sinks is None or not sinks.any() else np.where(sinks[:, None], np.float32(last), values)


def spill_file(stem: Path, number: int) -> Path:
    return stem.with_name(f"{stem.name}-{number:04d}.npy")


class Correlator:
    """Sums of products of an SAE's features with another dictionary's units over the same positions.

    Positions wait until a batch is full: a sparse product then costs what the active features cost, and the sums are touched once.
    """

    def __init__(self, n_features: int, n_others: int):
        self._products = np.zeros((n_features, n_others))
        self._waiting: list[tuple[Codes, NDArray[np.float32]]] = []

    def add(self, features: Codes, others: Codes) -> None:
        self._waiting.append((features, others.dense()))
        if sum(len(values) for _, values in self._waiting) >= _CORRELATOR_POSITIONS:
            self.flush()

    def flush(self) -> None:
        """Take in what waits. A build does so after each row group, so that its sums do not depend on where it was stopped."""
        if self._waiting:
            features = sparse.vstack([f.sparse() for f, _ in self._waiting], format="csr")
            self._products += features.T @ np.concatenate([values for _, values in self._waiting])
            self._waiting = []

    @property
    def products(self) -> NDArray[np.float64]:
        """[n_features, n_others], over every position so far."""
        self.flush()
        return self._products

    @products.setter
    def products(self, products: NDArray[np.float64]) -> None:
        self._products, self._waiting = products, []

    def correlations(self, features: Accumulator, others: Accumulator) -> NDArray[np.float32]:
        """Pearson r [n_features, n_others]; 0 where a unit never varies."""
        n = max(features.n_positions, 1)
        covariance = self.products / n - np.outer(features.sum / n, others.sum / n)
        spread = np.outer(_deviation(features, n), _deviation(others, n))
        return np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0).astype(np.float32)


def _deviation(a: Accumulator, n: int) -> NDArray[np.float64]:
    return np.sqrt(np.maximum(a.square / n - (a.sum / n) ** 2, 0))
