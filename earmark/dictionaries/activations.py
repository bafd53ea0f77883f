"""From pre-activations to the units that fire: relu, topk, batchtopk, jumprelu, abstopk, groupmax.

relu: max(pre, 0). topk: the k largest of relu(pre) at each position (Gao et al. 2024, arXiv:2406.04093). batchtopk: relu(pre) where
that exceeds the threshold; without one the k * n_positions largest of the batch (Bussmann et al. 2024, arXiv:2412.06410). jumprelu:
relu(pre) where pre > threshold, strict (Rajamanoharan et al. 2024, arXiv:2407.14435). abstopk: the k largest |pre|, signs kept
(arXiv:2510.00404). groupmax: the largest of each of k groups of neighbouring units (EleutherAI's sparsify). Equal values at the
edge of a top k are broken as `torch.topk` breaks them, the same for a position alone and in a batch.
gated reads two pre-activations (Rajamanoharan et al. 2024, arXiv:2404.16014): `gated`.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Activation = Literal["relu", "topk", "batchtopk", "jumprelu", "gated", "abstopk", "groupmax"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)
NEED_K = ("topk", "abstopk", "groupmax")


def activate(kind: str, pre: Tensor, k: int | float | None, threshold: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """pre [n_positions, n], which is overwritten -> (values [n_positions, n], None), or (values, units) [n_positions, k]."""
    if kind == "topk":
        values, units = pre.topk(int(k or 0), dim=1)
        return values.relu_(), units
    if kind == "abstopk":
        units = pre.abs().topk(int(k or 0), dim=1).indices
        return pre.gather(1, units), units
    if kind == "groupmax":
        n_groups = int(k or 0)
        values, within = torch.max(pre.relu_().reshape(len(pre), n_groups, pre.shape[1] // n_groups), dim=2)
        return values, within + torch.arange(0, pre.shape[1], pre.shape[1] // n_groups)
    if kind == "batchtopk" and threshold is None:
        return _largest_of_batch(pre.relu_(), k or 0), None
    if threshold is not None:
        above = pre > threshold
        return pre.relu_().mul_(above), None
    return pre.relu_(), None


def _largest_of_batch(values: Tensor, k: int | float) -> Tensor:
    flat = values.flatten()
    kept = flat.topk(min(int(k * len(values)), flat.numel()))
    return torch.zeros_like(flat).scatter_(0, kept.indices, kept.values).reshape(values.shape)


def gated(u: Tensor, b_gate: Tensor, b_mag: Tensor, r_mag: Tensor) -> Tensor:
    """u = (N(x) - b_pre) W_enc, [n_positions, n] -> 1[u + b_gate > 0] * relu(u e^r_mag + b_mag)."""
    return (u * r_mag.exp() + b_mag).relu_().mul_(u + b_gate > 0)
