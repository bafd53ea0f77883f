"""Kinds of input, one file each with `prepare(folder, watch) -> Case`, and what a case of each may take."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.watch import Watch

Case = Callable[[random.Random], Callable[[], str]]
"""Makes the input of one case by chance, and returns what gives it to the code under attack: what that makes of it, or an EarmarkError for a sentence"""


@dataclass(frozen=True)
class Kind:
    """What a case may take, and how many are run when nobody asks for more."""

    n_quick: int
    limit_s: float
    """of processor time; one that takes some seconds more by the clock hangs"""
    memory_mb: float
    """beyond what the process had before"""

    def prepare(self, name: str, folder: Path, watch: Watch) -> Case:
        """The kind's own files, made in `folder`; its libraries are loaded, and what they keep is there, when this returns."""
        return import_module(f"{__name__}.{name}").prepare(folder, watch)


KINDS: dict[str, Kind] = {
    "sounds": Kind(1500, 6.0, 150),
    "texts": Kind(60, 6.0, 200),
    "catalogs": Kind(100, 2.0, 60),
    "checkpoints": Kind(800, 6.0, 150),
    "ggufs": Kind(40, 6.0, 200),
    "tables": Kind(250, 6.0, 150),
    "bombs": Kind(16, 6.0, 250),
    "links": Kind(40, 3.0, 60),
}

GUARD: dict[str, Kind] = {"misdeeds": Kind(15, 0.5, 50)}
"""what the guard itself is tried with"""
