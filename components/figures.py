"""Figures as inline SVG numbers: traces over spectrograms, ticks in seconds, histograms. No gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from earmark.cards import Example, Histogram

Y_SPAN = 100
X_PER_S = 100
"""SVG units of a trace: hundredths of a second, hundredths of the height"""
MAX_POINTS = 800


@dataclass(frozen=True)
class TraceView:
    """A trace as SVG paths in a box of duration x X_PER_S by Y_SPAN."""

    line: str
    area: str
    zero_y: float
    end_x: float


@dataclass(frozen=True)
class Bar:
    """One bin of a histogram, in a box of 100 by 100."""

    x: float
    width: float
    height: float
    low: float
    high: float
    count: int


def trace_view(example: Example, low: float, high: float) -> TraceView:
    """The paths of an example's trace between the values `low` (bottom) and `high` (top)."""
    hop_s = (example.end_s - example.start_s) / max(len(example.trace), 1)
    return line_view(example.trace, example.start_s, hop_s, low, high)


def clip_trace(values: np.ndarray, hop_s: float) -> TraceView:
    """A whole clip's trace between its smallest value (or 0) and its largest."""
    low, high = min(0.0, float(values.min(initial=0))), max(0.0, float(values.max(initial=0)))
    return line_view(values, 0.0, hop_s, low, high)


def line_view(values: np.ndarray, start_s: float, hop_s: float, low: float, high: float) -> TraceView:
    """Values from `start_s` on, a point at each frame's centre, in a box of seconds x X_PER_S by Y_SPAN from `low` to `high`.

    Of more than MAX_POINTS frames every run keeps its most extreme one, at that frame's own time.
    """
    n = len(values)
    run = -(-n // MAX_POINTS)
    kept = np.arange(n) if run < 2 else np.array([first + int(np.abs(values[first : first + run]).argmax()) for first in range(0, n, run)])
    scale = 0.96 * Y_SPAN / ((high - low) or 1.0)
    x = np.round((start_s + (kept + 0.5) * hop_s) * X_PER_S, 1)
    y = np.round(Y_SPAN - (np.clip(values[kept], low, high) - low) * scale, 1)
    bends = np.ones(len(kept), dtype=bool)
    bends[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
    points = (" %g,%g" * int(bends.sum())) % tuple(np.stack((x, y), 1)[bends].ravel().tolist())
    zero = round(Y_SPAN + low * scale, 1)
    area = f"M{x[0]:g},{zero:g} L{points[1:]} L{x[-1]:g},{zero:g}Z" if points else ""
    return TraceView(f"M{points[1:]}" if points else "", area, zero, round((start_s + n * hop_s) * X_PER_S, 1))


def group_span(examples: Sequence[Example]) -> tuple[float, float]:
    """The values at the bottom and the top of a group's pictures: 0 is always within."""
    low = min([0.0, *(float(e.trace.min()) for e in examples if len(e.trace))])
    high = max([0.0, *(float(e.trace.max()) for e in examples if len(e.trace))])
    return low, high


def ticks(duration_s: float) -> list[tuple[float, str]]:
    """Ticks of a time axis: place in percent and label, whole steps of seconds that leave room for the labels."""
    step = next((s for limit, s in ((0.6, 0.1), (1.2, 0.2), (4.0, 0.5), (8.0, 1.0), (16.0, 2.0)) if duration_s <= limit), 5.0)
    times = [k * step for k in range(int(duration_s / step + 1e-6) + 1)]
    return [(100 * t / max(duration_s, 1e-6), f"{t:g}") for t in times if t <= duration_s * 0.985 or t == 0]


def bars(histogram: Histogram) -> list[Bar]:
    """Bars of equal width (the bins grow by a factor, so the axis is logarithmic), heights by the square root of the counts."""
    counts = histogram.counts
    top = max(counts, default=0)
    if not top:
        return []
    first = next(i for i, c in enumerate(counts) if c)
    last = len(counts) - next(i for i, c in enumerate(reversed(counts)) if c)
    width = 100 / (last - first)
    return [
        Bar((i - first) * width, width, max(1.5, 100 * (counts[i] / top) ** 0.5) if counts[i] else 0, histogram.edges[i], histogram.edges[i + 1], counts[i])
        for i in range(first, last)
    ]


def log_share(share: float, lowest: float = 1e-6) -> float:
    """A share of 0..1 on a logarithmic scale, as percent of a bar's length."""
    return 0.0 if share <= 0 else max(2.0, 100 * (1 - np.log10(max(share, lowest)) / np.log10(lowest)))
