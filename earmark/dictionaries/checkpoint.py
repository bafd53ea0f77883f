"""What a format makes of a file: the dictionary, what the file says of itself, and what it leaves open."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import BadInput
from .base import SparseAutoencoder
from .files import Found
from .norms import InputNorm

RAW = "raw"
MEAN_NORM = "sqrt_d_over_mean_norm"
PRE_BIAS = "b_dec_subtracted"
TRANSPOSED = "transposed"
_NORMS = {
    "unit_norm": InputNorm("unit"),
    "sqrt_d_over_norm": InputNorm("sqrt_d"),
    "layer_norm": InputNorm("layer"),
    "centred": InputNorm("centre"),
}
CHOICES = (RAW, *_NORMS, MEAN_NORM, PRE_BIAS, TRANSPOSED)
"""ways to read what a file leaves open; several are joined by '+', and sqrt_d_over_mean_norm carries its factor: `...=0.042`"""


@dataclass(frozen=True)
class Publisher:
    """A row of the table of supported checkpoints."""

    name: str
    file: str
    """the files that are read"""
    source: str
    """where the layout is defined or published"""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint."""

    dictionary: SparseAutoencoder
    format: str
    files: tuple[Path, ...]
    """the weight files, whose sha256 names the dictionary's revision"""
    facts: dict[str, Any]
    """what the file says: model, hook, site and layer (in Earmark's words), dataset, class, k, ..., and `config` as it was"""
    candidates: tuple[str, ...] = ()
    """ways to read what the file leaves open, most likely first; empty when nothing is open"""
    scale: str | None = None
    """the way that was declared; None: as the file says, the first candidate"""

    def scaled(self, scale: str) -> Checkpoint:
        """The same weights read another way. Raises BadInput for a way that does not exist."""
        sae = self.dictionary
        for part in scale.split("+"):
            sae = _read_as(sae, part)
        return replace(self, dictionary=sae, scale=scale)


def _read_as(sae: SparseAutoencoder, choice: str) -> SparseAutoencoder:
    name, _, factor = choice.partition("=")
    if choice == RAW:
        return sae
    if choice in _NORMS:
        return sae.with_input_norm(_NORMS[choice])
    if choice == PRE_BIAS and sae.width == sae.width_out:
        return sae.with_pre_bias(sae.b_dec)
    if choice == TRANSPOSED and sae.width == sae.n_units == sae.width_out:
        return sae.transposed()
    if name == MEAN_NORM and factor:
        try:
            value = float(factor)
        except ValueError:
            value = math.nan
        if 0 < value < math.inf:
            return sae.with_input_norm(InputNorm("scale", value))
    needs = f" {MEAN_NORM} needs its factor, sqrt(d) over the mean norm of the activations, as in {MEAN_NORM}=0.042." if name == MEAN_NORM else ""
    raise BadInput(f"'{choice[:60]}' is no way to read this dictionary; valid: {', '.join(CHOICES)}.{needs}")


def made(found: Found, format_: str, sae: SparseAutoencoder, facts: dict[str, Any], candidates: tuple[str, ...] = ()) -> Checkpoint:
    """A Checkpoint; facts that are None are left out."""
    told = {name: value for name, value in facts.items() if value is not None}
    told |= {"activation": sae.activation} | ({"config": found.config} if found.config else {})
    if sae.width_out != sae.width or sae.W_skip is not None:
        told["transcoder"] = True
    return Checkpoint(sae, format_, (found.weights,), told, candidates)


def lay(found: Found, name: str, rows: int | None, columns: int | None, *, turned: bool = False) -> Tensor:
    """A matrix as [rows, columns], by its shape. turned: a square one is stored as [columns, rows], as nn.Linear's are.

    Of rows and columns one may be unknown. Raises BadInput for a matrix that fits neither way.
    """
    matrix = found.tensors.get(name)
    if matrix is None:
        raise BadInput(f"{found.name} lacks {name}; it holds {', '.join(sorted(found.tensors)[:12])}.")
    fits = matrix.ndim == 2 and all(want is None or want == have for want, have in zip((rows, columns), matrix.shape, strict=True))
    fits_turned = matrix.ndim == 2 and all(want is None or want == have for want, have in zip((columns, rows), matrix.shape, strict=True))
    if not fits and not fits_turned:
        wanted = f"[{rows or 'any'}, {columns or 'any'}]"
        raise BadInput(f"{name} of {found.name} has shape {list(matrix.shape)}; with the file's biases it must be {wanted}, or that transposed.")
    return matrix.T if fits_turned and (turned or not fits) else matrix


def vector(found: Found, name: str) -> Tensor:
    """A bias. Raises BadInput when it is missing or no vector."""
    found_vector = found.tensors.get(name)
    if found_vector is None or found_vector.ndim != 1:
        shape = "" if found_vector is None else f" of one dimension (its shape is {list(found_vector.shape)})"
        raise BadInput(f"{found.name} lacks {name}{shape}; it holds {', '.join(sorted(found.tensors)[:12])}.")
    return found_vector


def whole(value: object) -> int | None:
    """A count such as k as an int; None for anything else."""
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    return int(number) if number == number // 1 else None


_SITES = {"hook_resid_post": ("residual", 0), "hook_resid_pre": ("residual", -1), "mlp.hook_post": ("neurons", 0), "mlp.hook_pre": ("preactivation", 0)}


def block_output(name: str) -> int | None:
    """The number of a block by the name of its module, such as encoder.layers.1 or transformer.h.8: what it gives out is the residual stream."""
    block = re.fullmatch(r"(?:.*\.)?(?:layers|h)\.(\d{1,4})", name)
    return int(block[1]) if block else None


def named_hook(name: object) -> dict[str, Any]:
    """{hook, site, layer} of TransformerLens's names such as blocks.8.hook_resid_pre, the output of block 7, and of modules; {hook} alone of other
    names, {} of none."""
    if not isinstance(name, str) or not name:
        return {}
    block = block_output(name)
    if block is not None:
        return {"hook": name, "site": "residual", "layer": block}
    parts = re.fullmatch(r"blocks\.(\d{1,4})\.(.+)", name)
    site, shift = _SITES.get(parts[2] if parts else "", ("", 0))
    if not parts or not site or int(parts[1]) + shift < 0:
        return {"hook": name}
    return {"hook": name, "site": site, "layer": int(parts[1]) + shift}
