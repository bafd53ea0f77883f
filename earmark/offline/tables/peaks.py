"""The table `peaks`: each unit's strongest samples in order, and the value down to which they are all there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...shelf.schema import PEAKS
from ...shelf.tables import TableWriter
from .accumulate import HALF_MAX, PEAK_ROW, Accumulator
from .keep import Best

Floors = list[tuple[float | None, float | None]]
"""of each unit: filters on the peak, and on the absolute value, are exact at or above it; None: everywhere"""
_UNITS_A_BLOCK = 256


def write_peaks(a: Accumulator, spills: Sequence[Path], n_peaks: int | None, folder: Path) -> Floors:
    """Write the table. spills: files with an unsigned dictionary's rows; each unit's n_peaks strongest are kept (None: all), and ties with the last."""
    floors: Floors = [(None, None)] * a.n_units
    writer = TableWriter(folder, PEAKS)
    if a.largest is not None and a.smallest is not None:
        for unit in range(a.n_units):
            writer.write(_table(np.full(a.largest.k * 2, unit), *_extreme_rows(a.largest, a.smallest, unit)))
            if a.n_active_samples[unit] > a.largest.k:
                high, low = a.largest.of(unit).peaks[-1], a.smallest.of(unit).peaks[-1]
                floors[unit] = float(high), float(max(high, -low, 0.0))
    else:
        for rows in _blocks(spills, a.n_units):
            kept, cut = strongest(rows, n_peaks)
            for unit, floor in cut.items():
                floors[unit] = floor, floor
            writer.write(_table(kept["unit"], np.ones(len(kept)), kept["sample"], kept["peak"], kept["at"]))
    writer.close()
    return floors


def _blocks(spills: Sequence[Path], n_units: int) -> Iterator[NDArray]:
    """All rows, by unit, then from the largest peak down, then by sample; in blocks of whole units."""
    spilled = [np.load(path, mmap_mode="r") for path in spills]
    for first in range(0, n_units, _UNITS_A_BLOCK):
        parts = [rows[slice(*np.searchsorted(rows["unit"], (first, first + _UNITS_A_BLOCK)))] for rows in spilled]
        rows = np.concatenate(parts) if parts else np.empty(0, PEAK_ROW)
        yield rows[np.lexsort((rows["sample"], -rows["peak"].astype(np.float32), rows["unit"]))]


def strongest(rows: NDArray, n: int | None) -> tuple[NDArray, dict[int, float]]:
    """Each unit's first n of sorted rows, with those that tie with the last of them; and {unit: its floor} where some were left out."""
    if n is None or not len(rows):
        return rows, {}
    starts = np.flatnonzero(np.append(True, rows["unit"][1:] != rows["unit"][:-1]))
    sizes = np.diff(np.append(starts, len(rows)))
    last = rows["peak"][starts + np.minimum(sizes, n) - 1]
    keep = rows["peak"] >= np.repeat(last, sizes)
    n_kept = np.add.reduceat(keep, starts)
    return rows[keep], {int(rows["unit"][s]): float(peak) for s, peak, size, kept in zip(starts, last, sizes, n_kept, strict=True) if kept < size}


def _extreme_rows(largest: Best, smallest: Best, unit: int) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    high, low = largest.of(unit), smallest.of(unit)
    low_order = np.arange(len(low.rows))[::-1]
    tails = np.concatenate([np.ones(len(high.rows)), -np.ones(len(low.rows))])
    return (
        tails,
        np.concatenate([high.rows, low.rows[low_order]]),
        np.concatenate([high.peaks, low.peaks[low_order]]),
        np.concatenate([high.at, low.at[low_order]]),
    )


def _table(unit: NDArray, tail: NDArray, sample: NDArray, peak: NDArray, at: NDArray) -> pa.Table:
    n = len(sample)
    half = np.clip(peak, -HALF_MAX, HALF_MAX).astype(np.float16)
    columns = (unit[:n].astype(np.int32), tail.astype(np.int8), sample.astype(np.int32), half, at.astype(np.int32))
    return pa.table([pa.array(c) for c in columns], schema=PEAKS.schema)
