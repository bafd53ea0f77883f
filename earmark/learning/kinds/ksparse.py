"""k-sparse with tied weights: one matrix reads and writes, values below the k-th largest of their position become 0, penalties part the units.

v = relu((x W_dec^T + b_enc) |W_dec,i|) where that is among the k largest of its position (Makhzani and Frey 2013, arXiv:1312.5663), else 0; x^ = sum_i
v_i W_dec,i / |W_dec,i| + b_dec. The loss is the mean over positions of |x - x^|^2 + penalty * sum_i v_i, and covariance * sum over i != j of Cov(v_i, v_j)^2 /
n_units over the batch. So trains a course notebook that looks for Hungarian geography in one paragraph, there with values as W_dec and b_enc give them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...dictionaries.base import SparseAutoencoder
from ...measure.losses import off_diagonal_covariance
from ...tensors import lengths
from ..trainee import TINY, Active, Loss, Trainee


class KSparse(Trainee):
    """W_dec alone, and both biases."""

    def build(self, rows: Tensor) -> None:
        self.W_dec = torch.nn.Parameter(rows.clone())
        self.b_enc = torch.nn.Parameter(torch.zeros(len(rows)))
        self.b_dec = torch.nn.Parameter(torch.zeros(rows.shape[1]))

    def forward(self, x: Tensor) -> Active:
        """Scaled x [n, d]; values of all units, [n, n_units]."""
        norms = lengths(self.W_dec).clamp_min(TINY)
        pre = torch.addmm(self.b_enc, x, self.W_dec.T) * norms
        threshold = pre.detach().topk(self.settings.k, dim=1, sorted=False).values.amin(dim=1, keepdim=True)
        values = torch.where(pre.detach() >= threshold, pre, 0.0).relu()
        return Active(torch.addmm(self.b_dec, values / norms, self.W_dec), values, None)

    def loss(self, x: Tensor, share: float = 1.0) -> Loss:
        """Of a batch; a weight of 0 costs nothing, and is no part."""
        active, settings = self(x), self.settings
        parts = {"reconstruction": (x - active.x_hat).pow(2).sum(dim=1).mean()}
        if settings.penalty:
            parts["sparsity"] = share * settings.penalty * active.values.sum(dim=1).mean()
        if settings.covariance:
            parts["covariance"] = share * settings.covariance * off_diagonal_covariance(active.values)
        return Loss(sum(parts.values(), torch.zeros((), device=x.device)), parts, Active(active.x_hat, active.values.detach(), None))

    @torch.no_grad()
    def folded(self) -> SparseAutoencoder:
        """As topk: the k largest of a position, and none below 0."""
        return SparseAutoencoder(*self.fold(self.W_dec.T, self.b_enc, self.b_dec), activation="topk", k=self.settings.k)


KINDS: dict[str, type[Trainee]] = {"ksparse": KSparse}
