"""A training of the Lab in words: what is trained on which activations, and how; the same in an address, in a form and in JSON.

Two numbers may be told by the hook's width d, as the notebooks that the presets follow tell them: `2x` is twice d, `d/3` a third of it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from .errors import BadInput

SITES = ("preactivation", "neurons", "residual")
KINDS: dict[str, tuple[str, ...]] = {"ksparse": ("k", "l1", "covariance"), "l1": ("l1",), "topk": ("k",)}
"""kind of autoencoder -> which of the settings it has, beside those that all have"""
ORDERS = ("activity", "density", "number")
"""in which latents are listed"""
MAX_POSITIONS, MAX_UNITS, MAX_STEPS = 512, 4_096, 2_000
MAX_WEIGHT = 1_000_000.0
"""of a penalty"""
MAX_LAYER = 200
GUEST = "lab-"
"""begins the slugs under which autoencoders of the Lab can be opened"""
_SIZE = re.compile(r"(?P<plain>\d{1,6})|(?P<times>\d{1,3}(\.\d{1,3})?)x|d/(?P<part>\d{1,4})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Size:
    """A count of latents, or a multiple of the hook's width."""

    number: float
    of_width: bool = False

    @classmethod
    def parse(cls, text: str, what: str) -> Size:
        """Raises BadInput for anything but `16`, `2x` or `d/3`."""
        found = _SIZE.fullmatch(text.strip())
        if not found or float(found["plain"] or found["times"] or found["part"]) <= 0:
            raise BadInput(f"{what} is '{text.strip()[:40]}'; valid: a whole number below a million, such as 16, or by the hook's width d: 2x, d/3.")
        if found["plain"]:
            return cls(int(found["plain"]))
        return cls(float(found["times"]) if found["times"] else 1 / int(found["part"]), True)

    def of(self, width: int) -> int:
        """The count for a hook of this width."""
        return max(1, round(self.number * width)) if self.of_width else int(self.number)

    def __str__(self) -> str:
        if not self.of_width:
            return str(int(self.number))
        return f"d/{round(1 / self.number)}" if self.number < 1 else f"{self.number:g}x"


@dataclass(frozen=True)
class Experiment:
    """One training. Losses are taken over inputs (x - mean) / scale, whose values have variance 1."""

    model: str = ""
    """of the catalog; empty: the page's choice"""
    site: str = "preactivation"
    layer: int | None = None
    """from 0; None: the middle one, half of their number rounded down"""
    kind: str = "ksparse"
    """ksparse: k latents above a threshold, tied weights; l1: ReLU; topk: the k largest"""
    n_units: Size = Size(2.0, True)
    k: Size = Size(1 / 3, True)
    l1: float = 0.5
    """weight of the sum of the latents' values at a position"""
    covariance: float = 500.0
    """weight of the squared covariances between different latents"""
    n_steps: int = 100
    """of Adam, each over all positions"""
    lr: float = 0.003
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises BadInput with what would be valid."""
        if self.site not in SITES:
            raise BadInput(f"There is no hook '{self.site[:40]}'; valid: {', '.join(SITES)}.")
        if self.kind not in KINDS:
            raise BadInput(f"There is no kind of autoencoder '{self.kind[:40]}'; valid: {', '.join(KINDS)}.")
        if self.layer is not None and not 0 <= self.layer <= MAX_LAYER:
            raise BadInput(f"The layer is {self.layer}; layers count from 0.")
        if not 1 <= self.n_steps <= MAX_STEPS:
            raise BadInput(f"Steps: {self.n_steps}; 1 to {MAX_STEPS:,} are trained here. The command `train` trains longer.")
        if not 0 < self.lr < 1:
            raise BadInput(f"The rate is {self.lr:g}; it must lie between 0 and 1. 0.001 is usual.")
        for name, weight in (("L1", self.l1), ("the covariance penalty", self.covariance)):
            if not 0 <= weight <= MAX_WEIGHT:
                raise BadInput(f"The weight of {name} is {weight:g}; it must lie from 0 to {MAX_WEIGHT:g}.")
        if not 0 <= self.seed < 1 << 31:
            raise BadInput(f"The seed is {self.seed}; it must be a whole number from 0 to {(1 << 31) - 1:,}.")

    def sizes(self, width: int) -> tuple[int, int]:
        """(number of latents, k) over a hook of this width. Raises BadInput where they are too many, or k is more than there are."""
        n_units = self.n_units.of(width)
        k = self.k.of(width) if "k" in KINDS[self.kind] else n_units
        if n_units > MAX_UNITS:
            raise BadInput(f"{n_units:,} latents ({self.n_units} at a hook {width:,} wide); at most {MAX_UNITS:,} are trained here.")
        if k > n_units:
            raise BadInput(f"k is {k:,} ({self.k} at a hook {width:,} wide), but there are {n_units:,} latents. Choose a smaller k.")
        return n_units, k

    def json(self) -> dict[str, Any]:
        """Every setting under its name; sizes as they are written."""
        return {f.name: str(value) if isinstance(value := getattr(self, f.name), Size) else value for f in fields(self)}

    def name(self, source: str) -> str:
        """The token of this training of a source: nobody guesses it who does not know both."""
        told = json.dumps([self.json(), source], sort_keys=True)
        return hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=24).hexdigest()

    @classmethod
    def read(cls, told: Mapping[str, Any], start: Experiment) -> Experiment:
        """`start` with what a form or an address tells otherwise. Raises BadInput for the first value that cannot be used."""
        return replace(start, **{name: value for name in NAMES if (value := _value(name, str(told.get(NAMES[name], "")))) is not None})

    def changes(self, start: Experiment) -> dict[str, str]:
        """What an address has to tell beside `start`."""
        own, other = self.json(), start.json()
        return {NAMES[n]: "" if v is None else f"{v:g}" if isinstance(v, float) else str(v) for n, v in own.items() if v != other[n] and v is not None}


NAMES = {
    "model": "model", "site": "site", "layer": "layer", "kind": "kind", "n_units": "latents", "k": "k", "l1": "l1", "covariance": "cov",
    "n_steps": "steps", "lr": "rate", "seed": "seed",
}  # fmt: skip
"""setting -> its name in an address and in the form"""
_TITLES = {"layer": "The layer", "n_steps": "Steps", "seed": "The seed", "lr": "The rate", "l1": "The weight of L1", "covariance": "The covariance's weight"}


def _value(name: str, text: str) -> Any:
    """A setting of its written form; None where nothing is written."""
    text = text.strip()
    if not text:
        return None
    if name in ("model", "site", "kind"):
        return text[:80]
    if name in ("n_units", "k"):
        return Size.parse(text, "The number of latents" if name == "n_units" else "k")
    whole = name in ("layer", "n_steps", "seed")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (whole and number != int(number)):
        raise BadInput(f"{_TITLES[name]} is '{text[:40]}', which is no {'whole ' if whole else ''}number.")
    return int(number) if whole else number
