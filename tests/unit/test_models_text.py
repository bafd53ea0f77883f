"""GPT-2, GPT-NeoX, Llama, Qwen 2 and Gemma 2 against transformers' own outputs; how texts become tokens and tokens are printed."""

from __future__ import annotations

import itertools
import json
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from earmark.__main__ import main
from earmark.errors import BadInput, MissingWeights, NotFound
from earmark.inputs.text import Tokens, printed
from earmark.models import FAMILIES, supported
from earmark.models.base import ModelFiles, TextModel
from earmark.models.capture import taking
from earmark.units import Activations, Hook, TokenGrid, Waveform
from tests.fixtures.models import N_LAYERS, N_NEURONS, SPEECH, TEXT, WIDTH, byte_tokenizer, make_text, sentencepiece_tokenizer

FAMILY_OF = {m["name"]: m["family"] for m in supported()}
ACT = {"gpt2": lambda x: F.gelu(x, approximate="tanh"), "gpt_neox": F.gelu, "llama": F.silu, "qwen2": F.silu, "gemma2": lambda x: F.gelu(x, approximate="tanh")}
TRICKY = "The cat's café in 日本語 — 🎧 naïve\n\tend   of it"


def load(folder: Path, kind: str) -> TextModel:
    return FAMILIES[FAMILY_OF[kind]](ModelFiles("m", {"folder": folder}))


@pytest.fixture(scope="module", params=TEXT)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TextModel, Any, str]:
    """(what we load, transformers' network, its type) of one folder; loaded with every way out of the machine shut."""
    folder = tmp_path_factory.mktemp(request.param)
    network = make_text(folder, request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("something was fetched"))
        return load(folder, request.param), network, request.param


def test_what_is_listed_is_what_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    """`models --json`: one object a type, and the sites are those of the families."""
    assert main(["models", "--json"]) == 0
    listed = {m["name"]: m for m in json.loads(capsys.readouterr().out)}
    assert set(listed) == {"whisper", *SPEECH, *TEXT, "gelu-1l"}
    assert {m["family"] for m in listed.values()} == set(FAMILIES)
    for m in listed.values():
        assert set(m["sites"]) == {"residual", "preactivation", "neurons"}
        assert m["modality"] == ("audio" if m["name"] in ("whisper", *SPEECH) else "text")
        assert m["source"].startswith("https://")


# -- the model -------------------------------------------------------------------------------------------------------------


def test_residual_equals_hidden_states(pair: tuple[TextModel, Any, str]) -> None:
    model, network, _ = pair
    sample = model.tokenize(TRICKY)
    taken = [torch.from_numpy(a.values) for a in model.capture(sample, [model.hook("residual", i) for i in range(N_LAYERS)]).values()]
    base = network.base_model
    with torch.no_grad():
        expected = base(torch.tensor([sample.ids]), output_hidden_states=True)
        final_norm = next(module for name, module in base.named_children() if name in ("ln_f", "final_layer_norm", "norm"))
        torch.testing.assert_close(final_norm(taken[-1]), expected.last_hidden_state[0], atol=1e-4, rtol=1e-4)
    for values, state in zip(taken[:-1], expected.hidden_states[1:], strict=False):
        torch.testing.assert_close(values, state[0], atol=1e-4, rtol=1e-4)


def test_neurons_and_what_they_write(pair: tuple[TextModel, Any, str]) -> None:
    """act(pre-activation), times what goes beside the gate where there is one; their columns give what the FFN's second layer gives."""
    model, network, kind = pair
    hooks = {site: model.hook(site, 1) for site in ("preactivation", "neurons")}
    assert {h.width for h in hooks.values()} == {N_NEURONS}
    sample = model.tokenize("the cat sat on the mat")
    taken = {site: torch.from_numpy(model.capture(sample, [hook])[hook].values) for site, hook in hooks.items()}
    path, second = hooks["preactivation"].module.rpartition(".")[0], network.base_model.get_submodule(hooks["neurons"].module)
    expected = ACT[kind](taken["preactivation"])
    if kind in ("llama", "qwen2", "gemma2"):
        up = Hook(f"{path}.up_proj", "output", N_NEURONS)
        with torch.no_grad(), taking(network.base_model, [up]) as beside:
            network.base_model(torch.tensor([sample.ids]))
        expected = expected * beside[up][0]
    torch.testing.assert_close(taken["neurons"], expected, atol=1e-5, rtol=1e-4)
    directions = model.directions(hooks["neurons"])
    assert directions is not None
    assert directions.shape == (N_NEURONS, WIDTH)
    with torch.no_grad():
        written = second(taken["neurons"])
        if kind == "gemma2":  # what is added is the FFN's output, normed: the same up to a factor at each position
            normed = network.base_model.layers[1].post_feedforward_layernorm(written)
            assert F.cosine_similarity(taken["neurons"] @ directions, normed).min() > 0.99999
        else:
            bias = 0 if second.bias is None else second.bias
            torch.testing.assert_close(taken["neurons"] @ directions + bias, written, atol=1e-4, rtol=1e-4)


def test_a_prefix_gives_the_same(pair: tuple[TextModel, Any, str]) -> None:
    """Causal: what follows changes nothing, so a batch or padding on the right could not either."""
    model, _, _ = pair
    sample = model.tokenize(TRICKY)
    hook = model.hook("neurons", 2)
    whole, part = (model.capture(model.sample(sample.ids[:n]), [hook])[hook].values for n in (len(sample.ids), 9))
    np.testing.assert_allclose(part, whole[:9], atol=1e-4)


def test_nothing_after_the_last_hook_runs(pair: tuple[TextModel, Any, str], monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, _ = pair
    layers: Any = model.root.h if hasattr(model.root, "h") else model.root.layers
    monkeypatch.setattr(layers[1], "forward", lambda *_, **__: pytest.fail("a layer after the hook was run"))
    assert model.capture(model.tokenize("the cat"), [model.hook("residual", 0)])


def test_layers_and_sites_that_are_not_there(pair: tuple[TextModel, Any, str]) -> None:
    model, _, _ = pair
    for layer in (-1, N_LAYERS):
        with pytest.raises(NotFound, match=r"its layers are 0 to 2\."):
            model.hook("residual", layer)
    with pytest.raises(NotFound, match="neurons, preactivation, residual"):
        model.hook("attention", 0)


def test_types_of_other_families_are_refused(tmp_path: Path) -> None:
    make_text(tmp_path, "gpt2")
    with pytest.raises(MissingWeights, match="'gpt2'; the family llama reads llama, qwen2, gemma2"):
        load(tmp_path, "llama")
    with pytest.raises(MissingWeights, match="'gpt2'; the family gpt_neox reads gpt_neox"):
        load(tmp_path, "gpt_neox")


def test_a_folder_without_a_head_and_one_without_a_tokenizer(tmp_path: Path) -> None:
    network = make_text(tmp_path, "gpt_neox", head=False)
    model = load(tmp_path, "gpt_neox")
    sample, hook = model.tokenize("the dog"), model.hook("residual", 0)
    with torch.no_grad():
        expected = network(torch.tensor([sample.ids]), output_hidden_states=True).hidden_states[1][0]
    np.testing.assert_allclose(model.capture(sample, [hook])[hook].values, expected.numpy(), atol=1e-4)
    for path in tmp_path.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(MissingWeights, match="m has no tokenizer: none of tokenizer.json"):
        load(tmp_path, "gpt_neox")


def test_too_many_tokens(pair: tuple[TextModel, Any, str]) -> None:
    model, _, _ = pair
    with pytest.raises(BadInput, match="65 tokens; m reads 1 to 64"):
        model.capture(model.sample([5] * 65), [model.hook("residual", 0)])


def test_sounds_are_no_texts(pair: tuple[TextModel, Any, str]) -> None:
    model, _, _ = pair
    sound: Any = Waveform(np.zeros(16_000, np.float32))
    with pytest.raises(BadInput, match="m reads texts, not sounds"):
        model.capture(sound, [model.hook("residual", 0)])


def test_sinks_are_positions_far_above_the_median() -> None:
    values = np.ones((6, 4), np.float32)
    values[0], values[3] = 4.001, 3.999
    assert Activations(values, TokenGrid(("a",) * 6)).sinks().tolist() == [True, *[False] * 5]


# -- texts as tokens -------------------------------------------------------------------------------------------------------


def test_what_is_printed_is_the_text(pair: tuple[TextModel, Any, str]) -> None:
    model, _, kind = pair
    sample = model.tokenize(TRICKY)
    assert sample.text == model.read(sample) == TRICKY
    assert sample.n_before == (0 if kind in ("gpt_neox", "qwen2") else 1)
    assert len(sample.tokens) == len(sample.ids)
    grid = model.capture(sample, [hook := model.hook("residual", 0)])[hook].grid
    spans = grid.spans()
    assert [i for start, end, _ in spans for i in range(start, end)] == list(range(len(sample.ids))), "every position has its place, once"
    assert any(end - start > 1 and "🎧" in text for start, end, text in spans), "a character of several tokens is shown over all of them"
    assert "".join(text for _, _, text in spans[sample.n_before :]) == TRICKY


@pytest.mark.parametrize("text", ["🎧 on", " the cat", "  x", "日本"])
def test_the_space_in_front_is_nobodys(pair: tuple[TextModel, Any, str], text: str) -> None:
    """Llama's tokenizer writes one that the text does not have; even where it is a token of its own."""
    model, _, _ = pair
    sample = model.tokenize(text)
    assert sample.text == text
    spans = TokenGrid(sample.tokens).spans()
    assert "".join(shown for start, _, shown in spans if start >= sample.n_before) == text


def test_ids_are_those_of_the_tokenizer(pair: tuple[TextModel, Any, str], tmp_path: Path) -> None:
    model, _, kind = pair
    tokenizer = sentencepiece_tokenizer(kind == "llama") if kind in ("llama", "gemma2") else byte_tokenizer()
    own = tokenizer(TRICKY).input_ids
    assert list(model.tokenize(TRICKY).ids) == ([0, *own] if kind == "gpt2" else own)


def test_names_of_special_tokens_are_plain_text(pair: tuple[TextModel, Any, str]) -> None:
    model, _, _ = pair
    for name in ("<|endoftext|>", "<s>"):
        sample = model.tokenize(f"a {name} b")
        assert sample.text == f"a {name} b"
        assert len(sample.ids) - sample.n_before > 6


def test_long_texts_are_cut_with_a_notice(pair: tuple[TextModel, Any, str]) -> None:
    model, _, _ = pair
    cut = model.tokenize("cat " * 80)
    assert len(cut.ids) == 64
    assert re.fullmatch(rf"The text has \d+ tokens; the first {64 - cut.n_before} are read\.", *cut.notices), "what stands in front is not counted"
    assert len(model.tokenize("cat " * 80, max_tokens=10).ids) == 10 + cut.n_before
    assert model.tokenize("cat").notices == ()


@pytest.mark.parametrize(("text", "reason"), [("", "empty"), (" \n", "empty"), ("x" * 200_001, "200,001 characters")])
def test_texts_that_cannot_be_used(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        Tokens(byte_tokenizer(), 64).read(text)


def test_half_a_character_and_ids_outside() -> None:
    tokens = Tokens(byte_tokenizer(), 64)
    assert tokens.read("a\ud800b").text == "a?b"
    with pytest.raises(BadInput, match="has no token 100000"):
        tokens.sample([100_000])


def naive(pieces: list[bytes]) -> list[tuple[int, int, str]]:
    """Groups by trying: the shortest run that decodes; the rest at the end with its wrong bytes replaced."""
    spans, start = [], 0
    for end in range(1, len(pieces) + 1):
        try:
            spans.append((start, end, b"".join(pieces[start:end]).decode()))
        except UnicodeDecodeError:
            continue
        start = end
    if start < len(pieces):
        spans.append((start, len(pieces), b"".join(pieces[start:]).decode(errors="replace")))
    return spans


@st.composite
def cut_texts(draw: st.DrawFn) -> list[bytes]:
    data = draw(st.text(min_size=1, max_size=30)).encode()
    cuts = sorted(draw(st.sets(st.integers(1, max(len(data) - 1, 1)), max_size=20)) | {0, len(data)})
    return [piece for a, b in itertools.pairwise(cuts) if (piece := data[a:b])]


@given(cut_texts())
def test_groups_are_the_shortest_that_decode(pieces: list[bytes]) -> None:
    assert list(TokenGrid(printed(pieces)).spans()) == naive(pieces)


@given(st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=12))
def test_any_bytes_are_printed_somehow(pieces: list[bytes]) -> None:
    """Bytes that never decode: nothing is lost, every position is covered."""
    tokens = printed(pieces)
    assert len(tokens) == len(pieces)
    assert "".join(tokens) == b"".join(pieces).decode(errors="replace")


def test_added_tokens_are_printed_as_they_are() -> None:
    """GPT-NeoX's runs of spaces are added tokens that are not special."""
    tokens = Tokens(byte_tokenizer(), 64)
    sample = tokens.read("a   b")
    assert sample.tokens == ("a", "   ", "b")
