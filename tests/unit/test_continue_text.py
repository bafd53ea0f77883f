"""Texts that go on plainly and edited: against transformers' own generation, against full passes with layers rewritten, and against each other."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from earmark.edits import Edit
from earmark.errors import BadInput, Stopped
from earmark.live.editing.continuation import MAX_NEW_TOKENS, Continuation, Draw, continue_text
from earmark.live.editing.passing import TextEdits
from earmark.models.base import TextModel
from earmark.models.steps import Steps
from earmark.runtime import Runtime
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.fixtures.naive_edits import Naive
from tests.fixtures.text_toy import LAYER, MODEL, NEURONS, RESIDUAL, SAE, SINK, SLUGS, make_text_house
from tests.unit.test_replacing import hooks_of

TEXT = f"the cat sat on{SINK} a mat"
EDITS = {
    "sae": (Edit(UnitId(SAE, 3), 1.0, 6.0), Edit(UnitId(SAE, 8), 0.0)),
    "neurons": (Edit(UnitId(NEURONS, 7), 0.0, 3.0),),
    "all kinds": (Edit(UnitId(SAE, 3), 2.0, 4.0), Edit(UnitId(NEURONS, 7), -1.0, 2.0), Edit(UnitId(RESIDUAL, 3), 3.0)),
}
House = tuple[Runtime, Store]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    settings = make_text_house(tmp_path_factory.mktemp("continue"), 3)
    return Runtime(settings), Store(settings)


@pytest.fixture(scope="module")
def naive(house: House) -> Naive:
    sae: Any = house[0].open(SAE).dictionary
    return Naive(AutoModelForCausalLM.from_pretrained(house[1].settings.data / "toy-text-model").eval(), sae)


def text_model(house: House) -> TextModel:
    return house[0].model(MODEL)  # type: ignore[return-value]


def last(house: House, edits: Sequence[Edit], n: int = 12, **options: Any) -> Continuation:
    *_, found = continue_text(*house, edits, TEXT, n, **options)
    return found


def test_plain_and_greedy_as_transformers_generates(house: House, naive: Naive) -> None:
    model, sample = text_model(house), text_model(house).tokenize(TEXT)
    ids = naive.network.generate(torch.tensor([sample.ids]), do_sample=False, max_new_tokens=12, use_cache=True)[0, len(sample.ids) :].tolist()
    found = last(house, EDITS["sae"], temperature=0.0)
    assert found.plain == model.written([i for i in ids if i not in model.ends]) and found.plain
    assert found.plain != found.edited


@pytest.mark.parametrize("kind", EDITS)
def test_edited_and_greedy_as_full_passes_without_a_cache(house: House, naive: Naive, kind: str) -> None:
    """Nothing that is written here is a sink, which the loop checks at the layer's output."""
    model, ids = text_model(house), list(text_model(house).tokenize(TEXT).ids)
    n, spared = len(ids), naive.sinks(ids)
    for _ in range(8):
        ids.append(int(naive.edited(ids, EDITS[kind], [*spared, *[False] * (len(ids) - n)])[-1].argmax()))
    assert not any(SINK in token for token in model.tokens_of(ids[n:]))
    assert last(house, EDITS[kind], 8, temperature=0.0).edited == model.written(ids[n:])


@pytest.mark.parametrize("kind", EDITS)
def test_sinks_that_are_written_pass_as_they_are(house: House, naive: Naive, kind: str) -> None:
    """Tokens are given here in place of drawn ones, so that one is a sink; the stream enters the layer as the hidden states tell."""
    model, sample = text_model(house), text_model(house).tokenize(TEXT)
    later = model.tokenize(f" a{SINK} dog").ids[sample.n_before :]
    ids = (*sample.ids, *later)
    with house[0].using(*SLUGS) as opened:
        here = TextEdits(model, opened, EDITS[kind], sample)
        Steps(model).read(sample.ids, here.noting())
        steps = Steps(model)
        found = [steps.read(sample.ids, here.on_text())]
        found += [steps.read((i,), here.on_later(steps.n_read)) for i in later]
    spared = [*naive.sinks(sample.ids), *(SINK in token for token in model.tokens_of(later))]
    assert sum(spared[len(sample.ids) :]) == 1
    torch.testing.assert_close(torch.stack(found), naive.edited(ids, EDITS[kind], spared)[len(sample.ids) - 1 :], atol=2e-4, rtol=1e-4)
    none_spared = naive.edited(ids, EDITS[kind], [*spared[: len(sample.ids)], *[False] * len(later)])
    assert not torch.allclose(torch.stack(found)[-1], none_spared[-1], atol=2e-3), "it would make a difference"
    with torch.no_grad():
        entering = naive.network(torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER][0].norm(dim=1).numpy()
    assert [bool(norm > 4 * np.median(entering[: at + 1])) for at, norm in enumerate(entering)][len(sample.ids) :] == spared[len(sample.ids) :]


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.5])
def test_factor_one_writes_the_same_text(house: House, temperature: float) -> None:
    found = last(house, [Edit(UnitId(slug, 3), 1.0) for slug in SLUGS], 20, temperature=temperature, seed=5)
    assert found.plain == found.edited


def test_seeds(house: House) -> None:
    once, again, other = (last(house, EDITS["sae"], seed=seed, temperature=1.5) for seed in (3, 3, 4))
    assert once == again and (once.plain, once.edited) != (other.plain, other.edited)
    assert once.plain == last(house, EDITS["neurons"], seed=3, temperature=1.5).plain, "the plain text knows nothing of the edits"


def test_draws_follow_the_softmax_and_part_late() -> None:
    """Frequencies within 4 standard deviations; two near distributions nearly always draw the same token."""
    logits = torch.tensor([1.0, 0.0, -1.0, 0.5, -3.0])
    n = 4000
    for temperature in (0.5, 1.0):
        drawn = np.bincount([Draw(seed, temperature).token(logits, 7) for seed in range(n)], minlength=5)
        p = (logits / temperature).softmax(dim=0).numpy()
        assert (np.abs(drawn - n * p) <= 4 * np.sqrt(n * p * (1 - p)) + 1).all()
    near = logits + torch.tensor([0.05, 0.0, 0.0, -0.05, 0.0])
    same = np.mean([Draw(seed, 1.0).token(logits, 0) == Draw(seed, 1.0).token(near, 0) for seed in range(n)])
    moved = float((logits.softmax(0) - near.softmax(0)).abs().sum() / 2)
    assert same >= 1 - 3 * moved and len({Draw(1, 1.0).token(logits, number) for number in range(60)}) > 2


def test_text_grows_in_whole_characters_and_the_model_is_free_in_between(house: House) -> None:
    grown = []
    for n, step in enumerate(continue_text(*house, EDITS["sae"], TEXT, 30, seed=2, temperature=2.0), 1):
        assert step.n == n and step.done == (n == 30) and hooks_of(text_model(house)) == 0
        assert house[0].run(MODEL, lambda model: model) is text_model(house), "somebody else's run gets its turn"
        grown.append(step)
    for sooner, later in pairwise(grown):
        assert later.plain.startswith(sooner.plain) and later.edited.startswith(sooner.edited)
    assert json.loads(json.dumps(grown[-1].json())) == {**vars(grown[-1]), "notices": []}


def test_a_text_that_ends(house: House, naive: Naive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token that comes third becomes the one that ends: it is not shown, and where both have met it nothing more is made."""
    model, ids = text_model(house), text_model(house).tokenize(TEXT).ids
    made: list[int] = naive.network.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=6)[0, len(ids) :].tolist()
    at = next(i for i in range(1, 6) if made[i] not in made[:i])
    monkeypatch.setattr(model.network.generation_config, "eos_token_id", [made[at], 299])
    steps = list(continue_text(*house, [Edit(UnitId(SAE, 3), 1.0)], TEXT, 6, temperature=0.0))
    assert len(steps) == at + 1 and steps[-1].done
    assert steps[-1].plain == steps[-1].edited == model.written(made[:at])


def test_stop_between_steps(house: House) -> None:
    made: list[Continuation] = []
    with pytest.raises(Stopped, match="stopped after 4 tokens"):
        for step in continue_text(*house, EDITS["sae"], TEXT, stop=lambda: len(made) == 4):
            made.append(step)
    assert len(made) == 4 and hooks_of(text_model(house)) == 0


def test_two_visitors_at_once_do_not_meet(house: House) -> None:
    """Step about step from one thread, then from two: each gets what it gets alone."""
    alone = {kind: last(house, EDITS[kind], 10, seed=1) for kind in EDITS}
    running = {kind: continue_text(*house, EDITS[kind], TEXT, 10, seed=1) for kind in EDITS}
    for _ in range(10):
        mixed = {kind: next(steps) for kind, steps in running.items()}
    assert mixed == alone
    found: dict[str, Continuation] = {}
    threads = [threading.Thread(target=lambda kind=kind: found.update({kind: last(house, EDITS[kind], 10, seed=1)})) for kind in EDITS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == alone


def test_what_is_refused(house: House) -> None:
    for options, reason in (
        ({"n_tokens": 0}, "0 tokens are asked for; 1 to 60"), ({"n_tokens": MAX_NEW_TOKENS + 1}, "61 tokens"), ({"seed": -1}, "The seed is -1"),
        ({"temperature": float("nan")}, "The temperature is nan"), ({"temperature": 2.1}, "2.1; it must be a number from 0"),
        ({"edits": ()}, "There is no edit"), ({"edits": (Edit(UnitId(SAE, 99), 0.0),)}, "There is no unit toy-text-sae:99"), ({"text": ""}, "is empty"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=reason):
            next(continue_text(*house, **{"edits": EDITS["sae"], "text": TEXT, **options}))


def test_a_long_text_leaves_room_for_what_follows(house: House) -> None:
    *_, found = continue_text(*house, EDITS["sae"], "the cat " * 300, 5)
    assert found.n == 5 and "the first 250 are read" in found.notices[0], "256 positions, one in front, 5 behind"
