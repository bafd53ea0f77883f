"""What a direction of the residual stream adds to the logits, for every family of language models; tokens that are no text alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from earmark.errors import BadInput
from earmark.models import FAMILIES
from earmark.models.base import ModelFiles, TextModel
from tests.fixtures.models import TEXT, WIDTH, make_text

FAMILY_OF = {"gpt2": "gpt2", "gpt_neox": "gpt_neox", "llama": "llama", "qwen2": "llama", "gemma2": "llama"}


def opened(folder: Path, kind: str) -> TextModel:
    return FAMILIES[FAMILY_OF[kind]](ModelFiles("m", {"folder": folder}))  # type: ignore[return-value]


@pytest.mark.parametrize("kind", TEXT)
def test_readout_is_what_the_norm_and_the_head_do(tmp_path: Path, kind: str) -> None:
    """Norms are odd but for their bias: half of head(norm(x)) - head(norm(-x)), times the norm's own scale, is linear in x."""
    network = make_text(tmp_path, kind)
    model = opened(tmp_path, kind)
    norm, head = network.base_model.get_submodule(model.final_norm), network.get_output_embeddings()
    x = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(1)) + 0.5
    centred = x - x.mean(dim=1, keepdim=True) if isinstance(norm, torch.nn.LayerNorm) else x
    with torch.inference_mode():
        logits = (head(norm(x)) - head(norm(-x))) / 2 * centred.pow(2).mean(dim=1, keepdim=True).sqrt()
        assert torch.allclose(x @ model.readout().T, logits, atol=1e-3 * float(logits.abs().max()))


def test_a_model_without_a_head_has_none(tmp_path: Path) -> None:
    make_text(tmp_path, "llama", head=False)
    with pytest.raises(BadInput, match="without the head that predicts tokens"):
        opened(tmp_path, "llama").readout()


def test_tokens_by_themselves(tmp_path: Path) -> None:
    """Part of a character's bytes is told as bytes, never as a replacement character."""
    make_text(tmp_path, "gpt2")
    model = opened(tmp_path, "gpt2")
    ids = model.document("\u65e5 the\u200b").ids
    told = model.tokens_of(ids)
    assert "\ufffd" not in "".join(told) and " the" in told
    shown = bytes.fromhex("".join(t.replace("<0x", "").replace(">", "") for t in told if t.startswith("<0x"))).decode()
    assert "\u65e5" in shown + "".join(told)
