"""The tab Lab: a small autoencoder trained on one text or clip while one watches, and what its latents do there."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np

from earmark.errors import EarmarkError, NotFound
from earmark.experiments import Experiment
from earmark.links import Link
from earmark.live.desk import Desk
from earmark.live.lab.latents import as_picture
from earmark.live.lab.material import Source
from earmark.presets import DEFAULT_PRESET, MAX_LAB_TEXT, PRESETS, LabView

from .bridge import Context
from .card import render
from .host.events import told, unchanged, when
from .host.uploads import uploaded
from .host.waiting import READING
from .kept import Shown
from .labcharts import heat_figure, losses_figure, means_figure, scatter_figure, weights_figure
from .views.lab import LabPage, lab_form, lab_page, source_name

NAME = "lab"
TITLE = "Lab"

EVENTS = ", ".join(f"{name}: (data) => trigger('{name}', data)" for name in ("train", "forget"))
ON_LOAD = f"window.earmark.lab.connect(element, upload, {{ {EVENTS} }})"
ON_ANSWER = "window.earmark.lab.answers(element, watch)"
SECTIONS = ("losses", "run", "words", "heat", "scatters", "weights", "means")
"""what is shown of a training, in this order; each is a part of HTML, `em-lab-NAME`, and most have figures under it"""
PLOTS = {"losses": 1, "heat": 1, "scatters": 3, "weights": 1, "means": 1}
"""section -> how many figures it has"""


def build(context: Context) -> tuple[gr.HTML | gr.Plot, ...]:
    plain: dict[str, Any] = {"apply_default_css": False}
    form = gr.HTML(render("loading.html", what="this page"), elem_id="em-lab-form", js_on_load=ON_LOAD, **plain)
    answer = gr.HTML("", elem_id="em-lab-answer", js_on_load=ON_ANSWER, **plain)
    parts: list[gr.HTML | gr.Plot] = []
    for name in SECTIONS:
        parts.append(gr.HTML("", elem_id=f"em-lab-{name}", js_on_load=None, **plain))
        if name in PLOTS:
            with gr.Row(elem_id=f"em-lab-{name}-plots"):
                parts += [gr.Plot(elem_id=f"em-lab-{name}-{n}", show_label=False, container=False, min_width=200) for n in range(PLOTS[name])]

    def train(event: gr.EventData) -> str:
        return train_answer(context.desk, told(event))

    def forget(event: gr.EventData) -> None:
        context.desk.lab.kept.drop(str(told(event).get("run", ""))[:80])

    when(form, "train", train, None, answer, **READING, trigger_mode="always_last", api_visibility="private")
    when(form, "forget", forget, None, None, queue=False, show_progress="hidden", api_visibility="private")
    return form, *parts


def train_answer(desk: Desk, asked: Mapping[str, Any]) -> str:
    """What is said to a form that was sent: the ticket of its training with the address of what it will give, or a sentence."""
    once = secrets.token_hex(4)
    try:
        link, source = asked_for(desk, asked)
        ticket = desk.lab.start(desk.lab.settled(link.lab.experiment), source)
        return render("lab-answer.html", ticket=ticket, query=link.query(), n_steps=link.lab.experiment.n_steps, problem=None, once=once)
    except EarmarkError as error:
        return render("lab-answer.html", ticket=None, query="", n_steps=0, problem=str(error), once=once)


def asked_for(desk: Desk, asked: Mapping[str, Any]) -> tuple[Link, Source]:
    """The link of what a form asks for, and what is trained on. Raises BadInput or NotFound for what cannot be used."""
    fields = {str(name): str(value) for name, value in dict(asked.get("fields") or {}).items()}
    preset = fields.get("preset", DEFAULT_PRESET)
    if preset not in PRESETS:
        raise NotFound(f"There is no preset '{preset[:40]}'; valid: {', '.join(PRESETS)}.")
    experiment = Experiment.read(fields, PRESETS[preset].experiment)
    usual = desk.lab.settled(replace(experiment, model="")).model
    experiment = replace(experiment, model="" if experiment.model == usual else experiment.model)
    text, sample = str(asked.get("text", "")), str(asked.get("sample", ""))
    view = LabView(preset, experiment)
    settled = desk.lab.settled(experiment)
    if desk.store.catalog.model(settled.model).modality == "text":
        own = text if text != PRESETS[preset].text else None
        long = own is not None and len(own) > MAX_LAB_TEXT
        return Link("lab", lab=replace(view, text=None if long else own, own=long)), desk.lab.text(text)
    if asked.get("path"):
        return Link("lab", lab=replace(view, own=True)), desk.lab.sound(desk.take(uploaded(str(asked["path"]))))
    if sample:
        return Link("lab", lab=view, sample=sample), desk.lab.sample(settled.model, sample)
    return Link("lab", lab=replace(view, own=True)), desk.lab.again(str(asked.get("run", ""))[:80])


def show(context: Context, link: Link) -> Shown:
    """What the tab's components show for a link and the visitor's own training, and the document's title."""
    lab = context.desk.lab
    lab.warm(link.lab.experiment)
    run = lab.find(lab.settled(link.lab.experiment), source_name(context.desk, link), context.run)
    form = render("lab-form.html", form=lab_form(context.desk, link, run))
    page = lab_page(link, run) if run is not None else None
    there = page is not None and context.figures == page.figures
    figures = _figures(page) if page and not there else {}
    values: list[Any] = [form]
    for name in SECTIONS:
        values.append(render(f"lab-{name}.html", page=page) if page else "")
        values += figures.get(name, [unchanged() if there else None] * PLOTS.get(name, 0))
    return Shown(tuple(values), "Lab · Earmark")


def _figures(page: LabPage) -> dict[str, list[Any]]:
    """The figures of each section."""
    run, units = page.run, list(page.units)
    f, numbers, encoders = run.latents, np.arange(run.sae.n_units), run.sae.W_enc.numpy().T
    axis = "tokens" if run.passage else "frames"
    scatters = [
        scatter_figure(numbers, f.density, ("number", "density"), (False, True), numbers),
        scatter_figure(numbers, f.typical, ("number", "mean value above 0"), (False, False), numbers),
        scatter_figure(f.density, f.typical, ("density", "mean value above 0"), (True, False), numbers),
    ]
    return {
        "losses": [losses_figure(run.fitted.losses)],
        "heat": [heat_figure(run.values[:, units], units, page.places, axis)],
        "scatters": scatters,
        "weights": [weights_figure([as_picture(encoders[u]) for u in units[:16]], units[:16])],
        "means": [means_figure(f.mean, units)],
    }
