"""The Lab's engine: figures of latents against naive loops, material against the model's own layers, trainings that end, wait, stop and are forgotten."""

from __future__ import annotations

import io
import json
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components import TABS
from components.bridge import Context
from components.views.address import settle
from components.views.listing import choices
from earmark.dictionaries import open_checkpoint
from earmark.errors import BadInput, BadTable, EarmarkError, NotFound
from earmark.experiments import GUEST, Experiment, Size
from earmark.links import Link
from earmark.live.desk import Desk
from earmark.live.lab import desk as lab_desk
from earmark.live.lab.desk import Lab
from earmark.live.lab.fit import Point, fit
from earmark.live.lab.latents import as_picture, in_order, latents_of
from earmark.live.lab.material import take
from earmark.live.lab.run import Run
from earmark.live.line.kept import Kept
from earmark.live.texts.words import word_tokens, words_in_text
from earmark.shelf.store import Store
from tests.fixtures.shelf import N_UNITS
from tests.fixtures.text_house import LAYER, SINK, make_text_house
from tests.fixtures.text_shelf import MODEL, SAE

SENTENCE = f"the cat sat on {SINK} the mat, no money in Hungary; the dog sat on the money"
SMALL = Experiment(model=MODEL, site="residual", layer=LAYER, n_units=Size(40), k=Size(6), n_steps=15)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(make_text_house(tmp_path_factory.mktemp("lab")))


@pytest.fixture
def desk(store: Store) -> Iterator[Desk]:
    made = Desk(store)
    yield made
    for slug in list(store.catalog.guests):
        made.runtime().take_back(slug)


def until(lab: Lab, ticket: str, state: Callable[[dict[str, Any]], bool], within_s: float = 30) -> dict[str, Any]:
    end = time.monotonic() + within_s
    while not state(told := lab.progress(ticket)):
        assert time.monotonic() < end, told
        time.sleep(0.01)
    return told


def over(told: dict[str, Any]) -> bool:
    return told["state"] in lab_desk.OVER


def trained(desk: Desk, experiment: Experiment = SMALL, text: str = SENTENCE) -> Run:
    told = until(desk.lab, desk.lab.start(experiment, desk.lab.text(text)), over)
    assert told["state"] == "done", told
    run = desk.lab.kept.get(told["token"])
    assert run is not None
    return run


# -- figures ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def values() -> np.ndarray:
    random = np.random.default_rng(0)
    found = (random.random((9, 6)) * (random.random((9, 6)) > 0.5)).astype(np.float32)
    found[:, 2] = 0
    found[4] = 0
    return found


def test_figures_of_latents_against_a_loop(values: np.ndarray) -> None:
    counted = np.arange(9) != 4
    found = latents_of(values, counted)
    for unit in range(6):
        own = [float(values[at, unit]) for at in range(9) if at != 4]
        above = [v for v in own if v > 0]
        assert found.density[unit] == pytest.approx(len(above) / 8)
        assert found.mean[unit] == pytest.approx(sum(own) / 8)
        assert found.typical[unit] == pytest.approx(sum(above) / len(above) if above else 0)
        assert found.peak[unit] == pytest.approx(max(own))
    assert found.dead == pytest.approx(1 / 6)
    assert found.l0 == pytest.approx(np.count_nonzero(values) / 8)


def test_orders_of_latents(values: np.ndarray) -> None:
    found = latents_of(values, np.ones(9, bool))
    units = range(6)
    assert in_order(found, "activity").tolist() == sorted(units, key=lambda u: (-found.mean[u], u))
    assert in_order(found, "density").tolist() == sorted(units, key=lambda u: (-found.density[u], u))
    assert in_order(found, "number").tolist() == list(units)
    with pytest.raises(BadInput, match="no order 'luck'; valid: activity, density, number"):
        in_order(found, "luck")


@pytest.mark.parametrize(("d", "shape"), [(576, (24, 24)), (768, (24, 32)), (1536, (32, 48)), (16, (4, 4)), (13, (3, 5)), (1, (1, 1))])
def test_weights_as_pictures(d: int, shape: tuple[int, int]) -> None:
    weights = np.arange(1, d + 1, dtype=np.float32)
    picture = as_picture(weights)
    assert picture.shape == shape
    flat = picture.ravel()
    assert flat[:d].tolist() == weights.tolist() and np.isnan(flat[d:]).all()


# -- what is trained on ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", ["residual", "neurons", "preactivation"])
def test_material_is_the_layers_own_without_sinks(desk: Desk, site: str) -> None:
    found = take(desk.runtime(), replace(SMALL, site=site), desk.lab.text(SENTENCE))
    network = desk.runtime().model(MODEL).network
    layer = network.model.layers[LAYER]
    part = {"residual": layer, "neurons": layer.mlp.down_proj, "preactivation": layer.mlp.gate_proj}[site]
    kept: list[torch.Tensor] = []

    def keep(_module: Any, args: Any, output: Any) -> None:
        kept.append(args[0] if site == "neurons" else output[0] if isinstance(output, tuple) else output)

    handle = part.register_forward_hook(keep)
    with torch.no_grad():
        network(torch.tensor([found.tokens.ids]))  # type: ignore[union-attr]
    handle.remove()
    n_before = found.tokens.n_before  # type: ignore[union-attr]
    np.testing.assert_allclose(found.values, kept[0].reshape(-1, N_UNITS)[n_before:].numpy(), atol=1e-4, rtol=1e-4)
    tokens = found.tokens.tokens[n_before:]  # type: ignore[union-attr]
    assert [t for t, counted in zip(tokens, found.counted, strict=True) if not counted] == [SINK]
    assert len(found.x) == len(tokens) - 1


def test_the_middle_layer_and_layers_that_are_not_there(desk: Desk) -> None:
    assert take(desk.runtime(), replace(SMALL, layer=None), desk.lab.text(SENTENCE)).layer == 1, "of 3"
    with pytest.raises(NotFound, match="There is no layer 7 of .*; its layers are 0 to 2"):
        take(desk.runtime(), replace(SMALL, layer=7), desk.lab.text(SENTENCE))


def test_long_texts_are_cut_and_short_ones_refused(desk: Desk) -> None:
    found = take(desk.runtime(), SMALL, desk.lab.text("the cat sat. " * 300))
    assert len(found.values) == 512 and "the first 512 are read" in found.notices[0]
    with pytest.raises(BadInput, match="Only 1 position can be used"):
        take(desk.runtime(), SMALL, desk.lab.text("é"))
    with pytest.raises(BadInput, match="The text is empty"):
        desk.lab.text("  ")


# -- a training ----------------------------------------------------------------------------------------------------------------


def test_losses_fall_and_their_parts_are_the_total() -> None:
    x = np.random.default_rng(1).normal(size=(30, 16)).astype(np.float32)
    told: list[Point] = []
    experiment = replace(SMALL, n_units=Size(2, True), k=Size(1 / 3, True), n_steps=60)
    found = fit(x, experiment, told.append)
    assert found.n_steps == len(told) == 60 and not found.ended
    assert set(found.losses) == {"total", "reconstruction", "sparsity", "covariance"}
    np.testing.assert_allclose(sum(line for name, line in found.losses.items() if name != "total"), found.losses["total"], rtol=1e-4)
    assert found.losses["total"][-1] < found.losses["total"][0]
    assert found.sae.n_units == 32 and found.sae.k == 5 and found.sae.width == 16
    assert set(fit(x, replace(experiment, kind="topk", n_steps=3)).losses) == {"total", "reconstruction"}
    again = fit(x, experiment)
    assert torch.equal(again.sae.W_enc, found.sae.W_enc), "the same seed gives the same training"


def test_a_training_stops_when_told_and_when_it_is_late() -> None:
    x = np.random.default_rng(1).normal(size=(30, 16)).astype(np.float32)
    steps: list[Point] = []
    found = fit(x, SMALL, steps.append, stop=lambda: len(steps) == 4)
    assert (found.n_steps, found.ended) == (4, "stopped")
    assert fit(x, SMALL, limit_s=0.0).ended == "late"
    with pytest.raises(BadInput, match="k is 50"):
        fit(x, replace(SMALL, k=Size(50)))
    with pytest.raises(BadInput, match="do not differ"):
        fit(np.ones((5, 16), np.float32), SMALL)


@pytest.mark.parametrize("kind", ["ksparse", "l1", "topk"])
def test_what_is_kept_is_the_autoencoders_own(desk: Desk, kind: str) -> None:
    run = trained(desk, replace(SMALL, kind=kind))
    material = take(desk.runtime(), run.experiment, run.source)
    expected = np.zeros((len(material.values), 40), np.float32)
    expected[material.counted] = run.sae.codes(material.x).dense()
    np.testing.assert_allclose(run.values, expected, atol=1e-6)
    found = json.loads(json.dumps(run.json()))
    assert found["n_positions"] == len(material.x) and found["left_out"] == np.flatnonzero(~material.counted).tolist()
    assert [int(u) for u in found["values"]] == in_order(run.latents, "activity").tolist()
    for unit, line in found["values"].items():
        assert line == pytest.approx(expected[:, int(unit)].tolist(), abs=1e-6)
    assert "".join(found["tokens"]) == SENTENCE
    x_hat = run.sae.reconstruct(torch.from_numpy(material.x)).numpy()
    assert run.fitted.n_steps == 15
    assert np.square(material.x - x_hat).sum() < np.square(material.x - material.x.mean(axis=0)).sum()


def test_a_training_that_went_astray_says_so(desk: Desk) -> None:
    astray, well = (trained(desk, replace(SMALL, kind="l1", l1=0.0, lr=lr)) for lr in (0.9, 0.003))
    assert astray.fitted.fvu > 1 and "lower rate" in astray.notices[-1] and f"{astray.fitted.fvu:.3g}" in astray.notices[-1]
    assert well.fitted.fvu < 1 and not any("astray" in notice for notice in well.notices)


@pytest.mark.parametrize("kind", ["ksparse", "l1"])
def test_the_download_is_a_saelens_folder_with_its_settings(desk: Desk, tmp_path: Path, kind: str) -> None:
    run = trained(desk, replace(SMALL, kind=kind))
    with zipfile.ZipFile(io.BytesIO(run.zip())) as archive:
        assert sorted(archive.namelist()) == ["earmark-lab/cfg.json", "earmark-lab/sae_weights.safetensors"]
        archive.extractall(tmp_path)
    found = open_checkpoint(tmp_path / "earmark-lab")
    assert found.format == "saelens"
    x = torch.from_numpy(take(desk.runtime(), run.experiment, run.source).x)
    own, other = run.sae.reconstruct(x), found.dictionary.reconstruct(x)
    assert (own - other).norm() < 0.02 * own.norm(), "but for half precision the same"
    config = json.loads((tmp_path / "earmark-lab" / "cfg.json").read_text())
    assert config["metadata"]["earmark"]["experiment"] == run.experiment.json()
    assert config["metadata"]["model_name"] == MODEL


def test_words_are_scored_as_in_any_text(desk: Desk) -> None:
    run = trained(desk)
    assert run.passage is not None
    scores = words_in_text(run.passage, run.slug, ("money",), "ratio", 40)
    mask, _ = word_tokens(run.passage.tokens, ("money",))
    counted = ~run.passage.sinks
    on, off = run.values[mask & counted], run.values[~mask & counted]
    assert scores.n_on == len(on) and scores.units
    for s in scores.units:
        above = [[float(v) for v in part[:, s.unit] if v > 0] for part in (on, off)]
        assert s.n_on == len(above[0])
        assert s.ratio == (pytest.approx(np.mean(above[0]) / np.mean(above[1]), rel=1e-4) if above[1] else None)


# -- opened for the visit ----------------------------------------------------------------------------------------------------


def test_it_opens_like_any_dictionary_and_is_in_no_list(desk: Desk, store: Store) -> None:
    run = trained(desk)
    assert run.slug.startswith(GUEST) and run.slug not in store.catalog.dictionaries
    assert {e.slug for e in store.catalog.siblings(run.slug)} >= {run.slug, SAE}, "beside the others over its layer"
    assert run.slug not in {e.slug for e in store.catalog.siblings(SAE)}
    found = desk.texts.analyse(run.slug, "the cat has money", 5, "peak")
    passage = desk.texts.find(run.slug, "", desk.texts.read(run.slug, "the cat has money"))
    assert passage is not None and run.slug in passage.codes and SAE in passage.codes
    values = passage.codes[run.slug].dense()
    assert found.hits[0].peak == pytest.approx(float(values.max()), rel=1e-5)
    assert desk.texts.name(run.slug, "x") != desk.texts.name(SAE, "x")
    for ask in (store.dictionary, store.health, store.label_summary):
        with pytest.raises(BadTable, match=r"was trained in the Lab: it has no tables, and is gone after a while\. Download it there to keep it\.$"):
            ask(run.slug)
    desk.lab.kept.drop(run.token)
    with pytest.raises(EarmarkError, match="no dictionary 'lab-"):
        desk.texts.read(run.slug, "the cat")


@pytest.mark.parametrize("tab", ["browse", "feature", "health", "compare"])
def test_every_tab_shows_it_to_who_knows_it(desk: Desk, store: Store, tab: str) -> None:
    run = trained(desk)
    link, _ = settle(store, Link(tab, run.slug))
    shown = {module.NAME: module for module in TABS}[tab].show(Context(store, (), desk), link).values
    page = "".join(str(part) for part in shown)
    assert "Trained in the Lab" in page and f"earmark build {run.slug}" not in page, "no command knows it"
    assert run.slug not in [c.entry.slug for c in choices(store, Link("browse", SAE))], "nobody else is told"


def test_what_is_too_old_is_taken_back(desk: Desk, store: Store) -> None:
    run, now, gone = trained(desk), [0.0], []
    kept: Kept[Run] = Kept(10**9, 60, lambda: now[0], gone.append)
    kept.put(run, "one")
    kept.put(run, "two")
    now[0] = 61
    assert kept.get("one") is None and gone == ["one", "two"]
    small: Kept[Run] = Kept(1, 60, lambda: now[0], gone.append)
    small.put(run, "three")
    small.put(run, "four")
    small.drop("four")
    small.drop("nobody's")
    assert gone == ["one", "two", "three", "four"]


def test_a_training_is_found_by_its_settings_and_its_text(desk: Desk) -> None:
    run = trained(desk)
    name = run.source.name
    assert desk.lab.find(run.experiment, name) is run
    assert desk.lab.find(replace(run.experiment, seed=1), name) is None
    assert desk.lab.find(run.experiment, desk.lab.text("another").name) is None
    assert desk.lab.find(run.experiment, "", run.token) is run
    assert desk.lab.find(replace(run.experiment, seed=1), "", run.token) is None
    assert desk.lab.again(run.token) is run.source
    with pytest.raises(NotFound, match="no longer kept"):
        desk.lab.again("nobody's")


# -- the line ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Trainings wait for it between two steps."""
    event = threading.Event()
    real = fit

    def slow(x: Any, experiment: Experiment, tell: Any, stop: Any, limit_s: float) -> Any:
        def told(point: Point) -> None:
            tell(point)
            while not event.wait(0.01) and not stop():
                pass

        return real(x, experiment, told, stop, limit_s)

    monkeypatch.setattr("earmark.live.lab.fit.fit", slow)
    yield event
    event.set()


def test_one_at_a_time_and_the_others_are_told_their_place(desk: Desk, gate: threading.Event) -> None:
    tickets = [desk.lab.start(replace(SMALL, seed=seed), desk.lab.text(SENTENCE)) for seed in range(lab_desk.MAX_WAITING)]
    first = until(desk.lab, tickets[0], lambda told: told["step"] == 1)
    assert first["state"] == "training" and set(first["losses"]) == {"total", "reconstruction", "sparsity", "covariance"} and first["left_s"] >= 0
    assert [desk.lab.progress(t)["before"] for t in tickets[1:4]] == [1, 2, 3]
    assert re.fullmatch(r"3 are before you, about \d+ s", desk.lab.progress(tickets[3])["waits"])
    with pytest.raises(BadInput, match="8 trainings are under way or waiting"):
        desk.lab.start(SMALL, desk.lab.text(SENTENCE))
    gate.set()
    assert all(until(desk.lab, t, over)["state"] == "done" for t in tickets)
    assert len({desk.lab.progress(t)["token"] for t in tickets}) == len(tickets)


def test_stop_keeps_what_was_reached(desk: Desk, gate: threading.Event) -> None:
    ticket = desk.lab.start(SMALL, desk.lab.text(SENTENCE))
    until(desk.lab, ticket, lambda told: told["step"] >= 1)
    desk.lab.stop(ticket)
    token = until(desk.lab, ticket, over)["token"]
    run = desk.lab.kept.get(token)
    assert run is not None and run.fitted.ended == "stopped" and run.fitted.n_steps < 15


@pytest.mark.parametrize("how", ["says so", "asks no more"])
def test_who_leaves_ends_the_training_and_nothing_is_kept(store: Store, gate: threading.Event, how: str) -> None:
    desk = Desk(store)
    desk.lab = Lab(desk, left_s=60 if how == "says so" else 0.3)
    ticket = desk.lab.start(replace(SMALL, seed=77), desk.lab.text(SENTENCE))
    until(desk.lab, ticket, lambda told: told["step"] >= 1)
    if how == "says so":
        desk.lab.stop(ticket, leave=True)
    job = desk.lab._jobs[ticket]
    end = time.monotonic() + 20
    while job.state not in lab_desk.OVER:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (job.state, len(desk.lab.kept)) == ("gone", 0)
    gate.set()
    assert trained(desk).fitted.n_steps == 15, "the line goes on"


def test_what_cannot_be_trained_is_told(desk: Desk) -> None:
    for experiment, words in (
        (replace(SMALL, layer=9), "no layer 9 of"),
        (replace(SMALL, k=Size(41)), "k is 41"),
        (replace(SMALL, n_units=Size(900.0, True)), "at most 4,096"),
    ):
        told = until(desk.lab, desk.lab.start(experiment, desk.lab.text(SENTENCE)), over)
        assert told["state"] == "failed" and words in told["problem"]
    with pytest.raises(NotFound, match="no model 'nope'"):
        desk.lab.start(replace(SMALL, model="nope"), desk.lab.text(SENTENCE))
    with pytest.raises(NotFound, match="not known here"):
        desk.lab.progress("nobody's")
    desk.lab.stop("nobody's")


def test_what_nobody_thought_of_is_told_and_logged(desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("a defect of ours")

    monkeypatch.setattr("earmark.live.lab.fit.fit", broken)
    told = until(desk.lab, desk.lab.start(replace(SMALL, seed=77), desk.lab.text(SENTENCE)), over)
    assert told["state"] == "failed" and "Something went wrong here" in told["problem"] and "defect" not in told["problem"]
    assert "a defect of ours" in caplog.text
