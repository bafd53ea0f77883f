"""GPT-NeoX, the architecture of Pythia: attention and FFN side by side on the same stream, rotary positions.

Nothing stands in front of a text: the models were trained on windows cut anywhere, and their tokenizer adds nothing.
"""

from __future__ import annotations

from typing import ClassVar

from .base import ModelFiles, ModelType, TextModel
from .folder import load_text

FAMILY = "gpt_neox"
MODEL_TYPES = (ModelType("gpt_neox", "GPT-NeoX, Pythia", "https://huggingface.co/docs/transformers/model_doc/gpt_neox"),)


class GPTNeoX(TextModel):
    """A GPT-NeoX of any size."""

    sites: ClassVar = {
        "residual": ("layers.{i}", "output"),
        "preactivation": ("layers.{i}.mlp.dense_h_to_4h", "output"),
        "neurons": ("layers.{i}.mlp.dense_4h_to_h", "input"),
    }
    final_norm = "final_layer_norm"


def load(files: ModelFiles) -> GPTNeoX:
    """From `folder`, a transformers folder with its tokenizer."""
    return load_text(GPTNeoX, files, FAMILY, MODEL_TYPES)
