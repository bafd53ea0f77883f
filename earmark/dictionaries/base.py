"""Dictionaries as one representation: the sparse autoencoder and, for neurons and axes, the stream's own values.

Equations (d = width at the hook, n = units): pre = (N(x) - b_pre) W_enc + b_enc; f = activation(pre); x^ = N^-1(f W_dec + b_dec)
+ x W_skip^T. N: norms.py; the activations: activations.py. The value shown to people is f_i * |W_dec[i]|, so that it does not
depend on how a publisher shares the scale between both.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from ..errors import BadInput, unknown
from ..tensors import lengths
from .activations import ACTIVATIONS, NEED_K, Activation, activate, gated
from .norms import InputNorm

LARGEST_WEIGHT, LARGEST_EXPONENT = 1e6, 30.0
"""weights and exponents (r_mag) beyond these are damage: with none of them, values of float32 stay finite"""


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
        k: int = self.values.shape[1]
        starts = np.arange(0, self.values.size + 1, k)
        return csr_matrix((self.values.ravel(), self.indices.ravel(), starts), shape=(len(self.values), self.n_units))

    def spread(self, where: NDArray[np.bool_]) -> Codes:
        """The same values at the positions of `where` [n_positions], and 0 at all others."""
        values = np.zeros((len(where), self.values.shape[1]), np.float32)
        values[where] = self.values
        if self.indices is None:
            return Codes(values, None, self.n_units)
        indices = np.zeros(values.shape, np.int64)
        indices[where] = self.indices
        return Codes(values, indices, self.n_units)

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
    signed: bool
    """whether values can be negative"""

    @abstractmethod
    def codes(self, values: NDArray[np.float32]) -> Codes:
        """Activations [n_positions, width] -> the values shown to people."""

    @abstractmethod
    def directions(self) -> Tensor | None:
        """[n_units, d]: what each unit writes into the stream; None where that is the unit itself."""


class SparseAutoencoder(Dictionary):
    """An SAE, or a transcoder, with its weights in the equations above; float32."""

    def __init__(
        self,
        W_enc: Tensor,
        W_dec: Tensor,
        b_enc: Tensor,
        b_dec: Tensor,
        *,
        activation: Activation,
        k: int | float | None = None,
        threshold: Tensor | None = None,
        b_pre: Tensor | None = None,
        b_gate: Tensor | None = None,
        b_mag: Tensor | None = None,
        r_mag: Tensor | None = None,
        W_skip: Tensor | None = None,
        input_norm: InputNorm = InputNorm(),
        undo_norm: bool = False,
        rescale_by_decoder_norm: bool = False,
    ):
        """W_enc [d, n], W_dec [n, d_out], b_enc [n], b_dec [d_out], b_pre [d] or None for 0, threshold [n] or one number.

        gated reads b_gate, b_mag and r_mag, all [n], instead of b_enc. W_skip [d_out, d]. undo_norm: the input norm is undone after
        decode. With rescale_by_decoder_norm, units are chosen by pre * |W_dec| and f is divided by the norm before it is decoded.
        Raises BadInput when shapes do not fit, when something is missing, or when a weight is no finite number or absurdly large.
        """
        if W_enc.ndim != 2 or not W_enc.numel():
            raise BadInput(f"W_enc has shape {tuple(W_enc.shape)}; it must be a matrix [width, units].")
        d, n = W_enc.shape
        d_out = W_dec.shape[-1] if W_dec.ndim else 0
        given = {"W_dec": (W_dec, (n, d_out)), "b_enc": (b_enc, (n,)), "b_dec": (b_dec, (d_out,)), "b_pre": (b_pre, (d,)), "W_skip": (W_skip, (d_out, d))}
        given |= {"b_gate": (b_gate, (n,)), "b_mag": (b_mag, (n,)), "r_mag": (r_mag, (n,))}
        for name, (tensor, shape) in given.items():
            if tensor is not None and tuple(tensor.shape) != shape:
                raise BadInput(f"{name} has shape {tuple(tensor.shape)}; with W_enc {(d, n)} it must have {shape}.")
        if threshold is not None and tuple(threshold.shape) not in ((), (1,), (n,)):
            raise BadInput(f"threshold has shape {tuple(threshold.shape)}; it must be one number or {(n,)}.")
        _check_activation(activation, n, k, threshold, (b_gate, b_mag, r_mag))
        for name, tensor in {"W_enc": W_enc, "threshold": threshold, **{name: t for name, (t, _) in given.items()}}.items():
            if tensor is not None:
                _check_values(name, tensor)
        self.W_enc, self.W_dec, self.b_enc, self.b_dec = (t.detach().float() for t in (W_enc, W_dec, b_enc, b_dec))
        self.b_pre, self.threshold, self.W_skip = (None if t is None else t.detach().float() for t in (b_pre, threshold, W_skip))
        self.b_gate, self.b_mag, self.r_mag = (None if t is None else t.detach().float() for t in (b_gate, b_mag, r_mag))
        self.activation: Activation = activation
        self.k, self.rescale = k, rescale_by_decoder_norm
        self.input_norm, self.undo_norm = input_norm, undo_norm
        self.norms = lengths(self.W_dec)
        self.n_units, self.width, self.width_out = n, d, d_out
        self.signed = activation == "abstopk"

    @property
    def reads_batches(self) -> bool:
        """Whether a position's features depend on the others of its batch: a batchtopk without threshold."""
        return self.activation == "batchtopk" and self.threshold is None

    def with_input_norm(self, norm: InputNorm) -> SparseAutoencoder:
        """The same weights behind another input norm, undone after decode."""
        other = copy.copy(self)
        other.input_norm, other.undo_norm = norm, True
        return other

    def with_pre_bias(self, b_pre: Tensor) -> SparseAutoencoder:
        """The same weights with b_pre [d] subtracted from the input."""
        other = copy.copy(self)
        other.b_pre = b_pre
        return other

    def transposed(self) -> SparseAutoencoder:
        """Both matrices turned, for a square one whose orientation nothing tells."""
        other = copy.copy(self)
        other.W_enc, other.W_dec = self.W_enc.T, self.W_dec.T
        other.norms = lengths(other.W_dec)
        return other

    def _chosen(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(values, indices or None), before any division by the decoder's norm."""
        if x.ndim != 2 or x.shape[1] != self.width:
            raise BadInput(f"Activations have shape {tuple(x.shape)}; this dictionary reads [positions, {self.width}].")
        read = self.input_norm.apply(x.float())
        pre = (read if self.b_pre is None else read - self.b_pre) @ self.W_enc
        if self.b_gate is not None and self.b_mag is not None and self.r_mag is not None:
            return gated(pre, self.b_gate, self.b_mag, self.r_mag), None
        pre += self.b_enc
        if self.rescale:
            pre *= self.norms
        return activate(self.activation, pre, self.k, self.threshold)

    def encode(self, x: Tensor) -> Codes:
        """[n_positions, d] -> f as it multiplies W_dec. Raises BadInput for another width."""
        return self._scaled(x, 1.0 / self.norms.clamp_min(1e-12) if self.rescale else None)

    def codes(self, values: NDArray[np.float32]) -> Codes:
        """[n_positions, d] -> f_i * |W_dec[i]|, the values shown to people."""
        return self._scaled(torch.as_tensor(values), None if self.rescale else self.norms)

    def _scaled(self, x: Tensor, scale: Tensor | None) -> Codes:
        with torch.inference_mode():
            values, indices = self._chosen(x)
            if scale is not None:
                values = values * (scale if indices is None else scale[indices])
        return Codes(values.numpy(), None if indices is None else indices.numpy(), self.n_units)

    def decode(self, f: Tensor, x: Tensor | None = None) -> Tensor:
        """f [n_positions, n], as `encode` gives it, -> x^ [n_positions, d_out].

        x [n_positions, d] is what f was encoded from. Raises BadInput without it where the norm of each position is to be undone, or
        part of x^ skips the units.
        """
        undone = self.undo_norm and self.input_norm.per_position
        if x is None and (undone or self.W_skip is not None):
            raise BadInput("This dictionary reconstructs from its input too (a norm to undo, or a skip connection): give the activations beside the features.")
        decoded = f.float() @ self.W_dec + self.b_dec
        if self.undo_norm:
            decoded = self.input_norm.undo(x)(decoded)
        return decoded if x is None or self.W_skip is None else decoded + x.float() @ self.W_skip.T

    def reconstruct(self, x: Tensor) -> Tensor:
        """x^ of x, [n_positions, d_out]."""
        return self.decode(torch.as_tensor(self.encode(x).dense()), x)

    def step(self, x: Tensor, units: Sequence[int], change: Tensor) -> Tensor:
        """What x^ [n_positions, d_out] gains when f, as `encode` makes it of x, changes by [n_positions, len(units)] in some units."""
        decoded = change @ self.W_dec[list(units)]
        return self.input_norm.undo_step(x, decoded) if self.undo_norm else decoded

    def directions(self) -> Tensor:
        return self.W_dec


def _check_values(name: str, tensor: Tensor) -> None:
    most = LARGEST_EXPONENT if name == "r_mag" else LARGEST_WEIGHT
    least_and_largest = [float(edge) for edge in tensor.aminmax()]
    if not all(map(math.isfinite, least_and_largest)):
        raise BadInput(f"{name} holds values that are no finite numbers: the file is damaged, or its training failed.")
    if max(map(abs, least_and_largest)) > most:
        raise BadInput(f"{name} holds values up to {max(map(abs, least_and_largest)):.3g}, beyond {most:g}: the file is damaged, or its training failed.")


def _check_activation(kind: str, n: int, k: int | float | None, threshold: Tensor | None, gates: tuple[Tensor | None, ...]) -> None:
    if kind not in ACTIVATIONS:
        raise unknown("activation of autoencoders", str(kind), ACTIVATIONS)
    if kind in NEED_K and not (isinstance(k, int) and 1 <= k <= n):
        raise BadInput(f"A {kind} autoencoder needs k from 1 to {n}; it says {k}.")
    if kind == "groupmax" and n % int(k or 1):
        raise BadInput(f"A groupmax autoencoder takes the largest of each of k equal groups; {n} units do not split into {k}.")
    if kind == "batchtopk" and threshold is None and not (isinstance(k, (int, float)) and 0 < k <= n):
        raise BadInput(f"A batchtopk autoencoder without threshold needs k from 1 to {n}; it says {k}.")
    if kind == "jumprelu" and threshold is None:
        raise BadInput("A JumpReLU autoencoder needs a threshold; the file has none.")
    if kind == "gated" and any(g is None for g in gates):
        raise BadInput("A gated autoencoder needs b_gate, b_mag and r_mag; the file lacks some of them.")


class Identity(Dictionary):
    """The values at the hook themselves: neurons, or the residual stream's axes."""

    def __init__(self, width: int, directions: Tensor | None = None):
        """directions [width, d]: the columns of the layer that reads the neurons; None for the stream's own axes."""
        self.n_units = self.width = width
        self.signed = True
        self._directions = directions

    def codes(self, values: NDArray[np.float32]) -> Codes:
        return Codes(values, None, self.n_units)

    def directions(self) -> Tensor | None:
        return self._directions
