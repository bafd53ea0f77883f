"""The round trip of every unit: what comes back when one unit alone is decoded and the result is encoded again.

A unit is decoded at a value that is usual for it: a one-hot of 1 is next to nothing where values lie around 17, as in SmolLM2's layer 22, and then hardly any
unit comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

UNITS_A_BATCH = 256


@dataclass(frozen=True)
class Trips:
    """encode(decode(value · one-hot i)) for every unit i, one row a unit; values as they multiply the decoder's rows."""

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


def round_trips(
    values: NDArray[np.float32], decode: Callable[[Tensor], Tensor], encode: Callable[[Tensor], NDArray[np.float32]], batch: int = UNITS_A_BATCH
) -> Trips:
    """values: [n_units]; decode: [n, n_units] -> [n, width]; encode: [n, width] -> [n, n_units]. `batch` is 1 where rows depend on each other."""
    parts = [_rows(units, alone(units, values), decode, encode) for units in torch.split(torch.arange(len(values)), batch)]
    own, largest, largest_unit, mean, square = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Trips(own, largest, largest_unit, mean, square)


def alone(units: Tensor, values: NDArray[np.float32]) -> Tensor:
    """float32 [n, n_units]: each row's unit at its value, all others 0."""
    return torch.nn.functional.one_hot(units, len(values)) * torch.as_tensor(values)


def _rows(units: Tensor, decoded: Tensor, decode: Callable[[Tensor], Tensor], encode: Callable[[Tensor], NDArray[np.float32]]) -> tuple[NDArray[Any], ...]:
    row, unit = encode(decode(decoded)), units.numpy()
    own, largest = row[np.arange(len(row)), unit], row.max(axis=1)
    whose = np.where(own == largest, unit, row.argmax(axis=1)).astype(np.int32)
    return own, largest, whose, row.mean(axis=1), np.square(row).mean(axis=1)
