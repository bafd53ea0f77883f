"""What edits change in what a language model expects: against a double run with layers rewritten by hand, and a planted direction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from transformers import AutoModelForCausalLM

from earmark.dictionaries import saelens
from earmark.dictionaries.base import SparseAutoencoder
from earmark.edits import Edit
from earmark.errors import BadInput, NotFound, Stopped
from earmark.live.editing.continuation import continue_text
from earmark.live.editing.text import MIN_CHANGE, N_NEXT, edit_text
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.fixtures.naive_edits import Naive
from tests.fixtures.text_toy import CATALOG, DEAD_UNIT, MODEL, NEURONS, RESIDUAL, SAE, SINK, SLUGS, WIDTH, make_text_house
from tests.fixtures.toy import settings_for
from tests.unit.test_replacing import hooks_of

SENTENCE = f"the cat sat on{SINK} a mat, naïve café in 日本"


def unit(slug: str, index: int) -> UnitId:
    return UnitId(slug, index)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_text_house(tmp_path_factory.mktemp("edit-text"), 3)


@pytest.fixture(scope="module")
def house(settings: Settings) -> tuple[Runtime, Store]:
    return Runtime(settings), Store(settings)


@pytest.fixture(scope="module")
def naive(house: tuple[Runtime, Store]) -> Naive:
    sae: Any = house[0].open(SAE).dictionary
    return Naive(AutoModelForCausalLM.from_pretrained(house[1].settings.data / "toy-text-model").eval(), sae)


def strong_unit(naive: Naive, ids: tuple[int, ...]) -> int:
    """A unit that is above 0 at several positions."""
    with torch.no_grad():
        x = naive.network(torch.tensor([ids]), output_hidden_states=True).hidden_states[2][0]
    active = [u for row in x[naive.n_before :] for u, f in naive.features(row).items() if f > 0]
    return max(active, key=active.count)


@pytest.mark.parametrize("case", ["sae", "two features", "neurons", "axis", "all kinds", "stretch"])
def test_against_a_naive_double_run(house: tuple[Runtime, Store], naive: Naive, case: str) -> None:
    runtime, store = house
    ids = runtime.model(MODEL).tokenize(SENTENCE).ids  # type: ignore[attr-defined]
    u = strong_unit(naive, ids)
    feature, neuron, axis = Edit(unit(SAE, u), 0.0), Edit(unit(NEURONS, 7), -1.0, 2.0), Edit(unit(RESIDUAL, 3), 4.0)
    edits = {
        "sae": (feature,), "two features": (Edit(unit(SAE, u), 3.0), Edit(unit(SAE, DEAD_UNIT), 1.0, 5.0)), "neurons": (neuron,), "axis": (axis,),
        "all kinds": (feature, neuron, axis), "stretch": (Edit(unit(SAE, u), 2.0, 4.0, 3, 6), Edit(unit(NEURONS, 2), 5.0, start=8)),
    }[case]  # fmt: skip
    found = edit_text(runtime, store, edits, SENTENCE)
    spared = naive.sinks(ids)
    assert "".join(found.tokens) == SENTENCE
    assert [found.tokens[at] for at in found.sinks] == [SINK] and sum(spared) == 2, "one sink of the text's own, and what stands in front"
    plain, edited = (logits.double()[1:].softmax(dim=1).numpy() for logits in (naive.plain(ids), naive.edited(ids, edits, spared)))
    following = [*ids[2:], None]
    tokens = runtime.model(MODEL).tokens_of(range(plain.shape[1]))  # type: ignore[attr-defined]
    for position, p, q, after in zip(found.positions, plain, edited, following, strict=True):
        assert position.kl == pytest.approx(entropy(p, q), rel=2e-3, abs=1e-6)
        by_gain = sorted(range(len(p)), key=lambda i: p[i] - q[i])
        for listed, order, sign in ((position.gained, by_gain, 1), (position.lost, by_gain[::-1], -1)):
            expected = [(tokens[i], p[i], q[i]) for i in order[:N_NEXT] if sign * (q[i] - p[i]) >= MIN_CHANGE]
            np.testing.assert_allclose([[n.p_plain, n.p_edited] for n in listed], [row[1:] for row in expected], rtol=2e-3, atol=2e-5)
            assert len(listed) < 2 or listed[0].token == expected[0][0]
        if after is None:
            assert position.p_plain is position.p_edited is position.p_spliced is None
        else:
            np.testing.assert_allclose([position.p_plain, position.p_edited], [p[after], q[after]], rtol=2e-3, atol=1e-7)
    assert max(position.kl for position in found.positions) > 0.01
    ces = [-np.log([row[i] for row, i in zip(ps, following[:-1], strict=False)]).mean() for ps in (plain, edited)]
    assert [found.ce_plain, found.ce_edited] == pytest.approx(ces, rel=1e-4)


def test_through_the_sae_alone_is_another_run(house: tuple[Runtime, Store], naive: Naive) -> None:
    """With an edit that changes nothing too; and where a neuron is edited there is no SAE to read through."""
    runtime, store = house
    ids = runtime.model(MODEL).tokenize(SENTENCE).ids  # type: ignore[attr-defined]
    logs = naive.spliced(ids, naive.sinks(ids)).double()[1:].log_softmax(dim=1)
    losses = [-float(row[i]) for row, i in zip(logs[:-1], ids[2:], strict=True)]
    found = edit_text(runtime, store, (Edit(unit(SAE, 3), 1.0),), SENTENCE)
    assert found.ce_spliced == pytest.approx(np.mean(losses), rel=1e-4)
    np.testing.assert_allclose([p.p_spliced for p in found.positions[:-1]], np.exp(-np.array(losses)), rtol=1e-3)
    assert found.ce_spliced != pytest.approx(found.ce_plain, rel=1e-3)
    mixed = edit_text(runtime, store, (Edit(unit(SAE, 3), 0.0), Edit(unit(NEURONS, 3), 0.0)), SENTENCE)
    assert mixed.ce_spliced is None and {p.p_spliced for p in mixed.positions} == {None}


def test_factor_one_changes_nothing_at_all(house: tuple[Runtime, Store]) -> None:
    found = edit_text(*house, [Edit(unit(slug, 3), 1.0) for slug in SLUGS], SENTENCE)
    assert found.kl == 0.0 and found.ce_plain == found.ce_edited
    assert all(p.kl == 0.0 and p.p_plain == p.p_edited and not p.gained and not p.lost for p in found.positions)
    assert found.notices == ()


def test_a_silent_unit_turned_off_is_told(house: tuple[Runtime, Store]) -> None:
    found = edit_text(*house, [Edit(unit(SAE, DEAD_UNIT), 0.0)], SENTENCE)
    assert found.kl == 0.0 and "Nothing changes on this text" in found.notices[0]
    assert edit_text(*house, [Edit(unit(SAE, DEAD_UNIT), 0.0, 3.0)], SENTENCE).notices == ()


def test_json_is_what_it_says(house: tuple[Runtime, Store]) -> None:
    edited = edit_text(*house, [Edit(unit(SAE, DEAD_UNIT), 1.0, 4.0)], SENTENCE)
    told = json.loads(json.dumps(edited.json(), allow_nan=False))
    assert [c["token"] for c in told["changes"]] == list(edited.tokens[1:])
    assert told["ce"] == {"plain": edited.ce_plain, "spliced": edited.ce_spliced, "edited": edited.ce_edited}
    assert told["changes"][2]["p_edited"] == edited.positions[2].p_edited, "the token after the third"
    assert {"kl", "gained", "lost"} <= told["positions"][0].keys() and "".join(p["token"] for p in told["positions"]) == SENTENCE


def test_what_is_refused_and_what_stops(house: tuple[Runtime, Store]) -> None:
    runtime, store = house
    off = Edit(unit(SAE, 0), 0.0)
    for edits, text, reason in (
        ((), "a", "There is no edit"), ((Edit(unit(SAE, 40), 0.0),), "a", "There is no unit toy-text-sae:40"), ((off,), " ", "The text is empty"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=reason):
            edit_text(runtime, store, edits, text)
    with pytest.raises(NotFound, match="no dictionary 'nope'"):
        edit_text(runtime, store, (Edit(unit("nope", 0), 0.0),), "a")
    told: list[str] = []
    with pytest.raises(Stopped):
        edit_text(runtime, store, (off,), "a cat", tell=lambda _, words: told.append(words), stop=lambda: len(told) == 1)
    assert told == ["Reading plainly"], "asked between the passes"
    assert hooks_of(runtime.model(MODEL)) == 0
    one = edit_text(runtime, store, (off,), "a")
    assert (one.ce_plain, one.ce_spliced, len(one.positions)) == (None, None, 1)


def test_a_model_of_sounds_reads_no_text(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    settings.data.mkdir(parents=True)
    ear = '[models.ear]\nfamily = "whisper"\nmodality = "audio"\n[dictionaries.ear-axes]\nmodel = "ear"\nkind = "residual"\nsite = "residual"\nlayer = 0\n'
    (settings.data / "catalog.toml").write_text(CATALOG + ear)
    house = Runtime(settings), Store(settings)
    with pytest.raises(BadInput, match="ear hears sounds; it reads no text"):
        edit_text(*house, (Edit(unit("ear-axes", 0), 0.0),), "a")
    with pytest.raises(BadInput, match="of 2 models, ear and toy-text"):
        edit_text(*house, (Edit(unit("ear-axes", 0), 0.0), Edit(unit(SAE, 0), 0.0)), "a")


# -- a planted direction ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runtime, Store]:
    """A network in which nothing passes between positions: `m` writes the direction u into the stream, and u makes `q` the next token.

    Feature 0 reads and writes u, feature 1 a direction v at right angles that nothing writes.
    """
    settings = make_text_house(tmp_path_factory.mktemp("planted"), 1)
    folder = settings.data / "toy-text-model"
    network: Any = AutoModelForCausalLM.from_pretrained(folder)
    model = Runtime(settings).model(MODEL)
    m, q = (model.tokenize(letter).ids[-1] for letter in "mq")  # type: ignore[attr-defined]
    u, v = torch.eye(WIDTH)[:2]
    with torch.no_grad():
        for layer in network.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        network.model.norm.weight.fill_(1.0)
        for matrix in (network.model.embed_tokens.weight, network.lm_head.weight):
            matrix[:, :2] = 0.0
        network.model.embed_tokens.weight[m, 0] = 3.0
        network.lm_head.weight[q, 0] = 20.0
    network.save_pretrained(folder)
    W = torch.stack([u, v])
    sae = SparseAutoencoder(W.T, W, torch.zeros(2), torch.zeros(WIDTH), activation="jumprelu", threshold=torch.full((2,), 0.1))
    saelens.save(sae, settings.data / SAE, {})
    return Runtime(settings), Store(settings)


def test_ablating_a_planted_direction_changes_exactly_what_it_should(planted: tuple[Runtime, Store]) -> None:
    text = "a m on m at"
    off = edit_text(*planted, (Edit(unit(SAE, 0), 0.0),), text)
    at = [i for i, token in enumerate(off.tokens) if "m" in token]
    assert len(at) == 2
    for i, position in enumerate(off.positions):
        if i not in at:
            assert position.kl == 0.0, "nothing else is touched"
            continue
        assert position.lost[0].token == "q" and position.lost[0].p_plain > 0.9 and position.lost[0].p_edited < 0.1
        assert len(position.lost) == 1, "every other token gains"
    assert edit_text(*planted, (Edit(unit(SAE, 1), 0.0),), text).kl == 0.0, "a direction that nobody writes"
    on = edit_text(*planted, (Edit(unit(SAE, 0), 1.0, 3.0, 0, 0),), text)
    assert on.positions[0].gained[0].token == "q" and {p.kl for p in on.positions[1:]} == {0.0}


def test_a_planted_direction_in_what_is_written(planted: tuple[Runtime, Store]) -> None:
    def written(*edits: Edit, text: str = "on m") -> tuple[str, str]:
        *_, last = continue_text(*planted, edits, text, 2, temperature=0.0)
        return last.plain, last.edited

    plain, edited = written(Edit(unit(SAE, 0), 0.0))
    assert plain[0] == "q" != edited[0]
    plain, edited = written(Edit(unit(SAE, 0), 1.0, 9.0, start=3), text="on a")
    assert "q" not in plain and edited == "qq"[: len(edited)] and edited, "an added constant holds for what is written too"
