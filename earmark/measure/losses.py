"""Training losses. x [n, d] inputs, f [n, k] values."""

from __future__ import annotations

from torch import Tensor


def normalised_mse(x: Tensor, x_hat: Tensor) -> Tensor:
    """E|x - x^|^2 / E|x - E x|^2 over the batch: the FVU of the batch (Gao et al. 2024, arXiv:2406.04093, section 2.1)."""
    return (x - x_hat).pow(2).sum() / (x - x.mean(dim=0)).pow(2).sum()


def off_diagonal_covariance(f: Tensor) -> Tensor:
    """sum over i != j of C_ij^2 / k, C [k, k] the covariance of the values over the n positions (VICReg's: Bardes et al. 2022, arXiv:2105.04906).

    The squares of all of C sum up as those of the positions' own products [n, n] do, so that of few positions C is never made: exact, and n / k of its work.
    """
    centred = f - f.mean(dim=0)
    products = (centred @ centred.T if len(f) < f.shape[1] else centred.T @ centred) / max(len(f) - 1, 1)
    variances = centred.pow(2).sum(dim=0) / max(len(f) - 1, 1)
    return (products.pow(2).sum() - variances.pow(2).sum()) / f.shape[1]
