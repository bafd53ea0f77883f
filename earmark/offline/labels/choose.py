"""A label for each unit, chosen on one half of the samples and judged on the other; and the same for labels that mean nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...measure.labels import MIN_SAMPLES, Counts, Judged, auroc, judge
from .channels import UNKNOWN, Channel
from .firing import Firing

LAGS_S = (-0.04, -0.02, 0.0, 0.02, 0.04, 0.06)
"""a unit at t is compared with what is said at t - lag: units of Whisper fire about 20 ms after the label"""
N_TRIED = 8
"""candidates of a unit that are looked at until one comes from enough samples"""
_UNITS_A_BLOCK = 1024


@dataclass(frozen=True)
class Label:
    """What a unit responds to, with its figures on the half that did not choose it."""

    unit: int
    kind: str
    """phone (of texts token), word, class or context"""
    text: str
    lag_s: float
    """how long after the label the unit is at its best"""
    judged: Judged
    auroc: float | None
    """of the unit's peak in a sample for "this sample contains it" """

    @property
    def holds(self) -> bool:
        return self.judged.holds


@dataclass(frozen=True)
class Ground:
    """What labels are chosen and judged on."""

    channels: Sequence[Channel]
    rows: NDArray[np.int32]
    """[n_positions] sample of each position"""
    half: NDArray[np.int8]
    """[n_samples] 0 or 1; -1: no labels"""
    sides: NDArray[np.int8]
    """[n_positions] its sample's half; -1 where nothing is counted: no labels, or an attention sink"""
    lags: tuple[int, ...]
    """in positions"""
    hop_s: float


def ground(channels: Sequence[Channel], rows: NDArray[np.int32], half: NDArray[np.int8], hop_s: float, sides: NDArray[np.int8] | None = None) -> Ground:
    """Lags are those of LAGS_S; of texts, where a position is a token, 0 alone. Without `sides` every position of a labelled sample counts."""
    return Ground(channels, rows, half, half[rows] if sides is None else sides, tuple(sorted({round(lag / hop_s) for lag in LAGS_S})), hop_s)


def shifted(channel: Channel, sides: NDArray[np.int8], by: float) -> Channel:
    """The same labels, moved on by a share of each half's known positions, round the end: as regular as before, and about nothing."""
    codes = channel.codes.copy()
    for side in (0, 1):
        known = np.flatnonzero((sides == side) & (codes != UNKNOWN))
        codes[known] = np.roll(codes[known], round(by * len(known)))
    return replace(channel, codes=codes)


def lagged(channel: Channel, rows: NDArray[np.int32], lag: int) -> NDArray[np.int32]:
    """codes[t - lag], unknown where that lies in another sample."""
    codes = np.full_like(channel.codes, UNKNOWN)
    n = len(codes)
    here, there = slice(max(lag, 0), n + min(lag, 0)), slice(max(-lag, 0), n - max(lag, 0))
    same = rows[here] == rows[there]
    codes[here] = np.where(same, channel.codes[there], UNKNOWN)
    return codes


def count(codes: NDArray[np.int32], n_labels: int, on: Ground, side: int, units: NDArray[np.int64], positions: NDArray[np.int64], n_units: int) -> Counts:
    """Counts over one half: units [m] (from 0 within n_units) and positions [m] of their activity."""
    in_half = (on.sides == side) & (codes != UNKNOWN)
    there = np.bincount(codes[in_half & (codes >= 0)], minlength=n_labels)
    mine = in_half[positions]
    code, unit = codes[positions[mine]], units[mine]
    active = np.bincount(unit, minlength=n_units)
    named = code >= 0
    both = np.bincount(unit[named] * n_labels + code[named], minlength=n_units * n_labels).reshape(n_units, n_labels)
    return Counts(both, active, there, int(in_half.sum()))


def labels_of(firing: Firing, on: Ground) -> Iterator[Label]:
    """The best label of each unit that has one on the first half, whether or not it holds on the second."""
    bases: dict[tuple[int, int], tuple[NDArray[np.int64], int]] = {}
    for first in range(0, firing.n_units, _UNITS_A_BLOCK):
        last = min(first + _UNITS_A_BLOCK, firing.n_units)
        mine = slice(*np.searchsorted(firing.units, (first, last)))
        units, positions = firing.units[mine].astype(np.int64) - first, firing.positions[mine]
        best: list[list[tuple[float, int, int, int]]] = [[] for _ in range(last - first)]
        for number, channel in enumerate(on.channels):
            for lag in on.lags if channel.labels else ():
                bits = count(lagged(channel, on.rows, lag), len(channel.labels), on, 0, units, positions, last - first).bits()
                for unit, label in zip(*np.nonzero(bits), strict=True):
                    best[int(unit)].append((-float(bits[unit, label]), number, lag, int(label)))
        for unit, candidates in enumerate(best):
            own = positions[slice(*np.searchsorted(units, (unit, unit + 1)))]
            found = next((c for c in sorted(candidates)[:N_TRIED] if _n_samples(own, on, *c[1:]) >= MIN_SAMPLES), None)
            if found is not None:
                number, lag, label = found[1:]
                if (number, lag) not in bases:
                    bases[number, lag] = _base(on, number, lag)
                yield _judged(firing, on, first + unit, own, number, lag, label, *bases[number, lag])


def _n_samples(positions: NDArray[np.int64], on: Ground, number: int, lag: int, label: int) -> int:
    """Samples of the first half in which the unit is active on the label."""
    hits = positions[_codes_at(positions, on, number, lag) == label]
    samples = np.unique(on.rows[hits])
    return int((on.half[samples] == 0).sum())


def _codes_at(positions: NDArray[np.int64], on: Ground, number: int, lag: int) -> NDArray[np.int32]:
    at = positions - lag
    inside = (at >= 0) & (at < len(on.rows))
    at = np.where(inside, at, 0)
    same = inside & (on.rows[at] == on.rows[positions])
    return np.where(same, on.channels[number].codes[at], UNKNOWN)


def _base(on: Ground, number: int, lag: int) -> tuple[NDArray[np.int64], int]:
    """(positions of the second half with each label, positions whose label is known there)."""
    nobody = np.empty(0, np.int64)
    counts = count(lagged(on.channels[number], on.rows, lag), len(on.channels[number].labels), on, 1, nobody, nobody, 0)
    return counts.there, counts.n_positions


def _judged(
    firing: Firing, on: Ground, unit: int, positions: NDArray[np.int64], number: int, lag: int, label: int, there: NDArray[np.int64], n_positions: int
) -> Label:
    channel = on.channels[number]
    codes = _codes_at(positions[on.sides[positions] == 1], on, number, lag)
    counts = Counts(np.array([[(codes == label).sum()]]), np.array([(codes != UNKNOWN).sum()]), there[label : label + 1], n_positions)
    samples = np.flatnonzero(on.half == 1)
    containing = np.zeros(len(on.half), bool)
    containing[on.rows[channel.codes == label]] = True
    area = auroc(firing.peaks[unit, samples].astype(np.float32), containing[samples])
    return Label(unit, channel.kind, channel.labels[label], (lag + channel.distance) * on.hop_s, judge(counts, 0, 0), area)
