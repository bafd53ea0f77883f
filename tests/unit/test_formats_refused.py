"""Checkpoints that lack a part, or hold one that does not fit: each is refused by the name of that part, never by a guess."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from earmark.dictionaries import open_checkpoint
from earmark.dictionaries.base import SparseAutoencoder
from earmark.dictionaries.checkpoint import named_hook
from earmark.errors import BadInput, MissingWeights

D, N = 6, 10
WAVE = {"encoder.weight": (N, D), "decoder.weight": (D, N), "encoder_bias": (N,), "decoder_bias": (D,)}
LEARNED = {"encoder.weight": (N, D), "encoder.bias": (N,), "decoder.weight": (D, N), "b_dec": (D,)}
SPARSIFY = {"encoder.weight": (N, D), "encoder.bias": (N,), "W_dec": (N, D), "b_dec": (D,)}
OPENAI = {"pre_bias": (D,), "latent_bias": (N,), "encoder.weight": (N, D), "decoder.weight": (D, N)}
PLAIN = {"W_enc": (D, N), "W_dec": (N, D), "b_enc": (N,), "b_dec": (D,)}


def tensors(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=g) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("format_", "shapes", "more", "words"),
    [
        ("wave-sae", {k: v for k, v in WAVE.items() if k != "encoder.weight"}, {}, "'x.pt' lacks encoder.weight; it holds decoder.weight, decoder_bias"),
        ("dictionary_learning", {"weight": (N, D)}, {}, "of no class of dictionary_learning that is known; it holds weight"),
        ("openai", OPENAI, {"activation": "Tanh"}, "the activation Tanh of ReLU; read are ReLU, and TopK of ReLU"),
        ("openai", OPENAI, {"activation": "TopK", "activation_state_dict": {"k": 3, "postact_fn": "Identity"}}, "the activation TopK of Identity"),
        ("plain", {"kernel": (N, D)}, {}, "no encoder and no decoder under a usual name; it holds kernel"),
        ("plain", {**PLAIN, "W_enc": (N,)}, {}, r"W_enc of 'x.pt' has shape \[10\]; it must be a matrix"),
        ("plain", {"W_enc": (D, N), "W_dec": (N, D)}, {}, "no biases, so that nothing tells which side"),
    ],
)  # fmt: skip
def test_a_part_that_is_missing_or_strange_is_named(
    tmp_path: Path, format_: str, shapes: dict[str, tuple[int, ...]], more: dict[str, object], words: str
) -> None:
    torch.save({**tensors(shapes), **more}, tmp_path / "x.pt")
    with pytest.raises(BadInput, match=words):
        open_checkpoint(tmp_path / "x.pt", format=format_)


def test_sparsify_needs_its_config(tmp_path: Path) -> None:
    save_file(tensors(SPARSIFY), tmp_path / "sae.safetensors")
    for config, words in (
        (None, "names k. It is missing"),
        ({"d_in": D}, "names k. It names none"),
        ({"k": 3, "activation": "tanh"}, "the activation 'tanh'; valid: topk, groupmax"),
    ):
        if config is not None:
            (tmp_path / "cfg.json").write_text(json.dumps(config))
        with pytest.raises(BadInput, match=words):
            open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("layers.3", {"site": "residual", "layer": 3, "hook": "output of block 3"}),
        ("layer_4", {"site": "residual", "layer": 3, "hook": "input of block 4"}),
        ("layer_0", {"hook": "input of block 0"}),
        ("layers.3.mlp", {"hook": "layers.3.mlp"}),
        ("embed_tokens", {"hook": "embed_tokens"}),
        ("mine", {}),
    ],
)
def test_a_hookpoint_is_read_from_its_folder_and_never_guessed(tmp_path: Path, folder: str, told: dict[str, object]) -> None:
    path = tmp_path / folder
    path.mkdir()
    save_file(tensors(SPARSIFY), path / "sae.safetensors")
    (path / "cfg.json").write_text('{"k": 3}')
    facts = open_checkpoint(path).facts
    assert {name: facts[name] for name in ("site", "layer", "hook") if facts.get(name) is not None} == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("blocks.8.hook_resid_pre", {"hook": "blocks.8.hook_resid_pre", "site": "residual", "layer": 7}),
        ("blocks.8.hook_resid_post", {"hook": "blocks.8.hook_resid_post", "site": "residual", "layer": 8}),
        ("blocks.3.mlp.hook_post", {"hook": "blocks.3.mlp.hook_post", "site": "neurons", "layer": 3}),
        ("blocks.0.hook_resid_pre", {"hook": "blocks.0.hook_resid_pre"}),
        ("blocks.8.attn.hook_z", {"hook": "blocks.8.attn.hook_z"}),
        ("hook_embed", {"hook": "hook_embed"}),
        ("encoder.layers.1", {"hook": "encoder.layers.1", "site": "residual", "layer": 1}),
        ("transformer.h.8", {"hook": "transformer.h.8", "site": "residual", "layer": 8}),
        ("model.layers.1.mlp", {"hook": "model.layers.1.mlp"}),
        ("", {}),
        (None, {}),
        (8, {}),
    ],
)
def test_a_name_of_transformer_lens_or_of_a_module_is_read_or_left_as_it_is(name: object, told: dict[str, object]) -> None:
    assert named_hook(name) == told


@pytest.mark.parametrize(("more", "scale"), [({"norm_scaling_factor": 0.5}, 0.5), ({}, None), ({"norm_scaling_factor": -1}, None)])
def test_a_known_factor_of_the_input_is_told(tmp_path: Path, more: dict[str, float], scale: float | None) -> None:
    config = {"architecture": "standard", "d_in": D, "d_sae": N, "apply_b_dec_to_input": False, "normalize_activations": "expected_average_only_in", **more}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    weights = tensors(PLAIN)
    save_file(weights, tmp_path / "sae_weights.safetensors")
    found, x = open_checkpoint(tmp_path), torch.randn(4, D, generator=torch.Generator().manual_seed(1))
    assert found.facts.get("input_scale") == scale and bool(found.candidates) == (scale is None), "without it both ways are tried"
    expected = torch.relu(x * (scale or 1.0) @ weights["W_enc"] + weights["b_enc"])
    torch.testing.assert_close(torch.from_numpy(found.dictionary.encode(x).dense()), expected)


def test_a_factor_that_the_config_does_not_use_is_refused_unless_it_is_one(tmp_path: Path) -> None:
    config = {"architecture": "standard", "d_in": D, "d_sae": N, "apply_b_dec_to_input": False}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    weights = tensors(PLAIN)
    save_file({**weights, "scaling_factor": torch.ones(N)}, tmp_path / "sae_weights.safetensors")
    plain = open_checkpoint(tmp_path).dictionary
    save_file({**weights, "scaling_factor": torch.full((N,), 2.0)}, tmp_path / "sae_weights.safetensors")
    with pytest.raises(BadInput, match="scaling_factor that its cfg.json does not use"):
        open_checkpoint(tmp_path)
    (tmp_path / "cfg.json").write_text(json.dumps({**config, "finetuning_scaling_factor": True}))
    scaled, x = open_checkpoint(tmp_path).dictionary, torch.randn(4, D, generator=torch.Generator().manual_seed(1))
    twice = 2 * (plain.reconstruct(x) - weights["b_dec"]) + weights["b_dec"]
    torch.testing.assert_close(scaled.reconstruct(x), twice)


@pytest.mark.parametrize("name", ["threshold", "jumprelu_threshold", "log_threshold"])
def test_a_plain_threshold_is_strict(tmp_path: Path, name: str) -> None:
    weights = tensors(PLAIN)
    weights["W_dec"] /= weights["W_dec"].norm(dim=1, keepdim=True)
    threshold = torch.linspace(0.2, 1.5, N)
    torch.save({**weights, name: threshold.log() if name == "log_threshold" else threshold}, tmp_path / "x.pt")
    x = np.random.default_rng(0).normal(size=(20, D)).astype(np.float32)
    u = x @ weights["W_enc"].numpy() + weights["b_enc"].numpy()
    expected = np.where(u > threshold.numpy(), u, 0)
    assert 0 < (expected > 0).mean() < (u > 0).mean(), "the threshold cuts something off"
    found = open_checkpoint(tmp_path / "x.pt")
    assert found.dictionary.activation == "jumprelu"
    assert found.dictionary.codes(x).dense() == pytest.approx(expected, abs=1e-5)


# -- the equations' own checks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"W_enc": torch.zeros(3)}, r"W_enc has shape \(3,\); it must be a matrix"),
        ({"W_enc": torch.zeros(0, N)}, r"W_enc has shape \(0, 10\)"),
        ({"b_enc": torch.zeros(N + 1)}, r"b_enc has shape \(11,\); with W_enc \(6, 10\) it must have \(10,\)"),
        ({"W_dec": torch.zeros(D, N)}, r"W_dec has shape \(6, 10\)"),
        ({"threshold": torch.zeros(2)}, r"threshold has shape \(2,\); it must be one number or \(10,\)"),
    ],
)
def test_shapes_that_do_not_fit_each_other_are_refused(changed: dict[str, torch.Tensor], words: str) -> None:
    given = {**tensors(PLAIN), **changed}
    threshold = given.pop("threshold", torch.zeros(N))
    with pytest.raises(BadInput, match=words):
        SparseAutoencoder(given["W_enc"], given["W_dec"], given["b_enc"], given["b_dec"], activation="jumprelu", threshold=threshold)


def test_activations_of_another_width_are_refused() -> None:
    w = tensors(PLAIN)
    sae = SparseAutoencoder(w["W_enc"], w["W_dec"], w["b_enc"], w["b_dec"], activation="relu")
    for x in (torch.zeros(4, D + 1), torch.zeros(D)):
        with pytest.raises(BadInput, match=r"this dictionary reads \[positions, 6\]"):
            sae.encode(x)


def test_a_folder_that_lacks_its_weights_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(MissingWeights, match="config.json"):
        open_checkpoint(tmp_path)
