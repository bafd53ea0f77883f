"""The tab Feature: one unit's card."""

from __future__ import annotations

from dataclasses import replace

import gradio as gr

from earmark.links import Link

from .bridge import Context
from .card import render
from .views.bare import bare_view
from .views.unit import feature_page

NAME = "feature"
TITLE = "Feature"


def build(context: Context) -> tuple[gr.HTML, ...]:
    return (gr.HTML(render("loading.html", what="the card"), elem_id="em-feature", js_on_load=None, apply_default_css=False),)


def show(context: Context, link: Link) -> tuple[tuple[str, ...], str]:
    """What the tab's components show for a link, and the document's title."""
    page = replace(feature_page(context.store, link), bare=bare_view(context.store, context.desk, link))
    return (render("feature.html", page=page),), f"{page.title} · {link.dictionary} · Earmark"
