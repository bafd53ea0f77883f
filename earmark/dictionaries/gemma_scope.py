"""Gemma Scope: params.npz; Gemma Scope 2: params.safetensors with config.json (https://huggingface.co/google/gemma-scope).

W_enc [d, n], W_dec [n, d], b_enc, b_dec, threshold [n]; jumprelu, nothing subtracted. Gemma Scope 2 writes w_enc, w_dec; its transcoders may have
affine_skip_connection [d, d_out].
"""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from .base import SparseAutoencoder
from .checkpoint import Checkpoint, Publisher, lay, made, vector
from .files import Found

FORMAT = "gemma-scope"
PUBLISHER = Publisher("Gemma Scope", "params.npz; 2: params.safetensors, config.json", "https://huggingface.co/google/gemma-scope")


def recognises(found: Found) -> bool:
    if found.has("w_enc", "w_dec", "b_enc", "b_dec", "threshold"):
        return True
    jumprelu = found.has("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
    return jumprelu and (found.kind == "npz" or found.config.get("architecture") == "jump_relu")


def load(found: Found) -> Checkpoint:
    """Either generation."""
    case = "W" if "W_enc" in found.tensors else "w"
    b_enc, b_dec = vector(found, "b_enc"), vector(found, "b_dec")
    transcoder = "affine_skip_connection" in found.tensors or _is_transcoder(found.config)
    d = None if transcoder else len(b_dec)
    W_enc, W_dec = lay(found, f"{case}_enc", d, len(b_enc)), lay(found, f"{case}_dec", len(b_enc), len(b_dec))
    skip: Tensor | None = None
    if "affine_skip_connection" in found.tensors:
        skip = lay(found, "affine_skip_connection", W_enc.shape[0], len(b_dec)).T
    sae = SparseAutoencoder(W_enc, W_dec, b_enc, b_dec, activation="jumprelu", threshold=vector(found, "threshold"), W_skip=skip)
    return made(found, FORMAT, sae, {"model": found.config.get("model_name"), **_hook(found), "transcoder": transcoder or None})


def _is_transcoder(config: dict[str, Any]) -> bool:
    into, out = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    return bool(into and out and into != out)


def _hook(found: Found) -> dict[str, Any]:
    """From the folders' names: gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71, or resid_post/layer_12_width_16k_l0_medium."""
    folders = found.weights.parent.as_posix()
    named = re.search(r"layer_(\d{1,4})", folders)
    site = "residual" if re.search(r"resid_post|-res(?:-|/|$)", folders) else None
    return {"hook": found.config.get("hf_hook_point_in"), "layer": int(named[1]) if named else None, "site": site}
