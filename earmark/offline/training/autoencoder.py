"""The autoencoder while it is trained: TopK and BatchTopK over normalised inputs, and the same folded into what is saved.

TopK and the loss that brings back dead units (AuxK) after Gao et al. 2024, arXiv:2406.04093; BatchTopK after Bussmann et al. 2024,
arXiv:2412.06410. Decoder rows are free in length: units are chosen by pre-activation times that length, and what is saved has rows of length 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from ...dictionaries.base import SparseAutoencoder
from ...errors import BadInput

SaeKind = Literal["topk", "batchtopk"]
Start = Literal["frames", "random"]
THRESHOLD_RATE = 0.01
"""of the running mean of a batch's smallest kept value"""
DEAD_AFTER = 100_000
"""positions without a value above 0 after which AuxK takes a unit for dead"""


@dataclass(frozen=True)
class TrainSettings:
    """How to train."""

    kind: SaeKind = "topk"
    """topk: k units at each position; batchtopk: k in the mean over a batch, afterwards those above one threshold"""
    n_units: int = 3072
    k: int = 32
    n_activations: int = 2_500_000
    """positions seen, repetitions counted"""
    batch: int = 2048
    lr: float = 8e-4
    start: Start = "frames"
    """the decoder's rows at the start: training activations, or random directions"""
    start_norm: float = 0.1
    """their length, over inputs whose values have variance 1"""
    aux: float = 0.0
    """weight of the loss that brings back dead units (AuxK: 1/32); 0: none"""
    warmup_steps: int = 40
    decay_share: float = 0.25
    """last part of the steps, over which the rate falls linearly to 0"""
    clip: float = 1.0
    seed: int = 0
    held_out_share: float = 0.1
    """of the samples, chosen by the hash of their ids"""

    def __post_init__(self) -> None:
        for name, value, valid in (("kind", self.kind, get_args(SaeKind)), ("start", self.start, get_args(Start))):
            if value not in valid:
                raise BadInput(f"{name} is '{str(value)[:40]}'; valid: {', '.join(valid)}.")
        if not 1 <= self.k <= self.n_units:
            raise BadInput(f"k is {self.k}; it must lie from 1 to the number of units, {self.n_units}.")
        if self.n_activations < self.batch or self.batch < 2:
            raise BadInput(f"{self.n_activations} activations in batches of {self.batch} make no step; raise the first or lower the second.")
        if not 0 < self.lr < 1 or not 0 < self.held_out_share < 1:
            raise BadInput(f"The rate ({self.lr}) and the held-out share ({self.held_out_share}) must lie between 0 and 1.")
        if not 0 < self.start_norm < math.inf or not 0 <= self.aux < math.inf:
            raise BadInput(f"The start norm ({self.start_norm}) must be a number above 0, and aux ({self.aux}) 0 or above.")

    @property
    def n_steps(self) -> int:
        return self.n_activations // self.batch

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        fall = min(1.0, (self.n_steps - step) / max(self.decay_share * self.n_steps, 1))
        return self.lr * rise * fall


class Active(NamedTuple):
    """The units that a batch of n positions keeps, position after position; m = n * k."""

    x_hat: Tensor
    """[n, d]"""
    values: Tensor
    """[m] f times the length of the unit's decoder row, not below 0"""
    units: Tensor
    """[m]"""
    pre: Tensor
    """[n, n_units] the same of all units, before the choice"""


class Trainee(torch.nn.Module):
    """The parameters during training, over inputs (x - mean) / scale."""

    def __init__(self, x: Tensor, settings: TrainSettings, generator: torch.Generator):
        """x [n, d]: training activations, from which the mean, the scale and, unless it is random, the decoder's start are taken."""
        super().__init__()
        self.kind, self.k, self.aux = settings.kind, settings.k, settings.aux
        self.mean: Tensor
        self.scale: Tensor
        self.threshold: Tensor
        self.silent: Tensor
        mean = x.mean(dim=0, dtype=torch.float64).float()
        square = sum(part.pow(2).sum(dtype=torch.float64).item() for part in x.split(1 << 16))
        centred_square = square / len(x) - mean.double().pow(2).sum().item()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.tensor(math.sqrt(centred_square / x.shape[1])))
        self.register_buffer("threshold", torch.tensor(math.nan))  # batchtopk: running mean of the smallest kept value
        self.register_buffer("silent", torch.zeros(settings.n_units, dtype=torch.int64))  # positions since each unit was last active
        if settings.start == "frames":
            rows = x[torch.randint(len(x), (settings.n_units,), generator=generator)] - mean
        else:
            rows = torch.randn(settings.n_units, x.shape[1], generator=generator)
        rows = F.normalize(rows, dim=1) * settings.start_norm
        self.W_dec = torch.nn.Parameter(rows.clone())
        self.W_enc = torch.nn.Parameter(rows.T.clone().contiguous())
        self.b_enc = torch.nn.Parameter(torch.zeros(settings.n_units))
        self.b_dec = torch.nn.Parameter(torch.zeros(x.shape[1]))

    def forward(self, x: Tensor) -> Active:
        """Normalised x [n, d], which is a batch: batchtopk keeps n * k of all its values."""
        norms = self.W_dec.norm(dim=1)
        pre = (x @ self.W_enc + self.b_enc) * norms
        values, units, starts = self._kept(pre)
        x_hat = F.embedding_bag(units, self.W_dec, starts, mode="sum", per_sample_weights=values / norms[units].clamp_min(1e-8)) + self.b_dec
        return Active(x_hat, values, units, pre)

    def _kept(self, pre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pre [n, n_units] -> (values [m], units [m], place of each position's first [n])."""
        n, n_units = pre.shape
        if self.kind == "topk":
            values, units = pre.topk(self.k, dim=1, sorted=False)
            return values.flatten().relu(), units.flatten(), torch.arange(0, n * self.k, self.k)
        place = pre.detach().flatten().topk(n * self.k, sorted=False).indices.sort().values
        return pre.flatten()[place].relu(), place % n_units, torch.searchsorted(place, torch.arange(0, n * n_units, n_units))

    def loss(self, x: Tensor) -> tuple[Tensor, Active]:
        """Squared error a position, and with `aux` that of the dead units' attempt at what is left, both over normalised x [n, d]."""
        active = self(x)
        error = x - active.x_hat
        loss = error.pow(2).sum(dim=1).mean()
        dead = torch.nonzero(self.silent >= DEAD_AFTER).squeeze(1) if self.aux else self.silent[:0]
        if len(dead):
            loss = loss + self.aux * x.shape[1] * self._left_over(active.pre[:, dead], dead, error.detach())
        return loss, active

    def _left_over(self, pre: Tensor, dead: Tensor, error: Tensor) -> Tensor:
        """|e - e^|^2 / |e - mean e|^2, e^ from the d / 2 largest dead units and without bias."""
        values, place = pre.topk(min(error.shape[1] // 2, len(dead)), dim=1, sorted=False)
        units = dead[place]
        weights = values.relu() / self.W_dec.norm(dim=1)[units].clamp_min(1e-8)
        e_hat = F.embedding_bag(units, self.W_dec, mode="sum", per_sample_weights=weights)
        return (error - e_hat).pow(2).sum() / (error - error.mean(dim=0)).pow(2).sum().clamp_min(1e-12)

    @torch.no_grad()
    def observe(self, active: Active, n_positions: int) -> None:
        """Remember of a batch what no gradient tells: its smallest kept value, and which units were active."""
        above = active.values > 0
        if self.kind == "batchtopk" and bool(above.any()):
            smallest = active.values[above].min()
            self.threshold.copy_(smallest if self.threshold.isnan() else torch.lerp(self.threshold, smallest, THRESHOLD_RATE))
        if self.aux:
            self.silent += n_positions
            self.silent[active.units[above]] = 0

    def normalise(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale

    @torch.no_grad()
    def folded(self) -> SparseAutoencoder:
        """The same autoencoder over activations as the model gives them, with decoder rows of norm 1; batchtopk as jumprelu."""
        norms = self.W_dec.norm(dim=1).clamp_min(1e-8)
        W_enc = self.W_enc * norms  # the input's 1 / scale and the values' scale cancel
        b_enc = self.b_enc * norms * self.scale - self.mean @ W_enc
        weights = (W_enc, self.W_dec / norms[:, None], b_enc, self.b_dec * self.scale + self.mean)
        if self.kind == "topk":
            return SparseAutoencoder(*weights, activation="topk", k=self.k)
        threshold = torch.nan_to_num(self.threshold) * self.scale
        return SparseAutoencoder(*weights, activation="jumprelu", threshold=threshold.expand(len(norms)).clone())
