"""The tab Compare: the whole picture of a hook; or two units beside each other, over one clip and over the corpus's beginning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from earmark.links import Link
from earmark.live.desk import Desk
from earmark.live.line.turns import Tell
from earmark.web.media import modality_of

from .audio import said
from .bridge import Context
from .card import render
from .charts import densities_figure, held_figure, positive_figure, scores_figure
from .host.events import told, when
from .host.waiting import MODEL, telling
from .kept import Shown
from .plots import timeline_figure
from .views.pair import Own, pair_page
from .views.whole import WholePage, whole_page

NAME = "compare"
TITLE = "Compare"

N_PLOTS = 4
"""of the whole picture"""
ON_LOAD = "window.earmark.compare(element, watch, (data) => trigger('hear', data))"


def build(context: Context) -> tuple[gr.HTML | gr.Plot, ...]:
    plain: dict[str, Any] = {"apply_default_css": False, "js_on_load": None}
    pair = gr.HTML(render("loading.html", what="the two units"), elem_id="em-compare", **plain)
    answer = gr.HTML("", elem_id="em-compare-answer", js_on_load=ON_LOAD, apply_default_css=False)
    lines = gr.Plot(elem_id="em-compare-lines", show_label=False, container=False)
    examples = gr.HTML("", elem_id="em-compare-examples", **plain)
    with gr.Row(elem_id="em-whole-plots"):
        plots = [gr.Plot(elem_id=f"em-whole-{n}", show_label=False, container=False, min_width=300) for n in range(N_PLOTS)]
    below = gr.HTML("", elem_id="em-compare-below", **plain)

    def hear(event: gr.EventData, progress: gr.Progress = gr.Progress()) -> str:
        return answer_to(context.desk, told(event), telling(progress))

    when(answer, "hear", hear, None, answer, **MODEL, trigger_mode="always_last", api_visibility="private")
    return pair, answer, lines, examples, *plots, below


def answer_to(desk: Desk, asked: Mapping[str, Any], tell: Tell) -> str:
    """Run a sample of the corpus through the layers of both units; what is said is the sample's name, or a sentence about what was wrong."""
    sample = str(asked.get("sample", ""))

    def heard() -> str:
        for slug in dict.fromkeys((str(asked.get("dictionary", "")), str(asked.get("other", "")))):
            perceive = desk.texts.read_window if modality_of(desk.store, slug) == "text" else desk.hear
            perceive(slug, sample, tell)
        return sample

    return said("token", heard)


def show(context: Context, link: Link) -> Shown:
    """What the tab's components show for a link, and the document's title."""
    if link.whole:
        whole = whole_page(context.store, link)
        values = (render("whole.html", page=whole), "", None, "", *whole_figures(whole), render("whole-table.html", page=whole))
        return Shown(values, f"{whole.title} · Earmark", lasts=not whole.problem)
    own = also(context, link)
    page = pair_page(context.store, context.desk, link, own)
    figure = timeline_figure(context.store, page.lines) if page.lines else None
    values = (render("compare.html", page=page), "", figure, render("compare-examples.html", page=page), *[None] * N_PLOTS, "")
    return Shown(values, f"{page.title} · Earmark", lasts=not (page.problem or page.waiting or own.given))


def also(context: Context, link: Link) -> Own:
    """What the visitor has brought: the units are shown over it."""
    return Own(context.clip, context.passage)


def whole_figures(page: WholePage) -> tuple[Any, ...]:
    """The four figures of the whole picture; none of them where there is a problem."""
    if page.problem:
        return (None,) * N_PLOTS
    return (
        held_figure(page.sides, page.random, page.narrow),
        scores_figure(page.sides),
        positive_figure(page.sides),
        densities_figure(page.sides),
    )
