"""The tab Audio: a sound of one's own, and the units that fire on it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from earmark.errors import EarmarkError
from earmark.links import Link
from earmark.live.desk import Desk
from earmark.live.line.kept import Clip
from earmark.live.line.turns import Tell

from .bridge import Context
from .card import render
from .editing import build_runs, hear_edits
from .host.events import told, when
from .host.uploads import uploaded
from .host.waiting import MODEL, READING, telling
from .kept import Shown
from .views.clip import clip_view, form_view, hits_view, sample_view
from .views.edited import speech_result
from .views.edits import panel_on

NAME = "audio"
TITLE = "Audio"

SAID = ("token", "ticket", "heard", "problem")
"""what an answer can hold, one of them at a time"""
EVENTS = ", ".join(f"{name}: (data) => trigger('{name}', data)" for name in ("bring", "listen", "hear", "forget"))
ON_LOAD = f"window.earmark.audio.connect(element, upload, {{ {EVENTS} }})"
ON_ANSWER = "window.earmark.audio.answers(element, watch)"


def build(context: Context) -> tuple[gr.HTML, ...]:
    plain: dict[str, Any] = {"apply_default_css": False}
    form = gr.HTML(render("loading.html", what="this page"), elem_id="em-audio-form", js_on_load=ON_LOAD, **plain)
    answer = gr.HTML("", elem_id="em-audio-answer", js_on_load=ON_ANSWER, **plain)
    clip = gr.HTML("", elem_id="em-audio-clip", js_on_load=None, **plain)
    edits = gr.HTML("", elem_id="em-audio-edits", js_on_load=None, **plain)
    build_runs(context, NAME, hear_edits)
    hits = gr.HTML("", elem_id="em-audio-hits", js_on_load=None, **plain)

    def bring(event: gr.EventData) -> str:
        return ticket_for(context.desk, told(event))

    def listen(event: gr.EventData, progress: gr.Progress = gr.Progress()) -> str:
        return answer_to(context.desk, told(event), telling(progress))

    def hear(event: gr.EventData, progress: gr.Progress = gr.Progress()) -> str:
        return heard_by(context.desk, told(event), telling(progress))

    def forget(event: gr.EventData) -> None:
        context.desk.forget(str(told(event).get("clip", ""))[:80])

    line: dict[str, Any] = {"trigger_mode": "always_last", "api_visibility": "private"}
    when(form, "bring", bring, None, answer, **READING, **line)
    when(form, "listen", listen, None, answer, **MODEL, **line)
    when(form, "hear", hear, None, answer, **MODEL, **line)
    when(form, "forget", forget, None, None, queue=False, show_progress="hidden", api_visibility="private")
    return form, clip, edits, hits


def ticket_for(desk: Desk, asked: Mapping[str, Any]) -> str:
    """What is said to a sound that a visitor brings: its ticket for the model, or a sentence about what was wrong."""
    sample = str(asked["sample"]) if asked.get("sample") else None

    def ticket() -> str:
        data = desk.sample(str(asked.get("dictionary", "")), sample) if sample else desk.take(uploaded(str(asked.get("path", ""))))
        return desk.bring(data, sample)

    return said("ticket", ticket)


def answer_to(desk: Desk, asked: Mapping[str, Any], tell: Tell) -> str:
    """What is said to a ticket: the token of the clip that it has become, or a sentence."""
    return said("token", lambda: desk.listen(str(asked.get("dictionary", "")), str(asked.get("ticket", "")), tell))


def heard_by(desk: Desk, asked: Mapping[str, Any], tell: Tell) -> str:
    """What is said when the model has heard a clip of the corpus: its name, or a sentence."""
    slug, sample = str(asked.get("dictionary", "")), str(asked.get("sample", ""))

    def heard() -> str:
        desk.hear(slug, sample, tell)
        return sample

    return said("heard", heard)


def said(name: str, work: Callable[[], str]) -> str:
    once = secrets.token_hex(4)
    try:
        return render("audio-answer.html", **dict.fromkeys(SAID) | {"once": once, name: work()})
    except EarmarkError as error:
        return render("audio-answer.html", **dict.fromkeys(SAID) | {"once": once, "problem": str(error)})


def show(context: Context, link: Link) -> Shown:
    """What the tab's components show for a link and the visitor's own clip, and the document's title. The model starts loading."""
    desk, store = context.desk, context.store
    desk.warm(link.dictionary)
    form = render("audio-form.html", form=form_view(store, link, desk.kept.max_age_s))
    if link.sample:
        clip, shown, title = desk.heard(link.dictionary, link.sample), sample_view(store, link), link.sample
    else:
        clip, title = desk.kept.get(context.clip) if context.clip else None, "Your audio"
        if clip is None:
            return Shown((form, render("audio-empty.html", gone=bool(context.clip)), edits_of(context, link, None, None), ""), "Your audio · Earmark")
        shown = clip_view(store, context.clip, clip, link)
    hits = render("audio-hits.html", page=hits_view(store, link, clip))
    edits = edits_of(context, link, clip, shown.duration_s)
    return Shown((form, render("audio-clip.html", clip=shown), edits, hits), f"{title} · {link.dictionary} · Earmark")


def edits_of(context: Context, link: Link, clip: Clip | None, duration_s: float | None) -> str:
    """The sliders, and what the edits have changed of the clip that is shown, if they were run; a duration of None: no clip is."""
    if duration_s is None and not link.edits:
        return ""
    here = duration_s is not None
    found = context.desk.editing.heard(link.dictionary, link.edits, context.clip, link.sample) if here and link.edits else None
    result = speech_result(found, duration_s or 0.0) if found else None
    return render("audio-edits.html", panel=panel_on(context.store, link, clip, here, done=found is not None), result=result)
