"""The tab that the search box in the header leads to: units of all dictionaries by what a person typed."""

from __future__ import annotations

import gradio as gr

from earmark.links import Link

from .bridge import Context
from .card import render
from .kept import Shown
from .views.finding import find_page

NAME = "find"
TITLE = "Search"


def build(context: Context) -> tuple[gr.HTML, ...]:
    return (gr.HTML(render("loading.html", what="the search"), elem_id="em-found", js_on_load=None, apply_default_css=False),)


def show(context: Context, link: Link) -> Shown:
    """What the tab's components show for a link, and the document's title."""
    page = find_page(context.store, link)
    return Shown((render("find.html", page=page),), f"{page.text or TITLE} · Earmark", lasts=not page.problems)
