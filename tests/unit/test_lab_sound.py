"""The Lab on sounds: a clip of the corpus, one of one's own, and one that is too long; and what the routes say of a training."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile as sf
from starlette.applications import Starlette
from starlette.testclient import TestClient

from earmark.errors import BadInput, NotFound
from earmark.experiments import MAX_POSITIONS, Experiment, Size
from earmark.live.desk import Desk
from earmark.live.lab.desk import OVER
from earmark.shelf.store import Store
from earmark.web.own import own_routes
from tests.fixtures.toy import make_house, sound

SMALL = Experiment(model="toy", site="residual", layer=1, kind="l1", n_units=Size(12), n_steps=10, l1=0.01)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(Store(make_house(tmp_path_factory.mktemp("sounds"), n_samples=3)))
    yield made
    for slug in list(made.store.catalog.guests):
        made.runtime().take_back(slug)


@pytest.fixture(scope="module")
def client(desk: Desk) -> TestClient:
    return TestClient(Starlette(routes=own_routes(desk)))


def trained(desk: Desk, client: TestClient, source) -> str:
    """The token of a training that is followed over HTTP until it is done."""
    ticket = desk.lab.start(SMALL, source)
    while (told := client.get(f"/lab/training/{ticket}").json())["state"] not in OVER:
        pass
    assert told["state"] == "done", told
    return told["token"]


def test_a_sound_of_ones_own(desk: Desk, client: TestClient) -> None:
    source = desk.lab.sound(sound(5, 1.0))
    token = trained(desk, client, source)
    run = desk.lab.kept.get(token)
    assert run is not None and run.clip is not None and run.passage is None
    waveform = source.sound.waveform  # type: ignore[union-attr]
    runtime = desk.runtime()
    opened = runtime.open(run.slug)
    taken = runtime.capture("toy", waveform, [opened])[opened.hook]
    np.testing.assert_allclose(run.values, run.sae.codes(taken.values).dense(), atol=1e-5)
    assert run.n_counted == len(taken.values) == run.clip.grid.n_frames
    answer = client.get(f"/lab/{token}/run.json?sort=density").json()
    assert answer["tokens"] is None and answer["n_positions"] == run.n_counted and len(answer["values"]) == 12
    assert client.get(f"/lab/{token}/run.json?sort=luck").status_code == 422
    heard, _ = sf.read(io.BytesIO(client.get(f"/lab/{token}/sound.wav").content), dtype="float32")
    np.testing.assert_allclose(heard, waveform.samples, atol=1e-4)
    assert client.get(f"/lab/{token}/mel.png").content.startswith(b"\x89PNG")
    archive = client.get(f"/lab/{token}/sae.zip")
    assert archive.headers["cache-control"] == "private, no-store" and archive.content.startswith(b"PK")
    listened = desk.listen(run.slug, desk.bring(sound(6, 0.5)))
    clip = desk.kept.get(listened)
    assert clip is not None and run.slug in clip.codes, "opened like any dictionary"


def test_a_sound_that_is_too_long_is_cut(desk: Desk, client: TestClient) -> None:
    token = trained(desk, client, desk.lab.sound(sound(7, 12.0)))
    run = desk.lab.kept.get(token)
    assert run is not None and len(run.values) == MAX_POSITIONS and "its first 10.2 s are used" in run.notices[0]


def test_sounds_are_for_models_that_hear(desk: Desk) -> None:
    with pytest.raises(BadInput, match="hears sounds; it reads no text"):
        desk.lab.start(SMALL, desk.lab.text("the cat sat"))
    with pytest.raises(NotFound, match="no clips for toy here"):
        desk.lab.sample("toy", "s000")


def test_what_is_not_there_is_told(client: TestClient) -> None:
    for path in ("/lab/training/nobodys", "/lab/nobodys/run.json", "/lab/nobodys/sae.zip", "/lab/nobodys/sound.wav"):
        answer = client.get(path)
        assert answer.status_code == 404 and "Train once more." in answer.json()["error"]
    assert client.post("/lab/training/nobodys/stop").status_code == 200
