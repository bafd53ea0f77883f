"""The tab About: what is on the page, where it comes from, and what programs can ask for."""

from __future__ import annotations

from typing import Any

import gradio as gr

from earmark.links import Link

from .bridge import Context
from .card import render
from .plots import density_figure
from .views.listing import choices

NAME = "about"
TITLE = "About"


def build(context: Context) -> tuple[gr.HTML | gr.Plot, ...]:
    page = gr.HTML(render("loading.html", what="this page"), elem_id="em-about", js_on_load=None, apply_default_css=False)
    return page, gr.Plot(elem_id="em-density", show_label=False, container=False)


def show(context: Context, link: Link) -> tuple[tuple[Any, ...], str]:
    """What the tab's components show for a link, and the document's title."""
    found = choices(context.store, link)
    return (render("about.html", choices=found, catalog=context.store.catalog), density_figure(context.store)), "About · Earmark"
