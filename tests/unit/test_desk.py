"""What the desk runs once for everybody: clips of the corpus, edits of sounds, effects of units; against the same work done directly."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from earmark.edits import Edit
from earmark.errors import BadInput
from earmark.inputs.audio import decode
from earmark.live.desk import Desk
from earmark.live.editing.ablation.effect import unit_effect
from earmark.live.editing.speech import edit_speech
from earmark.live.lab.desk import Job
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId
from earmark.web.own import own_routes
from tests.fixtures.text_toy import make_text_shelf
from tests.fixtures.toy import sound

SAE, SAMPLE = "toy-sae", "s003"
OFF = (Edit(UnitId(SAE, 2), 0.0, 3.0),)


def silent(share: float, words: str) -> None:
    pass


@pytest.fixture(scope="module")
def desk(house: Settings) -> Desk:
    return Desk(Store(house))


@pytest.fixture(scope="module")
def text_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_text_shelf(tmp_path_factory.mktemp("desk"), 12)


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("what is kept is not run again")


def test_a_clip_of_the_corpus_is_heard_once_for_everybody(desk: Desk, house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.heard(SAE, SAMPLE) is None
    desk.hear(SAE, SAMPLE)
    clip, runtime = desk.heard(SAE, SAMPLE), Runtime(house)
    opened = runtime.open(SAE)
    waveform = decode(desk.store.corpus("sounds").audio(SAMPLE)[0]).waveform
    values = runtime.capture("toy", waveform, [opened])[opened.hook].values
    assert clip is not None and clip.sample == SAMPLE and clip.transcript == "", "its words stand in the corpus already"
    np.testing.assert_allclose(clip.codes[SAE].dense(), opened.dictionary.codes(values).dense(), atol=1e-5)
    monkeypatch.setattr(desk, "run", never)
    desk.hear(SAE, SAMPLE)


def test_edits_of_a_clip_of_the_corpus_are_those_of_the_command_and_run_once(desk: Desk, house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    desk.editing.hear(SAE, OFF, "", SAMPLE, "run", lambda share, words: told.append(words))
    waveform = decode(desk.store.corpus("sounds").audio(SAMPLE)[0]).waveform
    direct = edit_speech(Runtime(house), desk.store, OFF, waveform)
    found = desk.editing.heard(SAE, OFF, "", SAMPLE)
    assert found is not None and found.json() == direct.json() and len(told) > 1
    assert desk.editing.heard(SAE, (replace(OFF[0], factor=2.0),), "", SAMPLE) is None and desk.editing.heard(SAE, OFF, "", "s004") is None
    monkeypatch.setattr(desk, "run", never)
    desk.editing.hear(SAE, OFF, "", SAMPLE, "run", silent)


def test_edits_of_ones_own_clip_are_forgotten_with_it(desk: Desk) -> None:
    token = desk.listen(SAE, desk.bring(sound(3, 1.0)))
    desk.editing.hear(SAE, OFF, token, None, "run", silent)
    assert desk.editing.heard(SAE, OFF, token, None) is not None
    desk.forget(token)
    assert desk.editing.heard(SAE, OFF, token, None) is None
    with pytest.raises(BadInput, match="no longer kept. Bring it once more"):
        desk.editing.hear(SAE, OFF, token, None, "run", silent)
    with pytest.raises(BadInput, match="Nothing is edited"):
        desk.editing.hear(SAE, (), "", SAMPLE, "run", silent)


def test_what_is_found_on_a_clip_that_was_forgotten_meanwhile_is_not_kept(desk: Desk) -> None:
    token = desk.listen(SAE, desk.bring(sound(4, 1.0)))
    desk.editing.hear(SAE, OFF, token, None, "run", lambda share, words: desk.forget(token))
    assert desk.editing.heard(SAE, OFF, token, None) is None


def test_a_units_effect_is_measured_once_for_everybody(text_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(Store(text_settings))
    unit = next(UnitId("toy-text-sae", u) for u in range(40) if len(desk.store.card(UnitId("toy-text-sae", u)).examples) > 3)
    assert desk.editing.effect(unit) is None
    desk.editing.ablate(unit, "run", silent)
    found = desk.editing.effect(unit)
    assert found is not None and found.json() == unit_effect(Runtime(text_settings), desk.store, unit).json()
    monkeypatch.setattr(desk, "run", never)
    desk.editing.ablate(unit, "run", silent)
    monkeypatch.undo()
    monkeypatch.setattr("earmark.live.editing.desk.N_STOPPED", 0)
    other = replace(unit, index=unit.index + 1)
    desk.editing.ablate(other, "run", silent)
    assert desk.editing.effect(unit) is desk.editing.effect(other) is None, "no more effects are kept than runs are remembered"


def test_a_text_of_the_corpus_is_read_once_for_everybody(text_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(Store(text_settings))
    slug, sample = "toy-text-sae", desk.store.corpus("made-up").ids[0]
    desk.texts.read_window(slug, sample)
    passage = desk.texts.window(slug, sample)
    assert passage is not None and tuple(passage.tokens) == desk.store.corpus("made-up").tokens_of(sample)
    desk.texts.splice(slug, "the cat sat on the mat")
    monkeypatch.setattr(desk, "run", never)
    desk.texts.read_window(slug, sample)
    desk.texts.splice(slug, "the cat sat on the mat")


def test_a_dictionary_is_asked_only_for_what_its_model_takes(desk: Desk, text_settings: Settings) -> None:
    texts = Desk(Store(text_settings))
    ticket = texts.bring(sound(1, 0.5))
    with pytest.raises(BadInput, match="toy-text reads text; it cannot hear a sound"):
        texts.listen("toy-text-sae", ticket)
    with pytest.raises(BadInput, match="toy hears sounds; it reads no text"):
        desk.texts.read(SAE, "the cat")


# -- the Lab ---------------------------------------------------------------------------------------------------------------


def test_the_lab_takes_a_language_model_that_is_here_where_none_is_named(desk: Desk, text_settings: Settings) -> None:
    from earmark.experiments import Experiment

    texts = Desk(Store(text_settings))
    assert texts.lab.settled(Experiment()).model == "toy-text" and texts.lab.settled(Experiment(model="other")).model == "other"
    assert desk.lab.settled(Experiment()).model == "toy", "where only models of sounds are listed, one of them"
    desk.lab.warm(Experiment(model="toy"))
    assert desk.state(SAE).name in ("loading", "ready")
    desk.lab.warm(Experiment(model="nobodys"))


def test_a_clip_of_the_corpus_is_the_labs_source_by_its_name(desk: Desk) -> None:
    source = desk.lab.sample("toy", SAMPLE)
    assert source.name == f"sample:{SAMPLE}" and source.sound is not None
    np.testing.assert_array_equal(source.sound.waveform.samples, decode(desk.store.corpus("sounds").audio(SAMPLE)[0]).waveform.samples)
    assert desk.lab.sound(sound(3, 1.0)).name.startswith("sound:") != desk.lab.sound(sound(4, 1.0)).name


def test_a_training_that_was_stopped_while_it_waited_does_not_begin(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from earmark.experiments import Experiment

    monkeypatch.setattr(desk, "run", never)
    job = Job(Experiment(model="toy"), desk.lab.sample("toy", SAMPLE), seen=1e12, stop=True)
    desk.lab._work(job)
    assert (job.state, job.problem) == ("gone", "")


# -- over HTTP -------------------------------------------------------------------------------------------------------------


def test_ones_own_clip_over_http(desk: Desk) -> None:
    client = TestClient(Starlette(routes=own_routes(desk)))
    desk.warm(SAE)
    token = desk.listen(SAE, desk.bring(sound(5, 0.8)))
    clip = desk.kept.get(token)
    answer = client.get(f"/own/{token}/sound.wav")
    assert clip is not None and answer.content == clip.sound and answer.headers["cache-control"] == "private, no-store"
    assert client.get(f"/own/{token}/mel.png").content.startswith(b"\x89PNG")
    assert client.get(f"/model/{SAE}").json()["state"] == "ready" and client.post(f"/model/{SAE}/open").json()["state"] == "ready"
    desk.forget(token)
    for path in (f"/own/{token}/sound.wav", f"/own/{token}/mel.png"):
        gone = client.get(path)
        assert gone.status_code == 404 and json.loads(gone.text) == {"error": "This clip is no longer kept. Bring it again."}


def test_a_training_on_a_text_has_no_sound(desk: Desk) -> None:
    client = TestClient(Starlette(routes=own_routes(desk)))
    desk.lab.kept.put(SimpleNamespace(clip=None, n_bytes=1), "on-a-text")  # type: ignore[arg-type]
    for path in ("/lab/on-a-text/sound.wav", "/lab/on-a-text/mel.png"):
        answer = client.get(path)
        assert answer.status_code == 404 and answer.json() == {"error": "This was trained on a text; it has no sound."}
    desk.lab.kept.drop("on-a-text")
