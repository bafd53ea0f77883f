"""Does a dictionary fit the activations it is given: L0 and FVU over some seconds of input, every open way of reading it tried."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...dictionaries.base import SparseAutoencoder
from ...dictionaries.checkpoint import MEAN_NORM, RAW, Checkpoint
from ...errors import BadInput
from ...measure.quality import Quality, QualityMeter

CHUNK_VALUES = 1 << 23
"""feature values in memory at a time"""
POOR_FVU = 0.9
"""from here on a reconstruction is hardly better than the mean of the activations"""


@dataclass(frozen=True)
class Tried:
    """One way of reading the checkpoint."""

    scale: str
    """as `open_checkpoint` takes it"""
    fvu: float | None
    """None for a transcoder whose target is not given"""
    l0: float


@dataclass(frozen=True)
class SelfCheck:
    """What some seconds of input say about a dictionary."""

    scale: str
    """the way with the lowest FVU, as `open_checkpoint` takes it"""
    fvu: float | None
    l0: float
    n_positions: int
    fits: bool | None
    """whether the FVU is below POOR_FVU; None when it cannot be told"""
    tried: tuple[Tried, ...]
    """best first"""
    verdict: str
    """a sentence or two for people"""

    def json(self) -> dict[str, Any]:
        return asdict(self)


def self_check(checkpoint: Checkpoint, x: NDArray[np.float32], target: NDArray[np.float32] | None = None) -> SelfCheck:
    """x [n_positions, d] from the hook; target [n_positions, d_out] what a transcoder is to give. Raises BadInput for another width or no variation.

    Where the checkpoint was opened with a scale, or leaves nothing open, that alone is measured.
    """
    _check_input(checkpoint.dictionary, x)
    if target is not None and target.shape != (len(x), checkpoint.dictionary.width_out):
        raise BadInput(f"The target has shape {target.shape}; it must be {(len(x), checkpoint.dictionary.width_out)}.")
    ways = [checkpoint] if checkpoint.scale or not checkpoint.candidates else [checkpoint.scaled(_with_factor(way, x)) for way in checkpoint.candidates]
    measured = [(way.scale or RAW, _measure(way.dictionary, x, target)) for way in ways]
    judged = target is not None or not checkpoint.facts.get("transcoder")
    tried = [Tried(way, quality.fvu if judged else None, quality.l0) for way, quality in measured]
    tried.sort(key=lambda t: math.inf if t.fvu is None or math.isnan(t.fvu) else t.fvu)
    best = tried[0]
    fits = None if best.fvu is None else best.fvu < POOR_FVU
    return SelfCheck(best.scale, best.fvu, best.l0, len(x), fits, tuple(tried), _verdict(checkpoint, tried, len(x)))


def _check_input(sae: SparseAutoencoder, x: NDArray[np.float32]) -> None:
    if x.ndim != 2 or x.shape[1] != sae.width:
        raise BadInput(f"Activations have shape {x.shape}; this dictionary reads [positions, {sae.width}]: it belongs to another hook or model.")
    if len(x) < 2 or not np.isfinite(x).all() or bool((x == x[0]).all()):
        raise BadInput(f"{len(x)} positions that are finite and differ are needed to check a dictionary; use a longer sample, and one that is not silent.")


def _with_factor(way: str, x: NDArray[np.float32]) -> str:
    """sqrt(d) over the mean norm of these activations, written into the way that needs it."""
    mean_norm = float(np.linalg.norm(x.astype(np.float64), axis=1).mean())
    return "+".join(f"{MEAN_NORM}={x.shape[1] ** 0.5 / mean_norm:.6g}" if part == MEAN_NORM else part for part in way.split("+"))


def _measure(sae: SparseAutoencoder, x: NDArray[np.float32], target: NDArray[np.float32] | None) -> Quality:
    meter = QualityMeter(sae.n_units, sae.width_out)
    step = len(x) if sae.reads_batches else max(CHUNK_VALUES // sae.n_units, 1)
    for start in range(0, len(x), step):
        part = torch.as_tensor(x[start : start + step])
        f = sae.encode(part).dense()
        x_hat = sae.decode(torch.as_tensor(f), part).numpy()
        wanted = target[start : start + step] if target is not None else part.numpy() if sae.width_out == sae.width else x_hat
        meter.add(wanted, x_hat, f)
    return meter.result()


def _verdict(checkpoint: Checkpoint, tried: list[Tried], n_positions: int) -> str:
    best = tried[0]
    figures = f"L0 {best.l0:.1f} on {n_positions:,} positions"
    if best.fvu is None:
        return f"{figures}. It is a transcoder: what it predicts lies at another hook, so that its FVU is not told by its input."
    told = f"FVU {best.fvu:.3f}, {figures}."
    others = "; ".join(f"{t.scale} gives FVU {t.fvu:.3f}" for t in tried[1:])
    if best.fvu < POOR_FVU:
        return told + (f" The file leaves open how its input is scaled: {best.scale} is used, {others}." if others else "")
    ways = f" Tried: {best.scale}{'; ' + others if others else ''}." if others else f" Tried: {best.scale}, the only way the file allows."
    square = checkpoint.dictionary.width == checkpoint.dictionary.n_units
    turned = " Both orientations of its square matrices are among them." if any("transposed" in t.scale for t in tried) else ""
    turned = turned or (" Its matrices are square: they may be the other way round." if square else "")
    return (
        f"{told} That is hardly better than the mean of the activations: the dictionary does not fit this hook.{ways}{turned} "
        "Probably it was trained on another layer, another hook or another model, or its input was normed in a way that the file does not tell."
    )
