"""Units turned off on their own strongest samples: against a naive loop, with a planted direction, and the statistics against counting."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from earmark.edits import Edit
from earmark.errors import BadInput, NotFound, Stopped
from earmark.inputs.audio import decode
from earmark.live.editing.ablation import effect
from earmark.live.editing.ablation.effect import N_EXAMPLES, Measured, affected, measured, unit_effect
from earmark.live.editing.ablation.samples import N_NEXT_TOKENS, Ran, run_text
from earmark.offline.tables.build import build
from earmark.runtime import Runtime
from earmark.shelf.folders import Corpus
from earmark.shelf.schema import SPEECH, UNITS
from earmark.shelf.store import Store
from earmark.shelf.tables import put_table
from earmark.units import UnitId
from tests.fixtures import toy
from tests.fixtures.naive_edits import Naive
from tests.fixtures.text_toy import DEAD_UNIT, LAYER, NEURONS, SAE, make_text_shelf
from tests.fixtures.toy import CATALOG as TOY_CATALOG
from tests.fixtures.toy import settings_for

House = tuple[Runtime, Store]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> House:
    settings = make_text_shelf(tmp_path_factory.mktemp("ablation"), 24)
    return Runtime(settings), Store(settings)


def naive_of(house: House) -> Naive:
    sae: Any = house[0].open(SAE).dictionary
    return Naive(AutoModelForCausalLM.from_pretrained(house[1].settings.data / "toy-text-model").eval(), sae)


def taken_along(naive: Naive, ids: list[int], unit: int, other: int, spared: list[bool]) -> torch.Tensor:
    """[n_tokens, vocabulary]: at each position the feature's shown value, taken out along another's direction."""

    def stream(x: torch.Tensor) -> torch.Tensor:
        new, row = x.clone(), naive.W_dec[other]
        for at in range(len(x)):
            if not spared[at]:
                new[at] -= naive.features(x[at]).get(unit, 0.0) * float(naive.W_dec[unit].norm()) * row / row.norm()
        return new

    return naive._run(ids, lambda x: x, stream)


def test_a_feature_of_texts_against_a_naive_loop(texts: House) -> None:
    runtime, store = texts
    naive, corpus = naive_of(texts), store.corpus("made-up")
    unit = max(range(40), key=lambda u: 0 if u == DEAD_UNIT else len([e for e in store.card(UnitId(SAE, u)).examples if e.group == "top"]))
    found = unit_effect(runtime, store, UnitId(SAE, unit))
    others = [u for u in range(40) if u not in (unit, DEAD_UNIT) and not store.card(UnitId(SAE, u)).stats.dead]
    changes, controls, kls, ps = [], [], [], []
    for number, example in enumerate([e for e in store.card(UnitId(SAE, unit)).examples if e.group == "top"]):
        ids = [0, *corpus.table.row(corpus.row(example.sample), ["tokens"])["tokens"][: example.at + 1 + N_NEXT_TOKENS]]
        if len(ids) < example.at + 3 or len(changes) == N_EXAMPLES:
            continue
        other, spared = int(np.random.default_rng((unit, number)).choice(others)), naive.sinks(ids)
        ways = (naive.plain(ids), naive.edited(ids, [Edit(UnitId(SAE, unit), 0.0)], spared), taken_along(naive, ids, unit, other, spared))
        logs = [way.double().log_softmax(dim=1)[example.at + 1 : -1] for way in ways]
        of_true = [[float(row[i]) for row, i in zip(log, ids[example.at + 2 :], strict=True)] for log in logs]
        changes.append(np.mean(of_true[1]) - np.mean(of_true[0]))
        controls.append(np.mean(of_true[2]) - np.mean(of_true[0]))
        kls.append([float((logs[0][0].exp() * (logs[0][0] - log[0])).sum()) for log in logs[1:]])
        ps.append([log[0].exp() for log in logs[:2]])
    assert len(found.examples) == len(changes) >= 5
    np.testing.assert_allclose([e.change for e in found.examples], changes, atol=2e-4)
    np.testing.assert_allclose([e.control for e in found.examples], controls, atol=2e-4)
    assert (found.likelihood.unit, found.likelihood.control) == pytest.approx((np.mean(changes), np.mean(controls)), abs=1e-4)
    assert found.expectation is not None
    assert (found.expectation.unit, found.expectation.control) == pytest.approx(np.mean(kls, axis=0), abs=1e-4)
    before, after = (torch.stack(each).mean(dim=0) for each in zip(*ps, strict=True))
    worst = int((before - after).argmax())
    assert found.lost[0].token == runtime.model("toy-text").tokens_of([worst])[0]  # type: ignore[attr-defined]
    assert (found.lost[0].p_plain, found.lost[0].p_edited) == pytest.approx((float(before[worst]), float(after[worst])), abs=1e-4)
    assert found.of == "token" and f"its {len(changes)} strongest samples" in found.how


def test_a_neuron_is_taken_out_at_its_own_place(texts: House) -> None:
    """Both ends of a signed unit: set to 0 wherever it is not; the control acts on another neuron alone."""
    runtime, store = texts
    found = unit_effect(runtime, store, UnitId(NEURONS, 4))
    naive, corpus = naive_of(texts), store.corpus("made-up")
    example = next(e for e in store.card(UnitId(NEURONS, 4)).examples if e.group == "top" and e.sample == found.examples[0].sample)
    ids = [0, *corpus.table.row(corpus.row(example.sample), ["tokens"])["tokens"][: example.at + 1 + N_NEXT_TOKENS]]
    logs = [w.double().log_softmax(1) for w in (naive.plain(ids), naive.edited(ids, [Edit(UnitId(NEURONS, 4), 0.0)], naive.sinks(ids)))]
    change = np.mean([float(logs[1][at, ids[at + 1]] - logs[0][at, ids[at + 1]]) for at in range(example.at + 1, len(ids) - 1)])
    assert found.examples[0].change == pytest.approx(change, abs=2e-4)
    assert runtime.open(NEURONS).hook.module == f"layers.{LAYER}.mlp.down_proj"


def test_what_is_refused_and_what_stops(texts: House) -> None:
    runtime, store = texts
    with pytest.raises(BadInput, match=f"toy-text-sae:{DEAD_UNIT} is silent over its corpus"):
        unit_effect(runtime, store, UnitId(SAE, DEAD_UNIT))
    with pytest.raises(NotFound, match="has units 0 to 39; 40 is none of them"):
        unit_effect(runtime, store, UnitId(SAE, 40))
    told: list[tuple[float, str]] = []
    with pytest.raises(Stopped, match="Stopped after 2 of 8 samples"):
        unit_effect(runtime, store, UnitId(SAE, 3), tell=lambda *progress: told.append(progress), stop=lambda: len(told) == 2)
    assert told == [(0.0, "Sample 1 of 8"), (1 / 8, "Sample 2 of 8")]


def test_json_and_sentences(texts: House) -> None:
    found = unit_effect(*texts, UnitId(SAE, 3))
    told = json.loads(json.dumps(found.json(), allow_nan=False))
    assert told["unit"] == "toy-text-sae:3" and (told["likelihood"]["chance"], told["likelihood"]["clear"]) == (found.likelihood.chance, found.likelihood.clear)
    assert ("No clear effect" in told["found"]) == (not found.likelihood.clear)
    assert f"{2 ** len(found.examples)} ways" in told["how"]


def test_samples_that_cannot_be_judged_and_a_unit_alone_are_told(texts: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, store = texts
    unit, corpus = UnitId(SAE, 3), store.corpus("made-up")
    example = store.card(unit).examples[0]
    last = replace(example, at=len(corpus.tokens_of(example.sample)) - 1)
    assert run_text(runtime, store, runtime.open(SAE), unit, 4, last) is None, "nothing comes after the last token"
    assert run_text(runtime, store, runtime.open(SAE), unit, 4, replace(last, at=last.at - 1)) is not None
    with monkeypatch.context() as patch:
        patch.setattr(effect, "run_text", lambda *_: None)
        with pytest.raises(BadInput, match="None of the strongest samples of toy-text-sae:3 has a word or token around the unit's peak"):
            unit_effect(runtime, store, unit)
    shutil.copytree(store.settings.data, tmp_path / "data")
    rows = store.dictionary(SAE).table("units").all().to_pylist()
    put_table(tmp_path / "data" / SAE, UNITS, [{**row, "dead": row["unit"] != 3} for row in rows])
    settings = replace(store.settings, data=tmp_path / "data")
    with pytest.raises(BadInput, match="toy-text-sae has no other unit that fires: there is nothing to compare toy-text-sae:3 with"):
        unit_effect(Runtime(settings), Store(settings), unit)


# -- sounds ----------------------------------------------------------------------------------------------------------------

SOUNDS, N_SOUNDS = "toy-sae", 30


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Sounds with six words each, said one after the other at equal lengths; of every fifth it is not known when."""
    settings = settings_for(tmp_path_factory.mktemp("sounds"))
    settings.data.mkdir(parents=True)
    (settings.data / "catalog.toml").write_text(TOY_CATALOG)
    toy.make_model(settings.data / "toy-model", words=True)
    toy.make_corpus(settings, N_SOUNDS, lambda i: " ".join(f"w{33 + (7 * i + 5 * n) % 30}" for n in range(6)))
    toy.make_sae(settings)
    corpus = Corpus(settings.data / "sounds")
    rows = []
    for i, (text, length) in enumerate(zip(corpus.transcripts, corpus.durations_s, strict=True)):
        spans = [{"text": word, "start_s": length * n / 6, "end_s": length * (n + 1) / 6} for n, word in enumerate(text.split())]
        rows.append({"sample": i, "words": spans if i % 5 else None, "phones": None, "how": "source" if i % 5 else "", "score": None, "why": ""})
    put_table(settings.data / "sounds", SPEECH, rows)
    build(settings, SOUNDS, None, 1)
    return Runtime(settings), Store(settings)


def test_a_feature_of_sounds_against_a_naive_loop(sounds: House) -> None:
    runtime, store = sounds
    unit = next(u for u in range(24) if len([e for e in store.card(UnitId(SOUNDS, u)).examples if e.group == "top"]) >= 8)
    found = unit_effect(runtime, store, UnitId(SOUNDS, unit))
    model: Any = runtime.model("toy")
    sae: Any = runtime.open(SOUNDS).dictionary
    network, corpus = model.network, store.corpus("sounds")
    others = [u for u in range(24) if u != unit and not store.card(UnitId(SOUNDS, u)).stats.dead]
    checked = []
    for number, example in enumerate([e for e in store.card(UnitId(SOUNDS, unit)).examples if e.group == "top"]):
        if corpus.row(example.sample) % 5 == 0 or len(checked) == N_EXAMPLES:
            continue
        sound = decode(corpus.audio(example.sample)[0]).waveform
        n_frames, ids = -(-len(sound.samples) // 320), [int(word[1:]) for word in example.transcript.split()]
        other = int(np.random.default_rng((unit, number)).choice(others))

        def taken_out(direction: torch.Tensor, n_frames: int = n_frames) -> Any:
            def hook(_module: Any, _args: Any, output: Any) -> Any:
                new = output.clone()
                for at in range(n_frames):
                    pre = output[0, at] @ sae.W_enc + sae.b_enc
                    if unit in pre.argsort(descending=True)[:4]:
                        new[0, at] -= pre[unit].clamp(min=0) * sae.W_dec[unit].norm() * direction / direction.norm()
                return new

            return hook

        logs = []
        for direction in (None, sae.W_dec[unit], sae.W_dec[other]):
            handle = direction is not None and network.model.encoder.layers[1].register_forward_hook(taken_out(direction))
            with torch.no_grad():
                logits = network(model.mel(sound.samples), decoder_input_ids=torch.tensor([[1, *ids]])).logits[0]
            if handle:
                handle.remove()
            logs.append([float(row.double().log_softmax(0)[i]) for row, i in zip(logits, ids, strict=False)])
        step = example.duration_s / 6
        near = [n for n in range(6) if (n + 1) * step > example.at_s - 0.1 and n * step < example.at_s + 0.5]
        checked.append((example.sample, *(np.mean([log[n] - logs[0][n] for n in near]) for log in logs[1:])))
    assert [e.sample for e in found.examples] == [row[0] for row in checked] and len(checked) >= 4
    np.testing.assert_allclose([(e.change, e.control) for e in found.examples], [row[1:] for row in checked], atol=1e-4)
    assert np.abs([e.change for e in found.examples]).max() > 1e-3, "or nothing is tested"
    assert found.of == "word" and found.expectation is None and not found.lost and "said from 0.1 s before each peak" in found.how


# -- statistics --------------------------------------------------------------------------------------------------------------


def test_chance_equals_counting() -> None:
    pairs = [(-0.5, 0.1), (-0.2, -0.3), (-0.9, 0.0), (0.1, 0.0), (-0.4, -0.1)]
    real = abs(np.mean([u - c for u, c in pairs]))
    as_large = [
        abs(np.mean([(u - c) if keep else (c - u) for keep, (u, c) in zip(kept, pairs, strict=True)])) >= real - 1e-12
        for kept in itertools.product((1, 0), repeat=5)
    ]
    assert measured(pairs) == Measured(pytest.approx(-0.38), pytest.approx(-0.06), sum(as_large) / 32)
    assert measured([(-0.1, 0.0)] * 8).chance == 2 / 256 and measured([(-0.1, 0.0)] * 8).clear
    assert not measured([(-0.1, 0.0)] * 5).clear, "2 in 32 is too much"
    assert not measured([(-0.009, 0.0)] * 8).clear, "certain, and too small to matter"
    assert measured([(0.3, 0.3)] * 4).chance == 1.0 and measured([(-9.0, 0.0)]).chance == 1.0


def test_affected_words_go_beyond_the_control() -> None:
    rans = [
        Ran(("Stop", "it,"), np.array([-2.0, 0.1]), np.array([0.0, 0.3])),
        Ran(("stop!", "--", "now"), np.array([-1.0, 0.6, -0.5]), np.array([0.1, 0.0, -0.5])),
    ]
    found = affected(rans)
    assert [(row.text, row.n) for row in found] == [("Stop", 2), ("--", 1)], "'it' and 'now' change less than 'now' does under the control"
    assert (found[0].change, found[0].control) == pytest.approx((-1.5, 0.05))
