"""A text read token after token, plainly and with layers rewritten, against passes over the whole by networks whose own `forward` is rewritten."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from earmark.errors import BadInput
from earmark.models import FAMILIES
from earmark.models.base import ModelFiles, TextModel
from earmark.models.steps import Steps
from earmark.units import Hook
from tests.fixtures.models import FAMILY_OF, TEXT, make_gelu, make_text
from tests.unit.test_replacing import hooks_of, rewrite

SENTENCE = "the cat's café sat on the mat and the dog, 0 12 345 naïve days"
N_FIRST = 11
"""tokens read at once before the others, one by one; Gemma's window of 8 has slid by then"""


def bent(first: int) -> Callable[[Tensor], Tensor]:
    """A change of [n, width] that no layer would make, another at each position from `first` on."""
    return lambda x: 1.2 * x.flip(1) - torch.arange(first, first + len(x))[:, None] * 0.1


@pytest.fixture(scope="module", params=[*TEXT, "gelu"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextModel:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "gelu":
        make_gelu(folder)
        return FAMILIES["gelu_1l"](ModelFiles("m", {"folder": folder}))
    make_text(folder, request.param)
    return FAMILIES[FAMILY_OF[request.param]](ModelFiles("m", {"folder": folder}))


def whole(model: TextModel, ids: tuple[int, ...]) -> Tensor:
    """[n_tokens, vocabulary] of one pass over all tokens, by the network as it is."""
    with torch.no_grad():
        found: Any = model.network(torch.tensor([ids]))
    return (found if isinstance(found, Tensor) else found.logits)[0]


def pieces(ids: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [ids[:N_FIRST], *((i,) for i in ids[N_FIRST:])]


def test_steps_expect_what_the_whole_expects(model: TextModel) -> None:
    ids, steps = model.tokenize(SENTENCE).ids, Steps(model)
    expected = whole(model, ids)
    for piece in pieces(ids):
        found = steps.read(piece)
        torch.testing.assert_close(found, expected[steps.n_read - 1], atol=2e-4, rtol=1e-3)
    assert steps.n_read == len(ids) > N_FIRST + 5


@pytest.mark.parametrize("site", ["residual", "preactivation", "neurons"])
def test_steps_with_a_layer_changed(model: TextModel, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, hook, steps = model.tokenize(SENTENCE).ids, model.hook(site, 0), Steps(model)
    found = []
    for piece in pieces(ids):
        found.append(steps.read(piece, {hook: bent(steps.n_read)}))
        assert hooks_of(model) == 0, "nobody else's pass meets the change"
    plain = whole(model, ids)
    rewrite(model.root.get_submodule(hook.module), hook.side, bent(0), monkeypatch)
    torch.testing.assert_close(torch.stack(found), whole(model, ids)[N_FIRST - 1 :], atol=2e-4, rtol=1e-3)
    assert not torch.allclose(torch.stack(found), plain[N_FIRST - 1 :], atol=1e-2)


def test_each_position_is_changed_once_and_stays_changed(model: TextModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in the first piece alone goes on in what later ones attend to; one that begins later leaves the first as it was."""
    ids, hook = model.tokenize(SENTENCE).ids, model.hook("residual", 0)
    seen: list[int] = []

    def once(change: Callable[[Tensor], Tensor]) -> dict[Hook, Callable[[Tensor], Tensor]]:
        return {hook: lambda x: seen.append(len(x)) or change(x)}

    for early in (True, False):
        steps = Steps(model)
        found = [steps.read(piece, once(bent(steps.n_read)) if (i == 0) == early else None) for i, piece in enumerate(pieces(ids))]
        if early:
            rewritten: Callable[[Tensor], Tensor] = lambda x: torch.cat([bent(0)(x[:N_FIRST]), x[N_FIRST:]])  # noqa: E731
        else:
            rewritten = lambda x: torch.cat([x[:N_FIRST], bent(N_FIRST)(x[N_FIRST:])])  # noqa: E731
        with monkeypatch.context() as patch:
            rewrite(model.root.get_submodule(hook.module), hook.side, rewritten, patch)
            torch.testing.assert_close(torch.stack(found), whole(model, ids)[N_FIRST - 1 :], atol=2e-4, rtol=1e-3)
    assert seen == [N_FIRST, *[1] * (len(ids) - N_FIRST)]


def test_several_ways_in_one_pass(model: TextModel) -> None:
    """Each gives what it gives alone, wherever it parts from the others; ways that change nothing go together."""
    sample, early, late = model.tokenize(SENTENCE), model.hook("neurons", 0), model.hook("residual", 1)
    ways = [{}, {late: bent(0)}, {early: bent(1)}, {early: bent(2), late: bent(3)}]
    found = model.logits_in(sample, ways)
    for way, logits in zip(ways, found, strict=True):
        torch.testing.assert_close(logits, model.logits(sample, way), atol=2e-4, rtol=1e-3)
    assert not torch.allclose(found[1], found[2], atol=1e-2) and hooks_of(model) == 0
    same = model.logits_in(sample, [{}, {}])
    assert torch.equal(same[0], model.logits(sample)) and torch.equal(same[0], same[1])


def test_limits_are_told(model: TextModel, tmp_path: Path) -> None:
    steps = Steps(model)
    steps.read((1,) * 60)
    with pytest.raises(BadInput, match=r"to read 5 tokens behind 60; m has 64 positions"):
        steps.read((1,) * 5)
    assert steps.n_read == 60 and len(steps.read((1,) * 4)) > 0
    make_text(tmp_path, "gpt2", head=False)
    with pytest.raises(BadInput, match="m was saved without the head that predicts tokens"):
        Steps(FAMILIES["gpt2"](ModelFiles("m", {"folder": tmp_path})))


def test_only_whole_characters_are_written(model: TextModel) -> None:
    ids = model.tokenize("a 日🎧é").ids[len(model.before) :]
    grown = [model.written(ids[:n]) for n in range(len(ids) + 1)]
    assert grown[-1] == "a 日🎧é" or grown[-1].lstrip() == "a 日🎧é"
    assert all(later.startswith(sooner) for sooner, later in itertools.pairwise(grown))
    assert not any("\ufffd" in text for text in grown)
    assert len({*grown}) < len(grown), "some tokens end within a character"
