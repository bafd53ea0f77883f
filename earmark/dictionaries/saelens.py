"""SAELens's layout: a folder with cfg.json and sae_weights.safetensors (https://github.com/decoderesearch/SAELens).

W_enc [d, n], W_dec [n, d], b_enc, b_dec. Architectures standard, topk, abstopk, jumprelu (threshold, in old files log_threshold), gated (b_gate,
b_mag, r_mag), batchtopk in training (topk_threshold), and transcoders with and without skip connection. Before version 6 cfg.json says
hook_point, activation_fn_str, and normalize_activations may be a bool; there and later b_dec is subtracted unless it says otherwise.
constant_norm_rescale and layer_norm are undone after decode. expected_average_only_in scales by a factor that is folded in where the file
names it, and is open where it does not.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput, MissingWeights
from ..raw import part
from ..tensors import save_file
from .activations import Activation
from .base import SparseAutoencoder
from .checkpoint import MEAN_NORM, RAW, Checkpoint, Publisher, lay, made, named_hook, vector, whole
from .files import Found
from .norms import InputNorm, NormKind

FORMAT = "saelens"
PUBLISHER = Publisher("SAELens", "cfg.json, sae_weights.safetensors", "https://github.com/decoderesearch/SAELens")
CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_ACTIVATIONS: dict[str, Activation] = {
    "standard": "relu",
    "topk": "topk",
    "abstopk": "abstopk",
    "jumprelu": "jumprelu",
    "gated": "gated",
    "batchtopk": "batchtopk",
    "matryoshka_batchtopk": "batchtopk",
    "transcoder": "relu",
    "skip_transcoder": "relu",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
_NORMS: dict[str, NormKind] = {"none": "none", "constant_norm_rescale": "sqrt_d", "layer_norm": "layer", "expected_average_only_in": "none"}
_FACTORS = ("norm_scaling_factor", "activation_norm_scaling_factor", "scaling_factor_in")
"""names under which a factor of expected_average_only_in is kept"""
_OLD_NAMES = {"hook_point": "hook_name", "hook_point_layer": "hook_layer", "activation_fn_str": "activation_fn"}


def recognises(found: Found) -> bool:
    """By cfg.json, with the weights that it describes."""
    described = any(name in found.config for name in ("d_in", "d_sae", "hook_point", "hook_name", "sae_lens_version")) or "architecture" in found.config
    named = found.weights.name == WEIGHTS and found.has("W_enc", "W_dec")
    return found.has("W_enc", "W_dec", "b_dec") and (named or (described and found.config.get("architecture") != "jump_relu"))


def load(found: Found) -> Checkpoint:
    """Raises MissingWeights without cfg.json, and BadInput for what is not read, by its name."""
    if not found.config:
        raise MissingWeights(f"{found.name} has no {CONFIG} beside {found.weights.name}; it names the architecture and what is done to the input.")
    config = {**found.config, **{new: found.config[old] for old, new in _OLD_NAMES.items() if old in found.config}}
    architecture = _architecture(config)
    transcoder = "transcoder" in architecture
    b_dec = vector(found, "b_dec")
    n = len(vector(found, "b_mag" if architecture == "gated" else "b_enc"))
    W_enc, W_dec = lay(found, "W_enc", whole(config.get("d_in")) or (None if transcoder else len(b_dec)), n), lay(found, "W_dec", n, len(b_dec))
    kind, factor = _input_norm(config), _decoder_factor(found, config)
    gates = {name: vector(found, name) for name in ("b_gate", "b_mag", "r_mag")} if architecture == "gated" else {}
    k, activation = config.get("k"), _ACTIVATIONS[architecture]
    sae = SparseAutoencoder(
        W_enc,
        W_dec if factor is None else W_dec * factor,
        torch.zeros(n) if gates else vector(found, "b_enc"),
        b_dec,
        activation=activation,
        k=(k if activation == "batchtopk" else whole(k)) if "topk" in activation else None,
        threshold=_threshold(found) if activation in ("jumprelu", "batchtopk") else None,
        b_pre=b_dec if config.get("apply_b_dec_to_input", True) and not transcoder else None,
        W_skip=found.tensors.get("W_skip"),
        input_norm=kind,
        undo_norm=kind.kind != "none" and not transcoder,
        rescale_by_decoder_norm=bool(config.get("rescale_acts_by_decoder_norm", False)),
        **gates,
    )
    return made(found, FORMAT, sae, _facts(config, architecture, sae), _candidates(config, kind))


def _architecture(config: dict[str, Any]) -> str:
    named = str(config.get("architecture") or "standard")
    if named not in _ACTIVATIONS:
        raise BadInput(f"The architecture '{named[:40]}' of SAELens is not read; valid: {', '.join(_ACTIVATIONS)}.")
    function = config.get("activation_fn") or "relu"
    if named == "standard" and function == "topk":
        config.setdefault("k", part(config, "activation_fn_kwargs").get("k"))
        return "topk"
    if function not in ("relu", "topk"):
        raise BadInput(f"The activation '{str(function)[:40]}' of SAELens is not read; valid: relu, topk.")
    return named


def _input_norm(config: dict[str, Any]) -> InputNorm:
    named = config.get("normalize_activations")
    named = "expected_average_only_in" if named is True else str(named or "none")
    if named not in _NORMS:
        raise BadInput(f"normalize_activations = '{named[:40]}' is not read; valid: {', '.join(_NORMS)}. Fold it into the weights first.")
    config["normalize_activations"] = named
    factor = _factor(config) if named == "expected_average_only_in" else None
    return InputNorm("scale", factor) if factor else InputNorm(_NORMS[named])


def _factor(config: dict[str, Any]) -> float | None:
    for place in (config, part(config, "metadata")):
        for name in _FACTORS:
            if isinstance(place.get(name), (int, float)) and 0 < place[name] < math.inf:
                return float(place[name])
    return None


def _decoder_factor(found: Found, config: dict[str, Any]) -> Tensor | None:
    """Old files may hold a factor for each unit, found by fine-tuning, that multiplies f before it is decoded."""
    factor = found.tensors.get("finetuning_scaling_factor", found.tensors.get("scaling_factor"))
    if factor is None or bool((factor == 1).all()):
        return None
    if not config.get("finetuning_scaling_factor"):
        raise BadInput(f"{found.name} holds a scaling_factor that its {CONFIG} does not use (finetuning_scaling_factor): which is right cannot be told.")
    return factor.float().unsqueeze(1)


def _threshold(found: Found) -> Tensor | None:
    for name in ("threshold", "topk_threshold"):
        if name in found.tensors:
            return found.tensors[name].float()
    return found.tensors["log_threshold"].float().exp() if "log_threshold" in found.tensors else None


def _candidates(config: dict[str, Any], norm: InputNorm) -> tuple[str, ...]:
    if config["normalize_activations"] == "expected_average_only_in" and norm.kind == "none":
        return (RAW, MEAN_NORM)
    about = {**config, **part(config, "metadata")}
    old = "sae_lens_version" not in about and "metadata" not in config
    gpt2 = str(about.get("model_name", "")).startswith("gpt2") and "resid" in str(about.get("hook_name", ""))
    return (RAW, "centred") if old and gpt2 and norm.kind == "none" else ()


def _facts(config: dict[str, Any], architecture: str, sae: SparseAutoencoder) -> dict[str, Any]:
    about = {**config, **part(config, "metadata")}
    facts: dict[str, Any] = {"class": architecture, "k": sae.k, "model": about.get("model_name"), "dataset": about.get("dataset_path")}
    facts |= named_hook(about.get("hook_name"))
    if sae.input_norm.kind == "scale":
        facts["input_scale"] = sae.input_norm.factor
    return facts


def save(sae: SparseAutoencoder, folder: Path, metadata: dict[str, Any]) -> None:
    """Write a topk, jumprelu or relu autoencoder without pre-bias as cfg.json and sae_weights.safetensors (float16 weights, float32 biases)."""
    activation: dict[str, Any] = {"k": sae.k, "rescale_acts_by_decoder_norm": sae.rescale} if sae.activation == "topk" else {}
    config = {
        "architecture": "standard" if sae.activation == "relu" else sae.activation,
        "d_in": sae.width,
        "d_sae": sae.n_units,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        **activation,
        "metadata": metadata,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    weights = {"W_enc": sae.W_enc.half(), "W_dec": sae.W_dec.half(), "b_enc": sae.b_enc, "b_dec": sae.b_dec}
    if sae.activation == "jumprelu" and sae.threshold is not None:
        weights["threshold"] = sae.threshold.expand(sae.n_units)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
