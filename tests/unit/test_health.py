"""A dictionary's health: formulas against naive loops, splicing against hooks of torch's own, and what is stored against what was computed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from earmark.dictionaries.base import SparseAutoencoder
from earmark.errors import BadInput
from earmark.health import BEHAVIOUR, QUALITY, RECONSTRUCTION, round_trip, spread
from earmark.inputs.audio import decode
from earmark.measure.quality import QualityMeter
from earmark.measure.recovered import edits, recovered, word_errors
from earmark.measure.trips import round_trips
from earmark.models import llama
from earmark.models.base import ModelFiles
from earmark.offline.tables.build import build
from earmark.offline.training.health import divided
from earmark.offline.training.health.command import Found, chosen, recompute, save, trips_of
from earmark.offline.training.health.judge import Judge, summed
from earmark.runtime import Opened, Runtime
from earmark.settings import Settings
from earmark.shelf.catalog import DictionaryEntry
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.fixtures.models import make_text
from tests.fixtures.toy import N_UNITS, WIDTH

# -- formulas --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "topk"])
def test_round_trips_equal_a_naive_loop(activation) -> None:
    g = torch.Generator().manual_seed(2)
    W = torch.randn(30, 8, generator=g)
    sae = SparseAutoencoder(W.T, W * 0.7, torch.randn(30, generator=g) * 0.3, torch.randn(8, generator=g), activation=activation, k=3)
    values = torch.rand(30, generator=g).numpy() + 0.5
    trips = round_trips(values, sae.decode, lambda x: sae.encode(x).dense(), batch=7)
    for unit in range(30):
        x = float(values[unit]) * sae.W_dec[unit] + sae.b_dec
        pre = (x @ sae.W_enc + sae.b_enc).clamp_min(0).numpy()
        if activation == "topk":
            pre[np.argsort(-pre)[3:]] = 0
        assert trips.own[unit] == pytest.approx(pre[unit], abs=1e-5)
        assert trips.largest[unit] == pytest.approx(pre.max(), abs=1e-5)
        assert pre[trips.largest_unit[unit]] == pytest.approx(pre.max(), abs=1e-5)
        assert trips.mean[unit] == pytest.approx(sum(pre) / 30, abs=1e-5)
        assert trips.square[unit] == pytest.approx(sum(v * v for v in pre) / 30, abs=1e-4)


def test_a_batchtopk_without_threshold_goes_one_by_one() -> None:
    """Its features depend on the batch; alone, a unit competes with nobody else's."""
    W = torch.eye(6)
    sae = SparseAutoencoder(W, W, torch.zeros(6), torch.zeros(6), activation="batchtopk", k=2)
    trips = trips_of(sae, np.full(6, 2.0, np.float32))
    assert trips is not None and trips.own == pytest.approx(np.full(6, 2.0))


def test_round_trip_in_short() -> None:
    trips = {"unit": np.arange(4), "own": np.array([2.0, 1.0, 0.0, 3.0]), "largest": np.array([2.0, 4.0, 0.0, 3.0]), "largest_unit": np.array([0, 3, 2, 3])}
    assert round_trip(trips) == {"n_units": 4, "first": 0.5, "nothing": 0.25, "ratio": pytest.approx(0.625)}
    assert round_trip(None) is None and spread(np.array([])) is None


def naive_edits(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    if not a or not b:
        return len(a) + len(b)
    return min(naive_edits(a[1:], b) + 1, naive_edits(a, b[1:]) + 1, naive_edits(a[1:], b[1:]) + (a[0] != b[0]))


@given(st.lists(st.sampled_from("abc"), max_size=5), st.lists(st.sampled_from("abc"), max_size=5))
def test_edits_equal_the_definition(a: list[str], b: list[str]) -> None:
    assert edits(a, b) == naive_edits(tuple(a), tuple(b))


def test_word_errors_count_words() -> None:
    assert word_errors("Don't stop, Joe!", "don\N{RIGHT SINGLE QUOTATION MARK}t STOP joe") == word_errors("a b c", "a b c")
    found = word_errors("the money is gone", "money was gone now")
    assert (found.n_errors, found.n_words) == (3, 4) and found.rate == 0.75
    assert word_errors("", "").rate is None
    looped = word_errors("Ooh, uck uck UNGH!", "Ooh, " + "that's " * 100)
    assert looped.n_errors == 100 and (looped.bounded.n_errors, looped.bounded.rate) == (4, 1.0) and found.bounded == found


def test_nothing_is_recovered_where_ablation_costs_nothing() -> None:
    assert recovered(13.0, 4.0, 3.5) == pytest.approx(9 / 9.5)
    assert recovered(3.0, 3.2, 3.1) is None


def test_a_meter_in_parts_is_the_whole() -> None:
    random = np.random.default_rng(0)
    x, x_hat, f = (random.normal(size=(50, n)).astype(np.float32) for n in (4, 4, 9))
    whole, parts = QualityMeter(9, 4), [QualityMeter(9, 4), QualityMeter(9, 4)]
    whole.add(x, x_hat, f)
    for part, rows in zip(parts, (slice(0, 13), slice(13, 50)), strict=True):
        part.add(x[rows], x_hat[rows], f[rows])
    merged = QualityMeter.restore({name: np.asarray(value) for name, value in parts[0].state().items()})
    merged.merge(parts[1])
    assert merged.result().json() == pytest.approx(whole.result().json())
    assert merged.mean == pytest.approx(x.mean(axis=0), abs=1e-6)
    assert merged.typical == pytest.approx([column[column > 0].mean() for column in f.T], rel=1e-5)
    nothing = QualityMeter(3, 1)
    nothing.add(x[:, :1], x[:, :1], np.array([[2.0, 0, 4.0]] * 50, np.float32))
    assert nothing.typical == pytest.approx([2, 3, 4])


def test_each_figure_is_told_once() -> None:
    names = [f.name for f in (*RECONSTRUCTION, *BEHAVIOUR)]
    assert len(set(names)) == len(names) and set(QUALITY) <= {*names, "ce_of", "transcripts"}
    assert all(len(f.help) > 20 and f.help.endswith(".") for f in (*RECONSTRUCTION, *BEHAVIOUR))


# -- a model with something else in place of its activations ---------------------------------------------------------------


def perfect() -> SparseAutoencoder:
    """x -> x: every axis twice, once for each sign."""
    both = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])
    return SparseAutoencoder(both.T, both, torch.zeros(2 * WIDTH), torch.zeros(WIDTH), activation="relu")


@pytest.fixture(scope="module")
def toy(house: Settings) -> tuple[Runtime, Opened]:
    """With a decoder that listens: as it is drawn at random, it hardly minds what the encoder says."""
    runtime = Runtime(house)
    with torch.no_grad():
        for name, weight in runtime.model("toy").network.named_parameters():
            if "encoder_attn.v_proj" in name or "encoder_attn.out_proj" in name or "embed_tokens" in name:
                weight.mul_(30)
    return runtime, runtime.open("toy-sae")


def test_a_perfect_autoencoder_changes_nothing(house: Settings, toy: tuple[Runtime, Opened]) -> None:
    runtime, opened = toy
    corpus = Store(house).corpus("sounds")
    judge = Judge(runtime.model("toy"), opened, perfect(), torch.full((WIDTH,), 0.3))
    rows = [judge.row(decode(corpus.audio(name)[0]).waveform, corpus.transcripts[corpus.row(name)]) for name in corpus.ids[:3]]
    figures = summed(rows)
    assert figures["ce_spliced"] == pytest.approx(figures["ce_clean"], rel=1e-4)
    assert figures["wer_spliced"] == figures["wer"] and figures["n_ce_samples"] == 3
    assert abs(figures["ce_zero"] - figures["ce_clean"]) > 0.01, "or nothing was put in place of anything"
    assert "ce_spliced_all" not in figures, "a sound has no sinks to tell apart"


def test_ways_equal_hooks_of_ones_own(house: Settings, toy: tuple[Runtime, Opened]) -> None:
    """Cross-entropies by torch's own hook, over real frames only, and a loop over the transcript's tokens."""
    runtime, opened = toy
    corpus, model = Store(house).corpus("sounds"), runtime.model("toy")
    name = corpus.ids[4]
    heard, said = decode(corpus.audio(name)[0]).waveform, corpus.transcripts[4]
    mean = torch.linspace(-1, 1, WIDTH)
    row = Judge(model, opened, opened.dictionary, mean).row(heard, said)
    n_real = len(model.capture(heard, [opened.hook])[opened.hook].values)

    def changed(way: str, x: torch.Tensor) -> torch.Tensor:
        new = x.clone()
        for t in range(n_real):
            new[0, t] = {"clean": x[0, t], "zero": torch.zeros(WIDTH), "mean": mean, "spliced": opened.dictionary.reconstruct(x[0, t : t + 1])[0]}[way]
        return new

    network, ids = model._model, model._encode(" " + said)
    for way in ("clean", "spliced", "zero", "mean"):
        handle = model.root.get_submodule(opened.hook.module).register_forward_hook(
            lambda _m, _a, out, way=way: (changed(way, out[0]), *out[1:]) if isinstance(out, tuple) else changed(way, out)
        )
        total, prompt = 0.0, model._prompt(heard.samples)
        with torch.no_grad():
            for i, token in enumerate([*ids, network.generation_config.eos_token_id]):
                logits = network(input_features=model.mel(heard.samples), decoder_input_ids=torch.tensor([[*prompt, *ids[:i]]])).logits[0, -1]
                total -= float(logits.log_softmax(dim=0)[token])
        handle.remove()
        assert row[way] == pytest.approx(total, rel=3e-5), way
    assert min(abs(row[a] - row[b]) for a in ("clean", "zero") for b in ("spliced", "mean")) > 3e-4 * row["clean"], "the ways differ enough to be told apart"
    assert row["n_tokens"] == len(ids) + 1


def test_a_texts_sinks_pass_through_unless_all_is_replaced(tmp_path: Path) -> None:
    """Cross-entropies of every way by torch's own hook; sinks by their definition."""
    make_text(tmp_path / "llama", "llama")
    model = llama.load(ModelFiles("llama", {"folder": tmp_path / "llama"}))
    sample = model.window(range(60, 74))
    with torch.no_grad():  # two of its tokens get a norm beyond the others'
        model.root.embed_tokens.weight[[63, 70]] *= 60
    hook = model.hook("residual", 1)
    g = torch.Generator().manual_seed(5)
    W = torch.randn(40, WIDTH, generator=g)
    sae, mean = SparseAutoencoder(W.T, W * 0.05, torch.zeros(40), torch.zeros(WIDTH), activation="topk", k=6), torch.randn(WIDTH, generator=g)
    opened = Opened(DictionaryEntry("d", "llama", "sae", 1, "residual"), hook, sae, "0")
    row = Judge(model, opened, sae, mean).row(sample, "")
    x = model.capture(sample, [hook])[hook].values
    norms = np.linalg.norm(x, axis=1)
    spared = norms > 4 * np.median(norms)
    spared[0] = True
    assert sample.n_before == 1 and spared.sum() == 3
    ids, reconstructed = torch.tensor([sample.ids]), sae.reconstruct(torch.from_numpy(x)).numpy()
    for way in ("clean", "spliced", "zero", "mean", "spliced_all", "zero_all", "mean_all"):
        new = {"clean": x, "spliced": reconstructed, "zero": 0 * x, "mean": np.tile(mean.numpy(), (len(x), 1))}[way.split("_")[0]]
        new = torch.from_numpy(new if way.endswith("_all") else np.where(spared[:, None], x, new))[None]
        handle = model.root.get_submodule(hook.module).register_forward_hook(lambda _m, _a, out, new=new: (new, *out[1:]) if isinstance(out, tuple) else new)
        with torch.no_grad():
            logits = model.network(ids).logits[0].log_softmax(dim=-1)
        handle.remove()
        assert row[way] == pytest.approx(-sum(float(logits[t, ids[0, t + 1]]) for t in range(1, len(sample.ids) - 1)), rel=1e-4), way
    figures = summed([row])
    assert figures["n_ce_tokens"] == len(sample.ids) - 2 and figures["ce_of"] == "the next token of a text" and "wer" not in figures
    assert len({round(row[way], 2) for way in row if way != "n_tokens"}) == 7, "or the ways are not told apart"


# -- the command -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_house(house: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy that may be written into."""
    folder = tmp_path_factory.mktemp("health")
    shutil.copytree(house.data, folder / "data")
    return replace(house, data=folder / "data", cache=folder / "cache")


@pytest.fixture(scope="module")
def found(own_house: Settings) -> Found:
    return recompute(own_house, "toy-sae", n_workers=2, n_judged=5)


def test_figures_do_not_depend_on_the_workers(own_house: Settings, found: Found) -> None:
    alone = recompute(own_house, "toy-sae", n_workers=1, n_judged=5)
    assert alone.json() == {name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value for name, value in found.json().items()}


def test_reconstruction_equals_a_loop(own_house: Settings, found: Found) -> None:
    from earmark.offline.training.source import is_held_out

    runtime, corpus = Runtime(own_house), Store(own_house).corpus("sounds")
    opened = runtime.open("toy-sae")
    held_out = [name for name in corpus.ids if is_held_out(name, 0.1)]
    x = np.concatenate([runtime.capture("toy", decode(corpus.audio(name)[0]).waveform, [opened])[opened.hook].values for name in held_out])
    missed = x - opened.dictionary.reconstruct(torch.from_numpy(x)).numpy()
    assert found.quality["n_positions"] == len(x) and found.quality["n_sinks"] == 0
    assert found.quality["fvu"] == pytest.approx((missed**2).sum() / ((x - x.mean(axis=0)) ** 2).sum(), rel=1e-3)


def test_samples_are_the_same_every_time_and_transcripts_those_of_the_source(own_house: Settings) -> None:
    corpus = Store(own_house).corpus("sounds")
    names, by = chosen(corpus, corpus.ids, 7)
    assert (names, by) == chosen(corpus, corpus.ids[::-1], 7) and len(set(names)) == 7 and by == "source"
    corpus.transcript_by[:] = ["model"] * len(corpus.ids)
    corpus.transcript_by[3] = "source"
    assert chosen(corpus, corpus.ids, 7) == ((corpus.ids[3],), "source")
    corpus.transcript_by[3] = "model"
    assert chosen(corpus, corpus.ids, 7) == (names, "model")


def test_what_is_saved_is_what_the_shelf_then_says(own_house: Settings, found: Found) -> None:
    before = Store(own_house).health("toy-sae")
    assert before["ce_recovered"] is None and before["round_trip"] is None
    save(own_house, "toy-sae", found)
    store = Store(own_house)
    assert store.health("toy-sae") == {**found.json(), "dead": before["dead"]}
    assert store.health("toy-sae")["decoder_cosine"]["largest"] <= 1
    assert found.trips is not None
    for unit in (0, 5, N_UNITS - 1):
        trip = store.card(UnitId("toy-sae", unit)).trip
        assert trip is not None and trip.own == found.trips.own[unit] and trip.largest_unit == found.trips.largest_unit[unit]
    assert store.card(UnitId("toy-neurons", 0)).trip is None and store.health("toy-neurons")["round_trip"] is None
    manifest = json.loads((own_house.data / "toy-sae" / "manifest.json").read_text())
    assert {"trips-000.parquet", "units-000.parquet"} <= set(manifest["files"]) and manifest["quality"]["wer"] == found.quality["wer"]


def test_round_trips_stay_as_long_as_the_weights_do(own_house: Settings, found: Found) -> None:
    save(own_house, "toy-sae", found)
    build(own_house, "toy-sae", None, n_workers=1, only=True, limit=8)
    store = Store(own_house)
    assert store.dictionary("toy-sae").trips is not None and store.health("toy-sae")["wer"] == found.quality["wer"]
    manifest = own_house.data / "toy-sae" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"revision": "of other weights"}))
    build(own_house, "toy-sae", None, n_workers=1, only=True, limit=8)
    assert Store(own_house).dictionary("toy-sae").trips is None


def test_samples_that_are_lost_are_missed(own_house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Store(own_house).corpus("sounds")
    plan = divided.Plan("toy-sae", "sounds", tuple(corpus.ids[:6]), (), tmp_path)

    def one_too_few(job, args, n_workers, total, done, title) -> None:
        for worker in range(n_workers):
            short = replace(plan, held_out=plan.held_out[: len(plan.held_out) - 1])
            job(divided.workers.Share(worker, n_workers, lambda n: None), args[0], short)

    monkeypatch.setattr(divided.workers, "run", one_too_few)
    with pytest.raises(BadInput, match="5 of 6 samples"):
        divided.quality(own_house, plan, 2)
