"""The round trip of every unit: what comes back when one unit alone is decoded and the result is encoded again (metrics.md: round trip)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

UNITS_A_BATCH = 256


@dataclass(frozen=True)
class Trips:
    """encode(decode(one-hot i)) for every unit i, one row a unit; the one is 1 as it multiplies the decoder's row."""

    own: NDArray[np.float32]
    """[n_units] value of unit i itself"""
    largest: NDArray[np.float32]
    """[n_units] largest value of the row"""
    largest_unit: NDArray[np.int32]
    """[n_units] the unit that has it; i itself where several do"""
    mean: NDArray[np.float32]
    """[n_units] mean over all units"""
    square: NDArray[np.float32]
    """[n_units] mean square over all units"""


def round_trips(n_units: int, decode: Callable[[Tensor], Tensor], encode: Callable[[Tensor], NDArray[np.float32]], batch: int = UNITS_A_BATCH) -> Trips:
    """decode: [n, n_units] -> [n, width]; encode: [n, width] -> [n, n_units]. `batch` is 1 where rows of a batch depend on each other."""
    parts = [_rows(units, one_hot(units, n_units), decode, encode) for units in torch.arange(n_units).split(batch)]
    own, largest, largest_unit, mean, square = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Trips(own, largest, largest_unit, mean, square)


def one_hot(units: Tensor, n_units: int) -> Tensor:
    """float32 [n, n_units]: 1 at each row's unit."""
    return torch.nn.functional.one_hot(units, n_units).float()


def _rows(units: Tensor, alone: Tensor, decode: Callable[[Tensor], Tensor], encode: Callable[[Tensor], NDArray[np.float32]]) -> tuple[NDArray, ...]:
    row, unit = encode(decode(alone)), units.numpy()
    own, largest = row[np.arange(len(row)), unit], row.max(axis=1)
    whose = np.where(own == largest, unit, row.argmax(axis=1)).astype(np.int32)
    return own, largest, whose, row.mean(axis=1), np.square(row).mean(axis=1)
