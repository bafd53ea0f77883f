"""Families of models: one file each, named in `FAMILIES`. A family loads weights, places hooks and keeps positions true."""

from __future__ import annotations

from typing import Any

from . import gelu_1l, gpt2, gpt_neox, llama, wav2vec2, whisper

_MODULES = (
    (whisper, whisper.Whisper),
    (wav2vec2, wav2vec2.Wav2Vec2),
    (gpt2, gpt2.GPT2),
    (gpt_neox, gpt_neox.GPTNeoX),
    (llama, llama.Llama),
    (gelu_1l, gelu_1l.Gelu1L),
)
FAMILIES = {module.FAMILY: module.load for module, _ in _MODULES}
"""family name -> load(sources: ModelFiles) -> LoadedModel; a test fails when a file of this folder is missing here"""


def supported() -> list[dict[str, Any]]:
    """What `models --json` prints: each kind of model, its family, modality, sites with the modules they are read at, and where it is described."""
    return [
        {
            "name": kind.name,
            "title": kind.title,
            "family": module.FAMILY,
            "modality": model.modality,
            "sites": {site: f"{side} of {path}" for site, (path, side) in model.sites.items()},
            "source": kind.source,
        }
        for module, model in _MODULES
        for kind in module.MODEL_TYPES
    ]
