"""Figures of a training of the Lab, drawn by plotly: functions from plain values to a figure. No gradio; plotly is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import prose
from .charts import CHANCE, blank, filled
from .plots import AXIS, INK, LINES, PLAIN, Chart, chart_grid, tell

LOSSES = {"total": "total", "reconstruction": "reconstruction", "sparsity": "L1", "covariance": "covariance"}
LOSS_COLOURS = {"total": INK, "reconstruction": LINES[0], "sparsity": LINES[1], "covariance": CHANCE}
HEAT = [[0.0, "rgba(194,65,12,0)"], [0.02, "rgba(194,65,12,.1)"], [1.0, "rgba(194,65,12,1)"]]
SIGNED = [[0.0, LINES[1]], [0.5, "rgba(128,128,128,.06)"], [1.0, LINES[0]]]
GRID = 4
"""encoders on a side"""
BRIGHT = 0.98
"""share of the values above 0 that a heatmap tells apart by colour; what is larger is as dark as the largest of these"""
MAX_BARS = 64
MAX_NAMED = 40
"""rows of a heatmap that get their names"""


def losses_figure(losses: Mapping[str, NDArray[np.floating]]) -> Chart:
    """The total and its parts at each step, on a logarithmic axis, which has no 0."""
    chart = blank("", legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    for name, line in losses.items():
        hover = f"{LOSSES[name]} %{{y:.4g}} at step %{{x}}<extra></extra>"
        style = {"color": LOSS_COLOURS[name], "width": 2.4 if name == "total" else 1.6}
        y = np.where(line > 0, line, np.nan)
        chart.add_scatter(x=np.arange(1, len(line) + 1), y=y, name=LOSSES[name], mode="lines", line=style, hovertemplate=hover)
    chart.update_xaxes(title="step")
    chart.update_yaxes(title="loss", type="log", dtick=1, tickformat="~g")  # powers of ten alone
    ways = [f"{LOSSES[name]} from {prose.short(float(line[0]))} to {prose.short(float(line[-1]))}" for name, line in losses.items()]
    return tell(chart, f"Losses over {max(map(len, losses.values()), default=0)} steps: {'; '.join(ways)}.")


def heat_figure(values: NDArray[np.floating], units: Sequence[int], places: Sequence[str], axis: str) -> Chart:
    """values [n_positions, n_units] of some latents, a row each; places: what stands at each position."""
    chart = blank("", height=min(max(14 * len(units) + 90, 220), 560))
    names = [f"latent {u}" for u in units]
    shown = [f"{i} {escape(' '.join(place.split())) or '·'}" for i, place in enumerate(places)]
    above = values[values > 0]
    most = float(np.quantile(above, BRIGHT)) if len(above) else 1.0
    bar = {"thickness": 8, "outlinewidth": 0, "title": {"text": "value", "side": "right"}}
    hover = "%{y}, %{x}: %{z:.4g}<extra></extra>"
    chart.add_heatmap(z=values.T.astype(np.float32), x=shown, y=names, colorscale=HEAT, zmin=0, zmax=most, colorbar=bar, hovertemplate=hover)
    chart.update_xaxes(title=axis, showticklabels=False, showgrid=False, type="category")
    chart.update_yaxes(
        autorange="reversed", showgrid=False, showticklabels=len(units) <= MAX_NAMED, type="category", title="" if len(units) <= MAX_NAMED else "latents"
    )
    place, row = (int(n) for n in np.unravel_index(int(values.argmax()), values.shape)) if values.size else (0, 0)
    top = f": the largest value is {prose.short(float(values[place, row]))}, of latent {units[row]} at {axis[:-1]} {place}" if values.size else ""
    return tell(chart, f"Values of {len(units)} latents at {len(places)} {axis}{top}.")


def scatter_figure(x: NDArray[np.number], y: NDArray[np.number], axes: tuple[str, str], share: tuple[bool, bool], units: NDArray[np.int64]) -> Chart:
    """One dot a latent; axes: their titles; share: whether they are shares, which are told in percent."""
    chart = blank(f"{axes[1]} by {axes[0]}".capitalize(), showlegend=False)
    told = [f"%{{{name}:{'.1%' if percent else '.4~g'}}}" for name, percent in zip("xy", share, strict=True)]
    lines = [f"{title} {text}" for title, text in zip(axes, told, strict=True) if title != "number"]
    hover = "latent %{customdata}<br>" + "<br>".join(lines) + "<extra></extra>"
    marker = {"color": LINES[0], "size": 5 if len(x) > 200 else 8, "opacity": 0.45 if len(x) > 200 else 0.85}
    chart.add_scatter(x=x, y=y, customdata=units, mode="markers", marker=marker, hovertemplate=hover)
    chart.update_xaxes(title=axes[0], tickformat=".0%" if share[0] else None)
    chart.update_yaxes(title=axes[1], tickformat=".0%" if share[1] else None, rangemode="tozero")
    spans = [
        f"{title} from {show(float(values.min(initial=0)))} to {show(float(values.max(initial=0)))}"
        for title, values, show in zip(axes, (x, y), (prose.percent if percent else prose.short for percent in share), strict=True)
    ]
    return tell(chart, f"{len(x)} latents: {'; '.join(spans)}.")


def weights_figure(pictures: Sequence[NDArray[np.float32]], units: Sequence[int]) -> Chart:
    """Encoders as small pictures [rows, columns], at most 4 by 4 of them, on one scale around 0."""

    shown = list(zip(pictures, units, strict=True))[: GRID * GRID]
    rows = -(-len(shown) // GRID)
    chart = chart_grid(rows=rows, cols=GRID, subplot_titles=[f"latent {u}" for _, u in shown], horizontal_spacing=0.02, vertical_spacing=0.22 / max(rows, 1))
    most = max((float(np.nanmax(np.abs(p), initial=0)) for p, _ in shown), default=0) or 1.0
    for n, (picture, unit) in enumerate(shown):
        dimension = np.arange(picture.size).reshape(picture.shape)
        hover = f"latent {unit}, dimension %{{customdata}}: %{{z:.4g}}<extra></extra>"
        chart.add_heatmap(z=picture, customdata=dimension, coloraxis="coloraxis", hovertemplate=hover, row=n // GRID + 1, col=n % GRID + 1)
    bar = {"thickness": 8, "outlinewidth": 0}
    layout: dict[str, Any] = {"coloraxis": {"colorscale": SIGNED, "cmin": -most, "cmax": most, "colorbar": bar}, "height": 130 * rows + 40}
    chart.update_layout(**PLAIN | {"margin": {"l": 8, "r": 8, "t": 26, "b": 8}}, **layout)
    chart.update_xaxes(visible=False)
    chart.update_yaxes(visible=False, autorange="reversed")
    chart.update_annotations(font={"size": 12})
    return tell(chart, f"Encoder weights of {len(shown)} latents, a picture each, from {prose.short(-most)} to {prose.short(most)}.")


def means_figure(means: NDArray[np.floating], units: Sequence[int]) -> Chart:
    """Mean activation of each latent, in the order given; the first 64 where there are more."""
    units = list(units)[:MAX_BARS]
    chart = blank("", showlegend=False, bargap=0.15)
    text = [f"latent {u}: {prose.short(float(means[u]))}" for u in units]
    chart.add_bar(x=[str(u) for u in units], y=means[units], marker=filled(LINES[0]), text=text, textposition="none", hovertemplate="%{text}<extra></extra>")
    chart.update_xaxes(title="latent", type="category", **AXIS)
    chart.update_yaxes(title="mean value")
    most = max(units, key=lambda u: means[u], default=None)
    return tell(
        chart, f"Mean values of {len(units)} latents" + ("." if most is None else f": the largest is {prose.short(float(means[most]))}, of latent {most}.")
    )
