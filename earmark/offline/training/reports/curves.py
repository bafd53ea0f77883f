"""Figures of a training as SVG files: curves over its steps, and FVU against L0 of several runs. Colours follow the reader's light or dark mode."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 200, 64, 132, 28, 34
_INKS = ("#3b82f6", "#d97706", "#059669", "#db2777", "#7c3aed")
_STYLE = """text{font:12px system-ui,sans-serif;fill:#333}.title{font-weight:600}.axis{stroke:#888;fill:none}.grid{stroke:#8884;fill:none}
@media(prefers-color-scheme:dark){svg{background:#111}text{fill:#ddd}}"""


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    series: Mapping[str, Sequence[Point]]
    """name -> (x, y), drawn as a line"""
    x_title: str = "step"
    log_y: bool = False
    """where every value is above 0; else the axis is plain"""
    marks: Sequence[tuple[float, float, str]] = ()
    """(x, y, name): points with names beside them"""


def training_svg(log: Sequence[Mapping[str, float]]) -> str:
    """Loss with its parts, FVU, L0, dead units and rate over the steps."""
    losses = {name: name.removeprefix("loss_") for name in (log[-1] if log else ()) if name.startswith("loss")}
    panels = [Panel("Loss and its parts", {shown: _curve(log, name) for name, shown in losses.items()}, log_y=True)]
    for name, title in (("fvu", "FVU: share of the variance that is missed"), ("l0", "L0: active units at a position")):
        panels.append(Panel(title, {name.upper(): _curve(log, name)}))
    panels.append(Panel("Share of units that were long silent", {"dead": _curve(log, "dead")}))
    panels.append(Panel("Learning rate", {"rate": _curve(log, "lr")}))
    return svg(panels)


def pareto_svg(runs: Sequence[tuple[str, float, float]]) -> str:
    """(name, L0, FVU) of each run; the line joins those that no other beats in both."""
    ahead = front(runs)
    panel = Panel("FVU against L0, on held-out positions", {"none is better": [(l0, fvu) for _, l0, fvu in ahead]}, "L0: active units at a position")
    return svg([Panel(panel.title, panel.series, panel.x_title, marks=[(l0, fvu, name) for name, l0, fvu in runs])], height=360)


def front(runs: Iterable[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """The runs (name, L0, FVU) that none has both fewer active units and less FVU than, by L0."""
    ahead: list[tuple[str, float, float]] = []
    for run in sorted(runs, key=lambda run: run[1:]):
        if not ahead or run[2] < ahead[-1][2]:
            ahead.append(run)
    return ahead


def svg(panels: Sequence[Panel], height: int = _HEIGHT) -> str:
    """Panels below each other."""
    drawn = "".join(f'<g transform="translate(0 {i * height})">{_panel(panel, height)}</g>' for i, panel in enumerate(panels))
    size = f'viewBox="0 0 {_WIDTH} {height * len(panels)}" width="{_WIDTH}" height="{height * len(panels)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><style>{_STYLE}</style>{drawn}</svg>\n'


def _curve(log: Sequence[Mapping[str, float]], name: str) -> list[Point]:
    return [(line["step"], line[name]) for line in log if math.isfinite(line.get(name, math.nan))]


def _panel(panel: Panel, height: int) -> str:
    points = [*(p for line in panel.series.values() for p in line), *((x, y) for x, y, _ in panel.marks)]
    title = f'<text class="title" x="{_LEFT}" y="18">{escape(panel.title)}</text>'
    if not points:
        return title + f'<text x="{_LEFT}" y="48">Nothing was measured.</text>'
    log_y = panel.log_y and all(y > 0 for _, y in points)
    ys = [y for _, y in points]
    (x_low, x_high), (y_low, y_high) = _range([x for x, _ in points]), _logs(ys) if log_y else _range(ys)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        up = ((math.log10(y) if log_y else y) - y_low) / (y_high - y_low) * (height - _TOP - _BOTTOM)
        return round(_LEFT + across, 1), round(height - _BOTTOM - up, 1)

    bottom, right = height - _BOTTOM, _WIDTH - _RIGHT
    parts = [title, f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>']
    for share in (0.0, 0.5, 1.0):
        value = y_low + share * (y_high - y_low)
        y = bottom - share * (bottom - _TOP)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(10**value if log_y else value)}</text>')
    for share, anchor in ((0.0, "start"), (1.0, "end")):
        x = _LEFT + share * (right - _LEFT)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="{anchor}">{_number(x_low + share * (x_high - x_low))}</text>')
    parts.append(f'<text x="{(_LEFT + right) / 2:.1f}" y="{bottom + 28}" text-anchor="middle">{escape(panel.x_title)}</text>')
    for number, (name, line) in enumerate(panel.series.items()):
        ink = _INKS[number % len(_INKS)]
        path = " ".join(f"{x},{y}" for x, y in (at(*p) for p in line))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{ink}" stroke-width="1.5"><title>{escape(name)}</title></polyline>')
        parts.append(f'<text x="{right + 8}" y="{_TOP + 8 + 16 * number}" style="fill:{ink}">{escape(name)}</text>')
    for x, y, name in panel.marks:
        left, top = at(x, y)
        told = escape(f"{name}: {_number(x)}, {_number(y)}")
        parts.append(f'<circle cx="{left}" cy="{top}" r="4" fill="{_INKS[0]}"><title>{told}</title></circle>')
        parts.append(f'<text x="{left + 7}" y="{top - 6 if top > _TOP + 12 else top + 18}">{escape(name)}</text>')
    return "".join(parts)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From 0, or where the values begin below it, to a round number above them."""
    low, high = min(0.0, *values), max(0.0, *values)
    step = 10.0 ** math.floor(math.log10(max(high, -low) or 1.0))
    whole = next(n for n in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if n * step >= max(high, -low))
    return (-whole * step if low < 0 else 0.0), (whole * step if high > 0 or low == 0 else 0.0)


def _logs(values: Sequence[float]) -> tuple[float, float]:
    """Logarithms of base 10, with some room where all are the same."""
    low, high = math.log10(min(values)), math.log10(max(values))
    return (low, high) if high - low > 1e-6 else (low - 0.1, low + 0.1)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
