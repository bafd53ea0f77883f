"""A dictionary without tables: nothing is fetched by looking at it, opening it is asked for, and then its weights, neighbours and sounds work."""

from __future__ import annotations

import html
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components import browse, feature
from components.bridge import Context
from earmark.dictionaries import open_checkpoint
from earmark.errors import BadInput, MissingWeights
from earmark.links import Link
from earmark.live.desk import Desk
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.shelf.store import Store
from tests.fixtures.toy import N_UNITS, sound

MORE = """
[dictionaries.bare-sae]
title = "Bare <b>"
model = "toy"
kind = "sae"
site = "residual"
layer = 1
corpus = "sounds"
folder = "toy-sae"
suggestions = [{ unit = 7, note = "a <i>hum</i>" }]
[dictionaries.far-sae]
model = "toy"
kind = "sae"
site = "residual"
layer = 0
corpus = "sounds"
hub = { repo = "somebody/sae" }
file = "sae.safetensors"
"""


@pytest.fixture
def store(house: Settings, tmp_path: Path) -> Store:
    shutil.copytree(house.data, tmp_path / "data")
    path = tmp_path / "data" / "catalog.toml"
    path.write_text(path.read_text() + MORE)
    return Store(replace(house, data=tmp_path / "data", cache=tmp_path / "cache"))


def wait(desk: Desk, slug: str) -> str:
    end = time.monotonic() + 60
    while desk.state(slug).name == "loading" and time.monotonic() < end:
        time.sleep(0.05)
    return desk.state(slug).name


def page(desk: Desk, link: Link) -> str:
    tab = browse if link.tab == "browse" else feature
    (text,) = tab.show(Context(desk.store, (), desk), link).values
    return text


def test_it_opens_only_when_asked_and_then_tells_what_its_weights_tell(store: Store) -> None:
    desk = Desk(store)
    before = page(desk, Link("browse", "bare-sae"))
    assert "python -m earmark build bare-sae" in before and "data-open" in before
    assert html.escape("a <i>hum</i>") in before and "<i>hum" not in before and "Bare <b>" not in before
    assert desk.state("bare-sae").name == "idle" and desk.facts("bare-sae") is None, "looking loads nothing"
    desk.open("bare-sae")
    assert wait(desk, "bare-sae") == "ready", desk.state("bare-sae")
    facts = desk.facts("bare-sae")
    assert facts is not None and (facts.n_units, facts.format) == (N_UNITS, "saelens") and facts.check is not None
    after = page(desk, Link("browse", "bare-sae"))
    assert f"{facts.check.fvu:.3g}" in after and facts.check.verdict in html.unescape(after)
    W = open_checkpoint(store.settings.data / "toy-sae").dictionary.W_dec.numpy()
    unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    cosines = unit @ unit[3]
    cosines[3] = -2
    assert [n.unit for n in desk.neighbours("bare-sae", 3)] == np.argsort(-cosines)[:10].tolist()
    card = page(desk, Link("feature", "bare-sae", 3))
    assert f"unit={int(np.argmax(cosines))}" in card
    assert "units 0 to 23; 99 is none" in page(desk, Link("feature", "bare-sae", 99))


def test_what_is_far_is_not_fetched_by_looking_or_by_a_sound(store: Store) -> None:
    desk = Desk(store)
    text = page(desk, Link("browse", "far-sae"))
    assert "somebody/sae" in text and "Fetch and open" in text
    assert desk.warm("far-sae").name == "idle"
    with pytest.raises(BadInput, match="somebody/sae must be fetched from the Hub first: open far-sae"):
        desk.listen("far-sae", desk.bring(sound(1, 1.0)))
    desk.open("far-sae")  # this house is offline
    assert wait(desk, "far-sae") == "failed"
    assert "EARMARK_OFFLINE" in desk.state("far-sae").text
    with pytest.raises(MissingWeights, match="somebody/sae"):
        Runtime(store.settings).open("far-sae")


def test_a_sound_runs_through_it(store: Store) -> None:
    desk = Desk(store)
    clip = desk.kept.get(desk.listen("bare-sae", desk.bring(sound(3, 1.0))))
    assert clip is not None and set(clip.codes) == {"toy-sae", "toy-neurons", "toy-residual", "bare-sae"}
    assert (clip.codes["bare-sae"].dense() == clip.codes["toy-sae"].dense()).all(), "the same file is the same dictionary"
