"""Plain dicts: any state dict of an encoder and a decoder under one of the usual names, as small trainers write them.

W_e, W_d, bias_e, bias_d; b_e, b_d; encoder_weight; encoder.weight; pre_bias, latent_bias; ... Which matrix lies which way is told by the lengths of
the biases and by the known width, never by a name; as wide as long, a matrix needs its orientation declared. pre_bias is subtracted and, without
a decoder bias, added back. Whether a decoder bias is subtracted too is open unless the config says so.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import BadInput
from .base import SparseAutoencoder
from .checkpoint import MEAN_NORM, PRE_BIAS, RAW, TRANSPOSED, Checkpoint, Publisher, lay, made, vector, whole
from .files import Found

FORMAT = "plain"
PUBLISHER = Publisher("plain dicts", "any .pt, .pth, .safetensors or .npz with one encoder and one decoder", "state dicts of small trainers")
_ENCODERS = (
    "W_enc",
    "w_enc",
    "W_e",
    "w_e",
    "W_encoder",
    "encoder_weight",
    "weight_encoder",
    "encoder.weight",
    "enc.weight",
    "encoder.W",
    "encoder.0.weight",
    "encoder",
)
_DECODERS = (
    "W_dec",
    "w_dec",
    "W_d",
    "w_d",
    "W_decoder",
    "decoder_weight",
    "weight_decoder",
    "decoder.weight",
    "dec.weight",
    "decoder.W",
    "decoder.0.weight",
    "decoder",
)
_ENCODER_BIASES = (
    "b_enc",
    "b_e",
    "bias_e",
    "bias_enc",
    "b_encoder",
    "encoder_bias",
    "encoder.bias",
    "enc.bias",
    "encoder.b",
    "encoder.0.bias",
    "latent_bias",
    "pre_activation_bias",
)
_DECODER_BIASES = ("b_dec", "b_d", "bias_d", "bias_dec", "b_decoder", "decoder_bias", "decoder.bias", "dec.bias", "decoder.b", "decoder.0.bias")
_PRE_BIASES = ("pre_bias", "b_pre", "bias_pre", "pre_encoder_bias", "input_bias")
_THRESHOLDS = ("threshold", "jumprelu_threshold")


def recognises(found: Found) -> bool:
    return _name(found, _ENCODERS) is not None or _name(found, _DECODERS) is not None


def load(found: Found) -> Checkpoint:
    """Raises BadInput when a matrix is missing, or when nothing tells which of its sides are units."""
    encoder, decoder = _name(found, _ENCODERS), _name(found, _DECODERS)
    b_enc, b_dec, b_pre = (None if name is None else vector(found, name) for name in (_name(found, n) for n in (_ENCODER_BIASES, _DECODER_BIASES, _PRE_BIASES)))
    one = encoder or decoder
    if one is None:
        raise BadInput(f"{found.name} holds no encoder and no decoder under a usual name; it holds {', '.join(sorted(found.tensors)[:12])}.")
    d, n = _sizes(found, one, b_enc, b_dec if b_dec is not None else b_pre)
    W_enc = None if encoder is None else lay(found, encoder, d, n, turned=encoder.endswith(".weight"))
    W_dec = None if decoder is None else lay(found, decoder, n, d, turned=decoder.endswith(".weight"))
    W_enc, W_dec = W_dec.T if W_enc is None and W_dec is not None else W_enc, W_enc.T if W_dec is None and W_enc is not None else W_dec
    assert W_enc is not None and W_dec is not None
    added = b_dec if b_dec is not None else b_pre if b_pre is not None else torch.zeros(d)
    told = found.config.get("apply_b_dec_to_input")
    k, threshold = _k(found), _threshold(found)
    sae = SparseAutoencoder(
        W_enc,
        W_dec,
        b_enc if b_enc is not None else torch.zeros(n),
        added,
        activation="jumprelu" if threshold is not None else "topk" if k else "relu",
        k=None if threshold is not None else k,
        threshold=threshold,
        b_pre=b_pre if b_pre is not None else added if told else None,
    )
    facts = {"k": sae.k, "tied": True if encoder is None or decoder is None else None, "orientation": "square, as the names suggest" if d == n else None}
    return made(found, FORMAT, sae, facts, _candidates(square=d == n, open_bias=b_pre is None and b_dec is not None and told is None))


def _sizes(found: Found, name: str, b_enc: Tensor | None, b_dec: Tensor | None) -> tuple[int, int]:
    """(d, n) of a matrix from what is known besides it."""
    shape = tuple(found.tensors[name].shape)
    if len(shape) != 2:
        raise BadInput(f"{name} of {found.name} has shape {list(shape)}; it must be a matrix.")
    d = len(b_dec) if b_dec is not None else found.width
    n = len(b_enc) if b_enc is not None else None
    if shape[0] == shape[1] and found.width is None:
        raise BadInput(
            f"{found.name} has as many units as values, {shape[0]}: its shapes do not tell which side of {name} is which. "
            f"Name the hook's width to open it as its names suggest (then '{TRANSPOSED}' is the other way), or save it in a format that fixes it."
        )
    if d is None and n is None:
        raise BadInput(f"{found.name} has no biases, so that nothing tells which side of {name} {list(shape)} are units. Name the width of its hook.")
    d = d if d is not None else shape[0] if shape[1] == n else shape[1]
    return d, n if n is not None else shape[0] if shape[1] == d else shape[1]


def _k(found: Found) -> int | None:
    told = [found.number(name) or whole(place.get(name)) for name in ("k", "topk", "top_k") for place in (found.config, found.others)]
    return next((whole(k) for k in told if whole(k)), None)


def _threshold(found: Found) -> Tensor | None:
    name = _name(found, _THRESHOLDS)
    if name is not None:
        return found.tensors[name]
    return found.tensors["log_threshold"].float().exp() if "log_threshold" in found.tensors else None


def _name(found: Found, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in found.tensors), None)


def _candidates(square: bool, open_bias: bool) -> tuple[str, ...]:
    """Nothing but the input's scale is open in most; each further question doubles the ways."""
    ways = [RAW, MEAN_NORM] + ([PRE_BIAS] if open_bias else [])
    return tuple(ways + ([TRANSPOSED] + ([f"{TRANSPOSED}+{PRE_BIAS}"] if open_bias else []) if square else []))
