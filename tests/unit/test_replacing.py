"""Activations put in the place of others, logits and cross-entropies, against networks whose own layers are rewritten and against loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from earmark.errors import BadInput
from earmark.models import FAMILIES
from earmark.models.base import LoadedModel, ModelFiles, TextModel
from earmark.models.capture import replacing, sparing
from earmark.models.gelu_1l import Gelu1L
from earmark.models.wav2vec2 import Wav2Vec2
from earmark.units import Hook, Waveform
from tests.fixtures.models import FAMILY_OF, LETTERS, SPEECH, TEXT, make_gelu, make_speech, make_text

SITES = ("residual", "preactivation", "neurons")
TEXT_HERE = "the cat's café sat on the mat"


def bent(x: Tensor) -> Tensor:
    """[n_positions, width], a change that no layer would make, another at each position."""
    return 1.5 * x.flip(1) - torch.arange(len(x))[:, None] * 0.1


def rewrite(module: nn.Module, side: str, change: Callable[[Tensor], Tensor], patch: pytest.MonkeyPatch) -> None:
    """A module whose own `forward` changes what goes in or comes out: no hook of torch's."""
    whole = module.forward

    def on_input(x: Tensor) -> Any:
        return whole(change(x[0])[None])

    def on_output(*args: Any, **kwargs: Any) -> Any:
        out = whole(*args, **kwargs)
        return (change(out[0][0])[None], *out[1:]) if isinstance(out, tuple) else change(out[0])[None]

    patch.setattr(module, "forward", on_input if side == "input" else on_output)


def hooks_of(model: LoadedModel) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.network.modules())


@pytest.fixture(scope="module", params=TEXT)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TextModel, Any]:
    """(what we load, transformers' network) of one folder."""
    folder = tmp_path_factory.mktemp(request.param)
    network = make_text(folder, request.param)
    return FAMILIES[FAMILY_OF[request.param]](ModelFiles("m", {"folder": folder})), network


@pytest.mark.parametrize("site", SITES)
def test_logits_equal_those_of_a_rewritten_network(pair: tuple[TextModel, Any], site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, network = pair
    sample, hook = model.tokenize(TEXT_HERE), model.hook(site, 1)
    with torch.no_grad():
        plain = network(torch.tensor([sample.ids])).logits[0, sample.n_before :]
        rewrite(network.base_model.get_submodule(hook.module), hook.side, bent, monkeypatch)
        changed = network(torch.tensor([sample.ids])).logits[0, sample.n_before :]
    torch.testing.assert_close(model.logits(sample), plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.logits(sample, {hook: bent}), changed, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(plain, changed, atol=1e-2)
    assert len(plain) == len(sample.ids) - sample.n_before, "what stands in front of the text is in no answer"
    torch.testing.assert_close(model.logits(sample), plain, atol=1e-5, rtol=1e-5)
    assert hooks_of(model) == 0


def loop(logits: Tensor, ids: tuple[int, ...]) -> list[float]:
    """-log p of the next token at each position, in double precision, one by one."""
    losses = []
    for i, row in enumerate(logits.double().tolist()[:-1]):
        top = max(row)
        losses.append(math.log(sum(math.exp(value - top) for value in row)) + top - row[ids[i + 1]])
    return losses


def test_cross_entropy_equals_a_loop(pair: tuple[TextModel, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, network = pair
    sample, hook = model.tokenize(TEXT_HERE), model.hook("residual", 1)
    own = sample.ids[sample.n_before :]
    rewrite(network.base_model.get_submodule(hook.module), "output", bent, monkeypatch)
    with torch.no_grad():
        expected = loop(network(torch.tensor([sample.ids])).logits[0, sample.n_before :], own)
    found = model.cross_entropy(sample, {hook: bent})
    assert len(found) == len(own) - 1
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)


def test_two_hooks_and_what_the_functions_get(pair: tuple[TextModel, Any]) -> None:
    """They get what `capture` gives, front and all; the second sees what came of the first."""
    model, _ = pair
    sample = model.tokenize(TEXT_HERE)
    first, second = model.hook("residual", 0), model.hook("residual", 2)
    seen: dict[Hook, Tensor] = {}

    def keep(hook: Hook, change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def kept(x: Tensor) -> Tensor:
            seen[hook] = x.clone()
            return change(x)

        return kept

    model.logits(sample, {first: keep(first, lambda x: x), second: keep(second, lambda x: x)})
    for hook, taken in model.capture(sample, [first, second]).items():
        np.testing.assert_allclose(seen[hook].numpy(), taken.values, atol=1e-5)
    before = seen[second]
    model.logits(sample, {first: torch.zeros_like, second: keep(second, lambda x: x)})
    assert not torch.allclose(before, seen[second])


def test_positions_that_are_spared(pair: tuple[TextModel, Any]) -> None:
    """A text is read from left to right: what stands before the first changed position stays as it was."""
    model, _ = pair
    sample, hook = model.tokenize(TEXT_HERE), model.hook("residual", 1)
    spared = np.arange(len(sample.ids)) < sample.n_before + 3
    plain, changed = model.logits(sample), model.logits(sample, {hook: sparing(spared, bent)})
    torch.testing.assert_close(plain[:3], changed[:3], atol=1e-5, rtol=1e-5)
    assert (plain[3:] - changed[3:]).abs().amax(dim=1).min() > 1e-3
    torch.testing.assert_close(model.logits(sample, {hook: sparing(np.ones(len(sample.ids), bool), bent)}), plain, atol=1e-5, rtol=1e-5)


def test_hooks_come_off_whatever_happens(pair: tuple[TextModel, Any]) -> None:
    model, _ = pair
    sample, hook = model.tokenize(TEXT_HERE), model.hook("neurons", 1)
    plain = model.logits(sample)
    with pytest.raises(ZeroDivisionError):
        model.logits(sample, {hook: lambda x: x / (1 // 0)})
    with pytest.raises(BadInput, match=r"replaces the input of .* has shape \(\d+, 3\); it must have \(\d+, 24\)"):
        model.logits(sample, {hook: lambda x: x[:, :3]})
    assert hooks_of(model) == 0
    torch.testing.assert_close(model.logits(sample), plain)


def test_batches_go_through_one_by_one() -> None:
    layer, hook = nn.Linear(3, 3), Hook("0", "output", 3)
    x = torch.randn(2, 5, 3)
    with torch.no_grad(), replacing(nn.Sequential(layer), {hook: bent}):
        found = layer(x)
    with torch.no_grad():
        torch.testing.assert_close(found, torch.stack([bent(layer(one)) for one in x]))


def test_a_model_without_its_head_says_so(tmp_path: Path) -> None:
    make_text(tmp_path, "gpt2", head=False)
    model = FAMILIES["gpt2"](ModelFiles("m", {"folder": tmp_path}))
    with pytest.raises(BadInput, match="m was saved without the head that predicts tokens"):
        model.logits(model.tokenize("the cat"))


# -- gelu-1l ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gelu(tmp_path_factory: pytest.TempPathFactory) -> Gelu1L:
    folder = tmp_path_factory.mktemp("gelu")
    make_gelu(folder)
    return FAMILIES["gelu_1l"](ModelFiles("m", {"folder": folder}))


def test_gelu_1l_block_by_block(gelu: Gelu1L) -> None:
    sample, hook, network = gelu.tokenize(TEXT_HERE), gelu.hook("residual", 0), gelu.root
    ids = torch.tensor([sample.ids])
    with torch.no_grad():
        x = network.embed(ids) + network.positions.weight[: len(sample.ids)]
        x = network.blocks[1](bent(network.blocks[0](x)[0])[None])
        expected = network.unembed(network.ln_final(x))[0, 1:]
    torch.testing.assert_close(gelu.logits(sample, {hook: bent}), expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(gelu.cross_entropy(sample, {hook: bent}), loop(expected, sample.ids[1:]), atol=1e-5, rtol=1e-5)


# -- letters of CTC --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SPEECH)
def test_letters_heard_with_a_layer_rewritten(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_speech(tmp_path, kind, stable=False)
    model: Wav2Vec2 = FAMILIES["wav2vec2"](ModelFiles("m", {"folder": tmp_path}))
    sound = Waveform(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))
    hook = model.hook("residual", 1)
    plain = model.read(sound)
    rewrite(network.base_model.get_submodule(hook.module), "output", bent, monkeypatch)
    normed = (sound.samples - sound.samples.mean()) / np.sqrt(sound.samples.var() + 1e-7)
    with torch.no_grad():
        best = network(torch.from_numpy(normed)[None]).logits[0].argmax(dim=-1).tolist()
    letters = [LETTERS[i] for i, before in zip(best, [None, *best[:-1]], strict=True) if i != before]
    expected = "".join(" " if letter == "|" else "" if letter.startswith("<pad") else letter for letter in letters).strip()
    assert model.read(sound, {hook: bent}) == expected
    assert plain != expected
    assert model.read(sound) == plain
