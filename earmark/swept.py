"""One run of a sweep: an autoencoder, its figures on held-out samples, and how many of its units have a label that holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SweptRun:
    """A run, or what runs are compared with: neurons, residual axes, an autoencoder that nobody has trained."""

    name: str
    kind: str
    """topk or batchtopk; neurons or residual for those"""
    n_units: int
    k: int | None
    """active units at a position, of batchtopk in the mean; None for neurons and axes, as everything that says how a run was trained"""
    n_activations: int | None
    """positions seen in training, 0 for an untrained control"""
    lr: float | None
    start: str | None
    """where the decoder's rows start: frames or random"""
    start_norm: float | None
    aux: float | None
    """weight of the loss that brings back dead units"""
    l0: float | None
    fvu: float | None
    """on held-out samples; None for what reconstructs nothing"""
    fvu_scaled: float | None
    """of an untrained control: its FVU after the one factor on what it decodes that fits best"""
    dead: float | None
    n_eligible: int | None
    """units that are active often enough to be counted; None, as the next six, where nothing is known of what is said"""
    held_phone: int | None
    held_word: int | None
    held_class: int | None
    held_context: int | None
    held_share: float | None
    """of the eligible units those that hold by phone or word"""
    held_any_share: float | None
    """the same with classes and contexts"""
    control: bool
    """an autoencoder that nobody has trained"""
    shipped: bool
    """the one that the sweep's rule chooses"""
