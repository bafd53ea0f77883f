"""FREUD: SAEs on Whisper's encoder blocks, `checkpoints/bestval.pth` (https://github.com/ksadov/FREUD).

A training checkpoint {model, optimizer, scheduler, step, best_val_loss, hparams}. l1: decoder.weight [d, n] and encoder_bias [n], tied,
columns normalised whenever it runs, no b_dec. topk: encoder.weight [n, d], encoder.bias, W_dec [n, d], b_dec, b_dec subtracted, the k
largest of relu(pre). Padding frames were included in training. `mo.bestval` is a whole pickled module, which is never opened.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch.nn.functional import normalize

from ..raw import part
from .base import SparseAutoencoder
from .checkpoint import Checkpoint, Publisher, lay, made, vector, whole
from .files import Found

FORMAT = "freud"
PUBLISHER = Publisher("FREUD", "checkpoints/bestval.pth", "https://github.com/ksadov/FREUD")
DEFAULT_K = 32
"""of the publisher's TopKAutoEncoderConfig, where the hyperparameters do not name k"""
_SITES = {"": "residual", ".mlp.0": "preactivation", ".mlp.1": "neurons"}
"""what follows encoder.blocks.N in OpenAI's Whisper: the block's output, or a part of its feed-forward network"""


def recognises(found: Found) -> bool:
    l1 = found.has("decoder.weight", "encoder_bias") and len(found.tensors) == 2
    return l1 or (found.has("encoder.weight", "encoder.bias", "W_dec", "b_dec") and isinstance(found.others.get("hparams"), dict))


def load(found: Found) -> Checkpoint:
    """Either variant."""
    hparams = part(found.others, "hparams")
    return _l1(found, hparams) if "encoder_bias" in found.tensors else _topk(found, hparams)


def _l1(found: Found, hparams: dict[str, Any]) -> Checkpoint:
    b_enc = vector(found, "encoder_bias")
    W_dec = normalize(lay(found, "decoder.weight", len(b_enc), whole(hparams.get("activation_size")) or found.width, turned=True).float(), dim=1)
    sae = SparseAutoencoder(W_dec.T, W_dec, b_enc, torch.zeros(W_dec.shape[1]), activation="relu")
    return made(found, FORMAT, sae, {"class": "l1", **_facts(hparams)})


def _topk(found: Found, hparams: dict[str, Any]) -> Checkpoint:
    b_enc, b_dec = vector(found, "encoder.bias"), vector(found, "b_dec")
    d, n = len(b_dec), len(b_enc)
    k = whole(part(hparams, "autoencoder_config").get("k", DEFAULT_K))
    W_enc, W_dec = lay(found, "encoder.weight", d, n, turned=True), lay(found, "W_dec", n, d)
    sae = SparseAutoencoder(W_enc, W_dec, b_enc, b_dec, activation="topk", k=k, b_pre=b_dec)
    return made(found, FORMAT, sae, {"class": "topk", "k": k, **_facts(hparams)})


def _facts(hparams: dict[str, Any]) -> dict[str, Any]:
    whisper = part(hparams, "whisper_config")
    hook = str(whisper.get("layer_name", ""))
    parts = re.fullmatch(r"encoder\.blocks\.(\d{1,4})(|\.mlp\.[01])", hook)
    place = {"site": _SITES[parts[2]], "layer": int(parts[1])} if parts else {}
    model = f"whisper-{whisper['model']}" if "model" in whisper else None
    return {"model": model, "hook": hook or None, **place, "padding": "included in training"}
