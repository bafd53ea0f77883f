"""The tab Health: how good a dictionary is, each figure with what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from earmark.links import Link

from . import prose
from .bridge import Context
from .card import render
from .charts import cosine_figure, sweep_figure, trip_figure
from .kept import Shown
from .plots import density_curves
from .views.bare import bare_view
from .views.health import HealthPage, health_page

NAME = "health"
TITLE = "Health"

SECTIONS = ("densities", "cosines", "trips", "sweep")
"""each has words, `em-health-NAME`, and a figure under them, which is there unless the words are marked as having none"""


def build(context: Context) -> tuple[gr.HTML | gr.Plot, ...]:
    plain: dict[str, Any] = {"js_on_load": None, "apply_default_css": False}
    parts: list[gr.HTML | gr.Plot] = [gr.HTML(render("loading.html", what="this page"), elem_id="em-health", **plain)]
    for name in SECTIONS:
        parts += [gr.HTML("", elem_id=f"em-health-{name}", **plain), gr.Plot(elem_id=f"em-health-{name}-plot", show_label=False, container=False)]
    return tuple(parts)


def show(context: Context, link: Link) -> Shown:
    """What the tab's components show for a link, and the document's title."""
    page = replace(health_page(context.store, link), bare=bare_view(context.store, context.desk, link))
    values: list[Any] = [render("health.html", page=page)]
    for name in SECTIONS:
        values += [render("health-section.html", page=page, name=name), _figure(page, name)]
    return Shown(tuple(values), f"{page.title} · {link.dictionary} · Earmark", lasts=not (page.bare or page.problem))


def _figure(page: HealthPage, name: str) -> Any:
    """The plotly figure of a section; None where there is nothing to draw."""
    if name == "densities" and page.densities is not None:
        return density_curves({prose.KIND_TITLES[page.entry.kind]: page.densities[page.densities > 0]})
    if name == "cosines" and page.cosines is not None:
        return cosine_figure(page.cosines, prose.noun(page.entry.kind, plural=True))
    if name == "trips" and page.trips is not None:
        return trip_figure(page.trips)
    return sweep_figure(page.sweep) if name == "sweep" and page.sweep else None
