"""GPT-2: a causal language model with learned positions; its linear layers are transformers' Conv1D, whose weight is [inputs, outputs].

Every text begins with `<|endoftext|>`, which parted documents in training: so did the texts that the published dictionaries were trained on, and
the first position, an attention sink, is then none of the text's own. Dictionaries that want centred activations centre them themselves.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from .base import ModelFiles, ModelType, TextModel
from .folder import load_text

FAMILY = "gpt2"
MODEL_TYPES = (ModelType("gpt2", "GPT-2", "https://huggingface.co/docs/transformers/model_doc/gpt2"),)


class GPT2(TextModel):
    """A GPT-2 of any size."""

    sites: ClassVar = {
        "residual": ("h.{i}", "output"),
        "preactivation": ("h.{i}.mlp.c_fc", "output"),
        "neurons": ("h.{i}.mlp.c_proj", "input"),
    }
    final_norm = "ln_f"

    def _matrix(self, module: nn.Module) -> Tensor | None:
        from transformers.pytorch_utils import Conv1D

        return module.weight.T if isinstance(module, Conv1D) else super()._matrix(module)


def load(files: ModelFiles) -> GPT2:
    """From `folder`, a transformers folder with its tokenizer."""
    return load_text(GPT2, files, FAMILY, MODEL_TYPES, always_bos=True)
