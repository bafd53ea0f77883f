"""The tab Text: a text of one's own, the units that fire on it, and what the model expects of it with and without an SAE."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import gradio as gr

from earmark.errors import BadInput, EarmarkError
from earmark.links import MAX_LINK_TEXT, Link
from earmark.live.desk import Desk
from earmark.live.line.turns import Tell
from earmark.live.texts.passage import Passage

from .bridge import Context
from .card import render
from .editing import build_continued, build_runs, read_edits
from .host.events import told, when
from .host.uploads import uploaded
from .host.waiting import MODEL, telling
from .kept import Shown
from .views.beside import beside_view, words_view
from .views.continued import continued_view
from .views.edited import text_result
from .views.edits import panel_on
from .views.passage import analysis_of, passage_view, read_form, read_hits, sorted_link

NAME = "text"
TITLE = "Text"

EVENTS = ", ".join(f"{name}: (data) => trigger('{name}', data)" for name in ("read", "splice", "forget"))
ON_LOAD = f"window.earmark.text.connect(element, upload, {{ {EVENTS} }})"
ON_ANSWER = "window.earmark.text.answers(element, watch)"


def build(context: Context) -> tuple[gr.HTML, ...]:
    plain: dict[str, Any] = {"apply_default_css": False}
    form = gr.HTML(render("loading.html", what="this page"), elem_id="em-text-form", js_on_load=ON_LOAD, **plain)
    answer = gr.HTML("", elem_id="em-text-answer", js_on_load=ON_ANSWER, **plain)
    passage, edits = (gr.HTML("", elem_id=f"em-text-{name}", js_on_load=None, **plain) for name in ("passage", "edits"))
    continued = build_continued(context, build_runs(context, NAME, read_edits))
    below = (gr.HTML("", elem_id=f"em-text-{name}", js_on_load=None, **plain) for name in ("hits", "beside", "words"))

    def read(event: gr.EventData, progress: gr.Progress = gr.Progress()) -> str:
        return read_answer(context.desk, told(event), telling(progress))

    def splice(event: gr.EventData, progress: gr.Progress = gr.Progress()) -> str:
        return splice_answer(context.desk, told(event), telling(progress))

    def forget(event: gr.EventData) -> None:
        context.desk.texts.forget(str(told(event).get("passage", ""))[:80])

    line: dict[str, Any] = {"trigger_mode": "always_last", "api_visibility": "private", **MODEL}
    when(form, "read", read, None, answer, **line)
    when(form, "splice", splice, None, answer, **line)
    when(form, "forget", forget, None, None, queue=False, show_progress="hidden", api_visibility="private")
    return form, passage, edits, continued, *below


def read_answer(desk: Desk, asked: Mapping[str, Any], tell: Tell) -> str:
    """What is said to a text that a visitor brings, as text, as an uploaded file, or by the token of one that is kept: its token, or a sentence."""
    slug = str(asked.get("dictionary", ""))

    def work() -> dict[str, Any]:
        text, notices = str(asked.get("text", "")), ()
        if asked.get("path"):
            text, notices = desk.texts.take(uploaded(str(asked["path"])))
        elif asked.get("passage"):
            text = _kept(desk, asked)
        token = desk.texts.read(slug, text, tell)
        short = len(text) <= MAX_LINK_TEXT
        return {"token": token, "text": quote(text.encode("utf-8", "replace"), safe="") if short else "", "notices": notices}

    return _said(work)


def splice_answer(desk: Desk, asked: Mapping[str, Any], tell: Tell) -> str:
    """What is said when the text under a token has been read with and without a dictionary's SAE."""

    def work() -> dict[str, Any]:
        text = _kept(desk, asked)
        desk.texts.splice(str(asked.get("dictionary", "")), text, tell)
        return {"spliced": True}

    return _said(work)


def _kept(desk: Desk, asked: Mapping[str, Any]) -> str:
    """The text under a token. Raises BadInput where it has been forgotten."""
    passage = desk.texts.kept.get(str(asked.get("passage", ""))[:80])
    if passage is None:
        raise BadInput("The text is no longer kept. Bring it once more.")
    return passage.text


def _said(work: Callable[[], dict[str, Any]]) -> str:
    answer: dict[str, Any] = {"token": None, "text": "", "spliced": False, "notices": (), "problem": None, "once": secrets.token_hex(4)}
    try:
        return render("text-answer.html", **answer | work())
    except EarmarkError as error:
        return render("text-answer.html", **answer | {"problem": str(error)})


def show(context: Context, link: Link) -> Shown:
    """What the tab's components show for a link and the visitor's own text, and the document's title. The model starts loading."""
    desk, store = context.desk, context.store
    if store.catalog.model(store.catalog.dictionary(link.dictionary).model).modality != "text":
        return Shown((render("text-none.html"), *[""] * 6), "Your text · Earmark")
    desk.warm(link.dictionary)
    link, texts = sorted_link(store, link), desk.texts
    form = render("text-form.html", form=read_form(store, link, texts.kept.max_age_s))
    passage = texts.find(link.dictionary, link.read.text, context.passage)
    known = passage is not None and (link.dictionary in passage.codes or link.dictionary in passage.problems)
    words = render("text-words.html", page=words_view(store, link, passage if known else None))
    if passage is None or not known:
        ask = "text" if link.read.text else "passage" if passage else ""
        state = render("text-empty.html", ask=ask, gone=bool(context.passage) and not ask)
        return Shown((form, state, *edits_of(context, link, None), "", "", words), "Your text · Earmark")
    analysis = analysis_of(store, link, passage) if link.dictionary in passage.codes else None
    token = texts.name(link.dictionary, passage.text)
    view = passage_view(store, link, passage, token, analysis)
    hits = render("text-hits.html", page=read_hits(store, link, passage, analysis, view.shading))
    spliced = texts.spliced(link.dictionary, passage.text)
    beside = beside_view(spliced, passage, link) if spliced else None
    kind = store.catalog.dictionary(link.dictionary).kind
    below = render("text-beside.html", beside=beside, token=token) if kind == "sae" and analysis else ""
    edits = edits_of(context, link, passage)
    return Shown((form, render("text-passage.html", page=view), *edits, hits, below, words), f"Your text · {link.dictionary} · Earmark")


def edits_of(context: Context, link: Link, passage: Passage | None) -> tuple[str, str]:
    """The sliders with what the edits have changed of the text that is shown, and how it goes on; nothing where there is neither text nor edit."""
    if passage is None and not link.edits:
        return "", ""
    editing = context.desk.editing
    asked = (link.dictionary, link.edits, passage.text) if passage and link.edits else None
    found = editing.found(*asked) if asked else None
    panel = panel_on(context.store, link, passage, passage is not None, done=found is not None)
    edits = render("text-edits.html", panel=panel, result=text_result(found) if found else None)
    return edits, render("continued.html", page=continued_view(link, editing.continued(*asked))) if asked else ""
