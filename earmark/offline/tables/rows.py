"""From what a pass has accumulated to the rows of the tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...measure.effects import direct_effects
from ...models.base import TextModel
from ...runtime import Opened
from ...shelf.folders import Corpus
from ...shelf.schema import EFFECTS, EXAMPLES, QUANTILES, TIMELINE, UNITS
from ...shelf.tables import TableWriter
from ...tensors import as_floats, as_ints
from ...units import KINDS, Kind
from .accumulate import N_BINS, Accumulator, bin_edges
from .keep import Kept
from .peaks import Floors, write_peaks
from .timeline import N_POSITIONS, timeline_rows

N_NEIGHBOURS = 8
N_SHOWN_BINS = 48
QUANTILE_GROUPS = (("q90", 0.9), ("q75", 0.75), ("q50", 0.5), ("q25", 0.25), ("q00", 0.0))
N_A_QUANTILE = 3
TRACE_LEVELS = (255, 51)
"""steps of a trace, of sounds and of texts: a byte then holds multiples of 5, which pack better; a heatmap shows no finer ones"""


@dataclass(frozen=True)
class Built:
    """One dictionary after its pass."""

    opened: Opened
    accumulator: Accumulator
    spills: Sequence[Path]
    correlations: dict[str, NDArray[np.float32]]
    """other dictionary -> r [n_units, its units]"""
    kinds: dict[str, Kind]
    """of every dictionary of the pass"""
    corpus: Corpus
    timeline: Path
    """stem of the files that hold the first positions"""
    n_line: int = N_POSITIONS
    """positions on the line"""
    n_peaks: int | None = None
    """samples kept in `peaks`, see `Plan`"""
    levels: int = 255
    """steps between a trace's smallest and largest value"""
    reader: TextModel | None = None
    """a language model that predicts tokens, on which units have direct effects"""


def write_tables(built: Built, folder: Path) -> None:
    """Write units, examples, peaks and timeline, and of a language model's units the direct effects."""
    a = built.accumulator
    floors = write_peaks(a, built.spills, built.n_peaks, folder)
    tables = {UNITS: _units(built, floors), EXAMPLES: _examples(a, built.levels), TIMELINE: timeline_rows(built.timeline, a.n_units, built.n_line)}
    if built.reader is not None:
        tables[EFFECTS] = effect_rows(built.reader, built.opened)
    for spec, rows in tables.items():
        writer = TableWriter(folder, spec)
        for block in rows:
            writer.write(block)
        writer.close()


# -- units ---------------------------------------------------------------------------------------------------------------


def _units(built: Built, floors: Floors) -> Iterator[list[dict[str, Any]]]:
    a = built.accumulator
    directions = built.opened.dictionary.directions()  # the axes of the stream have none: they stand at right angles
    none: list[tuple[list[int], list[float]]] = [([], [])] * a.n_units
    neighbours = decoder_neighbours(directions, N_NEIGHBOURS) if directions is not None else none
    n = max(a.n_positions, 1)
    for unit in range(a.n_units):
        n_nonzero = int(a.n_nonzero[unit])
        edges, counts = shown_histogram(a.histogram[unit], a.signed)
        floor, floor_abs = floors[unit]
        match = _match(built, unit)
        best, worst = a.top.of(unit), a.bottom.of(unit) if a.bottom else None
        yield [
            {
                "unit": unit,
                "density": int(a.n_above[unit]) / n,
                "nonzero": n_nonzero / n,
                "dead": n_nonzero == 0,
                "peak": float(best.peaks[0]) if len(best.peaks) else 0.0,
                "low": float(worst.peaks[0]) if worst is not None and len(worst.peaks) else 0.0,
                "mean": float(a.sum[unit]) / n_nonzero if n_nonzero else 0.0,
                "quantiles": histogram_quantiles(a.histogram[unit], a.signed, QUANTILES),
                "edges": edges,
                "counts": counts,
                "n_positions": a.n_positions,
                "n_samples": int(a.n_active_samples[unit]),
                "floor": floor,
                "floor_abs": floor_abs,
                "neighbours": neighbours[unit][0],
                "cosines": neighbours[unit][1],
                "match_dictionary": match[0] if match else None,
                "match_unit": match[1] if match else None,
                "match_correlation": match[2] if match else None,
            }
        ]


def _match(built: Built, unit: int) -> tuple[str, int, float] | None:
    """The best-correlated unit: for a feature a neuron, for a neuron or an axis a feature."""
    if built.accumulator.n_nonzero[unit] == 0:
        return None
    order = sorted(built.correlations, key=lambda slug: KINDS.index(built.kinds[slug]))
    for slug in order:
        r = built.correlations[slug][unit]
        best = int(r.argmax())
        if r[best] > 0:
            return slug, best, float(r[best])
    return None


def decoder_neighbours(directions: torch.Tensor, n: int) -> list[tuple[list[int], list[float]]]:
    """For each unit the n units with the highest cosine of directions [n_units, d], itself left out."""
    unit_rows = torch.nn.functional.normalize(directions.float(), dim=1)
    found: list[tuple[list[int], list[float]]] = []
    for start in range(0, len(unit_rows), 1024):
        cosines = unit_rows[start : start + 1024] @ unit_rows.T
        cosines[torch.arange(len(cosines)), torch.arange(start, start + len(cosines))] = -2.0
        values, indices = cosines.topk(min(n, len(unit_rows) - 1), dim=1)
        found += [(as_ints(near), as_floats(cosine)) for near, cosine in zip(indices, values, strict=True)]
    return found


def signed_edges(signed: bool) -> NDArray[np.float64]:
    """Ascending edges of the accumulator's bins."""
    edges = bin_edges()
    return np.concatenate([-edges[::-1], edges]) if signed else edges


def histogram_quantiles(counts: NDArray[np.int64], signed: bool, shares: Sequence[float]) -> list[float]:
    """Quantiles of the non-zero values: the middle of the bin in which the share is reached."""
    total = counts.sum()
    if not total:
        return []
    edges = signed_edges(signed)
    lower = np.delete(edges[:-1], N_BINS) if signed else edges[:-1]
    upper = np.delete(edges[1:], N_BINS) if signed else edges[1:]
    number: NDArray[np.intp] = np.searchsorted(np.cumsum(counts), np.asarray(shares, np.float64) * int(total), side="left")
    return [float((lower[i] + upper[i]) / 2) for i in np.minimum(number, len(counts) - 1)]


def shown_histogram(counts: NDArray[np.int64], signed: bool) -> tuple[list[float], list[int]]:
    """(ascending edges [n + 1], counts [n]): the held bins joined to at most 48 of equal ratio, per sign.

    What lies nearer to 0 than the smallest magnitude that is told apart stands in one bin around 0.
    """
    sides = ((-1, counts[:N_BINS][::-1]), (1, counts[N_BINS:])) if signed else ((1, counts),)
    tiny = int(sum(part[0] for _, part in sides))
    parts = [(sign, part, *(int(end) + 1 for end in np.flatnonzero(part[1:])[[0, -1]])) for sign, part in sides if part[1:].any()]
    width = max((-(-(last + 1 - first) // (N_SHOWN_BINS // len(parts))) for _, _, first, last in parts), default=1)
    magnitudes = bin_edges()
    edges: list[float] = []
    found: list[int] = []
    for sign, part, first, last in parts:
        starts = np.arange(first, last + 1, width)
        sums = np.add.reduceat(part[: last + 1], starts).tolist()
        bounds = (sign * magnitudes[np.append(starts, min(starts[-1] + width, N_BINS))]).tolist()
        if sign < 0:
            edges, found = bounds[::-1], sums[::-1]
        else:
            around_zero = [tiny] if edges or tiny else []
            edges = (edges or [-magnitudes[1] if signed else 0.0] if around_zero else []) + bounds
            found = found + around_zero + sums
    if tiny and not any(sign > 0 for sign, *_ in parts):
        edges, found = [*(edges or [-magnitudes[1] if signed else 0.0]), float(magnitudes[1])], [*found, tiny]
    return [float(e) for e in edges], found


# -- examples ------------------------------------------------------------------------------------------------------------


def _examples(a: Accumulator, levels: int) -> Iterator[list[dict[str, Any]]]:
    for unit in range(a.n_units):
        rows = _group_rows(unit, "top", a.top.of(unit))
        rows += _quantile_rows(unit, a.drawn.of(unit))
        if a.bottom is not None:
            rows += _group_rows(unit, "bottom", a.bottom.of(unit))
        if rows:
            yield [row | {"trace": _stepped(row["trace"], levels).tobytes()} for row in rows]


def _stepped(trace: NDArray[np.uint8], levels: int) -> NDArray[np.uint8]:
    """The same in fewer steps; levels divides 255."""
    return (np.rint(trace / 255 * levels) * (255 // levels)).astype(np.uint8)


def _quantile_rows(unit: int, drawn: Kept) -> list[dict[str, Any]]:
    """Three examples at each true quantile of the drawn samples' peaks, none of them twice."""
    order = np.lexsort((drawn.rows, drawn.peaks))
    taken: set[int] = set()
    rows: list[dict[str, Any]] = []
    for name, share in QUANTILE_GROUPS:
        middle = round(share * (len(order) - 1))
        nearest = sorted(range(len(order)), key=lambda place: (abs(place - middle), place))
        chosen = [place for place in nearest if place not in taken][:N_A_QUANTILE]
        taken.update(chosen)
        kept = order[sorted(chosen, reverse=True)]
        rows += _group_rows(unit, name, drawn, kept)
    return rows


def _group_rows(unit: int, group: str, kept: Kept, order: Sequence[int] | NDArray[np.intp] | None = None) -> list[dict[str, Any]]:
    return [
        {
            "unit": unit,
            "group": group,
            "rank": rank,
            "sample": int(kept.rows[i]),
            "peak": float(kept.peaks[i]),
            "at": int(kept.at[i]),
            "start": int(kept.starts[i]),
            "trace": kept.traces[i, : kept.lengths[i]],
            "low": float(kept.lows[i]),
            "high": float(kept.highs[i]),
        }
        for rank, i in enumerate(range(len(kept.rows)) if order is None else order)
    ]


# -- effects -------------------------------------------------------------------------------------------------------------


def effect_rows(model: TextModel, opened: Opened) -> Iterator[list[dict[str, Any]]]:
    """Each unit's direct effect on the next token; an axis of the stream is its own direction."""
    directions = opened.dictionary.directions()
    for unit, effect in enumerate(direct_effects(model.readout(), torch.eye(opened.hook.width) if directions is None else directions)):
        ends = {"top": effect.top, "bottom": effect.bottom}
        row: dict[str, Any] = {"unit": unit, "kurtosis": effect.kurtosis}
        for name, tokens in ends.items():
            ids, values = [token for token, _ in tokens], [value for _, value in tokens]
            row |= {f"{name}_ids": ids, f"{name}_tokens": list(model.tokens_of(ids)), f"{name}_values": values}
        yield [row]
