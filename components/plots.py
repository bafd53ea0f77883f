"""Figures to explore, drawn by plotly: functions from plain values to a figure. No gradio; plotly is imported when one is drawn."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from html import escape
from typing import Any, Protocol

import numpy as np

from earmark.errors import EarmarkError
from earmark.shelf.store import Store
from earmark.units import UnitId

from . import prose

BINS_A_DECADE = 5
COLOURS = ("#c2410c", "#6b7280", "#2563a8", "#a16207", "#7c3aed", "#0f766e")
LINES = ("#c2410c", "#2f74c0", "#7a7a82", "#a16207")
"""of the first unit, of the second, and of what stands beside them"""
INK = "#7a7a82"
"""readable on the light and on the dark page"""
PLAIN = {"margin": {"l": 8, "r": 8, "t": 26, "b": 8}, "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)", "font": {"color": INK, "size": 12}}
MAX_MARK = 90
"""characters"""
AXIS = {"gridcolor": "rgba(128,128,128,.2)", "zeroline": False}


class Chart(Protocol):
    """plotly's figure, as far as it is drawn on here. What its methods take, plotly itself checks when it draws."""

    @property
    def data(self) -> Any:
        """Its traces, in order."""

    def add_scatter(self, **trace: Any) -> object: ...
    def add_bar(self, **trace: Any) -> object: ...
    def add_heatmap(self, **trace: Any) -> object: ...
    def add_hline(self, y: Any, **line: Any) -> object: ...
    def add_annotation(self, **words: Any) -> object: ...
    def update_annotations(self, **words: Any) -> object: ...
    def update_layout(self, **layout: Any) -> object: ...
    def update_xaxes(self, **axis: Any) -> object: ...
    def update_yaxes(self, **axis: Any) -> object: ...


def new_chart() -> Chart:
    """An empty one."""
    import plotly.graph_objects as go

    return go.Figure()


def chart_grid(**grid: Any) -> Chart:
    """One of several plots in rows and columns."""
    from plotly import subplots

    return subplots.make_subplots(**grid)  # pyright: ignore[reportUnknownMemberType] -- none of its parameters has a type


def tell(figure: Chart, sentence: str) -> Chart:
    """A figure with what it shows in words, for those who do not see it: `2-aloud.js` gives them to whoever hears the page."""
    figure.update_layout(meta={"told": sentence})
    return figure


def density_figure(store: Store) -> Chart:
    """How often the units of each dictionary fire: the share of its units in each fifth of a decade of density; silent units are left out."""
    shares: dict[str, np.ndarray] = {}
    for slug, entry in store.catalog.dictionaries.items():
        try:
            density = store.dictionary(slug, fetch=False).table("units").all(["density"]).column("density").to_numpy()
        except EarmarkError:
            continue
        shares[f"{entry.title or slug}, layer {entry.layer}"] = density[density > 0]
    return density_curves(shares)


def timeline_figure(store: Store, units: Sequence[UnitId]) -> Chart:
    """Each unit over the corpus's first positions, one row a unit on one axis of seconds or tokens; marks where samples begin say what they say."""

    lines = [store.timeline(unit) for unit in units]
    corpus = store.corpus(store.dictionary(units[0].dictionary).corpus)
    place = "token %{x:.0f}" if corpus.is_text else "%{x:.2f} s"
    names = [f"{prose.unit_name(store.catalog.dictionary(u.dictionary).kind, u.index)} ({u.dictionary})" for u in units]
    figure = chart_grid(rows=len(units), shared_xaxes=True, vertical_spacing=0.09, subplot_titles=names)
    for row, (line, name, colour) in enumerate(zip(lines, names, LINES, strict=False), 1):
        hover = f"%{{y:.3g}} at {place}<extra>{name}</extra>"
        figure.add_scatter(y=line.values, x0=0, dx=line.hop_s, name=name, mode="lines", line={"color": colour, "width": 1}, hovertemplate=hover, row=row, col=1)
    line = lines[0]
    starts, base = line.starts[:-1], float(min(line.values.min(), 0))
    said = [_mark(text) for text in corpus.transcripts[: len(starts)]]
    marks = {"symbol": "line-ns-open", "size": 7, "color": INK, "line": {"width": 1}}
    figure.add_scatter(
        x=[s * line.hop_s for s in starts],
        y=[base] * len(starts),
        text=said,
        mode="markers",
        marker=marks,
        hovertemplate="%{text}<extra></extra>",
        row=1,
        col=1,
    )
    figure.update_layout(height=130 * len(units) + 50, showlegend=False, hovermode="closest", **PLAIN)
    figure.update_xaxes(**AXIS)
    figure.update_yaxes(**AXIS, fixedrange=True, nticks=4)
    axis = "tokens of the corpus, context after context" if corpus.is_text else "seconds of the corpus, clip after clip"
    figure.update_xaxes(title=axis, row=len(units), col=1)
    figure.update_annotations(font={"size": 13}, x=0, xanchor="left")
    spans = [f"{name} from {prose.short(float(line.values.min()))} to {prose.short(float(line.values.max()))}" for name, line in zip(names, lines, strict=True)]
    return tell(figure, f"Values over {prose.count(len(lines[0].values))} {'tokens' if corpus.is_text else 'frames'}: {'; '.join(spans)}.")


def _mark(text: str) -> str:
    """How a sample begins, for plotly, which reads its own markup in what it shows."""
    words = " ".join(text.split())
    return escape(words if len(words) <= MAX_MARK else words[:MAX_MARK] + "\u2026") or "no words"


def density_curves(densities: dict[str, np.ndarray], colours: Sequence[str] = COLOURS) -> Chart:
    """The share of units in each fifth of a decade of density, one curve a name; densities [n] above 0."""
    lowest = min((float(np.log10(d.min())) for d in densities.values() if len(d)), default=-4.0)
    edges = np.arange(int(np.floor(lowest * BINS_A_DECADE)), 1) / BINS_A_DECADE
    figure = new_chart()
    for (name, density), colour in zip(densities.items(), itertools.cycle(colours), strict=False):
        counts, _ = np.histogram(np.log10(density), bins=edges)
        middle = 10 ** ((edges[:-1] + edges[1:]) / 2)
        text = [f"{n} units" for n in counts]
        line = {"shape": "hvh", "color": colour, "width": 2}
        hover = "%{text} with a density of about %{x:.2%}<extra>" + name + "</extra>"
        figure.add_scatter(x=middle, y=counts / max(len(density), 1), name=name, text=text, line=line, hovertemplate=hover, mode="lines", fill="tozeroy")
    figure.update_layout(
        height=300,
        **PLAIN | {"margin": {"l": 8, "r": 8, "t": 8, "b": 8}},
        legend={"x": 0.02, "y": 0.98, "bgcolor": "rgba(0,0,0,0)"},
        xaxis={**AXIS, "type": "log", "tickformat": ".3~%", "title": "density", "dtick": 1},
        yaxis={**AXIS, "tickformat": ".0%", "title": "share of units"},
    )
    if not densities:
        figure.add_annotation(text="No dictionary has tables yet.", showarrow=False)
    medians = [f"{name}, median {prose.percent(float(np.median(d)))}" for name, d in densities.items() if len(d)]
    return tell(figure, f"Share of units by their density, a curve each: {'; '.join(medians)}.")
