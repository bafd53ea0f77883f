"""The best k of each unit, kept as samples go by: bounded, mergeable, and the same whatever the order of the samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_TRACE = 256
"""longest stored trace in positions: 5.1 s at 20 ms, around the peak"""
NO_KEY = np.iinfo(np.int64).max


def descending_key(peak: NDArray[np.float32], row: int) -> NDArray[np.int64]:
    """Keys whose ascending order is: largest peak first, then lowest row. Exact: no two (peak, row) share a key."""
    return (-_ordered(peak) << 32) + row


def ascending_key(peak: NDArray[np.float32], row: int) -> NDArray[np.int64]:
    """The same with the smallest peak first."""
    return (_ordered(peak) << 32) + row


def _ordered(value: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64 that compare as the floats do (the usual flip of the bits of negative floats); -0.0 counts as 0.0."""
    bits = (value + np.float32(0.0)).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


@dataclass
class Kept:
    """What `Best` holds for one unit, sorted by key."""

    rows: NDArray[np.int32]
    peaks: NDArray[np.float32]
    at: NDArray[np.int32]
    starts: NDArray[np.int32]
    lengths: NDArray[np.int16]
    lows: NDArray[np.float32]
    highs: NDArray[np.float32]
    traces: NDArray[np.uint8]


class Best:
    """For each unit the k candidates with the lowest keys: sample row, peak, position and, if asked for, the trace around it."""

    def __init__(self, n_units: int, k: int, traces: bool):
        self.k, self.has_traces = k, traces
        self.keys = np.full((n_units, k), NO_KEY, np.int64)
        self.worst = np.full(n_units, NO_KEY, np.int64)
        self.rows = np.zeros((n_units, k), np.int32)
        self.peaks = np.zeros((n_units, k), np.float32)
        self.at = np.zeros((n_units, k), np.int32)
        width = k if traces else 0
        self.starts = np.zeros((n_units, width), np.int32)
        self.lengths = np.zeros((n_units, width), np.int16)
        self.lows = np.zeros((n_units, width), np.float32)
        self.highs = np.zeros((n_units, width), np.float32)
        self.traces = np.zeros((n_units, width, N_TRACE), np.uint8)

    def offer(
        self, units: NDArray[np.int64], keys: NDArray[np.int64], row: int, peaks: NDArray[np.float32], at: NDArray[np.int64], values: NDArray[np.float32]
    ) -> None:
        """One sample's candidates, at most one a unit: units [m], keys [m], peaks [m], at [m], values [n_positions, m]."""
        better = np.flatnonzero(keys < self.worst[units])
        if not len(better):
            return
        chosen = units[better]
        slots = self.keys[chosen].argmax(axis=1)
        self.keys[chosen, slots] = keys[better]
        self.rows[chosen, slots] = row
        self.peaks[chosen, slots] = peaks[better]
        self.at[chosen, slots] = at[better]
        if self.has_traces:
            self._keep_traces(chosen, slots, at[better], values, better)
        self.worst[chosen] = self.keys[chosen].max(axis=1)

    def _keep_traces(
        self, units: NDArray[np.int64], slots: NDArray[np.int64], at: NDArray[np.int64], values: NDArray[np.float32], columns: NDArray[np.int64]
    ) -> None:
        n = len(values)
        length = min(n, N_TRACE)
        starts = np.clip(at - N_TRACE // 2, 0, n - length)
        around = values[starts[:, None] + np.arange(length), columns[:, None]]
        lows = np.minimum(around.min(axis=1), 0)
        highs = np.maximum(around.max(axis=1), 0)
        span = np.where(highs > lows, highs - lows, 1)
        self.starts[units, slots], self.lengths[units, slots] = starts, length
        self.lows[units, slots], self.highs[units, slots] = lows, highs
        self.traces[units, slots, :length] = np.rint((around - lows[:, None]) / span[:, None] * 255).astype(np.uint8)

    def merge(self, other: Best) -> None:
        """Take in what another shard kept; the result is that of one pass over both."""
        order = np.argsort(np.concatenate([self.keys, other.keys], axis=1), axis=1, kind="stable")[:, : self.k]
        for name in ("keys", "rows", "peaks", "at", *(("starts", "lengths", "lows", "highs", "traces") if self.has_traces else ())):
            joined: NDArray[Any] = np.concatenate([getattr(self, name), getattr(other, name)], axis=1)
            setattr(self, name, np.take_along_axis(joined, order if joined.ndim == 2 else order[:, :, None], axis=1))
        self.worst = self.keys.max(axis=1)

    def of(self, unit: int) -> Kept:
        """What one unit kept, best first."""
        order = np.argsort(self.keys[unit])
        order = order[: int((self.keys[unit] != NO_KEY).sum())]
        traced = order if self.has_traces else order[:0]
        return Kept(
            self.rows[unit][order],
            self.peaks[unit][order],
            self.at[unit][order],
            self.starts[unit][traced],
            self.lengths[unit][traced],
            self.lows[unit][traced],
            self.highs[unit][traced],
            self.traces[unit][traced],
        )

    def state(self) -> dict[str, NDArray[Any]]:
        return {n: getattr(self, n) for n in ("keys", "rows", "peaks", "at", "starts", "lengths", "lows", "highs", "traces")}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        for name, array in state.items():
            setattr(self, name, array)
        self.worst = self.keys.max(axis=1)
