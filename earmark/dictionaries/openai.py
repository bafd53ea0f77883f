"""OpenAI's SAEs on GPT-2 small: one .pt file (https://github.com/openai/sparse_autoencoder).

pre_bias [d], latent_bias [n], encoder.weight [n, d], decoder.weight [d, n], activation, activation_state_dict. pre_bias is subtracted and
added back. Files with the activation TopK expect a layer norm of the input, which is undone after decode.
"""

from __future__ import annotations

from ..errors import BadInput
from ..raw import part
from .base import SparseAutoencoder
from .checkpoint import Checkpoint, Publisher, lay, made, vector, whole
from .files import Found
from .norms import InputNorm

FORMAT = "openai"
PUBLISHER = Publisher("OpenAI", "*.pt", "https://github.com/openai/sparse_autoencoder")


def recognises(found: Found) -> bool:
    return found.has("pre_bias", "latent_bias", "encoder.weight")


def load(found: Found) -> Checkpoint:
    """Raises BadInput for other activations than ReLU and TopK of ReLU."""
    b_pre, b_enc = vector(found, "pre_bias"), vector(found, "latent_bias")
    d, n = len(b_pre), len(b_enc)
    name, state = found.others.get("activation", "ReLU"), part(found.others, "activation_state_dict")
    if name not in ("ReLU", "TopK") or state.get("postact_fn", "ReLU") != "ReLU":
        raise BadInput(f"{found.name} has the activation {str(name)[:40]} of {str(state.get('postact_fn', 'ReLU'))[:40]}; read are ReLU, and TopK of ReLU.")
    W_enc = lay(found, "encoder.weight", d, n, turned=True)
    tied = "decoder.weight" not in found.tensors
    sae = SparseAutoencoder(
        W_enc,
        W_enc.T if tied else lay(found, "decoder.weight", n, d, turned=True),
        b_enc,
        b_pre,
        activation="topk" if name == "TopK" else "relu",
        k=whole(state.get("k")),
        b_pre=b_pre,
        input_norm=InputNorm("layer" if name == "TopK" else "none"),
        undo_norm=name == "TopK",
    )
    return made(found, FORMAT, sae, {"model": "gpt2" if d == 768 else None, "k": sae.k, "tied": tied or None})
