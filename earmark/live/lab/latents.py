"""What latents do on one text or clip: how often, how strongly, in which order; and their weights as pictures. No torch.

Values are f times the length of the decoder's row, [n_positions, n_units]; positions that are not counted (attention sinks) are in no figure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ...experiments import ORDERS


@dataclass(frozen=True, eq=False)
class Latents:
    """Figures of all latents over the counted positions, each [n_units]."""

    density: NDArray[np.float64]
    """share of the positions where it is above 0"""
    mean: NDArray[np.float64]
    """over all positions"""
    typical: NDArray[np.float64]
    """mean of the values above 0; 0 where there are none"""
    peak: NDArray[np.float64]

    @property
    def dead(self) -> float:
        """Share of the latents that are 0 everywhere."""
        return float((self.density == 0).mean())

    @property
    def l0(self) -> float:
        """Mean number of latents above 0 at a position."""
        return float(self.density.sum())


def latents_of(values: NDArray[np.float32], counted: NDArray[np.bool_]) -> Latents:
    """values [n_positions, n_units], counted [n_positions]."""
    own = values[counted].astype(np.float64)
    on = own > 0
    total = np.where(on, own, 0).sum(axis=0)
    return Latents(on.mean(axis=0), own.mean(axis=0), total / np.maximum(on.sum(axis=0), 1), own.max(axis=0, initial=0))


def in_order(latents: Latents, order: str) -> NDArray[np.int64]:
    """All latents: by their mean (activity) or their density, from high to low, equal ones by number; or by number. Raises BadInput for another order."""
    if order not in ORDERS:
        raise BadInput(f"There is no order '{order[:40]}'; valid: {', '.join(ORDERS)}.")
    if order == "number":
        return np.arange(len(latents.mean))
    return np.argsort(-(latents.mean if order == "activity" else latents.density), kind="stable")


def as_picture(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """One latent's weights [d] row by row, in a rectangle as near to a square as d allows; not a number where d fills none."""
    d = len(weights)
    rows = max(r for r in range(1, int(d**0.5) + 1) if d % r == 0)
    if d > 4 * rows * rows:
        rows = int(d**0.5)
    columns = -(-d // rows)
    return np.pad(weights.astype(np.float32), (0, rows * columns - d), constant_values=np.nan).reshape(rows, columns)
