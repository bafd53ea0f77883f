"""Which units fire on a visitor's sound: one pass, then everything is read from the stored traces."""

from __future__ import annotations

import math

import numpy as np

from ..errors import BadInput, EarmarkError
from ..runtime import Runtime
from ..shelf.store import Store
from ..units import Analysis, UnitHit, Waveform

MAX_HITS = 500
ORDERS = ("relative", "peak", "mean", "rarity")


def analyse(runtime: Runtime, store: Store, slug: str, sound: Waveform, *, top: int = 20, order: str = "relative", transcribe: bool = True) -> Analysis:
    """The `top` units that fire on a sound, sorted by `order`.

    relative: peak over the unit's own largest value in the corpus, so that dense units do not swamp the list (by peak where there
    are no tables); peak; mean over positions; rarity: lowest density first. Raises BadInput for an unknown order or a top out of range.
    """
    if not 1 <= top <= MAX_HITS:
        raise BadInput(f"top is {top}; 1 to {MAX_HITS} units can be listed.")
    if order not in ORDERS:
        raise BadInput(f"There is no order '{order[:40]}'; valid: {', '.join(ORDERS)}.")
    opened = runtime.open(slug)
    taken = runtime.capture(opened.entry.model, sound, [opened])[opened.hook]
    units, values = opened.dictionary.codes(taken.values).active()
    at = values.argmax(axis=0)
    peaks = values[at, np.arange(len(units))]
    corpus_peak, density = _known(store, slug, units)
    relative = np.divide(peaks, corpus_peak, out=np.full(len(units), np.nan), where=corpus_peak > 0)
    rank = {"relative": peaks if np.isnan(relative).all() else np.nan_to_num(relative), "peak": peaks, "mean": values.mean(axis=0), "rarity": -density}[order]
    chosen = np.lexsort((units, -rank))
    chosen = chosen[peaks[chosen] > 0][:top]
    hits = tuple(
        UnitHit(
            unit=int(units[i]),
            peak=float(peaks[i]),
            relative=_or_none(float(relative[i])),
            at_s=round(taken.grid.start_s(int(at[i])), 6),
            mean=float(values[:, i].mean()),
            density=_or_none(float(density[i])),
        )
        for i in chosen
    )
    text = runtime.model(opened.entry.model).read(sound) if transcribe else None
    return Analysis(hits, {int(units[i]): values[:, i].copy() for i in chosen}, taken.grid, sound.duration_s, text)


def _known(store: Store, slug: str, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(largest value, density) of each unit in the corpus; not a number where there are no tables."""
    try:
        frame = store.dictionary(slug).table("units").all(["peak", "density"])
    except EarmarkError:
        return np.full(len(units), np.nan), np.full(len(units), np.nan)
    return frame.column("peak").to_numpy()[units], frame.column("density").to_numpy()[units]


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
