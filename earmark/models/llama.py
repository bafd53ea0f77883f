"""Llama and what is built like it: SmolLM2, Qwen 2, Gemma 2. Gated FFNs: a neuron is act(gate) · up, the pre-activation is the gate.

A text begins as the model's own tokenizer has it: Llama's and Gemma's put their beginning-of-text token in front, Qwen's puts nothing.
Gemma 2 multiplies its embeddings by the square root of the width and norms each sublayer's output before it is added; the residual stream is what
the layer gives after that.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from ..units import Hook
from .base import ModelFiles, ModelType, TextModel
from .folder import load_text

FAMILY = "llama"
MODEL_TYPES = (
    ModelType("llama", "Llama, SmolLM2", "https://huggingface.co/docs/transformers/model_doc/llama"),
    ModelType("qwen2", "Qwen 2", "https://huggingface.co/docs/transformers/model_doc/qwen2"),
    ModelType("gemma2", "Gemma 2", "https://huggingface.co/docs/transformers/model_doc/gemma2"),
)


class Llama(TextModel):
    """A model of this family, of any size."""

    sites: ClassVar = {
        "residual": ("layers.{i}", "output"),
        "preactivation": ("layers.{i}.mlp.gate_proj", "output"),
        "neurons": ("layers.{i}.mlp.down_proj", "input"),
    }

    def directions(self, hook: Hook) -> Tensor | None:
        """As everywhere; where the FFN's output is normed (Gemma 2), each axis is scaled as that norm scales it, up to one factor a position."""
        columns = super().directions(hook)
        layer = self.root.get_submodule(hook.module.split(".mlp")[0])
        norm = getattr(layer, "post_feedforward_layernorm", None)
        return columns if columns is None or norm is None else columns * (1 + norm.weight.detach().float())

    def _gain(self, norm: Any) -> Tensor | float:
        """Gemma's norms multiply by 1 + weight."""
        gain = super()._gain(norm)
        return 1 + gain if type(norm).__name__.startswith("Gemma") else gain


def load(files: ModelFiles) -> Llama:
    """From `folder`, a transformers folder with its tokenizer."""
    return load_text(Llama, files, FAMILY, MODEL_TYPES)
