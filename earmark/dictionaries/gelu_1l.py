"""NeelNanda's SAEs on gelu-1l's neurons: 25.pt and 47.pt with N_cfg.json (https://huggingface.co/NeelNanda/sparse_autoencoder).

W_enc [2048, 16384], b_enc, W_dec, b_dec; f = relu((x - b_dec) W_enc + b_enc), x^ = f W_dec + b_dec; decoder rows are not of length 1. They read
the FFN's post-activations of a model in TransformerLens's format.
"""

from __future__ import annotations

from .base import SparseAutoencoder
from .checkpoint import Checkpoint, Publisher, lay, made, vector
from .files import Found

FORMAT = "gelu-1l"
PUBLISHER = Publisher("NeelNanda gelu-1l", "25.pt, 47.pt, N_cfg.json", "https://huggingface.co/NeelNanda/sparse_autoencoder")
KEYS = {"W_enc", "b_enc", "W_dec", "b_dec"}
SHAPE = (2048, 16384)
_CONFIG = ("d_mlp", "dict_mult")


def recognises(found: Found) -> bool:
    """By the trainer's config, or without it by the shape that both runs have."""
    if set(found.tensors) != KEYS or found.kind != "torch":
        return False
    return all(name in found.config for name in _CONFIG) or (not found.config and tuple(found.tensors["W_enc"].shape) == SHAPE)


def load(found: Found) -> Checkpoint:
    """b_dec is subtracted from the input."""
    b_enc, b_dec = vector(found, "b_enc"), vector(found, "b_dec")
    d, n = len(b_dec), len(b_enc)
    sae = SparseAutoencoder(lay(found, "W_enc", d, n), lay(found, "W_dec", n, d), b_enc, b_dec, activation="relu", b_pre=b_dec)
    return made(found, FORMAT, sae, {"model": "gelu-1l", "site": "neurons", "layer": 0, "hook": "blocks.0.mlp.hook_post"})
