"""The tab Feature: one unit's card."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import gradio as gr

from earmark.links import Link
from earmark.units import UnitId

from .bridge import Context
from .card import render
from .editing import ablate_unit, build_runs
from .kept import Shown
from .views.bare import bare_view
from .views.edits import panel_of_card
from .views.effect import effect_view
from .views.unit import feature_page

if TYPE_CHECKING:
    from earmark.live.editing.ablation.effect import UnitEffect

NAME = "feature"
TITLE = "Feature"


def build(context: Context) -> tuple[gr.HTML, ...]:
    card = gr.HTML(render("loading.html", what="the card"), elem_id="em-feature", js_on_load=None, apply_default_css=False)
    build_runs(context, NAME, ablate_unit)
    return (card,)


def show(context: Context, link: Link) -> Shown:
    """What the tab's components show for a link, and the document's title."""
    page = feature_page(context.store, link)
    page = replace(page, bare=bare_view(context.store, context.desk, link), panel=panel_of_card(context.store, link, page.card))
    page = replace(page, effect=effect_view(also(context, link), link))
    return Shown((render("feature.html", page=page),), f"{page.title} · {link.dictionary} · Earmark", lasts=not (page.bare or page.problem))


def also(context: Context, link: Link) -> UnitEffect | None:
    """What turning the unit off was found to change, where somebody has asked."""
    return context.desk.editing.effect(UnitId(link.dictionary, link.unit or 0))
