"""ReLU with a penalty on the values times the length of their decoder rows, as Anthropic's update of April 2024 has it.

The loss is the mean over positions of |x - x^|^2 + penalty * sum_i f_i |W_dec,i| (https://transformer-circuits.pub/2024/april-update). Nothing is
subtracted before encoding, nothing resampled. With `pre_bias` and `unit_decoder` it is the older form of Neel Nanda's autoencoders of gelu-1l.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...dictionaries.base import SparseAutoencoder
from ...tensors import lengths
from ..sparse import rectified
from ..trainee import Active, Loss, Trainee


class L1(Trainee):
    """W_enc starts as the transpose of W_dec."""

    def build(self, rows: Tensor) -> None:
        self.W_dec = torch.nn.Parameter(rows.clone())
        self.W_enc = torch.nn.Parameter(rows.clone().T)
        self.b_enc = torch.nn.Parameter(torch.zeros(len(rows)))
        self.b_dec = torch.nn.Parameter(torch.zeros(rows.shape[1]))

    def loss(self, x: Tensor, share: float = 1.0) -> Loss:
        """Both parts are means over positions."""
        read = x - self.b_dec if self.settings.pre_bias else x
        x_hat, f, units = rectified(read, self.W_enc, self.b_enc, self.W_dec, self.density)
        x_hat = x_hat + self.b_dec
        norms = lengths(self.W_dec)
        shown = f if self.settings.unit_decoder else f * (norms if units is None else norms[units])
        parts = {
            "reconstruction": self.settings.reconstruction * (x - x_hat).pow(2).sum(dim=1).mean(),
            "sparsity": share * self.settings.penalty * shown.sum() / len(x),
        }
        return Loss(parts["reconstruction"] + parts["sparsity"], parts, Active(x_hat, shown.detach(), units))

    @torch.no_grad()
    def folded(self) -> SparseAutoencoder:
        return SparseAutoencoder(*self.fold(self.W_enc, self.b_enc, self.b_dec, self.settings.pre_bias), activation="relu")


KINDS: dict[str, type[Trainee]] = {"l1": L1}
