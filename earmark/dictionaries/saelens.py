"""SAELens's layout: a folder with cfg.json and sae_weights.safetensors (https://github.com/decoderesearch/SAELens).

Read here: the architectures standard (relu), topk and jumprelu without normalisation of the input. What is not read is
refused with a sentence, never guessed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ..errors import BadInput, MissingWeights
from .base import SparseAutoencoder

FORMAT = "saelens"
CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_ACTIVATIONS = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu"}
_NEUTRAL = {"normalize_activations": ("none", None, False), "reshape_activations": ("none", None)}


def load(folder: Path) -> SparseAutoencoder:
    """Read a folder. Raises MissingWeights when a file is not there and BadInput when its content cannot be used."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise MissingWeights(f"'{folder.name}' is no SAELens folder: {Path(str(error.filename or WEIGHTS)).name} is missing.") from None
    except (ValueError, OSError, SafetensorError) as error:
        raise BadInput(f"'{folder.name}' cannot be read as a SAELens folder ({type(error).__name__}).") from None
    if not isinstance(config, dict):
        raise BadInput(f"{CONFIG} of '{folder.name}' is no JSON object.")
    architecture = config.get("architecture", "standard")
    if architecture not in _ACTIVATIONS:
        raise BadInput(f"The architecture '{architecture}' is not read yet; known: {', '.join(_ACTIVATIONS)}.")
    for key, neutral in _NEUTRAL.items():
        if config.get(key, neutral[0]) not in neutral:
            raise BadInput(f"{key} = '{config[key]}' is not read yet; fold it into the weights first.")
    return _build(folder.name, config, weights, architecture)


def _build(name: str, config: dict[str, Any], weights: dict[str, torch.Tensor], architecture: str) -> SparseAutoencoder:
    needed = ("W_enc", "W_dec", "b_enc", "b_dec", *(("threshold",) if architecture == "jumprelu" else ()))
    missing = [key for key in needed if key not in weights]
    if missing:
        raise BadInput(f"{WEIGHTS} of '{name}' lacks {', '.join(missing)}; it holds {', '.join(sorted(weights)[:12])}.")
    return SparseAutoencoder(
        *(weights[key] for key in ("W_enc", "W_dec", "b_enc", "b_dec")),
        activation=_ACTIVATIONS[architecture],  # type: ignore[arg-type]
        k=config.get("k"),
        threshold=weights.get("threshold"),
        b_pre=weights["b_dec"] if config.get("apply_b_dec_to_input", True) else None,
        rescale_by_decoder_norm=bool(config.get("rescale_acts_by_decoder_norm", False)),
    )


def save(sae: SparseAutoencoder, folder: Path, metadata: dict[str, Any]) -> None:
    """Write a TopK autoencoder without pre-bias as cfg.json and sae_weights.safetensors (float16 weights, float32 biases)."""
    config = {
        "architecture": "topk",
        "d_in": sae.width,
        "d_sae": sae.n_units,
        "k": sae.k,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "rescale_acts_by_decoder_norm": sae.rescale,
        "metadata": metadata,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    half = {"W_enc": sae.W_enc.half(), "W_dec": sae.W_dec.half(), "b_enc": sae.b_enc, "b_dec": sae.b_dec}
    save_file({name: tensor.contiguous() for name, tensor in half.items()}, folder / WEIGHTS)
