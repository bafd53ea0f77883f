"""Activations turned into their principal axes: of n positions at most n - 1 axes hold anything, and an autoencoder of few positions needs no others.

Nothing of the activations is lost by it, and what was learned over the axes is turned back exactly; outside their span it reads and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..dictionaries.base import SparseAutoencoder
from ..errors import BadInput
from ..tensors import length, svd

FAINT = 1e-6
"""axes whose singular value is a smaller part of the largest hold rounding errors"""


@dataclass(frozen=True, eq=False)
class Axes:
    """x -> (x - mean) V, and back."""

    mean: Tensor
    """[d]"""
    turned: Tensor
    """V [d, r], columns of length 1 at right angles"""

    @classmethod
    def of(cls, x: Tensor) -> Axes:
        """Those of x [n, d], the widest first. Raises BadInput where all positions are alike."""
        mean = x.mean(dim=0)
        _, sizes, directions = svd(x - mean)
        kept = sizes > FAINT * max(sizes[0].item(), 1e-12 * (1 + length(mean).item()))
        if len(x) < 2 or not bool(kept.any()) or sizes[0] <= FAINT * length(mean):
            raise BadInput(f"The activations of these {len(x)} positions do not differ; nothing can be learned from them. Bring a longer text or sound.")
        return cls(mean, directions[kept].T.contiguous())

    def turn(self, x: Tensor) -> Tensor:
        """[n, d] -> [n, r]"""
        return (x - self.mean) @ self.turned

    def back(self, sae: SparseAutoencoder) -> SparseAutoencoder:
        """An autoencoder over turned activations as the same one over x: W_enc [d, n_units], W_dec [n_units, d]."""
        W_enc = self.turned @ sae.W_enc
        weights = (W_enc, sae.W_dec @ self.turned.T, sae.b_enc - self.mean @ W_enc, sae.b_dec @ self.turned.T + self.mean)
        return SparseAutoencoder(*weights, activation=sae.activation, k=sae.k, threshold=sae.threshold)
