"""Autoencoders that nobody has trained: what a sweep's figures are worth nothing without."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from ....dictionaries.base import SparseAutoencoder
from ....learning.kinds import trainee
from ....learning.settings import Start, TrainSettings
from ....tensors import lengths

STARTS: dict[Start, str] = {"frames": "training frames as directions", "random": "random directions"}
"""how each control is called"""
_N_FITTED = 65_536


def untrained(x: Tensor, settings: TrainSettings, start: Start) -> SparseAutoencoder:
    """A topk autoencoder before its first step, over training activations x [n, d].

    Encoder and decoder rows are the same directions at the length `start_norm`, without biases but for the mean of x.
    """
    return trainee(x, replace(settings, kind="topk", start=start), torch.Generator().manual_seed(settings.seed)).folded()


def scaled(sae: SparseAutoencoder, x: Tensor) -> SparseAutoencoder:
    """The same units, what they decode multiplied by the one factor that fits x [n, d] best: sum (x - b) g / sum g^2, g = f W_dec.

    At the start rows are short on purpose, so that x^ is too; with the factor a control is judged by its directions alone.
    """
    chosen = x[:: max(len(x) // _N_FITTED, 1)]
    products = squares = 0.0
    for part in torch.split(chosen, 4096):
        g = sae.reconstruct(part) - sae.b_dec
        products += float(((part - sae.b_dec) * g).sum(dtype=torch.float64))
        squares += float(g.pow(2).sum(dtype=torch.float64))
    other = copy.copy(sae)
    other.W_dec = sae.W_dec * (products / squares if squares else 1.0)
    other.norms = lengths(other.W_dec)
    return other
