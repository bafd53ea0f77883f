"""How large a training is and how long it will take, before it begins: `train --dry-run`."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from ....learning.kinds import trainee
from ....learning.loop import Training
from ....learning.settings import TrainSettings

_BYTES_A_PARAMETER = 16
"""the parameter, its gradient, and the optimiser's two means, in float32"""
_TIMED = (64, 192)
"""positions of the two batches that are timed; a whole one takes as much as the line through both says"""
_MOST_TIMED = 400_000_000
"""parameters beyond which nothing is timed"""


@dataclass(frozen=True)
class Estimate:
    """Of one training."""

    width: int
    n_steps: int
    n_parameters: int
    parameters_mb: float
    """with gradients and the optimiser's state"""
    batch_mb: float
    """what one step holds beside them"""
    activations_mb: float | None
    """of all positions in memory, in float32; None where nobody knows how many there are"""
    step_s: float | None
    """on this machine; None where it was not timed"""

    def lines(self, settings: TrainSettings, n_positions: int | None) -> list[str]:
        """As people read it."""
        held = "not known how many" if n_positions is None or self.activations_mb is None else f"{n_positions:,}, {_size(self.activations_mb)} in memory"
        whole = "not timed: too large for this" if self.step_s is None else f"{_span(self.step_s)} a step here, {_span(self.step_s * self.n_steps)} in all"
        return [
            f"kind         {settings.kind}: {self.width} -> {settings.n_units:,} units",
            f"steps        {self.n_steps:,} of {settings.batch:,} positions, {settings.n_activations:,} in all",
            f"positions    {held}",
            f"parameters   {self.n_parameters:,}; with gradients and the optimiser's state {_size(self.parameters_mb)}",
            f"a step       {_size(self.batch_mb)} beside them",
            f"on the disk  {_size(self.n_parameters * 2 / 1e6)}; a checkpoint {_size(self.parameters_mb * 0.75)}",
            f"time         {whole}",
        ]

    def json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(settings: TrainSettings, width: int, n_positions: int | None, device: str = "cpu") -> Estimate:
    """Sizes from the shapes; time from some steps of small batches of random positions, on this machine."""
    n_units = settings.n_units
    n_parameters = _n_parameters(settings, width)
    copies = 2 if "topk" in settings.kind else 5
    return Estimate(
        width,
        settings.n_steps,
        n_parameters,
        n_parameters * _BYTES_A_PARAMETER / 1e6,
        settings.batch * (copies * n_units + 6 * width) * 4 / 1e6,
        None if n_positions is None else n_positions * width * 4 / 1e6,
        _step_s(settings, width, device) if n_parameters <= _MOST_TIMED else None,
    )


def _n_parameters(settings: TrainSettings, width: int) -> int:
    """From the shapes that a tiny one of the same kind has."""
    tiny = replace(settings, n_units=7, k=1, batch=2, start="random")
    sizes = {7: settings.n_units, 5: width}
    shapes = [p.shape for p in trainee(torch.randn(4, 5), tiny, torch.Generator().manual_seed(0)).parameters()]
    return sum(math.prod(sizes[n] for n in shape) for shape in shapes)


def _step_s(settings: TrainSettings, width: int, device: str) -> float:
    small, large = (min(n, settings.batch) for n in _TIMED)
    times = [_timed(settings, width, n, device) for n in dict.fromkeys((small, large))]
    if len(times) == 1:
        return times[0]
    slope = max((times[1] - times[0]) / (large - small), 0.0)
    return max(times[0] - slope * small, 0.0) + slope * settings.batch


def _timed(settings: TrainSettings, width: int, batch: int, device: str) -> float:
    """Seconds of the quickest of three steps."""
    few = replace(settings, batch=batch, n_activations=4 * batch, start="random")
    training = Training(torch.randn(2 * batch, width, generator=torch.Generator().manual_seed(0)), few, device)
    seconds: list[float] = []
    steps = training.steps()
    for _ in range(4):
        began = time.perf_counter()
        next(steps)
        if training.device.type == "cuda":
            torch.cuda.synchronize(training.device)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.1f} MB"


def _span(seconds: float) -> str:
    for limit, unit, n in ((1, "ms", 0.001), (120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / n:.3g} {unit}"
    return f"{seconds / 86400:,.0f} days"
