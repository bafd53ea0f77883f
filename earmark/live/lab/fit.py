"""The training itself: all positions as one batch, on their principal axes, with a time limit, and with an ear for who wants it to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...dictionaries.base import SparseAutoencoder
from ...experiments import KINDS, Experiment
from ...learning.axes import Axes
from ...learning.loop import Training
from ...learning.settings import TrainSettings, usual

PLAIN: dict[str, Any] = {
    "start": "random",
    "start_norm": 0.2,
    "scaling": "variance",
    "warmup_steps": 0,
    "decay_share": 0.0,
    "clip": 1e9,
    "penalty_warmup_share": 0.0,
}
"""Adam at one rate, as the notebooks have it, for every kind"""


@dataclass(frozen=True)
class Point:
    """One step's losses."""

    step: int
    """from 0"""
    losses: dict[str, float]
    """total, and its parts with their weights: reconstruction, sparsity, covariance"""
    fvu: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a training gave."""

    sae: SparseAutoencoder
    """over activations as the model gives them"""
    losses: dict[str, NDArray[np.float32]]
    """part -> [n_steps]"""
    fvu: float
    """at the last step"""
    seconds: float
    ended: str
    """'' where all steps were taken, else stopped or late"""

    @property
    def n_steps(self) -> int:
        return len(self.losses["total"])


def settings_of(experiment: Experiment, n: int, width: int) -> TrainSettings:
    """As the loop wants them, for n positions of a hook. Raises BadInput for sizes that do not fit."""
    n_units, k = experiment.sizes(width)
    own = KINDS[experiment.kind]
    penalties = {"penalty": experiment.l1 if "l1" in own else 0.0, "covariance": experiment.covariance if "covariance" in own else 0.0}
    steps = {"batch": n, "n_activations": n * experiment.n_steps, "lr": experiment.lr, "seed": experiment.seed}
    return usual(experiment.kind, **PLAIN | {"n_units": n_units, "k": k} | steps | penalties)


def fit(
    x: NDArray[np.float32],
    experiment: Experiment,
    tell: Callable[[Point], object] = lambda point: None,
    stop: Callable[[], bool] = lambda: False,
    limit_s: float = 60.0,
) -> Fitted:
    """Train on x [n, width]. Each step is told; between steps `stop` is asked. Raises BadInput for what cannot be trained, or diverges."""
    own = torch.as_tensor(np.ascontiguousarray(x))
    axes = Axes.of(own)
    training = Training(axes.turn(own), settings_of(experiment, *x.shape))
    points: list[Point] = []
    began, ended = time.monotonic(), ""
    for step in training.steps():
        found = step.metrics()
        points.append(Point(found.step, {"total": found.loss, **found.parts}, found.fvu))
        tell(points[-1])
        ended = "stopped" if stop() else "late" if time.monotonic() - began > limit_s else ""
        if ended:
            break
    ended = "" if len(points) == experiment.n_steps else ended
    losses = {name: np.array([p.losses[name] for p in points], np.float32) for name in points[-1].losses}
    return Fitted(axes.back(training.model.folded()), losses, points[-1].fvu, time.monotonic() - began, ended)
