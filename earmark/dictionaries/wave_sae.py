"""wave-sae: an SAE on wav2vec2-base-960h, `sae-resid-layer-6.pt` (https://huggingface.co/pavanyellow/wave-sae).

Anthropic's April 2024 form: f = relu(W_e x + b_e), x^ = W_d f + b_d; b_d is not subtracted. The file has no config. The trainer scaled
its inputs to sqrt(d) over their mean norm and did not keep the factor, the author's notebook feeds raw activations: both are candidates.
"""

from __future__ import annotations

from .base import SparseAutoencoder
from .checkpoint import MEAN_NORM, RAW, Checkpoint, Publisher, lay, made, vector
from .files import Found

FORMAT = "wave-sae"
PUBLISHER = Publisher("wave-sae", "sae-resid-layer-6.pt", "https://huggingface.co/pavanyellow/wave-sae")


def recognises(found: Found) -> bool:
    return found.has("encoder.weight", "decoder.weight", "encoder_bias", "decoder_bias")


def load(found: Found) -> Checkpoint:
    """encoder.weight [n, d], decoder.weight [d, n], encoder_bias [n], decoder_bias [d]."""
    b_enc, b_dec = vector(found, "encoder_bias"), vector(found, "decoder_bias")
    d, n = len(b_dec), len(b_enc)
    W_enc = lay(found, "encoder.weight", d, n, turned=True)
    W_dec = lay(found, "decoder.weight", n, d, turned=True)
    return made(found, FORMAT, SparseAutoencoder(W_enc, W_dec, b_enc, b_dec, activation="relu"), {}, (RAW, MEAN_NORM))
