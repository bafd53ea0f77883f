"""TopK and BatchTopK, with the loss that brings back dead units.

TopK and that loss (AuxK) after Gao et al. 2024, arXiv:2406.04093; BatchTopK after Bussmann et al. 2024, arXiv:2412.06410. Decoder rows are free in
length: units are chosen by pre-activation times that length, and what is saved has rows of length 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...dictionaries.base import SparseAutoencoder
from ..trainee import TINY, Active, Loss, Trainee

THRESHOLD_RATE = 0.01
"""of the running mean of a batch's smallest kept value"""


class Chosen(NamedTuple):
    """The units that a batch of n positions keeps, position after position; m = n * k."""

    active: Active
    pre: Tensor
    """[n, n_units] pre-activations times the length of the decoder's rows, of all units, before the choice"""


class TopK(Trainee):
    """Either of the two."""

    def build(self, rows: Tensor) -> None:
        self.threshold: Tensor
        self.register_buffer("threshold", torch.tensor(math.nan))  # batchtopk: running mean of the smallest kept value
        self.W_dec = torch.nn.Parameter(rows.clone())
        self.W_enc = torch.nn.Parameter(rows.T.clone().contiguous())
        self.b_enc = torch.nn.Parameter(torch.zeros(len(rows)))
        self.b_dec = torch.nn.Parameter(torch.zeros(rows.shape[1]))

    def forward(self, x: Tensor) -> Chosen:
        """Scaled x [n, d], which is a batch: batchtopk keeps n * k of all its values."""
        norms = self.W_dec.norm(dim=1)
        pre = (x @ self.W_enc + self.b_enc) * norms
        values, units, starts = self._kept(pre)
        x_hat = F.embedding_bag(units, self.W_dec, starts, mode="sum", per_sample_weights=values / norms[units].clamp_min(TINY)) + self.b_dec
        return Chosen(Active(x_hat, values, units), pre)

    def _kept(self, pre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pre [n, n_units] -> (values [m], units [m], place of each position's first [n])."""
        (n, n_units), k = pre.shape, self.settings.k
        if self.settings.kind == "topk":
            values, units = pre.topk(k, dim=1, sorted=False)
            return values.flatten().relu(), units.flatten(), torch.arange(0, n * k, k, device=pre.device)
        place = pre.detach().flatten().topk(n * k, sorted=False).indices.sort().values
        starts = torch.searchsorted(place, torch.arange(0, n * n_units, n_units, device=pre.device))
        return pre.flatten()[place].relu(), place % n_units, starts

    def loss(self, x: Tensor, share: float = 1.0) -> Loss:
        """Squared error a position, and with `aux` that of the dead units' attempt at what is left."""
        active, pre = self(x)
        error = x - active.x_hat
        parts = {"reconstruction": error.pow(2).sum(dim=1).mean()}
        dead = torch.nonzero(self.dead).squeeze(1) if self.settings.aux else self.silent[:0]
        if len(dead):
            parts["dead"] = self.settings.aux * x.shape[1] * self._left_over(pre[:, dead], dead, error.detach())
        return Loss(sum(parts.values(), torch.zeros(())), parts, active)

    def _left_over(self, pre: Tensor, dead: Tensor, error: Tensor) -> Tensor:
        """|e - e^|^2 / |e - mean e|^2, e^ from the d / 2 largest dead units and without bias."""
        values, place = pre.topk(min(error.shape[1] // 2, len(dead)), dim=1, sorted=False)
        units = dead[place]
        weights = values.relu() / self.W_dec.norm(dim=1)[units].clamp_min(TINY)
        e_hat = F.embedding_bag(units, self.W_dec, mode="sum", per_sample_weights=weights)
        return (error - e_hat).pow(2).sum() / (error - error.mean(dim=0)).pow(2).sum().clamp_min(1e-12)

    @torch.no_grad()
    def observe(self, active: Active, n_positions: int) -> None:
        super().observe(active, n_positions)
        above = active.values > 0
        if self.settings.kind == "batchtopk" and bool(above.any()):
            smallest = active.values[above].min()
            self.threshold.copy_(smallest if self.threshold.isnan() else torch.lerp(self.threshold, smallest, THRESHOLD_RATE))

    @torch.no_grad()
    def folded(self) -> SparseAutoencoder:
        """batchtopk becomes jumprelu."""
        weights = self.fold(self.W_enc, self.b_enc, self.b_dec)
        if self.settings.kind == "topk":
            return SparseAutoencoder(*weights, activation="topk", k=self.settings.k)
        threshold = (torch.nan_to_num(self.threshold) * self.scale).cpu()
        return SparseAutoencoder(*weights, activation="jumprelu", threshold=threshold.expand(len(self.W_dec)).clone())


KINDS: dict[str, type[Trainee]] = {"topk": TopK, "batchtopk": TopK}
