"""The tab About: what is on the page, where it comes from, and what programs can ask for."""

from __future__ import annotations

from typing import Any

import gradio as gr

from earmark.errors import BadInput, EarmarkError
from earmark.links import MAX_LINK_TEXT, Link
from earmark.shelf.hub import Terms

from .bridge import Context
from .card import render
from .host.events import when_any
from .kept import Shown
from .plots import density_figure
from .views.listing import ailing, choices

NAME = "about"
TITLE = "About"


def build(context: Context) -> tuple[gr.HTML | gr.Plot, ...]:
    page = gr.HTML(render("loading.html", what="this page"), elem_id="em-about", js_on_load=None, apply_default_css=False)
    plot = gr.Plot(elem_id="em-density", show_label=False, container=False)
    if context.store.settings.owner:
        _open_form(context)
    return page, plot


def _open_form(context: Context) -> None:
    """For the page's owner: what a checkpoint on the Hub is, and its catalog entry. Names on the Hub only, never paths of this machine."""
    with gr.Column(elem_id="em-open"):
        gr.HTML(render("open-form.html"), js_on_load=None, apply_default_css=False)
        with gr.Row():
            name = gr.Textbox(show_label=False, placeholder="owner/name[/path][@revision]", max_length=300, max_lines=1, container=False, scale=4)
            button = gr.Button("Look at it", scale=0, min_width=110)
        answer = gr.HTML("", elem_id="em-open-answer", js_on_load=None, apply_default_css=False)

    def look(text: str) -> str:
        return looked_at(context, text)

    plain: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "hub", "api_visibility": "private"}
    when_any([button.click, name.submit], look, name, answer, **plain)


def looked_at(context: Context, text: str) -> str:
    """What the owner's form answers: the checkpoint, or a sentence. Everything in it is escaped."""
    from earmark.live.checkpoints.opening import look_on_hub

    store = context.store
    try:
        if not store.settings.owner:
            raise BadInput("Only the owner of a page opens repositories by name: EARMARK_OWNER=1.")
        found = look_on_hub(str(text)[:300], store.settings, store.catalog, Terms(max_mb=store.settings.hub_max_mb))
        return render("opened.html", found=found, problem=None)
    except EarmarkError as error:
        return render("opened.html", found=None, problem=str(error))


def show(context: Context, link: Link) -> Shown:
    """What the tab's components show for a link, and the document's title."""
    found = choices(context.store, link)
    page = render("about.html", choices=found, catalog=context.store.catalog, max_link=MAX_LINK_TEXT)
    return Shown((page, density_figure(context.store)), "About · Earmark", lasts=not ailing(found))
