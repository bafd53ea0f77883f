"""The direct effect of directions in the residual stream on the next token: through the final norm and the unembedding, nothing between.

effect = (W_U · diag(norm weight)) direction, less its mean over the vocabulary, over its standard deviation. The norm's scale, which
differs from position to position, divides all of it alike and falls out. Whether the first tokens say anything is told by the
effect's excess kurtosis over the vocabulary: noise has 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..tensors import as_floats, as_ints

N_TOKENS = 10
"""kept at each end"""
BLOCK = 64
"""directions at once: 12.6 MB for a vocabulary of 49,152"""


@dataclass(frozen=True)
class Effect:
    """One direction's effect."""

    top: tuple[tuple[int, float], ...]
    """(token, standardised effect), the largest first"""
    bottom: tuple[tuple[int, float], ...]
    """the smallest first"""
    kurtosis: float
    """excess, over the vocabulary; 0 for a direction without any effect"""


def standardised(readout: Tensor, directions: Tensor) -> Iterator[Tensor]:
    """Effects in blocks [b, vocabulary] of mean 0 and deviation 1: readout [vocabulary, width] as `TextModel.readout`, directions [n, width]."""
    for part in torch.split(directions.float(), BLOCK):
        effect = part @ readout.T
        effect -= effect.mean(dim=1, keepdim=True)
        yield effect / effect.pow(2).mean(dim=1, keepdim=True).sqrt().clamp_min(1e-12)


def direct_effects(readout: Tensor, directions: Tensor, n: int = N_TOKENS) -> Iterator[Effect]:
    """One Effect for each direction [n, width], in order."""
    with torch.inference_mode():
        for block in standardised(readout, directions):
            ends = [block.topk(min(n, block.shape[1]), dim=1, largest=largest) for largest in (True, False)]
            flat = block.pow(2).mean(dim=1) < 0.5  # 1, or 0 where the direction moves no token
            kurtosis = torch.where(flat, 0.0, block.pow(4).mean(dim=1) - 3)
            for row in range(len(block)):
                top, bottom = (tuple(zip(as_ints(end.indices[row]), as_floats(end.values[row]), strict=True)) for end in ends)
                yield Effect(top, bottom, float(kurtosis[row]))
