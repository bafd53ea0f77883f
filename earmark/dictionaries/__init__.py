"""Dictionaries: sets of units over one hook. One file a checkpoint format, named in `FORMATS`; neurons and axes need no file."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ..errors import BadInput, unknown
from . import audiosae, dictionary_learning, freud, gelu_1l, gemma_scope, openai, plain, saelens, sparsify, wave_sae
from .checkpoint import Checkpoint, Publisher
from .files import Found, read

FORMATS: dict[str, ModuleType] = {
    module.FORMAT: module for module in (wave_sae, freud, saelens, sparsify, dictionary_learning, audiosae, openai, gemma_scope, gelu_1l, plain)
}
"""format name -> module with PUBLISHER, recognises(Found) and load(Found) -> Checkpoint; a test fails when a file of this folder is missing"""
_SEVERAL_LAYERS = ("clt", "crosscoder", "cross_layer_transcoder")
_ASKED_FIRST = ("audiosae",)
"""formats that are others too: AudioSAE's files are dictionary_learning's"""


def publishers() -> tuple[Publisher, ...]:
    """Whose checkpoints are read, one row each."""
    return tuple(module.PUBLISHER for module in FORMATS.values())


def open_checkpoint(path: Path, *, format: str | None = None, width: int | None = None, scale: str | None = None) -> Checkpoint:
    """A checkpoint of any known format, a file or a folder, recognised by what it holds: names, shapes, config.

    format declares it instead. width is the known width of the hook: it tells orientations apart, and another width is refused. scale is one of
    checkpoint.CHOICES where the file leaves something open. Raises MissingWeights, BadInput or NotFound, each with a sentence.
    """
    if format is not None and format not in FORMATS:
        raise unknown("checkpoint format", format, FORMATS)
    found = read(path, width)
    _refuse(found)
    opened = FORMATS[format or recognised(found)].load(found)
    if width not in (None, opened.dictionary.width):
        raise BadInput(f"{found.name} reads activations of width {opened.dictionary.width}; the hook gives {width}. It belongs to another hook or model.")
    return opened if scale is None else opened.scaled(scale)


def recognised(found: Found) -> str:
    """The name of the format. Raises BadInput when it is none of them."""
    order = [*_ASKED_FIRST, *(name for name in FORMATS if name not in _ASKED_FIRST)]
    name = next((name for name in order if FORMATS[name].recognises(found)), None)
    if name is None:
        raise BadInput(f"{found.name} is no checkpoint of a known format ({', '.join(FORMATS)}); it holds {', '.join(sorted(found.tensors)[:12])}.")
    return name


def _refuse(found: Found) -> None:
    """What one encoder and one decoder over one position cannot express, by name. Raises BadInput."""
    architecture = str(found.config.get("architecture") or found.config.get("sae_type") or "").lower().replace("-", "_")
    names = {name.lower() for name in found.tensors}
    stacked = any(t.ndim > 2 and name.lower().startswith(("w_", "encoder", "decoder")) for name, t in found.tensors.items())
    several = any(name.startswith(("w_dec_0", "w_dec.0", "decoders.0")) for name in names)
    reasons = {
        "is a temporal SAE, which reads other positions through attention": "temporal" in architecture or any("attn" in name for name in names),
        "is a matching-pursuit SAE, which encodes step by step": "matching_pursuit" in architecture,
        "has batch normalisation inside": any(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in names),
        "is a cross-layer transcoder or a crosscoder, which spans several layers": stacked or several or architecture in _SEVERAL_LAYERS,
    }
    reason = next((reason for reason, holds in reasons.items() if holds), None)
    if reason:
        raise BadInput(f"{found.name} {reason}; only autoencoders and transcoders of one layer, position by position, are read.")


__all__ = ["FORMATS", "Checkpoint", "open_checkpoint", "publishers", "recognised"]
