"""One pass for all units, with buffers so small that every value spills: the same as plain loops, in one piece or in shards."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from earmark.dictionaries.base import Codes
from earmark.offline.tables import accumulate
from earmark.offline.tables.accumulate import HALF_MAX, N_BINS, Accumulator, bin_edges, bin_of, spill_file
from earmark.offline.tables.peaks import write_peaks
from earmark.shelf.schema import PEAKS
from earmark.shelf.tables import files_of

N_UNITS, N_SAMPLES = 6, 40
SILENT, LOUD = 4, 1


def samples(signed: bool) -> list[np.ndarray]:
    """float32 [n_positions, N_UNITS] each; unit SILENT is 0 throughout, the eleventh sample is silent, unit LOUD has a value beyond half precision."""
    g = np.random.default_rng(3)
    found = []
    for n in g.integers(1, 30, N_SAMPLES):
        values = g.normal(0, 1, (n, N_UNITS))
        if not signed:
            values = np.maximum(values - 1, 0)
        values[:, SILENT] = 0
        found.append(values.astype(np.float32))
    found[10][:] = 0
    found[20][0, LOUD] = 1e6
    return found


def codes_of(values: np.ndarray, signed: bool) -> Codes:
    if signed:
        return Codes(values, None, N_UNITS)
    return Codes(values, np.tile(np.arange(N_UNITS), (len(values), 1)), N_UNITS)


def accumulated(folder: Path, signed: bool, rows: range) -> Accumulator:
    folder.mkdir()
    found = Accumulator(N_UNITS, signed, folder / "spill")
    for row, values in enumerate(samples(signed)):
        if row in rows:
            found.add(row, f"s{row}", codes_of(values, signed))
    found.state()
    return found


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("n_peaks", [None, 5])
def test_small_buffers_change_nothing_and_all_equal_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed: bool, n_peaks: int | None) -> None:
    monkeypatch.setattr(accumulate, "_KEY_BUFFER", 7)
    monkeypatch.setattr(accumulate, "_SPILL_ROWS", 5)
    a, b = accumulated(tmp_path / "a", signed, range(25)), accumulated(tmp_path / "b", signed, range(25, N_SAMPLES))
    assert signed or a.n_spilled > 5, "the rows come in many files"
    spills = [spill_file(tmp_path / name / "spill", n) for name, part in (("a", a), ("b", b)) for n in range(part.n_spilled)]
    a.merge(b)
    given, whole = samples(signed), np.concatenate(samples(signed))
    assert (a.n_positions, a.n_samples) == (len(whole), N_SAMPLES), "a silent sample counts, too"
    np.testing.assert_array_equal(a.n_above, (whole > 0).sum(axis=0))
    np.testing.assert_array_equal(a.n_nonzero, (whole != 0).sum(axis=0))
    np.testing.assert_array_equal(a.n_active_samples, [sum(bool(s[:, u].any()) for s in given) for u in range(N_UNITS)])
    np.testing.assert_allclose(a.sum, whole.sum(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_array_equal(a.histogram.sum(axis=1), (whole != 0).sum(axis=0))
    for unit in range(N_UNITS):
        edges = bin_edges()
        counts = a.histogram[unit]
        positive, negative = (counts[N_BINS:], counts[:N_BINS][::-1]) if signed else (counts, np.zeros(N_BINS, int))
        for sign, found in ((1, positive), (-1, negative)):
            of = sign * whole[:, unit][sign * whole[:, unit] > 0]
            expected = [int(((of >= low) & (of < high)).sum()) for low, high in pairwise(edges[200:301])]
            assert found[200:300].tolist() == expected

    (tmp_path / "out").mkdir()
    floors = write_peaks(a, spills, n_peaks, tmp_path / "out")
    rows = [row for name in files_of(tmp_path / "out") for row in pq.read_table(tmp_path / "out" / name, schema=PEAKS.schema).to_pylist()]
    for unit in range(N_UNITS):
        assert [(r["tail"], float(r["peak"]), r["sample"], r["at"]) for r in rows if r["unit"] == unit] == naive_peaks(given, unit, signed, n_peaks)
        assert floors[unit] == naive_floor(given, unit, signed, n_peaks)


def peaks_of(given: list[np.ndarray], unit: int, tail: int, halved: bool) -> list[tuple[float, int, int]]:
    """(peak, sample, position) of each sample that is not silent, strongest of that tail first; halved: as half precision has it."""
    found = []
    for sample, values in enumerate(given):
        v = values[:, unit]
        if v.any():
            at = int(v.argmax() if tail == 1 else v.argmin())
            found.append((half(v[at]) if halved else float(v[at]), sample, at))
    return sorted(found, key=lambda p: (-tail * p[0], p[1]))


def half(value: float) -> float:
    return float(np.float16(np.clip(value, -HALF_MAX, HALF_MAX)))


def naive_peaks(given: list[np.ndarray], unit: int, signed: bool, n: int | None) -> list[tuple[int, float, int, int]]:
    high, low = (peaks_of(given, unit, tail, halved=not signed)[:n] for tail in (1, -1))
    return [(1, half(p), s, at) for p, s, at in high] + ([(-1, half(p), s, at) for p, s, at in low[::-1]] if signed else [])


def naive_floor(given: list[np.ndarray], unit: int, signed: bool, n: int | None) -> tuple[float | None, float | None]:
    high, low = (peaks_of(given, unit, tail, halved=not signed) for tail in (1, -1))
    if n is None or len(high) <= n:
        return None, None
    return high[n - 1][0], max(high[n - 1][0], -low[n - 1][0], 0.0) if signed else high[n - 1][0]


def test_magnitudes_beyond_the_bins_fall_into_the_last_ones() -> None:
    assert bin_of(np.array([1e-30, 1e30, 1.0, np.nextafter(np.float32(1), np.float32(0))], np.float32)).tolist() == [0, N_BINS - 1, 256, 255]
