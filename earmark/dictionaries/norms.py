"""What is done to activations before an autoencoder reads them, and how that is undone after decode.

x [n_positions, d]: s x; x / |x|; sqrt(d) x / |x| (SAELens's constant_norm_rescale); (x - mean) / (sigma + 1e-5) with sigma unbiased
(OpenAI's and SAELens's layer norm; undone with sigma alone, as they do); x - mean over d, what TransformerLens's centred weights give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..tensors import lengths

LAYER_NORM_EPSILON = 1e-5
_TINY = 1e-12
"""silence has no direction: a position of norm 0 stays 0"""

NormKind = Literal["none", "scale", "unit", "sqrt_d", "layer", "centre"]


@dataclass(frozen=True)
class InputNorm:
    """One of the norms above."""

    kind: NormKind = "none"
    factor: float = 1.0
    """s of the kind `scale`"""

    @property
    def per_position(self) -> bool:
        """Whether undoing it needs the input."""
        return self.kind not in ("none", "scale")

    def apply(self, x: Tensor) -> Tensor:
        """[n_positions, d] -> the same, normed."""
        if self.kind == "scale":
            return x * self.factor
        if self.kind == "unit":
            return x / _norm(x)
        if self.kind == "sqrt_d":
            return x * (x.shape[-1] ** 0.5 / _norm(x))
        if self.kind == "layer":
            centred = x - x.mean(dim=-1, keepdim=True)
            return centred / (x.std(dim=-1, keepdim=True) + LAYER_NORM_EPSILON)
        return x - x.mean(dim=-1, keepdim=True) if self.kind == "centre" else x

    def undo(self, x: Tensor | None) -> Callable[[Tensor], Tensor]:
        """The inverse for what was decoded of x, which only the norms per position need."""
        if x is not None and self.kind in ("layer", "centre"):
            return lambda y: self.undo_step(x, y) + x.mean(dim=-1, keepdim=True)
        return lambda y: self.undo_step(x, y)

    def undo_step(self, x: Tensor | None, step: Tensor) -> Tensor:
        """The linear part of that inverse: what becomes of a change of what was decoded."""
        if self.kind == "scale":
            return step / self.factor
        if x is None or self.kind in ("none", "centre"):
            return step
        if self.kind == "unit":
            return step * _norm(x)
        if self.kind == "sqrt_d":
            return step * (_norm(x) / x.shape[-1] ** 0.5)
        return step * x.std(dim=-1, keepdim=True)


def _norm(x: Tensor) -> Tensor:
    return lengths(x, keepdim=True).clamp_min(_TINY)
