"""Dictionaries: sets of units over one hook. One file a checkpoint format, named in `FORMATS`; neurons and axes need no file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import unknown
from . import saelens
from .base import SparseAutoencoder

WEIGHTS = {module.FORMAT: module.WEIGHTS for module in (saelens,)}
"""format name -> the file that holds the weights, whose digest names the dictionary's revision"""
FORMATS = {module.FORMAT: module.load for module in (saelens,)}
"""format name -> load(folder) -> SparseAutoencoder; a test fails when a file of this folder is missing here"""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read."""

    dictionary: SparseAutoencoder
    format: str
    files: tuple[Path, ...]
    facts: dict[str, Any]
    """what its configuration says: model, hook, ..."""
    candidates: tuple[str, ...] = ()
    scale: str = "raw"


def open_checkpoint(path: Path, *, format: str | None = None, width: int | None = None, scale: str | None = None) -> Checkpoint:
    """A checkpoint of any known format."""
    del width, scale
    if format is not None and format not in FORMATS:
        raise unknown("checkpoint format", format, FORMATS)
    name = format or next(iter(FORMATS))
    return Checkpoint(FORMATS[name](path), name, (path / WEIGHTS[name],), {})
