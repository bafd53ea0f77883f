"""Dictionaries as one representation: the sparse autoencoder and, for neurons and axes, the stream's own values.

Equations (d = width at the hook, n = units): pre = (x - b_pre) W_enc + b_enc; f = activation(pre); x^ = f W_dec + b_dec.
relu: max(pre, 0). topk: the k largest of relu(pre) at each position (Gao et al. 2024, arXiv:2406.04093). jumprelu:
pre * 1[pre > threshold] where that is positive, strict (Rajamanoharan et al. 2024, arXiv:2407.14435).
The value shown to people is f_i * |W_dec[i]|, so that it does not depend on how a publisher shares the scale between both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from ..errors import BadInput

Activation = Literal["relu", "topk", "jumprelu"]


@dataclass(frozen=True)
class Codes:
    """Values of all units at each position of one sample; sparse where few units are active."""

    values: NDArray[np.float32]
    """[n_positions, k] beside `indices`, or [n_positions, n_units] without"""
    indices: NDArray[np.int64] | None
    """[n_positions, k]: the unit of each value"""
    n_units: int

    def dense(self) -> NDArray[np.float32]:
        """[n_positions, n_units]"""
        if self.indices is None:
            return self.values
        full = np.zeros((len(self.values), self.n_units), np.float32)
        np.put_along_axis(full, self.indices, self.values, axis=1)
        return full

    def active(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(units [m], values [n_positions, m]): the units that are not 0 throughout, in ascending order."""
        if self.indices is None:
            units = np.flatnonzero(self.values.any(axis=0))
            return units, self.values if len(units) == self.n_units else self.values[:, units]
        units, place = np.unique(self.indices[self.values != 0], return_inverse=True)
        block = np.zeros((len(self.values), len(units)), np.float32)
        block[np.nonzero(self.values)[0], place] = self.values[self.values != 0]
        return units, block

    def sparse(self) -> csr_matrix:
        """[n_positions, n_units], compressed by rows."""
        if self.indices is None:
            return csr_matrix(self.values)
        starts = np.arange(0, self.values.size + 1, self.values.shape[1])
        return csr_matrix((self.values.ravel(), self.indices.ravel(), starts), shape=(len(self.values), self.n_units))

    def trace(self, unit: int) -> NDArray[np.float32]:
        """[n_positions]: one unit over the sample."""
        if self.indices is None:
            return self.values[:, unit]
        return np.where(self.indices == unit, self.values, 0).sum(axis=1, dtype=np.float32)

    def peaks(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """([n_units] largest values, [n_units] their positions)."""
        full = self.dense()
        at = full.argmax(axis=0)
        return full[at, np.arange(self.n_units)], at


class Dictionary(ABC):
    """What every kind of dictionary can do."""

    n_units: int
    width: int

    @abstractmethod
    def codes(self, values: NDArray[np.float32]) -> Codes:
        """Activations [n_positions, width] -> the values shown to people."""

    @abstractmethod
    def directions(self) -> Tensor | None:
        """[n_units, d]: what each unit writes into the stream; None where that is the unit itself."""


class SparseAutoencoder(Dictionary):
    """An SAE with weights folded into the equations above; float32."""

    def __init__(
        self,
        W_enc: Tensor,
        W_dec: Tensor,
        b_enc: Tensor,
        b_dec: Tensor,
        *,
        activation: Activation,
        k: int | None = None,
        threshold: Tensor | None = None,
        b_pre: Tensor | None = None,
        rescale_by_decoder_norm: bool = False,
    ):
        """W_enc [d, n], W_dec [n, d], b_enc [n], b_dec [d], b_pre [d] or None for 0, threshold [n] or [].

        With rescale_by_decoder_norm, units are chosen by pre * |W_dec| and f is divided by the norm before it is decoded.
        Raises BadInput when the shapes do not fit.
        """
        if W_enc.ndim != 2:
            raise BadInput(f"W_enc has shape {tuple(W_enc.shape)}; it must be a matrix [width, units].")
        d, n = W_enc.shape
        for name, tensor, shape in (("W_dec", W_dec, (n, d)), ("b_enc", b_enc, (n,)), ("b_dec", b_dec, (d,))):
            if tuple(tensor.shape) != shape:
                raise BadInput(f"{name} has shape {tuple(tensor.shape)}; with W_enc {(d, n)} it must have {shape}.")
        if activation == "topk" and not (isinstance(k, int) and 1 <= k <= n):
            raise BadInput(f"A TopK autoencoder needs k from 1 to {n}; it says {k}.")
        if activation == "jumprelu" and threshold is None:
            raise BadInput("A JumpReLU autoencoder needs a threshold; the file has none.")
        self.W_enc, self.W_dec, self.b_enc, self.b_dec = (t.detach().float().contiguous() for t in (W_enc, W_dec, b_enc, b_dec))
        self.b_pre = torch.zeros(d) if b_pre is None else b_pre.detach().float()
        self.threshold = None if threshold is None else threshold.detach().float()
        self.activation, self.k, self.rescale = activation, k, rescale_by_decoder_norm
        self.norms = self.W_dec.norm(dim=1)
        self.n_units, self.width = n, d

    def _chosen(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(values, indices or None), before any division by the decoder's norm."""
        if x.ndim != 2 or x.shape[1] != self.width:
            raise BadInput(f"Activations have shape {tuple(x.shape)}; this dictionary reads [positions, {self.width}].")
        pre = (x.float() - self.b_pre) @ self.W_enc + self.b_enc
        if self.rescale:
            pre = pre * self.norms
        if self.activation == "topk":
            values, indices = pre.topk(int(self.k or 0), dim=1)
            return values.relu(), indices
        if self.activation == "jumprelu" and self.threshold is not None:
            return pre.relu() * (pre > self.threshold), None
        return pre.relu(), None

    def encode(self, x: Tensor) -> Codes:
        """[n_positions, d] -> f as it multiplies W_dec. Raises BadInput for another width."""
        return self._scaled(x, 1.0 / self.norms.clamp_min(1e-12) if self.rescale else None)

    def codes(self, values: NDArray[np.float32]) -> Codes:
        """[n_positions, d] -> f_i * |W_dec[i]|, the values shown to people."""
        return self._scaled(torch.from_numpy(values), None if self.rescale else self.norms)

    def _scaled(self, x: Tensor, scale: Tensor | None) -> Codes:
        with torch.inference_mode():
            values, indices = self._chosen(x)
            if scale is not None:
                values = values * (scale if indices is None else scale[indices])
        return Codes(values.numpy(), None if indices is None else indices.numpy(), self.n_units)

    def decode(self, f: Tensor) -> Tensor:
        """f [n_positions, n], as `encode` gives it, -> x^ [n_positions, d]."""
        return f.float() @ self.W_dec + self.b_dec

    def reconstruct(self, x: Tensor) -> Tensor:
        """x^ of x, [n_positions, d]."""
        return self.decode(torch.from_numpy(self.encode(x).dense()))

    def directions(self) -> Tensor:
        return self.W_dec


class Identity(Dictionary):
    """The values at the hook themselves: neurons, or the residual stream's axes."""

    def __init__(self, width: int, directions: Tensor | None = None):
        """directions [width, d]: the columns of the layer that reads the neurons; None for the stream's own axes."""
        self.n_units = self.width = width
        self._directions = directions

    def codes(self, values: NDArray[np.float32]) -> Codes:
        return Codes(values, None, self.n_units)

    def directions(self) -> Tensor | None:
        return self._directions
