"""EleutherAI's sparsify: a folder a hook with cfg.json and sae.safetensors (https://github.com/EleutherAI/sparsify).

encoder.weight [n, d], encoder.bias, W_dec [n, d], b_dec, W_skip [d, d]. b_dec is subtracted from the input unless cfg says `transcode`.
topk and groupmax over relu(pre); older folders with `signed` keep the k largest |pre| with their signs. A folder named layers.5 holds
the output of block 5, an older one named layer_5 its input.
"""

from __future__ import annotations

import re
from typing import Any

from ..errors import BadInput
from .activations import Activation
from .base import SparseAutoencoder
from .checkpoint import Checkpoint, Publisher, block_output, lay, made, vector, whole
from .files import Found

FORMAT = "sparsify"
PUBLISHER = Publisher("sparsify (Eleuther)", "<hookpoint>/cfg.json, sae.safetensors", "https://github.com/EleutherAI/sparsify")
_ACTIVATIONS: dict[str, Activation] = {"topk": "topk", "groupmax": "groupmax"}


def recognises(found: Found) -> bool:
    return found.has("encoder.weight", "encoder.bias", "W_dec", "b_dec") and "hparams" not in found.others


def load(found: Found) -> Checkpoint:
    """Raises BadInput when cfg.json is missing, for it alone names k, or names an activation that is not known."""
    config = found.config
    if whole(config.get("k")) is None:
        raise BadInput(f"{found.name} needs sparsify's cfg.json beside its weights: it names k. {'It is missing.' if not config else 'It names none.'}")
    b_enc, b_dec = vector(found, "encoder.bias"), vector(found, "b_dec")
    d, n = whole(config.get("d_in")) or len(b_dec), len(b_enc)
    named = str(config.get("activation", "topk"))
    if named not in _ACTIVATIONS:
        raise BadInput(f"cfg.json of {found.name} names the activation '{named[:40]}'; valid: {', '.join(_ACTIVATIONS)}.")
    sae = SparseAutoencoder(
        lay(found, "encoder.weight", d, n, turned=True),
        lay(found, "W_dec", n, len(b_dec)),
        b_enc,
        b_dec,
        activation="abstopk" if config.get("signed") else _ACTIVATIONS[named],
        k=whole(config["k"]),
        b_pre=None if config.get("transcode") else b_dec,
        W_skip=found.tensors.get("W_skip"),
    )
    facts = {"k": sae.k, **_hook(found), "transcoder": True if config.get("transcode") else None}
    return made(found, FORMAT, sae, facts)


def _hook(found: Found) -> dict[str, Any]:
    name = found.weights.parent.name
    block = block_output(name)
    if block is not None:
        return {"hook": f"output of block {block}", "site": "residual", "layer": block}
    before = re.fullmatch(r"layer_(\d{1,4})", name)
    if before:
        layer = int(before[1])
        return {"hook": f"input of block {layer}"} | ({"site": "residual", "layer": layer - 1} if layer else {})
    return {"hook": name} if re.search(r"\d|embed", name) else {}
