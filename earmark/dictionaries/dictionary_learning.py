"""dictionary_learning's classes: ae.pt with config.json (https://github.com/saprmarks/dictionary_learning).

AutoEncoder: encoder.*, decoder.weight [d, n], bias, which is subtracted. AutoEncoderNew: encoder.*, decoder.*, nothing subtracted.
GatedAutoEncoder: encoder.weight, decoder.weight, decoder_bias, subtracted, r_mag, gate_bias, mag_bias. JumpReluAutoEncoder: W_enc [d, n]
.. threshold, nothing subtracted. AutoEncoderTopK and BatchTopKSAE: encoder.*, decoder.weight, b_dec, subtracted, k, threshold;
MatryoshkaBatchTopKSAE: the same as W_enc .. and group_sizes. A threshold of -1 was never set.
"""

from __future__ import annotations

from typing import Any

import torch

from ..errors import BadInput
from ..raw import part
from .base import SparseAutoencoder
from .checkpoint import Checkpoint, Publisher, lay, made, vector, whole
from .files import Found

FORMAT = "dictionary_learning"
PUBLISHER = Publisher("dictionary_learning", "ae.pt, config.json", "https://github.com/saprmarks/dictionary_learning")
TOPK_KEYS = ("encoder.weight", "encoder.bias", "decoder.weight", "b_dec")


def recognises(found: Found) -> bool:
    return _class_of(found) is not None


def load(found: Found) -> Checkpoint:
    """Raises BadInput when neither the file nor config.json tells which class it is."""
    name = _class_of(found)
    makers = {"AutoEncoder": _standard, "AutoEncoderNew": _standard, "GatedAutoEncoder": _gated, "JumpReluAutoEncoder": _jumprelu}
    if name is None:
        raise BadInput(f"{found.name} is of no class of dictionary_learning that is known; it holds {', '.join(sorted(found.tensors)[:12])}.")
    sae = makers[name](found) if name in makers else top_k(found, per_position=name == "AutoEncoderTopK")
    trainer = trainer_of(found)
    facts = {"class": name, "k": sae.k, "model": trainer.get("lm_name"), "hook": trainer.get("submodule_name"), **place(trainer)}
    return made(found, FORMAT, sae, facts)


def trainer_of(found: Found) -> dict[str, Any]:
    """The part of config.json about training; {} without one."""
    return part(found.config, "trainer")


def place(trainer: dict[str, Any]) -> dict[str, Any]:
    """{site, layer}: the output of block `layer` unless a submodule is named."""
    layer, name = whole(trainer.get("layer")), str(trainer.get("submodule_name") or "resid_post")
    residual = name.startswith("resid_post")
    return {"layer": layer, "site": "residual" if residual else None}


def _class_of(found: Found) -> str | None:
    named = trainer_of(found).get("dict_class")
    if found.has("W_enc", "W_dec", "b_enc", "b_dec", "group_sizes"):
        return "MatryoshkaBatchTopKSAE"
    if found.has("encoder.weight", "decoder.weight", "decoder_bias", "r_mag", "gate_bias", "mag_bias"):
        return "GatedAutoEncoder"
    if found.has(*TOPK_KEYS) and ("k" in found.tensors or "k" in trainer_of(found)):
        return "AutoEncoderTopK" if named == "AutoEncoderTopK" else "BatchTopKSAE"
    if found.has("encoder.weight", "encoder.bias", "decoder.weight"):
        named_k = {"k", "topk", "top_k"} & {*found.others, *found.config}  # another trainer's TopK under nn.Linear's names
        return "AutoEncoder" if "bias" in found.tensors else "AutoEncoderNew" if "decoder.bias" in found.tensors and not named_k else None
    if found.has("W_enc", "W_dec", "b_enc", "b_dec", "threshold") and (named == "JumpReluAutoEncoder" or (found.kind == "torch" and not found.config)):
        return "JumpReluAutoEncoder"
    return None


def _standard(found: Found) -> SparseAutoencoder:
    subtracted = "bias" in found.tensors
    b_enc, b_dec = vector(found, "encoder.bias"), vector(found, "bias" if subtracted else "decoder.bias")
    W_enc, W_dec = linear(found, len(b_dec), len(b_enc))
    return SparseAutoencoder(W_enc, W_dec, b_enc, b_dec, activation="relu", b_pre=b_dec if subtracted else None)


def linear(found: Found, d: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(W_enc [d, n], W_dec [n, d]) of two nn.Linear, which keep [n, d] and [d, n]."""
    return lay(found, "encoder.weight", d, n, turned=True), lay(found, "decoder.weight", n, d, turned=True)


def _gated(found: Found) -> SparseAutoencoder:
    b_dec, (b_gate, b_mag, r_mag) = vector(found, "decoder_bias"), (vector(found, n) for n in ("gate_bias", "mag_bias", "r_mag"))
    W_enc, W_dec = linear(found, len(b_dec), len(b_gate))
    b_enc = torch.zeros(len(b_gate))
    return SparseAutoencoder(W_enc, W_dec, b_enc, b_dec, activation="gated", b_pre=b_dec, b_gate=b_gate, b_mag=b_mag, r_mag=r_mag)


def _jumprelu(found: Found) -> SparseAutoencoder:
    b_enc, b_dec = vector(found, "b_enc"), vector(found, "b_dec")
    d, n = len(b_dec), len(b_enc)
    return SparseAutoencoder(lay(found, "W_enc", d, n), lay(found, "W_dec", n, d), b_enc, b_dec, activation="jumprelu", threshold=found.tensors["threshold"])


def top_k(found: Found, per_position: bool) -> SparseAutoencoder:
    """AutoEncoderTopK, which takes k units at each position, or BatchTopKSAE and its Matryoshka, which use the threshold once it is set."""
    plain = "W_enc" in found.tensors
    b_enc, b_dec = vector(found, "b_enc" if plain else "encoder.bias"), vector(found, "b_dec")
    d, n = len(b_dec), len(b_enc)
    W_enc, W_dec = (lay(found, "W_enc", d, n), lay(found, "W_dec", n, d)) if plain else linear(found, d, n)
    k = whole(found.number("k")) or whole(trainer_of(found).get("k"))
    threshold = found.number("threshold")
    return SparseAutoencoder(
        W_enc,
        W_dec,
        b_enc,
        b_dec,
        activation="topk" if per_position else "batchtopk",
        k=k,
        b_pre=b_dec,
        threshold=None if per_position or threshold is None or threshold < 0 else torch.tensor(threshold),
    )
