"""Tables of a language model's units against a brute-force recomputation: sinks count for nothing, stored activations change nothing."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from components.card import render
from components.tokens import FAINT
from components.views.pair import Own, pair_page
from components.views.pair_text import scale_of, text_pair
from earmark.errors import BadInput
from earmark.links import Link
from earmark.live.desk import Desk
from earmark.measure.effects import N_TOKENS, direct_effects
from earmark.models.base import TextModel
from earmark.offline.tables.accumulate import PEAK_ROW
from earmark.offline.tables.build import build
from earmark.offline.tables.check import check
from earmark.offline.tables.peaks import strongest
from earmark.offline.training import source
from earmark.offline.training.harvest import harvest_all
from earmark.offline.training.source import is_held_out, training_positions
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.shelf.pairs import compare
from earmark.shelf.store import Store
from earmark.shelf.tables import files_of
from earmark.units import SINK_NORM, UnitId
from tests.fixtures.text_toy import CORPUS, DEAD_UNIT, LAYER, MODEL, NEURONS, RESIDUAL, SAE, SLUGS, K, make_text_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = make_text_house(tmp_path_factory.mktemp("text"))
    assert set(build(settings, SAE, None, 2)) == set(SLUGS)
    return settings


@pytest.fixture(scope="module")
def truth(house: Settings) -> dict[str, list[np.ndarray]]:
    """{dictionary: [values [n_positions, n_units] of each sample, NaN at sinks]}, by plain loops over the model's own output."""
    runtime, corpus = Runtime(house), Store(house).corpus(CORPUS)
    model, sae = runtime.model(MODEL), runtime.open(SAE).dictionary
    found: dict[str, list[np.ndarray]] = {slug: [] for slug in SLUGS}
    for row in corpus.table.all(["tokens"]).column("tokens").to_pylist():
        with torch.inference_mode():
            told = model.network(torch.tensor([[*model.before, *row]]), output_hidden_states=True)  # type: ignore[union-attr, operator]
        x = told.hidden_states[LAYER + 1][0].double().numpy()
        norms = np.sqrt((x * x).sum(axis=1))
        sink = (norms > 4 * np.median(norms))[1:]
        captured = model.capture(model.window(row), [model.hook("neurons", LAYER)])  # type: ignore[union-attr]
        neurons = next(iter(captured.values())).values[1:]
        pre = x[1:] @ sae.W_enc.double().numpy() + sae.b_enc.double().numpy()  # type: ignore[union-attr]
        f = np.zeros_like(pre)
        for place, values in enumerate(pre):
            for unit in np.argsort(-values)[:K]:
                f[place, unit] = max(values[unit], 0) * np.linalg.norm(sae.W_dec[unit].numpy())  # type: ignore[union-attr]
        for slug, values in ((SAE, f), (NEURONS, neurons.astype(np.float64)), (RESIDUAL, x[1:])):
            found[slug].append(np.where(sink[:, None], np.nan, values))
    return found


def test_there_are_sinks(truth: dict[str, list[np.ndarray]]) -> None:
    """Inside the texts too, and not everywhere: otherwise the tests below would show nothing."""
    shares = [np.isnan(v[:, 0]).mean() for v in truth[SAE]]
    assert SINK_NORM == 4 and 0 < np.mean(shares) < 0.3 and min(shares) == 0


@pytest.mark.parametrize("slug", SLUGS)
def test_statistics_pass_over_sinks(house: Settings, truth: dict[str, list[np.ndarray]], slug: str) -> None:
    store, values = Store(house), np.concatenate(truth[slug])
    counted = values[~np.isnan(values[:, 0])]
    tables = store.dictionary(slug).manifest["tables"]
    assert tables["n_positions"] == len(counted) and tables["n_sinks"] == len(values) - len(counted) and tables["n_samples"] == len(truth[slug])
    for unit in range(values.shape[1]):
        v = counted[:, unit]
        card = store.card(UnitId(slug, unit))
        assert card.stats.n_positions == len(v)
        assert card.stats.density == pytest.approx((v > 0).mean(), abs=1e-9) and card.stats.dead == (not v.any())
        if v.any():
            assert card.stats.mean == pytest.approx(v[v != 0].mean(), rel=1e-3, abs=1e-5)
            assert sum(card.histogram.counts) == (v != 0).sum()
    if slug == SAE:
        assert store.card(UnitId(slug, DEAD_UNIT)).stats.dead


@pytest.mark.parametrize("slug", SLUGS)
def test_peaks_and_examples_pass_over_sinks(house: Settings, truth: dict[str, list[np.ndarray]], slug: str) -> None:
    """Positions count from the first token of the text; in a trace a sink is 0."""
    store = Store(house)
    d, names = store.dictionary(slug), store.corpus(CORPUS).ids
    for unit in range(0, truth[slug][0].shape[1], 5):
        peaks = {i: np.nanmax(v[:, unit]) for i, v in enumerate(truth[slug]) if np.nan_to_num(v[:, unit]).any()}
        for row in d.table("peaks").rows_of(unit).to_pylist():
            v = truth[slug][row["sample"]][:, unit]
            true = peaks[row["sample"]] if row["tail"] == 1 else np.nanmin(v)
            assert row["peak"] == pytest.approx(true, rel=2e-3, abs=1e-4) and v[row["at"]] == pytest.approx(true, rel=1e-4, abs=1e-5)
        card = store.card(UnitId(slug, unit))
        top = [e for e in card.examples if e.group == "top"]
        assert [e.peak for e in top] == pytest.approx(sorted(peaks.values(), reverse=True)[:20], rel=1e-4, abs=1e-5)
        for e in card.examples:
            v = np.nan_to_num(truth[slug][names.index(e.sample)][:, unit])[e.start : e.start + len(e.trace)]
            assert len(e.trace) == len(v) == len(e.tokens or ()) and e.trace == pytest.approx(v, abs=(v.max() - min(v.min(), 0)) / 51 + 1e-4)


def test_correlations_pass_over_sinks(house: Settings, truth: dict[str, list[np.ndarray]]) -> None:
    f, n = (np.concatenate(truth[slug]) for slug in (SAE, NEURONS))
    keep = ~np.isnan(f[:, 0])
    with np.errstate(invalid="ignore"):  # the dead unit does not vary
        r = np.corrcoef(f[keep].T, n[keep].T)[: f.shape[1], f.shape[1] :]
    for unit in (0, 7, 21):
        match = Store(house).card(UnitId(SAE, unit)).match
        assert match is not None and match.dictionary == NEURONS
        assert match.correlation == pytest.approx(r[unit].max(), abs=2e-3) and match.unit == r[unit].argmax()


def _tables(settings: Settings) -> dict[str, str]:
    return {f"{slug}/{n}": f["sha256"] for slug in SLUGS for n, f in files_of(settings.data / slug).items() if n.endswith(".parquet")}


def test_stored_activations_give_the_same_tables(house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pass for several places, stopped in between and finished later; then the build never runs the model."""
    again = dataclasses.replace(house, data=tmp_path / "data", cache=tmp_path / "cache")
    shutil.copytree(house.data, again.data)
    for slug in SLUGS:
        for path in (again.data / slug).glob("*.parquet"):
            path.unlink()
    sites = [("residual", LAYER), ("neurons", LAYER)]
    first = harvest_all(again, MODEL, sites, CORPUS, 1)
    for harvest in first:
        assert harvest.complete
        (harvest.folder / "activations-00001.npz").unlink()
    found = harvest_all(again, MODEL, [*sites, ("residual", 0)], CORPUS, 2)
    assert [h.folder for h in found[:2]] == [h.folder for h in first] and all(h.complete for h in found)
    n, n_sinks = (sum(len(h.stored(g).rows) - kept * len(h.group(g)[1]) for g in range(h.n_groups)) for h, kept in ((found[0], 0), (found[0], 1)))
    manifest = json.loads((house.data / SAE / "manifest.json").read_text())["tables"]
    assert (n - n_sinks, n_sinks) == (manifest["n_positions"], manifest["n_sinks"])
    trained_on = training_positions(found[0], 0.3)
    held_out = sum(len(v) for v, own in found[0].groups() for v in [v[[is_held_out(found[0].corpus.ids[r], 0.3) for r in own]]])
    assert len(trained_on) + held_out == manifest["n_positions"] and float(trained_on.norm(dim=1).max()) < 1_000, "no sink is trained on"
    monkeypatch.setattr(source, "MAX_BYTES", 1000)
    mapped = source.of_corpus(found[0], 0.3).x
    assert torch.equal(torch.cat(list(mapped.split(50))), trained_on), "what is too large for memory is read from the disk"
    build(again, SAE, None, 2)
    assert _tables(again) == _tables(house)


def test_few_peaks_and_their_floor(house: Settings, tmp_path: Path) -> None:
    again = dataclasses.replace(house, data=tmp_path / "data", cache=tmp_path / "cache")
    shutil.copytree(house.data, again.data)
    with pytest.raises(BadInput, match="--peaks is 19; at least 20"):
        build(again, SAE, None, 1, only=True, n_peaks=19)
    build(again, SAE, None, 1, only=True, n_peaks=20)
    whole, cut = Store(house), Store(again)
    for unit in range(0, 40, 3):
        every, few = whole.search(UnitId(SAE, unit), n=500), cut.search(UnitId(SAE, unit), n=500)
        floor = cut.card(UnitId(SAE, unit)).stats.floor
        assert few == every[: len(few)] and len(few) >= min(20, len(every))
        assert (floor is None) == (len(few) == len(every))
        if floor is not None:
            assert few[-1].peak == floor > every[len(few)].peak
    assert not check(again, SAE, seed=1).wrong


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=40), st.integers(1, 6))
def test_strongest_is_what_a_loop_finds(pairs: list[tuple[int, int]], n: int) -> None:
    rows = np.array([(unit, i, peak, 0) for i, (unit, peak) in enumerate(sorted(pairs, key=lambda p: (p[0], -p[1])))], PEAK_ROW)
    kept, floors = strongest(rows, n)
    expected = []
    for unit in range(4):
        own = [r for r in rows if r["unit"] == unit]
        chosen = [r for r in own if r["peak"] >= own[min(n, len(own)) - 1]["peak"]]
        expected += chosen
        assert (unit in floors) == (len(chosen) < len(own)) and (unit not in floors or floors[unit] == chosen[-1]["peak"])
    assert kept.tolist() == [tuple(r.item()) for r in expected]


# -- effects -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", SLUGS)
def test_effects_equal_a_naive_loop(house: Settings, slug: str) -> None:
    """Add a small piece of each direction to the final stream, by hand, and look at the logits that it adds."""
    model, d = Runtime(house).model(MODEL), Store(house).dictionary(slug)
    assert isinstance(model, TextModel)
    head, gain = model.network.lm_head.weight.detach().double().numpy(), model.root.norm.weight.detach().double().numpy()  # type: ignore[union-attr]
    opened = Runtime(house).open(slug)
    for unit, row in enumerate(d.table("effects").all().to_pylist()[:12]):
        if slug == SAE:
            direction = opened.dictionary.W_dec[unit].double().numpy()  # type: ignore[union-attr]
        elif slug == NEURONS:
            direction = model.root.get_submodule(f"layers.{LAYER}.mlp.down_proj").weight[:, unit].detach().double().numpy()  # type: ignore[index]
        else:
            direction = np.eye(16)[unit]
        effect = np.array([sum(w * g * x for w, g, x in zip(row_, gain, direction, strict=True)) for row_ in head])
        effect = (effect - effect.mean()) / effect.std()
        assert row["unit"] == unit and row["top_values"] == pytest.approx(np.sort(effect)[::-1][:N_TOKENS].tolist(), abs=1e-4)
        assert row["bottom_values"] == pytest.approx(np.sort(effect)[:N_TOKENS].tolist(), abs=1e-4)
        assert [effect[i] for i in row["top_ids"]] == pytest.approx(row["top_values"], abs=1e-4)
        assert row["kurtosis"] == pytest.approx((effect**4).mean() - 3, abs=1e-3)
        assert row["top_tokens"] == list(model.tokens_of(row["top_ids"]))


def test_kurtosis_tells_noise_from_a_clear_list() -> None:
    generator = torch.Generator().manual_seed(0)
    readout = torch.randn(5_000, 8, generator=generator)
    readout[:5] = 30 * torch.eye(8)[0]
    clear, noise, nothing = direct_effects(readout, torch.stack([torch.eye(8)[0], torch.eye(8)[1], torch.zeros(8)]))
    assert clear.kurtosis > 50 and {token for token, _ in clear.top[:5]} == set(range(5))
    assert abs(noise.kurtosis) < 0.5 and nothing.kurtosis == 0


# -- check ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", SLUGS)
def test_check_finds_nothing_wrong(house: Settings, slug: str) -> None:
    report = check(house, slug, seed=3)
    assert report.wrong == () and report.n_peaks > 50 and report.n_units > 10


CHANGES = (("peaks", "at", "the table says"), ("examples", "start", "the trace has"), ("effects", "top_ids", "direct effect"))


@pytest.mark.parametrize(("table", "column", "said"), CHANGES)
def test_check_finds_what_was_changed(house: Settings, tmp_path: Path, table: str, column: str, said: str) -> None:
    again = dataclasses.replace(house, data=tmp_path / "data", cache=tmp_path / "cache")
    shutil.copytree(house.data, again.data)
    path = again.data / SAE / f"{table}-000.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row[column] = [i + 1 for i in row[column]][::-1] if column == "top_ids" else row[column] + 3
    pq.write_table(pq.read_table(path).from_pylist(rows, schema=pq.read_schema(path)), path)
    manifest = json.loads((again.data / SAE / "manifest.json").read_text())
    manifest["files"] |= files_of(again.data / SAE, [path.name])
    (again.data / SAE / "manifest.json").write_text(json.dumps(manifest))
    assert any(said in line for line in check(again, SAE, seed=3).wrong)


def test_a_context_read_again_does_what_the_tables_say(house: Settings, truth: dict[str, list[np.ndarray]]) -> None:
    """Compare reads a context of the corpus where its trace is not stored: both ways, and a plain loop, agree."""
    store = Store(house)
    desk, corpus = Desk(store), store.corpus(CORPUS)
    unit = int(np.argmax([(np.nan_to_num(np.concatenate(truth[SAE]))[:, u] > 0).mean() for u in range(truth[SAE][0].shape[1])]))
    pair = compare(store, UnitId(SAE, unit), UnitId(NEURONS, 3))
    stored = {e.sample for card in pair.cards for e in card.examples}
    sample = next(name for name in corpus.ids if name not in stored)
    before = text_pair(store, desk.texts, corpus, pair, sample)
    assert before.waiting
    desk.texts.read_window(SAE, sample)
    after = text_pair(store, desk.texts, corpus, pair, sample)
    assert not after.waiting and "".join(b.piece.text for b in after.pieces) == corpus.transcripts[corpus.row(sample)]
    for side, slug in enumerate((SAE, NEURONS)):
        whole = np.nan_to_num(truth[slug][corpus.row(sample)][:, pair.cards[side].id.index]) / scale_of(pair.cards[side])
        for b in after.pieces:
            inside = whole[b.piece.start : b.piece.end]
            share = float(np.clip(inside[np.abs(inside).argmax()], -1, 1))
            assert b.shares[side] == pytest.approx(share if abs(share) >= FAINT else 0, abs=FAINT)
    seen = next(e for e in pair.cards[1].examples if len(e.trace) == len(e.tokens or ()))
    desk.texts.read_window(SAE, seen.sample)
    window = desk.texts.window(NEURONS, seen.sample)
    assert window is not None and window.tokens == seen.tokens
    assert seen.trace == pytest.approx(window.codes[NEURONS].trace(3), abs=float(np.ptp(seen.trace)) / 85)


def test_a_text_of_ones_own_is_compared(house: Settings) -> None:
    store = Store(house)
    desk = Desk(store)
    token = desk.texts.read(SAE, "some words of my own")
    link = Link("compare", SAE, 4, other=UnitId(NEURONS, 3))
    page = pair_page(store, desk, link, Own(passage=token))
    assert page.text is not None and page.text.sample == "" and not page.text.waiting
    assert "".join(b.piece.text for b in page.text.pieces) == "some words of my own"
    assert [(c.text, c.current) for c in page.clips if c.note == "yours"] == [("some words of my own", True)]
    html = render("compare.html", page=page)
    assert "Over your text" in html and "data-hear=" not in html
    other = pair_page(store, desk, dataclasses.replace(link, sample=page.pair.cards[0].examples[0].sample if page.pair else None), Own(passage=token))
    assert other.text is not None and other.text.sample and "Over one context" in render("compare.html", page=other)
