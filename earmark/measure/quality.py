"""Quality of a dictionary, streamed over batches of positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Quality:
    """Figures over a stated number of positions."""

    l0: float
    """mean number of non-zero units at a position"""
    fvu: float
    """E|x - x^|^2 / (E|x|^2 - |E x|^2); 1 - explained variance"""
    dead: float
    """share of units that are 0 at every position"""
    density: float
    """mean over units of the share of positions where the unit is above 0"""
    n_positions: int

    def json(self) -> dict[str, float | int]:
        return asdict(self)


@dataclass
class QualityMeter:
    """Sums in float64, so that the order of batches does not matter."""

    n_units: int
    width: int
    n_positions: int = 0
    _error: float = 0.0
    _square: float = 0.0
    _n_active: float = 0.0
    _sum: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    _fired: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        self._sum = np.zeros(self.width)
        self._fired = np.zeros(self.n_units, np.int64)
        self._total = np.zeros(self.n_units)

    def add(self, x: NDArray[np.float32], x_hat: NDArray[np.float32], f: NDArray[np.float32]) -> None:
        """x, x^ [n, d] and f [n, n_units] of a batch."""
        self.n_positions += len(x)
        self._error += float(np.square((x - x_hat).astype(np.float64)).sum())
        self._square += float(np.square(x.astype(np.float64)).sum())
        self._sum += x.sum(axis=0, dtype=np.float64)
        active = f > 0
        self._n_active += float(np.count_nonzero(f))
        self._fired += active.sum(axis=0)
        self._total += np.where(active, f, 0).sum(axis=0, dtype=np.float64)

    def merge(self, other: QualityMeter) -> None:
        """As if both had seen one stream."""
        for name in ("n_positions", "_error", "_square", "_n_active", "_sum", "_fired", "_total"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def state(self) -> dict[str, NDArray[Any]]:
        """What `restore` takes: arrays by name."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def restore(cls, state: Mapping[str, NDArray[Any]]) -> QualityMeter:
        meter = cls(int(state["n_units"]), int(state["width"]))
        for name in vars(meter):
            setattr(meter, name, state[name] if state[name].ndim else state[name].item())
        return meter

    @property
    def mean(self) -> NDArray[np.float32]:
        """[width] mean of the inputs."""
        return (self._sum / max(self.n_positions, 1)).astype(np.float32)

    @property
    def typical(self) -> NDArray[np.float32]:
        """[n_units] mean of each unit's values above 0; of a unit without any, the median of the others'."""
        found = self._total / np.maximum(self._fired, 1)
        others = found[self._fired > 0]
        return np.where(self._fired > 0, found, np.median(others) if len(others) else 1.0).astype(np.float32)

    def result(self) -> Quality:
        n = max(self.n_positions, 1)
        variance = self._square / n - float(np.square(self._sum / n).sum())
        return Quality(
            l0=self._n_active / n,
            fvu=self._error / n / variance if variance > 0 else float("nan"),
            dead=float((self._fired == 0).mean()),
            density=float(self._fired.mean() / n),
            n_positions=self.n_positions,
        )
