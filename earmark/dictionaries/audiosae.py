"""AudioSAE: `layer_{1..L}/ae.pt` on HuBERT's and Whisper's encoders (https://github.com/audiosae/audiosae_demo).

dictionary_learning's BatchTopKSAE, 8 times as wide as the model, k = 50. Layers are counted from 1: layer_5 is the output of block 4,
counted from 0. The input may have been normed to length 1 at each frame: both ways are candidates.
"""

from __future__ import annotations

import json
import re

from .checkpoint import RAW, Checkpoint, Publisher, made
from .dictionary_learning import TOPK_KEYS, top_k, trainer_of
from .files import Found

FORMAT = "audiosae"
PUBLISHER = Publisher("AudioSAE", "layer_{1..L}/ae.pt", "https://github.com/audiosae/audiosae_demo")
K, EXPANSION = 50, 8


def recognises(found: Found) -> bool:
    """A BatchTopK file whose config names a speech model, or names none and has the published size or folder."""
    trainer = trainer_of(found)
    if not found.has(*TOPK_KEYS, "k") or trainer.get("dict_class", "BatchTopKSAE") != "BatchTopKSAE":
        return False
    if any(model in json.dumps(found.config).lower() for model in ("hubert", "whisper")):
        return True
    published = found.number("k") == K and len(found.tensors["encoder.bias"]) == EXPANSION * len(found.tensors["b_dec"])
    return "lm_name" not in trainer and (published or _layer(found) is not None)


def load(found: Found) -> Checkpoint:
    """As dictionary_learning's BatchTopKSAE."""
    sae = top_k(found, per_position=False)
    layer = _layer(found)
    place = {} if layer is None else {"hook": f"output of block {layer - 1}", "site": "residual", "layer": layer - 1}
    return made(found, FORMAT, sae, {"k": sae.k, "model": trainer_of(found).get("lm_name"), **place}, (RAW, "unit_norm"))


def _layer(found: Found) -> int | None:
    """From 1, by the folder's name."""
    name = re.fullmatch(r"layer_(\d{1,4})", found.weights.parent.name)
    return int(name[1]) if name and int(name[1]) else None
