"""Training losses. x [n, d] inputs, f [n, k] values."""

from __future__ import annotations

from torch import Tensor


def normalised_mse(x: Tensor, x_hat: Tensor) -> Tensor:
    """E|x - x^|^2 / E|x - E x|^2 over the batch: the FVU of the batch (Gao et al. 2024, arXiv:2406.04093, section 2.1)."""
    return (x - x_hat).pow(2).sum() / (x - x.mean(dim=0)).pow(2).sum()
