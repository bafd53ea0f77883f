"""The kinds of autoencoders, one file each, with their losses; named in `TRAINEES`."""

from __future__ import annotations

import torch

from ..positions import Positions
from ..settings import TrainSettings
from ..trainee import Trainee
from . import ksparse, l1, tied_l1, topk

TRAINEES: dict[str, type[Trainee]] = {kind: made for module in (topk, l1, tied_l1, ksparse) for kind, made in module.KINDS.items()}
"""kind -> its class; a test fails when a file of this folder is missing, or a kind of settings.SaeKind"""


def trainee(x: Positions, settings: TrainSettings, generator: torch.Generator) -> Trainee:
    """A fresh one of the settings' kind, over training activations x [n, d]."""
    return TRAINEES[settings.kind](x, settings, generator)
