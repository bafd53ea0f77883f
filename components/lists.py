"""The tab of a named list: units that somebody has collected, as its address has them."""

from __future__ import annotations

import gradio as gr

from earmark.links import Link

from .bridge import Context
from .card import render
from .kept import Shown
from .views.collected import list_page

NAME = "list"
TITLE = "List"


def build(context: Context) -> tuple[gr.HTML, ...]:
    return (gr.HTML(render("loading.html", what="the list"), elem_id="em-list", js_on_load=None, apply_default_css=False),)


def show(context: Context, link: Link) -> Shown:
    """What the tab's components show for a link, and the document's title."""
    page = list_page(context.store, link)
    return Shown((render("list.html", page=page),), f"{link.collected.name or TITLE} · Earmark", lasts=not page.missing)
