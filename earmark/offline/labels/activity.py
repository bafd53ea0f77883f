"""Values of a dictionary's units over stored activations, in blocks that fit into memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...dictionaries.base import Codes, Dictionary
from ..training.harvest import Harvest
from .firing import Block, Values, count_nonzero

_UNITS_A_BLOCK = 2048
RANDOM_SEED = 0


class RandomDirections(Dictionary):
    """Projections on random directions: what a label method names where nothing was learned."""

    def __init__(self, n_units: int, mean: NDArray[np.float32]):
        """mean [width] of the activations, taken off before the projection."""
        directions = torch.randn(n_units, len(mean), generator=torch.Generator().manual_seed(RANDOM_SEED))
        self.n_units, self.width, self._mean = n_units, len(mean), torch.as_tensor(mean)
        self._directions = torch.nn.functional.normalize(directions, dim=1)

    def codes(self, values: NDArray[np.float32]) -> Codes:
        return Codes(((torch.as_tensor(values) - self._mean) @ self._directions.T).numpy(), None, self.n_units)

    def directions(self) -> torch.Tensor:
        return self._directions


def positions_of(harvest: Harvest) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """([n_positions] row of the sample of each position of the corpus, [n_positions] whether it is an attention sink)."""
    rows, sinks = zip(*(harvest.marks(number) for number in range(harvest.n_groups)), strict=True)
    return np.concatenate(rows), np.concatenate(sinks)


def mean_of(harvest: Harvest) -> NDArray[np.float32]:
    """[width] mean activation."""
    total, n = np.zeros(harvest.hook.width), 0
    for values, _ in harvest.groups():
        total += values.sum(axis=0, dtype=np.float64)
        n += len(values)
    return (total / max(n, 1)).astype(np.float32)


def blocks(harvest: Harvest, dictionary: Dictionary) -> Iterator[Block]:
    """The values of all units over the whole corpus; 0 at attention sinks."""
    first = 0
    for number in range(harvest.n_groups):
        stored = harvest.stored(number)
        codes = dictionary.codes(stored.values)
        if codes.indices is not None:
            yield Block(first, stored.rows, 0, _without(codes.sparse(), stored.sinks))
        else:
            for unit in range(0, dictionary.n_units, _UNITS_A_BLOCK):
                yield Block(first, stored.rows, unit, _without(codes.values[:, unit : unit + _UNITS_A_BLOCK], stored.sinks))
        first += len(stored.rows)


def _without(values: Values, sinks: NDArray[np.bool_] | None) -> Values:
    """The same with 0 at sinks."""
    if sinks is None or not sinks.any():
        return values
    if isinstance(values, np.ndarray):
        return np.where(sinks[:, None], np.float32(0), values)
    kept = np.where(np.repeat(sinks, np.diff(values.indptr)), np.float32(0), values.data)
    return csr_matrix((kept, values.indices, values.indptr), shape=values.shape)


def walks(harvest: Harvest, dictionary: Dictionary) -> Callable[[], Iterable[Block]]:
    """The same for several walks: kept in memory where few values are not 0, computed anew each time elsewhere."""
    sparse = any(isinstance(block.values, csr_matrix) for block in itertools.islice(blocks(harvest, dictionary), 1))
    kept = list(blocks(harvest, dictionary)) if sparse else None
    return lambda: blocks(harvest, dictionary) if kept is None else kept


def top_fifth(walked: Iterable[Block], n_units: int, half: NDArray[np.int8]) -> NDArray[np.int64]:
    """[n_units] a fifth of each unit's non-zero positions in labelled samples, rounded up."""
    return -(-count_nonzero(walked, n_units, half) // 5)
