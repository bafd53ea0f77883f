"""The table `peaks`: each unit's strongest samples in order, and the value down to which they are all there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...shelf.schema import PEAKS
from ...shelf.tables import TableWriter
from .accumulate import HALF_MAX, PEAK_ROW, Accumulator
from .keep import Kept

Floors = list[tuple[float | None, float | None]]
"""of each unit: filters on the peak, and on the absolute value, are exact at or above it; None: everywhere"""
_UNITS_A_BLOCK = 256


def write_peaks(a: Accumulator, spills: Sequence[Path], n_peaks: int | None, folder: Path) -> Floors:
    """Write the table. spills: files with an unsigned dictionary's rows; each unit's n_peaks strongest are kept (None: all), and ties with the last.

    Of a signed unit these are the n_peaks largest and as many smallest of those that the accumulator has.
    """
    floors: Floors = [(None, None)] * a.n_units
    writer = TableWriter(folder, PEAKS)
    if a.largest is not None and a.smallest is not None:
        n = min(a.largest.k, n_peaks or a.largest.k)
        for unit in range(a.n_units):
            high, low = a.largest.of(unit), a.smallest.of(unit)
            writer.write(_table(np.full(n * 2, unit), *_extreme_rows(high, low, n)))
            if a.n_active_samples[unit] > n:
                floors[unit] = float(high.peaks[n - 1]), float(max(high.peaks[n - 1], -low.peaks[n - 1], 0.0))
    else:
        for rows in _blocks(spills, a.n_units):
            kept, cut = strongest(rows, n_peaks)
            for unit, floor in cut.items():
                floors[unit] = floor, floor
            writer.write(_table(kept["unit"], np.ones(len(kept)), kept["sample"], kept["peak"], kept["at"]))
    writer.close()
    return floors


def _blocks(spills: Sequence[Path], n_units: int) -> Iterator[NDArray[Any]]:
    """All rows, by unit, then from the largest peak down, then by sample; in blocks of whole units."""
    spilled = [np.load(path, mmap_mode="r") for path in spills]
    for first in range(0, n_units, _UNITS_A_BLOCK):
        parts = [rows[slice(*np.searchsorted(rows["unit"], (first, first + _UNITS_A_BLOCK)))] for rows in spilled]
        rows = np.concatenate(parts) if parts else np.empty(0, PEAK_ROW)
        yield rows[np.lexsort((rows["sample"], -rows["peak"].astype(np.float32), rows["unit"]))]


def strongest(rows: NDArray[Any], n: int | None) -> tuple[NDArray[Any], dict[int, float]]:
    """Each unit's first n of sorted rows, with those that tie with the last of them; and {unit: its floor} where some were left out."""
    if n is None or not len(rows):
        return rows, {}
    starts = np.flatnonzero(np.append(True, rows["unit"][1:] != rows["unit"][:-1]))
    sizes = np.diff(np.append(starts, len(rows)))
    last = rows["peak"][starts + np.minimum(sizes, n) - 1]
    keep = rows["peak"] >= np.repeat(last, sizes)
    n_kept = np.add.reduceat(keep, starts)
    return rows[keep], {int(rows["unit"][s]): float(peak) for s, peak, size, kept in zip(starts, last, sizes, n_kept, strict=True) if kept < size}


def _extreme_rows(high: Kept, low: Kept, n: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The first n of either end, from the largest down to the smallest."""
    n_high, order = min(n, len(high.rows)), np.arange(min(n, len(low.rows)))[::-1]
    return (
        np.concatenate([np.ones(n_high), -np.ones(len(order))]),
        np.concatenate([high.rows[:n_high], low.rows[order]]),
        np.concatenate([high.peaks[:n_high], low.peaks[order]]),
        np.concatenate([high.at[:n_high], low.at[order]]),
    )


def _table(unit: NDArray[Any], tail: NDArray[Any], sample: NDArray[Any], peak: NDArray[Any], at: NDArray[Any]) -> pa.Table:
    n = len(sample)
    half = np.clip(peak, -HALF_MAX, HALF_MAX).astype(np.float16)
    columns = (unit[:n].astype(np.int32), tail.astype(np.int8), sample.astype(np.int32), half, at.astype(np.int32))
    return pa.table([pa.array(c) for c in columns], schema=PEAKS.schema)
