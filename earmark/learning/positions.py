"""Activations to learn from: in memory as a tensor, or in files that are too large for it, mapped and read batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray
from torch import Tensor

from ..errors import BadInput


class Positions(Protocol):
    """What a tensor [n, d] of any float type offers; all that training asks for."""

    @property
    def shape(self) -> Sequence[int]: ...

    @property
    def device(self) -> torch.device: ...

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Tensor, /) -> Tensor:
        """[m] places -> [m, d]"""
        ...

    def split(self, split_size: int, /) -> Iterable[Tensor]:
        """All of them in order, that many at a time."""
        ...


class Mapped:
    """Chosen rows of arrays that lie on the disk."""

    device = torch.device("cpu")

    def __init__(self, arrays: Sequence[NDArray[np.generic]], rows: NDArray[np.int64]):
        """arrays, each [n_i, d]; rows [n]: which of all their rows, counted through, in ascending order."""
        self._arrays, self._rows = arrays, rows
        self._firsts = np.cumsum([0, *map(len, arrays)])
        self.shape = (len(rows), arrays[0].shape[1])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, chosen: Tensor, /) -> Tensor:
        return torch.as_tensor(self._read(self._rows[chosen.numpy()]))

    def split(self, split_size: int, /) -> Iterator[Tensor]:
        return (torch.as_tensor(self._read(self._rows[i : i + split_size])) for i in range(0, len(self), split_size))

    def _read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read in the order of the disk, returned in the order of `rows`."""
        found = np.empty((len(rows), self.shape[1]), np.float32)
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], self._firsts)
        for array, first, start, end in zip(self._arrays, self._firsts, bounds[:-1], bounds[1:], strict=False):
            here = order[start:end]
            found[here] = array[rows[here] - first]
        return found


def read_activations(path: Path) -> NDArray[np.generic]:
    """Numbers [n_positions, width] of a .npy file, mapped. Raises BadInput for anything else; nothing is ever unpickled."""
    try:
        array: NDArray[np.generic] | NpzFile = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise BadInput(f"There is no file or folder '{path.name}'. --activations takes a .npy file, or a folder of them.") from None
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"'{path.name}' cannot be read as a .npy file of numbers ({type(error).__name__}).") from None
    if not isinstance(array, np.ndarray):
        raise BadInput(f"'{path.name}' is an archive of arrays; one .npy array is needed.")
    if array.ndim != 2 or array.dtype.kind not in "fiu" or not array.size:
        raise BadInput(f"'{path.name}' holds {array.dtype} {array.shape}; numbers of shape [n_positions, width] are needed.")
    return array
