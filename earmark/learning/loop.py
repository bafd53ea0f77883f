"""The loop: draw a batch, take a step, say what it cost. The command line and the page run the same one.

It is our own. On two CPU cores it takes fewer of a core's seconds a step than sae-lens, eai-sparsify and dictionary_learning (benchmarks/README.md has
the figures), each of which would also bring its packages (sae-lens 118, the others about 13 and 53), trains some of the kinds only, and keeps no state
from which a stopped run would end with the same weights. `requirements-train.txt` has sae-lens for those who want it: what it saves is read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import BadInput
from ..measure.losses import normalised_mse
from .kinds import trainee
from .positions import Positions
from .settings import TrainSettings
from .trainee import Loss, Trainee


@dataclass(frozen=True)
class Metrics:
    """Of one step, on its own batch."""

    step: int
    """from 0"""
    loss: float
    parts: dict[str, float]
    """what the loss is the sum of, such as reconstruction and sparsity"""
    fvu: float
    """share of the batch's variance that is not reconstructed"""
    l0: float
    """units that are not 0 at a position, in the mean"""
    dead: float
    """share of the units that were silent for long (settings.dead_after)"""
    lr: float

    def json(self) -> dict[str, float]:
        """One flat line of a log."""
        parts = {f"loss_{name}": value for name, value in self.parts.items()}
        return {"step": self.step, "loss": self.loss, **parts, "fvu": self.fvu, "l0": self.l0, "dead": self.dead, "lr": self.lr}


class Step(NamedTuple):
    """A step that was taken."""

    number: int
    """from 0"""
    batch: Tensor
    """[batch, d], scaled"""
    loss: Loss
    model: Trainee

    def metrics(self) -> Metrics:
        """Costs some milliseconds, so that not every step needs to."""
        active, settings = self.loss.active, self.model.settings
        fvu = normalised_mse(self.batch, active.x_hat.detach().float()).item()
        l0 = (active.values != 0).sum().item() / len(self.batch)
        parts = {name: value.item() for name, value in self.loss.parts.items()}
        return Metrics(self.number, self.loss.total.item(), parts, fvu, l0, self.model.dead.float().mean().item(), settings.rate(self.number))


class Training:
    """An autoencoder on its way, and everything that its next step depends on."""

    def __init__(self, x: Positions, settings: TrainSettings, device: str = "cpu", bf16: bool | None = None):
        """x [n, d]: activations of any float type, in memory or mapped from a file; batches are drawn from all of them at random.

        bf16: products of matrices in that precision, parameters and sums in float32 as before (None: on GPUs).
        """
        self.settings, self.device = settings, torch.device(device)
        self.bf16 = self.device.type == "cuda" if bf16 is None else bf16
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.model = trainee(x, settings, self.generator).to(self.device)
        self.x = _near(x, self.device)
        self.optimiser = optimiser_of(self.model, settings)
        self.step = 0

    def steps(self) -> Iterator[Step]:
        """Take the remaining steps, one for each `next`. Raises BadInput when the loss is no finite number any more."""
        while self.step < self.settings.n_steps:
            yield self._take()

    def _take(self) -> Step:
        number, model, settings = self.step, self.model, self.settings
        for group in self.optimiser.param_groups:
            group["lr"] = settings.rate(number)
        batch = model.normalise(self._draw())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = model.loss(batch, settings.penalty_share(number))
        if not torch.isfinite(loss.total):
            raise BadInput(f"Training diverged at step {number}: the loss is {loss.total.item()}. Lower the rate, {settings.lr}.")
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss.total)
        model.before_step()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        self.optimiser.step()
        model.after_step()
        model.observe(loss.active, len(batch))
        self.step = number + 1
        return Step(number, batch, loss, model)

    def _draw(self) -> Tensor:
        """A batch [batch, d]; of no more activations than that, all of them."""
        if len(self.x) <= self.settings.batch:
            return torch.cat(list(self.x.split(len(self.x))))
        chosen = torch.randint(len(self.x), (self.settings.batch,), generator=self.generator)
        return self.x[chosen.to(self.x.device)]

    def state(self) -> dict[str, Any]:
        """All that a run needs to go on as if it had not stopped."""
        kept = {"model": self.model, "optimiser": self.optimiser}
        return {"step": self.step, "generator": self.generator.get_state(), **{name: part.state_dict() for name, part in kept.items()}}

    def restore(self, state: dict[str, Any]) -> None:
        """Raises KeyError, ValueError or RuntimeError for a state of another run."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.step = int(state["step"])


def _near(x: Positions, device: torch.device) -> Positions:
    """On the GPU where they take at most half of what is free there."""
    if device.type != "cuda" or not isinstance(x, Tensor) or x.nbytes > torch.cuda.mem_get_info(device)[0] // 2:
        return x
    return x.to(device)


def optimiser_of(model: Trainee, settings: TrainSettings) -> torch.optim.Optimizer:
    if settings.optimiser == "radam":
        return torch.optim.RAdam(model.parameters(), lr=settings.lr, betas=(0.9, settings.beta2), eps=1e-5)
    return torch.optim.Adam(model.parameters(), lr=settings.lr, betas=(0.9, settings.beta2), fused=True)
