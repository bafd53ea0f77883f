"""What every kind of autoencoder is while it is trained: parameters over scaled inputs, a loss in parts, and the same folded into what is saved."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..dictionaries.base import SparseAutoencoder
from ..tensors import lengths, qr
from .positions import Positions
from .settings import TrainSettings

_PART = 1 << 16
"""positions that statistics read at a time"""
TINY = 1e-8


class Active(NamedTuple):
    """What a batch of n positions gave."""

    x_hat: Tensor
    """[n, d]"""
    values: Tensor
    """[m] f times the length of the unit's decoder row, position after position; without `units` all of them, [n, n_units]"""
    units: Tensor | None
    """[m]: the unit of each value, or None"""

    def fired(self, n_units: int) -> Tensor:
        """Whether each unit is not 0 somewhere, bool [n_units]."""
        if self.units is None:
            return (self.values != 0).any(dim=0)
        found = torch.zeros(n_units, dtype=torch.bool, device=self.values.device)
        found[self.units[self.values != 0]] = True
        return found

    def density(self, n_values: int) -> Tensor:
        """Share of n_values, which is all of them, that is not 0; of many an estimate from every eighth position."""
        if self.units is None:
            return (self.values[::8] != 0).float().mean()
        return (self.values != 0).sum() / n_values


class Loss(NamedTuple):
    """Of one batch."""

    total: Tensor
    """what is minimised"""
    parts: dict[str, Tensor]
    """what it is the sum of, each with its weight: reconstruction, and what the kind adds (sparsity, covariance, dead)"""
    active: Active


class Trainee(torch.nn.Module, ABC):
    """The parameters during training, over inputs (x - mean) / scale."""

    W_dec: torch.nn.Parameter
    """[n_units, d]"""

    def __init__(self, x: Positions, settings: TrainSettings, generator: torch.Generator):
        """x [n, d]: training activations, from which the mean, the scale and, where it is asked for, the decoder's start are taken."""
        super().__init__()
        self.settings = settings
        self.mean: Tensor
        self.scale: Tensor
        self.silent: Tensor
        self.density: Tensor
        mean, scale = mean_and_scale(x, settings)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.register_buffer("silent", torch.zeros(settings.n_units, dtype=torch.int64))  # positions since each unit was last active
        self.register_buffer("density", torch.tensor(1.0))  # share of the last batch's values that were not 0, about
        self.build(first_rows(x, mean, settings, generator))

    @abstractmethod
    def build(self, rows: Tensor) -> None:
        """Set the parameters from the decoder's first rows [n_units, d]."""

    @abstractmethod
    def loss(self, x: Tensor, share: float = 1.0) -> Loss:
        """Of scaled x [n, d], which is a batch; share: the part of the penalties' full weight that counts at this step."""

    @abstractmethod
    def folded(self) -> SparseAutoencoder:
        """The same autoencoder over activations as the model gives them, with decoder rows of norm 1."""

    def normalise(self, x: Tensor) -> Tensor:
        """Activations [n, d], of any float type, as the parameters read them."""
        return (x.to(self.mean.device, torch.float32) - self.mean) / self.scale

    @torch.no_grad()
    def observe(self, active: Active, n_positions: int) -> None:
        """Remember of a batch what no gradient tells: which units were active."""
        self.silent += n_positions
        self.silent[active.fired(len(self.silent))] = 0
        self.density.fill_(active.density(n_positions * len(self.silent)))

    @property
    def dead(self) -> Tensor:
        """bool [n_units]: silent for so long that a unit counts as dead."""
        return self.silent >= self.settings.dead_after

    @torch.no_grad()
    def before_step(self) -> None:
        """Between gradient and step: with a decoder of unit rows, what would only change their length is taken out."""
        if self.settings.unit_decoder and self.W_dec.grad is not None:
            along = (self.W_dec.grad * self.W_dec).sum(dim=1, keepdim=True)
            self.W_dec.grad -= along * self.W_dec

    @torch.no_grad()
    def after_step(self) -> None:
        """What holds throughout is put right: decoder rows of length 1, where the settings ask for them."""
        if self.settings.unit_decoder:
            self.W_dec.copy_(F.normalize(self.W_dec, dim=1))

    @torch.no_grad()
    def fold(self, W_enc: Tensor, b_enc: Tensor, b_dec: Tensor, pre_bias: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(W_enc, W_dec, b_enc, b_dec) over activations as the model gives them, with decoder rows of norm 1, on the CPU.

        W_enc [d, n_units] and b_enc [n_units] give pre-activations of scaled inputs, W_dec and b_dec [d] scaled outputs;
        pre_bias: b_dec is subtracted before encoding, which becomes part of b_enc.
        """
        b_enc = b_enc - b_dec @ W_enc if pre_bias else b_enc
        norms = lengths(self.W_dec).clamp_min(TINY)
        whole = W_enc * norms  # the input's 1 / scale and the values' scale cancel
        W_dec, b_enc = self.W_dec / norms[:, None], b_enc * norms * self.scale - self.mean @ whole
        return whole.detach().cpu(), W_dec.detach().cpu(), b_enc.detach().cpu(), (b_dec * self.scale + self.mean).detach().cpu()


def mean_and_scale(x: Positions, settings: TrainSettings) -> tuple[Tensor, Tensor]:
    """(mean [d], scale []) by which inputs are read, from activations x [n, d]."""
    d = x.shape[1]
    if settings.scaling == "none":
        return torch.zeros(d), torch.tensor(1.0)
    if settings.scaling == "norm":
        length = sum(lengths(part.float()).sum(dtype=torch.float64).item() for part in x.split(_PART)) / len(x)
        return torch.zeros(d), torch.tensor(length / math.sqrt(d) or 1.0)
    mean = sum(part.sum(dim=0, dtype=torch.float64) for part in x.split(_PART)) / len(x)
    assert isinstance(mean, Tensor)
    square = sum(part.float().pow(2).sum(dtype=torch.float64).item() for part in x.split(_PART))
    variance = (square / len(x) - mean.pow(2).sum().item()) / d
    return mean.float(), torch.tensor(math.sqrt(variance) if variance > 0 else 1.0 if variance == 0 else math.nan)


def first_rows(x: Positions, mean: Tensor, settings: TrainSettings, generator: torch.Generator) -> Tensor:
    """[n_units, d] of length start_norm (1, where rows have unit length throughout): training activations, random, or orthogonal directions."""
    n_units, d = settings.n_units, x.shape[1]
    if settings.start == "frames":
        rows = x[torch.randint(len(x), (n_units,), generator=generator)].float() - mean
    else:
        rows = torch.randn(n_units, d, generator=generator)
    if settings.start == "orthogonal":
        turned = rows if n_units >= d else rows.T
        q, r = qr(turned)
        q = q * torch.diagonal(r).sign()
        rows = q if n_units >= d else q.T
    return F.normalize(rows, dim=1) * (1.0 if settings.unit_decoder else settings.start_norm)
