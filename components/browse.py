"""The tab Browse: the list of units, what a visitor sees first."""

from __future__ import annotations

from dataclasses import replace

import gradio as gr

from earmark.links import Link

from .bridge import Context
from .card import render
from .kept import Shown
from .views.bare import bare_view
from .views.listing import ailing, browse_page
from .views.worked import worked_examples

NAME = "browse"
TITLE = "Browse"


def build(context: Context) -> tuple[gr.HTML, ...]:
    loading = render("loading.html", what="the list of units")
    return (gr.HTML(loading, elem_id="em-browse", js_on_load=None, apply_default_css=False),)


def show(context: Context, link: Link) -> Shown:
    """What the tab's components show for a link, and the document's title."""
    page = replace(browse_page(context.store, link), bare=bare_view(context.store, context.desk, link), worked=worked_examples(context.store, link))
    return Shown((render("browse.html", page=page),), f"{page.link.dictionary} · Earmark", lasts=not (page.bare or page.problem or ailing(page.choices)))
