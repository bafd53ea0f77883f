"""Runs of edited units, on three tabs: what waits in line for the model, what stops it, and the panels that show what it found. Not a tab."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr

from earmark.errors import BadInput, EarmarkError, Stopped
from earmark.links import Link
from earmark.live.desk import Desk
from earmark.live.editing.desk import Wanted
from earmark.live.line.turns import Tell
from earmark.units import UnitId

from .bridge import MAX_QUERY, Context
from .card import render
from .host.events import told, when
from .host.waiting import CONTINUED, MODEL, telling
from .views.address import settle
from .views.continued import LENGTHS, MAX_SEED, continued_view

Asked = Mapping[str, Any]
Work = Callable[[Desk, Asked, Link, Tell], None]


def build_runs(context: Context, tab: str, work: Work) -> gr.HTML:
    """The answer of a tab's runs, which has their events, too: `run` waits in line, `stop` does not."""
    events = ", ".join(f"{name}: (data) => trigger('{name}', data)" for name in ("run", "stop", *(("goOn",) if tab == "text" else ())))
    on_load = f"window.earmark.editing.connect('{tab}', element, watch, {{ {events} }})"
    answer = gr.HTML("", elem_id=f"em-{tab}-edits-answer", elem_classes="em-run-answer", js_on_load=on_load, apply_default_css=False)

    def run(event: gr.EventData, progress: gr.Progress = gr.Progress()) -> str:
        return answer_to(context.desk, told(event), work, telling(progress))

    def stop(event: gr.EventData) -> None:
        context.desk.editing.stop(run_of(told(event)))

    when(answer, "run", run, None, answer, **MODEL, trigger_mode="multiple", api_visibility="private")
    when(answer, "stop", stop, None, None, queue=False, trigger_mode="multiple", show_progress="hidden", api_visibility="private")
    return answer


def build_continued(context: Context, answer: gr.HTML) -> gr.HTML:
    """Where a text's continuations grow, begun by an event of the tab's answer: in a line of their own, for each takes the model step by step."""
    grows = gr.HTML("", elem_id="em-text-continued", js_on_load="window.earmark.editing.grows(element, watch)", apply_default_css=False)

    def go_on(event: gr.EventData) -> Iterator[str]:
        yield from growing(context.desk, told(event))

    when(answer, "goOn", go_on, None, grows, **CONTINUED, trigger_mode="multiple", show_progress="hidden", api_visibility="private")
    return grows


def answer_to(desk: Desk, asked: Asked, work: Work, tell: Tell) -> str:
    """What is said when a run is over: that there is a result, or a sentence."""
    said: dict[str, Any] = {"run": run_of(asked), "once": secrets.token_hex(4), "problem": None, "stopped": False}
    try:
        work(desk, asked, link_of(desk, asked), tell)
    except Stopped:
        said["stopped"] = True
    except EarmarkError as error:
        said["problem"] = str(error)
    return render("edits-answer.html", **said)


def growing(desk: Desk, asked: Asked) -> Iterator[str]:
    """The panel of a text's continuations, again and again while they grow."""
    link, run = link_of(desk, asked), run_of(asked)
    wanted = Wanted(_of(LENGTHS, asked.get("n")), _of(range(MAX_SEED + 1), asked.get("seed")))
    try:
        text = text_of(desk, asked, link)
        for _ in desk.editing.go_on(link.dictionary, link.edits, text, wanted, run):
            yield render("continued.html", page=continued_view(link, desk.editing.continued(link.dictionary, link.edits, text), run))
        yield render("continued.html", page=continued_view(link, desk.editing.continued(link.dictionary, link.edits, text), run, over=True))
    except EarmarkError as error:
        yield render("continued.html", page=replace(continued_view(link, None, run, over=True), problem=str(error)))


def hear_edits(desk: Desk, asked: Asked, link: Link, tell: Tell) -> None:
    """On the tab Audio: the clip of the link, or the visitor's own."""
    desk.editing.hear(link.dictionary, link.edits, str(asked.get("clip", ""))[:80], link.sample, run_of(asked), tell)


def read_edits(desk: Desk, asked: Asked, link: Link, tell: Tell) -> None:
    """On the tab Text: the text of the link, or the one that the visitor has brought."""
    desk.editing.read(link.dictionary, link.edits, text_of(desk, asked, link), run_of(asked), tell)


def ablate_unit(desk: Desk, asked: Asked, link: Link, tell: Tell) -> None:
    """On a unit's card."""
    desk.editing.ablate(UnitId(link.dictionary, link.unit or 0), run_of(asked), tell)


def link_of(desk: Desk, asked: Asked) -> Link:
    """What the page shows that has asked."""
    query = dict(parse_qsl(str(asked.get("query", ""))[:MAX_QUERY], keep_blank_values=True))
    return settle(desk.store, *Link.parse(query))[0]


def text_of(desk: Desk, asked: Asked, link: Link) -> str:
    """The text in a link, or the one under a visitor's token. Raises BadInput where it has been forgotten."""
    if link.read.text:
        return link.read.text
    passage = desk.texts.kept.get(str(asked.get("passage", ""))[:80])
    if passage is None:
        raise BadInput("The text is no longer kept. Bring it once more.")
    return passage.text


def run_of(asked: Asked) -> str:
    """The name that the page has given a run: only it can stop it."""
    return str(asked.get("run", ""))[:80]


def _of(choices: range | tuple[int, ...], value: object) -> int:
    """The nearest of the numbers that can be chosen."""
    number = int(str(value)) if str(value).isdecimal() and len(str(value)) < 10 else choices[0]
    return min(choices, key=lambda choice: abs(choice - number)) if isinstance(choices, tuple) else min(max(number, choices[0]), choices[-1])
