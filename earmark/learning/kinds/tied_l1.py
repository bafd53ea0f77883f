"""Tied L1 as FREUD trains it: one matrix with rows of length 1, read by the encoder and the decoder, and no bias of the output.

f = relu(x W_dec^T + b_enc), x^ = f W_dec; the loss is reconstruction * mean over all values of (x - x^)^2 + penalty * mean over positions of sum_i f_i
(https://github.com/ksadov/FREUD, src/models/l1autoencoder.py). Rows are brought back to length 1 before each forward pass, without a gradient
through that; `scaling` is none, for its inputs are activations as the model gives them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...dictionaries.base import SparseAutoencoder
from ..sparse import rectified
from ..trainee import Active, Loss, Trainee


class TiedL1(Trainee):
    """W_dec alone, and the encoder's bias."""

    def build(self, rows: Tensor) -> None:
        self.W_dec = torch.nn.Parameter(torch.nn.functional.normalize(rows, dim=1))
        self.b_enc = torch.nn.Parameter(torch.zeros(len(rows)))

    def loss(self, x: Tensor, share: float = 1.0) -> Loss:
        """The squared error is a mean over values, the penalty over positions."""
        x_hat, f, units = rectified(x, self.W_dec.T, self.b_enc, self.W_dec, self.density)
        parts = {
            "reconstruction": self.settings.reconstruction * (x - x_hat).pow(2).mean(),
            "sparsity": share * self.settings.penalty * f.sum() / len(x),
        }
        return Loss(parts["reconstruction"] + parts["sparsity"], parts, Active(x_hat, f.detach(), units))

    def before_step(self) -> None:
        """Nothing: the gradient is taken whole, as the publisher's."""

    @torch.no_grad()
    def after_step(self) -> None:
        self.W_dec.copy_(torch.nn.functional.normalize(self.W_dec, dim=1))

    @torch.no_grad()
    def folded(self) -> SparseAutoencoder:
        return SparseAutoencoder(*self.fold(self.W_dec.T, self.b_enc, torch.zeros_like(self.mean)), activation="relu")


KINDS: dict[str, type[Trainee]] = {"tied_l1": TiedL1}
