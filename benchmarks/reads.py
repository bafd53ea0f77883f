"""Reading one unit's card, and searching its samples by peak, from the tables; against a parquet filter and a full scan."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId

from .figures import Figure, median_ratio, report, tell, wall_ms

N_READS, N_SCANS, N_HITS = 200, 15, 20
_PARQUET, _COMPUTE = import_module("pyarrow.parquet"), import_module("pyarrow.compute")
"""as people call them, which their stubs do not know: a filter by a list, numbers beside columns"""


def measure() -> Iterator[Figure]:
    store = Store(Settings.from_env())
    slugs = [d.slug for d in store.catalog.siblings(store.catalog.default) if store.has_tables(d.slug)]
    assert slugs, "no dictionary has tables yet: build them first"
    reads = {slug: [wall_ms(action) for action in _reads(store, slug)] for slug in slugs}
    searches = {slug: [wall_ms(action) for action in _searches(store, slug)] for slug in slugs}
    yield _slowest("unit_read_p50_ms", reads)
    yield _against("unit_read_over_parquet_filter", [pair for slug in slugs for pair in _read_pairs(store, slug)])
    yield _slowest("filter_search_p50_ms", searches)
    yield _against("filter_search_over_full_scan", [pair for slug in slugs for pair in _search_pairs(store, slug)])


def _slowest(name: str, times: dict[str, list[float]]) -> Figure:
    """The median of the dictionary with the slowest median."""
    medians = {slug: statistics.median(values) for slug, values in times.items()}
    tell(f"{name}: " + ", ".join(f"{slug} {value:.2f}" for slug, value in medians.items()))
    return Figure(name, max(medians.values()), most=5)


def _against(name: str, pairs: list[tuple[float, float]]) -> Figure:
    ours, reference = zip(*pairs, strict=True)
    tell(f"{name}: {statistics.median(ours):.2f} ms against {statistics.median(reference):.1f} ms")
    return Figure(name, median_ratio(ours, reference), most=1)


def _units(store: Store, slug: str, n: int) -> list[UnitId]:
    """Units drawn at random, after one read and one search of each table so that they are open."""
    n_units = store.dictionary(slug).n_units
    store.card(UnitId(slug, 0))
    store.search(UnitId(slug, 0))
    return [UnitId(slug, int(u)) for u in np.random.default_rng(0).integers(0, n_units, n)]


def _reads(store: Store, slug: str) -> list[Callable[[], object]]:
    return [lambda u=u: store.card(u) for u in _units(store, slug, N_READS)]


def _searches(store: Store, slug: str) -> list[Callable[[], object]]:
    return [lambda u=u, b=_bounds(store, u): store.search(u, *b, n=N_HITS) for u in _units(store, slug, N_READS)]


def _bounds(store: Store, unit: UnitId) -> tuple[float, float]:
    """The middle of a unit's range of peaks, above the floor where there is one; in half precision, as peaks are stored."""
    stats = store.card(unit).stats
    low = stats.peak * 0.3 if stats.floor is None else stats.floor
    return float(np.float16(low)), float(np.float16(low + (stats.peak - low) * 0.7))


def _read_pairs(store: Store, slug: str) -> Iterator[tuple[float, float]]:
    for unit in _units(store, slug, N_SCANS):
        yield wall_ms(lambda u=unit: store.card(u)), wall_ms(lambda u=unit: [_filtered(store, u, table) for table in ("units", "examples")])


def _filtered(store: Store, unit: UnitId, table: str) -> list[dict[str, Any]]:
    """The same rows as people read them who have no index: pyarrow's filter."""
    files = sorted((store.settings.data / unit.dictionary).glob(f"{table}-*.parquet"))
    return [row for file in files for row in _PARQUET.read_table(file, filters=[("unit", "=", unit.index)]).to_pylist()]


def _search_pairs(store: Store, slug: str) -> Iterator[tuple[float, float]]:
    peaks = store.dictionary(slug).table("peaks")
    for unit in _units(store, slug, N_SCANS):
        low, high = _bounds(store, unit)
        found: list[list[float]] = []

        def ours(u: UnitId = unit, low: float = low, high: float = high, found: list[list[float]] = found) -> None:
            found.append([hit.peak for hit in store.search(u, low, high, n=N_HITS)])

        def scan(u: UnitId = unit, low: float = low, high: float = high, found: list[list[float]] = found) -> None:
            found.append(_scanned(peaks.all(["unit", "tail", "peak", "sample", "at"]), u.index, low, high))

        times = wall_ms(ours), wall_ms(scan)
        assert found[0] == found[1], f"{unit}: the search and the scan differ"
        yield times


def _scanned(table: pa.Table, unit: int, low: float, high: float) -> list[float]:
    """The largest peaks within bounds, by looking at every row."""
    pc = _COMPUTE
    peak = pc.cast(table.column("peak"), pa.float64())
    mask = pc.and_(pc.equal(table.column("unit"), unit), pc.equal(table.column("tail"), 1))
    mask = pc.and_(mask, pc.and_(pc.greater_equal(peak, low), pc.less_equal(peak, high)))
    return sorted(peak.filter(mask).to_pylist(), reverse=True)[:N_HITS]


if __name__ == "__main__":
    report(measure())
