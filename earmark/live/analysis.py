"""Which units fire on a visitor's sound or text: one pass, then everything is read from the stored traces. No torch by itself.

A text's positions are tokens: its grid has a hop of 1 and no offset, and where seconds are asked for, the number of a token is meant.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, EarmarkError
from ..shelf.store import Store
from ..units import Analysis, FrameGrid, UnitHit, Waveform

if TYPE_CHECKING:
    from ..cards import UnitLabel
    from ..dictionaries.base import Codes
    from ..runtime import Runtime

MAX_HITS = 500
ORDERS = ("relative", "peak", "mean", "rarity")
MOMENT = "moment"
"""the order by the values at one time, where a time can be chosen"""
REGION = "region"
"""the order by what is specific to a stretch, where one can be chosen"""


def analyse(runtime: Runtime, store: Store, slug: str, sound: Waveform, *, top: int = 20, order: str = "relative", transcribe: bool = True) -> Analysis:
    """The `top` units that fire on a sound, sorted by `order` (see `rank`). Raises BadInput for an unknown order or a top out of range."""
    check_order(top, order)
    opened = runtime.open(slug)
    taken = runtime.capture(opened.entry.model, sound, [opened])[opened.hook]
    hits, traces = rank(store, slug, opened.dictionary.codes(taken.values), taken.grid, top=top, order=order)
    text = runtime.read(opened.entry.model, sound) if transcribe else None
    return Analysis(hits, traces, taken.grid, sound.duration_s, text)


def check_order(top: int, order: str) -> None:
    if not 1 <= top <= MAX_HITS:
        raise BadInput(f"top is {top}; 1 to {MAX_HITS} units can be listed.")
    if order not in ORDERS:
        raise BadInput(f"There is no order '{order[:40]}'; valid: {', '.join(ORDERS)}.")


def rank(
    store: Store,
    slug: str,
    codes: Codes,
    grid: FrameGrid,
    *,
    top: int,
    order: str,
    at_s: float = 0.0,
    to_s: float = 0.0,
    left_out: NDArray[np.bool_] | None = None,
) -> tuple[tuple[UnitHit, ...], dict[int, np.ndarray]]:
    """The `top` units that fire, and the trace of each.

    relative: peak over the unit's own largest value in the corpus, so that dense units do not swamp the list (by peak where there
    are no tables); peak; mean over positions; rarity: lowest density first; moment: the values in the frame that covers `at_s`;
    region: the mean from `at_s` to `to_s` above that of the rest, over the unit's own largest value. Positions of `left_out` [n_positions]
    must be 0 in `codes`, and count in no mean.
    """
    units, values = codes.active()
    if not len(units):
        return (), {}
    counted = np.ones(len(values), bool) if left_out is None else ~left_out
    means = values[counted].mean(axis=0)
    at = values.argmax(axis=0)
    peaks = values[at, np.arange(len(units))]
    corpus_peak, density = _known(store, slug, units)
    relative = np.divide(peaks, corpus_peak, out=np.full(len(units), np.nan), where=corpus_peak > 0)
    largest = np.maximum(peaks, 1e-9)
    keys = {
        "relative": lambda: peaks if np.isnan(relative).all() else np.nan_to_num(relative),
        "peak": lambda: peaks,
        "mean": lambda: means,
        "rarity": lambda: -density,
        MOMENT: lambda: values[grid.frame_at(at_s)],
        REGION: lambda: _above_the_rest(values, counted, grid.frame_at(at_s), grid.frame_at(to_s)) / np.where(corpus_peak > 0, corpus_peak, largest),
    }
    key = keys[order]()
    chosen = np.lexsort((units, -key))
    fires = key > 0 if order in {MOMENT, REGION} else peaks > 0
    chosen = chosen[fires[chosen]][:top]
    labels = _labels(store, slug)
    named = ((i, labels.get(int(units[i]))) for i in chosen)
    hits = tuple(
        UnitHit(
            unit=int(units[i]),
            peak=float(peaks[i]),
            relative=_or_none(float(relative[i])),
            at_s=round(grid.start_s(int(at[i])), 6),
            mean=float(means[i]),
            density=_or_none(float(density[i])),
            label=label.text if label else None,
            shown=label.shown if label else None,
        )
        for i, label in named
    )
    return hits, {int(units[i]): values[:, i].copy() for i in chosen}


def _above_the_rest(values: np.ndarray, counted: np.ndarray, first: int, last: int) -> np.ndarray:
    """[n_units] mean over the counted frames from first to last, both included, less the mean over all others (0 where there are none)."""
    inside = np.zeros(len(values), bool)
    inside[min(first, last) : max(first, last) + 1] = True
    parts = (values[inside & counted], values[~inside & counted])
    here, elsewhere = (part.mean(axis=0) if len(part) else np.zeros(values.shape[1], np.float32) for part in parts)
    return here - elsewhere


def _known(store: Store, slug: str, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(largest value, density) of each unit in the corpus; not a number where there are no tables."""
    unknown = np.full(len(units), np.nan)
    try:
        frame = store.dictionary(slug).table("units").all(["peak", "density"])
    except EarmarkError:
        return unknown, unknown
    if frame.num_rows <= units.max():  # tables of another, smaller autoencoder
        return unknown, unknown
    return frame.column("peak").to_numpy()[units], frame.column("density").to_numpy()[units]


def _labels(store: Store, slug: str) -> dict[int, UnitLabel]:
    """{unit: its label}; empty where there are none."""
    try:
        return store.dictionary(slug).labels
    except EarmarkError:
        return {}


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
