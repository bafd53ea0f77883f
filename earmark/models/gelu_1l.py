"""gelu-1l, a language model of one layer in TransformerLens's own format (https://huggingface.co/NeelNanda/GELU_1L512W_C4_Code).

The folder holds config.json (no `model_type`: d_model, d_mlp, n_heads, ...) and `*final.pth`, a state dict under TransformerLens's names; the tokenizer
is a repository of its own (NeelNanda/gpt-neox-tokenizer-digits), in the role `tokenizer` or in the same folder. For each block, with
LN(x) = (x − mean) / sqrt(variance + 1e-5), times ln.w plus ln.b where the state has them (it has none where they were folded into what follows):
    x ← x + Σ_heads softmax(q kᵀ / sqrt(d_head), causal) v W_O + b_O,   q, k, v from LN(x);   x ← x + act(LN(x) W_in + b_in) W_out + b_out
The weights are taken as they are, without TransformerLens's centring: the neurons are the same, the residual stream keeps its mean.
Every text begins with `<|endoftext|>`, as TransformerLens has it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import MissingWeights
from ..inputs.text import Tokens
from .base import ModelFiles, ModelType, TextModel
from .folder import CANNOT_READ, load_tokenizer, read_json

FAMILY = "gelu_1l"
MODEL_TYPES = (ModelType("gelu-1l", "gelu-1l (TransformerLens)", "https://huggingface.co/NeelNanda/GELU_1L512W_C4_Code"),)
EPSILON = 1e-5
ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh"}
"""name in the config -> torch's approximation"""
# buffers of TransformerLens: the causal mask
_BUFFERS = (".attn.mask", ".attn.IGNORE")


class Gelu1L(TextModel):
    """A causal model in TransformerLens's format."""

    sites: ClassVar = {
        "residual": ("blocks.{i}", "output"),
        "preactivation": ("blocks.{i}.mlp_in", "output"),
        "neurons": ("blocks.{i}.mlp_out", "input"),
    }
    final_norm = "ln_final"
    keeps_read = False

    def _unembedding(self) -> Tensor:
        return self.network.unembed.weight  # type: ignore[return-value]


class Block(nn.Module):
    """One layer: [batch, positions, width] -> the same."""

    def __init__(self, d: int, d_mlp: int, n_heads: int, d_head: int, affine: bool, approximate: str):
        super().__init__()
        self.n_heads, self.approximate = n_heads, approximate
        self.ln1, self.ln2 = (nn.LayerNorm(d, EPSILON, elementwise_affine=affine) for _ in range(2))
        self.q, self.k, self.v = (nn.Linear(d, n_heads * d_head) for _ in range(3))
        self.o = nn.Linear(n_heads * d_head, d)
        self.mlp_in, self.mlp_out = nn.Linear(d, d_mlp), nn.Linear(d_mlp, d)

    def forward(self, x: Tensor) -> Tensor:
        read = self.ln1(x)
        q, k, v = (m(read).unflatten(2, (self.n_heads, -1)).transpose(1, 2) for m in (self.q, self.k, self.v))
        x = x + self.o(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.ln2(x)), approximate=self.approximate))


class Network(nn.Module):
    """Token ids [batch, positions] -> logits [batch, positions, vocabulary]."""

    def __init__(self, config: dict[str, Any], affine: bool):
        super().__init__()
        d = config["d_model"]
        self.embed, self.positions = nn.Embedding(config["d_vocab"], d), nn.Embedding(config["n_ctx"], d)
        block = (d, config["d_mlp"], config["n_heads"], config["d_head"], affine, ACTIVATIONS[config["act_fn"]])
        self.blocks = nn.ModuleList(Block(*block) for _ in range(config["n_layers"]))
        self.ln_final = nn.LayerNorm(d, EPSILON, elementwise_affine=affine)
        self.unembed = nn.Linear(d, config["d_vocab"])

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.ln_final(x))


def load(files: ModelFiles) -> Gelu1L:
    """From `folder` (config.json and `*final.pth`) and `tokenizer` (a folder; the same one where it is not given)."""
    if "folder" not in files.paths:
        raise MissingWeights(f"{files.slug} needs a folder with config.json and *final.pth; found {', '.join(sorted(files.paths)) or 'nothing'}.")
    folder = files.paths["folder"]
    config = _checked(read_json(folder / "config.json", files.slug), files.slug)
    state = _read_state(folder, files.slug)
    with torch.device("meta"):
        network = Network(config, affine="ln_final.w" in state)
    try:
        network.load_state_dict(_renamed(state, config["n_layers"]), strict=True, assign=True)
    except (KeyError, RuntimeError) as error:
        raise MissingWeights(f"The weights of {files.slug} do not fit its config.json: {' '.join(str(error).split())[:300]}.") from None
    tokenizer = load_tokenizer(files.paths.get("tokenizer", folder), files.slug)
    tokens = Tokens(tokenizer, config["n_ctx"], always_bos=True)
    return Gelu1L(files.slug, network.eval(), tokens, config["n_layers"], config["d_model"], network)


def _checked(config: dict[str, Any], slug: str) -> dict[str, Any]:
    missing = [name for name in ("d_model", "d_mlp", "d_head", "n_heads", "n_layers", "n_ctx", "d_vocab", "act_fn") if name not in config]
    if missing:
        raise MissingWeights(f"{slug}: config.json is not TransformerLens's; it lacks {', '.join(missing)}.")
    norm = config.get("normalization", config.get("normalization_type"))
    wrong = [name for name in ("attn_only", "shortformer_pos", "final_rms") if config.get(name)]
    if config["act_fn"] not in ACTIVATIONS or norm not in ("LN", "LNPre") or wrong:
        told = f"act_fn '{config['act_fn']}', normalization '{norm}'" + "".join(f", {name}" for name in wrong)
        raise MissingWeights(
            f"{slug} has {told}; the family {FAMILY} reads act_fn {' or '.join(ACTIVATIONS)} with normalization LN or LNPre, nothing else set."
        )
    return config


def _read_state(folder: Path, slug: str) -> dict[str, Tensor]:
    found = sorted(folder.glob("*final.pth"))
    if not found:
        raise MissingWeights(f"{slug} has no *final.pth in its folder.")
    try:
        state = torch.load(found[0], weights_only=True, map_location="cpu")
        return {name: value.float() for name, value in state.items() if not name.endswith(_BUFFERS)}
    except CANNOT_READ as error:
        raise MissingWeights(f"{slug}: {found[0].name} cannot be read safely ({type(error).__name__}).") from None


def _renamed(state: dict[str, Tensor], n_layers: int) -> dict[str, Tensor]:
    """TransformerLens's names and [inputs, outputs] matrices -> ours. W_Q, W_K, W_V are [heads, width, d_head], W_O is [heads, d_head, width]."""
    state = dict(state)
    take = state.pop
    ours = {
        "embed.weight": take("embed.W_E"),
        "positions.weight": take("pos_embed.W_pos"),
        "unembed.weight": take("unembed.W_U").T,
        "unembed.bias": take("unembed.b_U"),
    }
    for b in (f"blocks.{i}." for i in range(n_layers)):
        for name in "QKV":
            ours[f"{b}{name.lower()}.weight"] = take(f"{b}attn.W_{name}").transpose(1, 2).flatten(0, 1)
            ours[f"{b}{name.lower()}.bias"] = take(f"{b}attn.b_{name}").flatten()
        ours |= {f"{b}o.weight": take(f"{b}attn.W_O").flatten(0, 1).T, f"{b}o.bias": take(f"{b}attn.b_O")}
        for name in ("in", "out"):
            ours |= {f"{b}mlp_{name}.weight": take(f"{b}mlp.W_{name}").T, f"{b}mlp_{name}.bias": take(f"{b}mlp.b_{name}")}
    for name in list(state):  # layer norms, and what has no place
        end = {"w": "weight", "b": "bias"}.get(name.rpartition(".")[2], "")
        ours[f"{name.rpartition('.')[0]}.{end}"] = take(name)
    return {name: value.contiguous() for name, value in ours.items()}
