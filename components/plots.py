"""Figures to explore, drawn by plotly: functions from plain values to a figure. No gradio; plotly is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from earmark.errors import EarmarkError
from earmark.shelf.store import Store

if TYPE_CHECKING:
    import plotly.graph_objects as go

BINS_A_DECADE = 5
COLOURS = ("#c2410c", "#6b7280", "#2563a8", "#a16207", "#7c3aed", "#0f766e")
INK = "#7a7a82"
"""readable on the light and on the dark page"""


def density_figure(store: Store) -> go.Figure:
    """How often the units of each dictionary fire: the share of its units in each fifth of a decade of density; silent units are left out."""
    shares: dict[str, np.ndarray] = {}
    for slug, entry in store.catalog.dictionaries.items():
        try:
            frame = store.units_frame(slug)
        except EarmarkError:
            continue
        density = frame["density"].to_numpy()
        shares[f"{entry.title or slug}, layer {entry.layer}"] = density[density > 0]
    return _curves(shares)


def _curves(densities: dict[str, np.ndarray]) -> go.Figure:
    import plotly.graph_objects as go

    lowest = min((float(np.log10(d.min())) for d in densities.values() if len(d)), default=-4.0)
    edges = np.arange(np.floor(lowest * BINS_A_DECADE), 1) / BINS_A_DECADE
    figure = go.Figure()
    for (name, density), colour in zip(densities.items(), COLOURS * (1 + len(densities) // len(COLOURS)), strict=False):
        counts, _ = np.histogram(np.log10(density), bins=edges)
        middle = 10 ** ((edges[:-1] + edges[1:]) / 2)
        text = [f"{n} units" for n in counts]
        line = {"shape": "hvh", "color": colour, "width": 2}
        hover = "%{text} with a density of about %{x:.2%}<extra>" + name + "</extra>"
        figure.add_scatter(x=middle, y=counts / max(len(density), 1), name=name, text=text, line=line, hovertemplate=hover, mode="lines", fill="tozeroy")
    axis = {"gridcolor": "rgba(128,128,128,.2)", "zeroline": False}
    figure.update_layout(
        height=300,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 12},
        legend={"x": 0.02, "y": 0.98, "bgcolor": "rgba(0,0,0,0)"},
        xaxis={**axis, "type": "log", "tickformat": ".3~%", "title": "density", "dtick": 1},
        yaxis={**axis, "tickformat": ".0%", "title": "share of units"},
    )
    if not densities:
        figure.add_annotation(text="No dictionary has tables yet.", showarrow=False)
    return figure
