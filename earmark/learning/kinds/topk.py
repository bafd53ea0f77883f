"""TopK and BatchTopK, with the loss that brings back dead units.

TopK and that loss (AuxK) after Gao et al. 2024, arXiv:2406.04093; BatchTopK after Bussmann et al. 2024, arXiv:2412.06410. Decoder rows are free in
length: units are chosen by pre-activation times that length, and what is saved has rows of length 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ...dictionaries.base import SparseAutoencoder
from ...tensors import lengths
from ..sparse import decoded
from ..trainee import TINY, Active, Loss, Trainee

THRESHOLD_RATE = 0.01
"""of the running mean of a batch's smallest kept value"""


class TopK(Trainee):
    """Either of the two."""

    def build(self, rows: Tensor) -> None:
        self.threshold: Tensor
        self.register_buffer("threshold", torch.tensor(math.nan))  # batchtopk: running mean of the smallest kept value
        self.W_dec = torch.nn.Parameter(rows.clone())
        self.W_enc = torch.nn.Parameter(rows.clone().T)  # [d, n_units]; a unit's weights lie together, as its gradient does
        self.b_enc = torch.nn.Parameter(torch.zeros(len(rows)))
        self.b_dec = torch.nn.Parameter(torch.zeros(rows.shape[1]))

    def forward(self, x: Tensor) -> Active:
        """Scaled x [n, d], which is a batch: batchtopk keeps n * k of all its values.

        The length of a decoder row takes part in the choice alone: the value of a kept unit, divided by it, is relu(x W_enc + b_enc) itself.
        """
        read = x - self.b_dec if self.settings.pre_bias else x
        with torch.no_grad():
            norms = lengths(self.W_dec)
            values, units, starts = self._kept(torch.addmm(self.b_enc * norms, read, self.W_enc * norms).float())
            values = values.relu()
            f = values / norms[units].clamp_min(TINY)
        x_hat, _ = decoded(read, self.W_enc, self.b_enc, self.W_dec, f, units, starts)
        return Active(x_hat + self.b_dec, values, units)

    def _kept(self, pre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pre [n, n_units] -> (values [m], units [m], place of each position's first, and m, [n + 1]); m = n * k."""
        (n, n_units), k = pre.shape, self.settings.k
        if self.settings.kind == "topk":
            values, units = pre.topk(k, dim=1, sorted=False)
            return values.flatten(), units.flatten(), torch.arange(0, n * k + 1, k, device=pre.device)
        place = pre.flatten().topk(n * k, sorted=False).indices.sort().values
        starts = torch.searchsorted(place, torch.arange(0, n * n_units + 1, n_units, device=pre.device))
        return pre.flatten()[place], place % n_units, starts

    def loss(self, x: Tensor, share: float = 1.0) -> Loss:
        """Squared error a position, and with `aux` that of the dead units' attempt at what is left."""
        active = self(x)
        error = x - active.x_hat
        parts = {"reconstruction": error.pow(2).sum(dim=1).mean()}
        dead = torch.nonzero(self.dead).squeeze(1) if self.settings.aux else self.silent[:0]
        if len(dead):
            parts["dead"] = self.settings.aux * x.shape[1] * self._left_over(x, dead, error.detach())
        return Loss(torch.stack(list(parts.values())).sum(), parts, active)

    def _left_over(self, x: Tensor, dead: Tensor, error: Tensor) -> Tensor:
        """|e - e^|^2 / |e - mean e|^2, e^ from the d / 2 largest dead units and without bias."""
        norms = lengths(self.W_dec[dead])
        read = x - self.b_dec if self.settings.pre_bias else x
        pre = (read @ self.W_enc[:, dead] + self.b_enc[dead]) * norms
        values, place = pre.topk(min(error.shape[1] // 2, len(dead)), dim=1, sorted=False)
        weights = values.relu() / norms[place].clamp_min(TINY)
        e_hat = F.embedding_bag(dead[place], self.W_dec, mode="sum", per_sample_weights=weights.to(self.W_dec.dtype))
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
        weights = self.fold(self.W_enc, self.b_enc, self.b_dec, self.settings.pre_bias)
        if self.settings.kind == "topk":
            return SparseAutoencoder(*weights, activation="topk", k=self.settings.k)
        threshold = (torch.nan_to_num(self.threshold) * self.scale).cpu()
        return SparseAutoencoder(*weights, activation="jumprelu", threshold=threshold.expand(len(self.W_dec)).clone())


KINDS: dict[str, type[Trainee]] = {"topk": TopK, "batchtopk": TopK}
