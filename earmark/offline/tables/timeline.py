"""Every unit over the corpus's first positions, one after the other: the line plot of a unit without a model.

Each worker keeps the codes of its first samples until they fill the line on their own; together they cover its beginning. Codes
wait in files, so that memory does not grow with the dictionary.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...atomic import new_file
from ...dictionaries.base import Codes
from ...shelf.schema import TIMELINE_LEVELS

N_POSITIONS = 10_000
"""as many as the wave-sae notebook plots"""
N_TOKENS = 2_048
"""of texts, whose tables shall be small"""
_UNITS_A_BLOCK = 1024


class Beginning:
    """One worker's part of the first positions of a dictionary."""

    def __init__(self, stem: Path, n_positions: int = N_POSITIONS):
        """stem: the files' path without their number; n_positions: length of the line."""
        self._stem, self._n_positions, self.n_kept = stem, n_positions, 0

    def add(self, row: int, codes: Codes) -> None:
        """The values of all units on one sample, of which the rows of a worker come in ascending order."""
        if self.n_kept >= self._n_positions:
            return
        with new_file(_file(self._stem, row)) as file:
            sparse.save_npz(file, codes.sparse(), compressed=False)
        self.n_kept += codes.values.shape[0]


def timeline_rows(stem: Path, n_units: int, n_positions: int = N_POSITIONS) -> Iterator[list[dict[str, Any]]]:
    """Rows of the table `timeline`, from what all workers kept: each unit's values as bytes between its smallest and its largest."""
    paths, _ = _line(stem, n_positions)
    for first in range(0, n_units, _UNITS_A_BLOCK):
        parts = [sparse.csc_matrix(sparse.load_npz(path))[:, first : first + _UNITS_A_BLOCK].toarray() for path in paths]
        values = np.concatenate(parts)[:n_positions]
        yield [_row(first + column, values[:, column]) for column in range(values.shape[1])]


def timeline_starts(stem: Path, n_positions: int = N_POSITIONS) -> list[int]:
    """Where each of the first samples begins on the line; the last number is the line's length."""
    return _line(stem, n_positions)[1]


def _line(stem: Path, n_positions: int) -> tuple[list[Path], list[int]]:
    """The files of the first samples, as many as the line needs, and where each begins."""
    paths: list[Path] = []
    starts = [0]
    while starts[-1] < n_positions and (path := _file(stem, len(paths))).exists():
        paths.append(path)
        starts.append(min(starts[-1] + sparse.load_npz(path).shape[0], n_positions))
    return paths, starts


def _file(stem: Path, row: int) -> Path:
    return stem.with_name(f"{stem.name}-{row:06d}.npz")


def _row(unit: int, values: NDArray[np.float32]) -> dict[str, Any]:
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    shares = (values - low) / ((high - low) or 1.0)
    return {"unit": unit, "low": low, "high": high, "values": np.rint(shares * TIMELINE_LEVELS).astype(np.uint8).tobytes()}
