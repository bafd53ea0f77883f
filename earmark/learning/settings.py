"""How an autoencoder is trained: every number of it, with what is usual for each kind, and the schedules over the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import BadInput

SaeKind = Literal["topk", "batchtopk", "l1", "tied_l1", "ksparse"]
Start = Literal["frames", "random", "orthogonal"]
Scaling = Literal["variance", "norm", "none"]
Optimiser = Literal["adam", "radam"]
Decay = Literal["linear", "cosine"]
WITHOUT_K: tuple[SaeKind, ...] = ("l1", "tied_l1")
"""kinds whose number of active units follows from the penalty"""


@dataclass(frozen=True)
class TrainSettings:
    """How to train. The defaults are those of topk and batchtopk; `usual` gives each kind's."""

    kind: SaeKind = "topk"
    """topk: k units at each position; batchtopk: k in the mean over a batch, afterwards those above one threshold; l1, tied_l1: a penalty keeps values small;
    ksparse: k units, tied weights, and penalties"""
    n_units: int = 3072
    k: int = 32
    n_activations: int = 2_500_000
    """positions seen, repetitions counted"""
    batch: int = 2048
    lr: float = 8e-4
    start: Start = "frames"
    """the decoder's rows at the start: training activations, random directions, or a random orthogonal matrix"""
    start_norm: float = 0.1
    """their length, over inputs as `scaling` makes them"""
    aux: float = 0.0
    """weight of the loss that brings back dead units (AuxK: 1/32); 0: none"""
    warmup_steps: int = 40
    decay_share: float = 0.25
    """last part of the steps, over which the rate falls to 0"""
    clip: float = 1.0
    seed: int = 0
    held_out_share: float = 0.1
    """of the samples, chosen by the hash of their ids"""
    scaling: Scaling = "variance"
    """of inputs: centred with values of variance 1 in the mean; norm: times sqrt(d) / E|x|; none: as the model gives them"""
    penalty: float = 5.0
    """weight of the sum of values, which keeps them small; topk and batchtopk have none"""
    penalty_warmup_share: float = 0.0
    """first part of the steps, over which the weights of penalties rise from 0"""
    covariance: float = 0.0
    """weight of the penalty on what two units have in common (ksparse)"""
    reconstruction: float = 1.0
    """weight of the squared error beside the penalties (tied_l1: FREUD's recon_alpha)"""
    pre_bias: bool = False
    """whether the decoder's bias is subtracted before encoding (topk, batchtopk, l1)"""
    unit_decoder: bool = False
    """whether the decoder's rows have length 1 throughout"""
    dead_after: int = 100_000
    """positions without a value above 0 after which a unit is taken for dead"""
    optimiser: Optimiser = "adam"
    beta2: float = 0.999
    """how long the optimiser remembers the gradients' squares"""
    decay: Decay = "linear"

    def __post_init__(self) -> None:
        words = (("kind", SaeKind), ("start", Start), ("scaling", Scaling), ("optimiser", Optimiser), ("decay", Decay))
        for name, valid in words:
            if getattr(self, name) not in get_args(valid):
                raise BadInput(f"{name} is '{str(getattr(self, name))[:40]}'; valid: {', '.join(get_args(valid))}.")
        if self.n_units < 1:
            raise BadInput(f"n_units is {self.n_units}; at least 1 is needed.")
        if self.kind not in WITHOUT_K and not 1 <= self.k <= self.n_units:
            raise BadInput(f"k is {self.k}; it must lie from 1 to the number of units, {self.n_units}.")
        if self.n_activations < self.batch or self.batch < 2:
            raise BadInput(f"{self.n_activations} activations in batches of {self.batch} make no step; raise the first or lower the second.")
        if not 0 < self.lr < 1 or not 0 < self.held_out_share < 1:
            raise BadInput(f"The rate ({self.lr}) and the held-out share ({self.held_out_share}) must lie between 0 and 1.")
        for name in ("start_norm", "clip", "reconstruction", "dead_after"):
            if not 0 < getattr(self, name) < math.inf:
                raise BadInput(f"{name} is {getattr(self, name)}; it must be a number above 0.")
        for name in ("aux", "penalty", "covariance", "warmup_steps"):
            if not 0 <= getattr(self, name) < math.inf:
                raise BadInput(f"{name} is {getattr(self, name)}; it must be 0 or a number above.")
        for name in ("decay_share", "penalty_warmup_share", "beta2"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name} is {getattr(self, name)}; it must lie from 0 to 1.")

    @property
    def n_steps(self) -> int:
        return self.n_activations // self.batch

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rise = min(1.0, (step + 1) / max(self.warmup_steps, 1))
        fall = min(1.0, (self.n_steps - step) / max(self.decay_share * self.n_steps, 1))
        return self.lr * rise * (fall if self.decay == "linear" else (1 - math.cos(math.pi * fall)) / 2)

    def penalty_share(self, step: int) -> float:
        """Of the penalties' full weight, at a step counted from 0."""
        return min(1.0, (step + 1) / max(self.penalty_warmup_share * self.n_steps, 1))


USUAL: dict[str, dict[str, Any]] = {
    "topk": {},
    "batchtopk": {},
    # Anthropic's update of April 2024
    "l1": {"lr": 5e-5, "start": "random", "scaling": "norm", "warmup_steps": 0, "decay_share": 0.2, "penalty": 5.0, "penalty_warmup_share": 0.05},
    # FREUD's configs/train/tiny_l1.json
    "tied_l1": {
        "lr": 4e-4,
        "start": "orthogonal",
        "scaling": "none",
        "warmup_steps": 0,
        "decay_share": 1.0,
        "penalty": 1.0,
        "reconstruction": 1e4,
        "unit_decoder": True,
        "optimiser": "radam",
        "decay": "cosine",
    },
    # the Lab's, for a text or a clip as one batch: plain Adam
    "ksparse": {
        "lr": 3e-3,
        "start": "random",
        "start_norm": 0.3,
        "warmup_steps": 0,
        "decay_share": 0.0,
        "clip": 1e9,
        "penalty": 0.01,
        "covariance": 0.01,
    },
}
"""what differs from the defaults where a kind is trained as its publishers do"""


def usual(kind: str, **given: Any) -> TrainSettings:
    """The settings that are usual for a kind, with `given` in their place. Raises BadInput for what makes no sense."""
    chosen: dict[str, Any] = {"kind": kind, **USUAL.get(kind, {}), **given}
    return TrainSettings(**chosen)
