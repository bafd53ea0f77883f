"""Figures of whole dictionaries, drawn by plotly: functions from plain values to a figure. No gradio; plotly is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from earmark.swept import SweptRun

from . import prose
from .plots import AXIS, LINES, PLAIN, Chart, chart_grid, density_curves, new_chart, tell

if TYPE_CHECKING:
    from .views.whole import Held, Side

KIND_COLOURS = {"sae": LINES[0], "neurons": LINES[1], "residual": LINES[2]}
CHANCE = "#a16207"
HEIGHT = 300
N_BINS = 40
MAX_POINTS = 1500
INSIDE = {"xanchor": "right", "bgcolor": "rgba(0,0,0,0)"}
"""a legend within the figure: on a phone there is no room beside it"""
ABOVE = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
"""a legend over a figure whose lines leave it no room within"""


def blank(title: str, **layout: Any) -> Chart:
    """An empty figure in the page's manner."""
    figure = new_chart()
    margin = {"margin": {"l": 8, "r": 8, "t": 34 if title else 8, "b": 8}}
    titled = {"height": HEIGHT, "title": {"text": title, "font": {"size": 15}, "x": 0, "xref": "container", "xanchor": "left"}}
    figure.update_layout(**titled | PLAIN | margin | layout)
    figure.update_xaxes(**AXIS)
    figure.update_yaxes(**AXIS)
    return figure


def filled(colour: str) -> dict[str, Any]:
    """A bar without the outline that the page's dark theme would give it."""
    return {"color": colour, "line": {"width": 0}}


# -- one dictionary ------------------------------------------------------------------------------------------------------


def cosine_figure(cosines: NDArray[np.floating], noun: str) -> Chart:
    """How near each unit's direction is to the nearest other one of its dictionary: units in bins of the cosine."""
    figure = blank("", showlegend=False, bargap=0.04)
    counts, edges = np.histogram(cosines, bins=N_BINS, range=(min(0.0, float(cosines.min(initial=0))), 1.0))
    text = [
        f"{prose.count(int(n))} {noun} whose nearest direction has a cosine from {a:.2f} to {b:.2f}" for n, a, b in zip(counts, edges, edges[1:], strict=False)
    ]
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts,
        width=np.diff(edges),
        marker=filled(LINES[0]),
        text=text,
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )
    figure.update_xaxes(title="cosine with the nearest")
    figure.update_yaxes(title=noun)
    return tell(figure, f"{len(cosines)} {noun} by the cosine with the nearest other direction: median {np.median(cosines):.2f}, at most {cosines.max():.2f}.")


def trip_figure(trips: Mapping[str, NDArray[Any]]) -> Chart:
    """What comes back of each unit that is decoded alone and encoded again, sorted by its own value, beside the largest, the mean and the mean square."""
    order = np.argsort(-trips["own"], kind="stable")
    kept = np.unique(np.linspace(0, len(order) - 1, min(len(order), MAX_POINTS)).round().astype(int))
    units = trips["unit"][order][kept]
    figure = blank("", legend=ABOVE)
    figure.update_layout(height=HEIGHT + 40)  # on a phone the legend has four lines
    lines = (
        ("largest", "largest of any unit", LINES[1], "dot"),
        ("own", "the unit itself", LINES[0], "solid"),
        ("mean", "mean of all", LINES[2], "solid"),
        ("square", "mean square", CHANCE, "dash"),
    )
    for column, name, colour, dash in lines:
        hover = f"{name}: %{{y:.3g}}, unit %{{customdata}}<extra></extra>"
        y = np.where(trips[column] > 0, trips[column], np.nan)[order][kept]  # 0 has no place on a logarithmic axis
        figure.add_scatter(x=kept + 1, y=y, name=name, customdata=units, mode="lines", line={"color": colour, "width": 1.6, "dash": dash}, hovertemplate=hover)
    figure.update_xaxes(title="units in order")
    figure.update_yaxes(title="value", type="log", dtick=1, tickformat="~g")  # powers of ten alone: their halves and fifths crowd it on a phone
    own, largest = (prose.short(float(np.median(trips[name]))) for name in ("own", "largest"))
    told = f"What comes back of {prose.count(len(order))} units, by the unit's own value: median {own}, of the largest of any unit {largest}."
    return tell(figure, f"{told} Mean and mean square of all lie below.")


def sweep_figure(runs: Sequence[SweptRun]) -> Chart:
    """Share of units that hold by phone or word against FVU: the trained ones, the shipped one, untrained controls; neurons and axes as lines.

    What nobody has trained misses most of the variance, and stands in a part of its own beside the others, on the same scale of shares.
    """

    placed = [run for run in runs if run.fvu is not None and run.held_share is not None]
    figure = chart_grid(cols=2, shared_yaxes=True, column_widths=[0.68, 0.32], horizontal_spacing=0.03)
    groups = (
        ("trained", [r for r in placed if not r.control and not r.shipped], LINES[0], "circle-open", 9, 1),
        ("shipped", [r for r in placed if r.shipped], LINES[0], "star", 17, 1),
        ("nobody has trained", [r for r in placed if r.control], CHANCE, "diamond", 12, 2),
    )
    for name, found, colour, symbol, size, column in groups:
        if found:
            figure.add_scatter(
                x=[r.fvu for r in found], y=[r.held_share for r in found], text=[_told(r) for r in found], name=name, mode="markers",
                marker={"color": colour, "symbol": symbol, "size": size, "line": {"width": 2, "color": colour}}, hovertemplate="%{text}<extra></extra>",
                row=1, col=column,
            )  # fmt: skip
    for run, colour in zip((r for r in runs if r.fvu is None and r.held_share is not None), LINES[1:], strict=False):
        figure.add_hline(y=run.held_share, line={"color": colour, "dash": "dash", "width": 1.4})
        told = f"{run.name}: {prose.percent(run.held_share)}"
        figure.add_annotation(
            x=1, xref="x2 domain", y=run.held_share, yref="y", text=told, showarrow=False, xanchor="right", yanchor="bottom", font={"color": colour}
        )
    figure.update_layout(height=HEIGHT + 40, legend=ABOVE, **PLAIN | {"margin": {"l": 8, "r": 8, "t": 8, "b": 8}})
    figure.update_xaxes(**AXIS, tickformat=".3~f", nticks=6)
    figure.update_xaxes(title="FVU, held out", row=1, col=1)
    figure.update_xaxes(title="untrained", nticks=3, row=1, col=2)
    figure.update_yaxes(**AXIS, tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(title="hold, of the eligible", row=1, col=1)
    spoken = [f"{r.name} FVU {prose.short(r.fvu)}, {prose.rate(r.held_share or 0)} hold" for r in placed if r.shipped or r.control]
    return tell(figure, f"FVU and the share of eligible units that hold, of {len(groups[0][1]) + len(groups[1][1])} trained dictionaries: {'; '.join(spoken)}.")


def _told(run: SweptRun) -> str:
    made = f"{prose.count(run.n_units)} units, k {run.k}" + (f", {prose.count(run.n_activations)} activations seen" if run.n_activations else "")
    return f"<b>{run.name}</b><br>{run.kind}, {made}<br>FVU {prose.short(run.fvu)}, {prose.rate(run.held_share or 0)} hold, {prose.percent(run.dead)} silent"


# -- the dictionaries over a hook ----------------------------------------------------------------------------------------


def positive_figure(sides: Sequence[Side]) -> Chart:
    """Share of all values above 0, a dot a dictionary on a logarithmic axis, which has no 0 for bars to stand on."""
    figure = blank("Values above 0", showlegend=False)
    shares = [side.positive for side in sides]
    figure.add_scatter(
        y=[side.title for side in sides], x=shares, mode="markers+text", marker={"color": [KIND_COLOURS[side.entry.kind] for side in sides], "size": 15},
        text=[prose.percent(s) for s in shares], textposition=["top right" if s < 0.1 else "top left" for s in shares],
        hovertemplate="%{text} of all values of the %{y}<extra></extra>",
    )  # fmt: skip
    lowest = min((s for s in shares if s > 0), default=0.01)
    figure.update_xaxes(type="log", range=[np.floor(np.log10(lowest)) - 0.15, 0.1], tickformat=".3~%", dtick=1, title="share of all values")
    figure.update_yaxes(range=[-0.6, len(sides) - 0.3])
    return tell(figure, f"Share of all values above 0: {'; '.join(f'{side.title} {prose.percent(side.positive)}' for side in sides)}.")


def densities_figure(sides: Sequence[Side]) -> Chart:
    """How often units fire: the share of each dictionary's units in each fifth of a decade of density."""
    figure = density_curves({side.title: side.density[side.density > 0] for side in sides}, [KIND_COLOURS[side.entry.kind] for side in sides])
    figure.update_layout(title={"text": "How often units fire", "font": {"size": 15}, "x": 0, "xref": "container"}, margin={"l": 8, "r": 8, "t": 34, "b": 8})
    return figure


def held_figure(sides: Sequence[Side], random: Held | None, narrow: str) -> Chart:
    """Shares of units whose label holds: by a narrow kind, and by a class or a context; beside random directions and shifted labels."""
    rows = [(side.title, side.held) for side in sides if side.held] + ([("Random directions", random)] if random else [])
    rows += [(f"{side.title}, shifted labels", side.shifted) for side in sides if side.shifted and side.entry.kind == "sae"]
    figure = blank("Units whose label holds", barmode="stack", legend=INSIDE | {"x": 1, "y": 0, "yanchor": "bottom"})
    names = [name for name, _ in rows][::-1]
    found = [held for _, held in rows][::-1]
    for title, colour, shares in (
        (narrow or "label", LINES[0], [(h.share, h.n) for h in found]),
        ("class or context", "rgba(128,128,128,.45)", [(h.vague, h.n_vague) for h in found]),
    ):
        text = [f"{prose.count(n)} of {prose.count(h.of)}: {prose.percent(share)}" for h, (share, n) in zip(found, shares, strict=True)]
        figure.add_bar(
            y=names,
            x=[share for share, _ in shares],
            name=title,
            orientation="h",
            marker=filled(colour),
            text=text,
            textposition="none",
            hovertemplate=title + ", %{text}<extra>%{y}</extra>",
        )
    figure.update_xaxes(tickformat=".0%", title="of the eligible units")
    shares = [f"{name} {prose.percent(held.share)} by {narrow or 'label'}, {prose.percent(held.vague)} by class or context" for name, held in rows]
    tell(figure, f"Share of the eligible units whose label holds: {'; '.join(shares)}.")
    return _or_sentence(figure, rows, "Nobody has looked for labels here yet.")


def scores_figure(sides: Sequence[Side]) -> Chart:
    """How exactly the labels hold: units in bins of precision on the samples that did not choose them."""
    figure = blank("How well the names hold", legend=INSIDE | {"x": 1, "y": 1})
    edges = np.linspace(0.5, 1.0, 21)
    named = [side for side in sides if len(side.precisions)]
    for side in named:
        counts, _ = np.histogram(side.precisions, bins=edges)
        text = [prose.count(int(n)) for n in counts]
        hover = f"%{{text}} {side.noun} at a precision of about %{{x:.0%}}<extra></extra>"
        figure.add_scatter(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts / max(side.held.of if side.held else 1, 1),
            name=side.title,
            text=text,
            mode="lines",
            line={"shape": "hvh", "color": KIND_COLOURS[side.entry.kind], "width": 2},
            hovertemplate=hover,
        )
    figure.update_xaxes(tickformat=".0%", title="precision, held out", range=[0.48, 1])  # so that the corner holds one label
    highest = max((float(max(line.y)) for line in figure.data), default=1.0)
    figure.update_yaxes(tickformat=".1~%", title="of the eligible units", range=[0, 1.4 * highest])  # room for the legend
    medians = [f"{side.title} {prose.count(len(side.precisions))} units, median {prose.percent(float(np.median(side.precisions)))}" for side in named]
    tell(figure, f"Precision of the names that hold, on samples that did not choose them: {'; '.join(medians)}.")
    return _or_sentence(figure, named, "No label holds here yet.")


def _or_sentence(figure: Chart, found: Sequence[object], sentence: str) -> Chart:
    if not found:
        figure.add_annotation(text=sentence, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    return figure
