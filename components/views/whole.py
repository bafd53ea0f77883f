"""The whole picture of a hook: residual stream, neurons and features beside each other, at equal activity, with controls; and what it says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earmark.errors import EarmarkError
from earmark.links import BrowseView, Link
from earmark.raw import part
from earmark.shelf.catalog import DictionaryEntry
from earmark.shelf.store import Store
from earmark.units import KINDS
from earmark.web.records import VAGUE

from .. import prose
from .address import pick
from .listing import with_tables

DIFFERS = 2.0
"""standard errors from which two shares are told apart"""
WEAK = 0.1
"""share of random directions with a vague label from which such labels are called weak evidence"""


@dataclass(frozen=True)
class Held:
    """Of how many units the labels hold."""

    n: int
    """units whose label of a narrow kind holds"""
    n_vague: int
    of: int
    """units that were active often enough to be counted"""

    @property
    def share(self) -> float:
        return self.n / max(self.of, 1)

    @property
    def vague(self) -> float:
        return self.n_vague / max(self.of, 1)


@dataclass(frozen=True)
class Side:
    """One dictionary over the hook."""

    entry: DictionaryEntry
    title: str
    n_units: int
    density: NDArray[np.float64]
    """[n_units]"""
    held: Held | None
    """None where nobody has looked for labels"""
    shifted: Held | None
    by_kind: dict[str, int]
    precisions: NDArray[np.float64]
    """of the narrow labels that hold, on the samples that did not choose them"""

    @property
    def noun(self) -> str:
        return prose.noun(self.entry.kind, plural=True)

    @property
    def positive(self) -> float:
        """Share of all values that are above 0."""
        return float(self.density.mean())

    @property
    def middle(self) -> float:
        """Median density."""
        return float(np.median(self.density))

    @property
    def precision(self) -> float | None:
        """Median of those of the narrow labels that hold."""
        return float(np.median(self.precisions)) if len(self.precisions) else None

    @property
    def href(self) -> str:
        return Link("browse", self.entry.slug).href()

    @property
    def named_href(self) -> str:
        return Link("browse", self.entry.slug, browse=BrowseView(named="word", sort="label")).href()


@dataclass(frozen=True)
class WholePage:
    """The whole picture, or why there is none."""

    link: Link
    place: str
    dictionaries: tuple[tuple[str, str], ...]
    sides: tuple[Side, ...] = ()
    random: Held | None = None
    """the labels of random directions at the features' activity"""
    random_kinds: dict[str, int] = field(default_factory=dict[str, int])
    another: str = ""
    """address of some pair"""
    problem: str | None = None

    @property
    def title(self) -> str:
        return f"Features, neurons and axes of {self.place}"

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """Narrow kinds of labels, in the order of the summary."""
        return tuple(dict.fromkeys(kind for side in self.sides for kind in side.by_kind if kind not in VAGUE))

    @property
    def narrow(self) -> str:
        return " or ".join(self.kinds)

    @cached_property
    def findings(self) -> tuple[str, ...]:
        """What the figures say, in sentences."""
        return tuple(filter(None, (*_names(self), _scores(self), _sparsity(self))))

    @property
    def silent(self) -> str | None:
        """What is missing, and the command that computes it."""
        missing = [side for side in self.sides if side.held is None]
        return f"python -m earmark label {missing[0].entry.slug}" if missing else None


def whole_page(store: Store, link: Link) -> WholePage:
    """Everything that Compare shows of a dictionary's hook before a unit is chosen."""
    entry = store.catalog.dictionary(link.dictionary)
    place = f"{store.catalog.model(entry.model).title or entry.model}, layer {entry.layer}"
    usable = with_tables(store, entry.slug)
    try:
        store.dictionary(link.dictionary)
    except EarmarkError as error:
        return WholePage(link, place, usable, problem=str(error))
    entries = sorted((e for e in store.catalog.siblings(link.dictionary) if store.has_tables(e.slug)), key=lambda e: KINDS.index(e.kind), reverse=True)
    sides = tuple(_side(store, e) for e in entries)
    by_chance = _random(store, sides)
    random = _held(*by_chance) if by_chance else None
    another = Link("compare", link.dictionary, pick(store, link.dictionary, in_pair=True)).href()
    return WholePage(link, place, usable, sides, random, by_chance[0] if by_chance else {}, another)


def _side(store: Store, entry: DictionaryEntry) -> Side:
    dictionary = store.dictionary(entry.slug)
    density = dictionary.table("units").all(["density"]).column("density").to_numpy()
    summary: dict[str, Any] = dictionary.manifest.get("labels") or {}
    held = _held(summary["held"], summary["n_eligible"]) if summary else None
    shifted = _held(summary["shuffled"], summary["n_eligible"]) if summary else None
    precisions = np.array([label.precision for label in dictionary.labels.values() if label.kind not in VAGUE])
    title = entry.title or prose.KIND_TITLES[entry.kind]
    return Side(entry, title, dictionary.n_units, density, held, shifted, dict(summary.get("held", {})), precisions)


def _held(counts: dict[str, int], of: int) -> Held:
    vague = sum(n for kind, n in counts.items() if kind in VAGUE)
    return Held(sum(counts.values()) - vague, vague, of)


def _random(store: Store, sides: Sequence[Side]) -> tuple[dict[str, int], int] | None:
    """(kind -> random directions whose label of that kind holds, how many were counted): as many as there are features, and as active."""
    for side in sides:
        summary = part(store.dictionary(side.entry.slug).manifest, "labels")
        if side.entry.kind == "sae" and summary.get("random"):
            return summary["random"], summary.get("n_random") or side.n_units
    return None


# -- sentences -----------------------------------------------------------------------------------------------------------


def differs(a: Held, b: Held) -> float:
    """By how many standard errors the first share is above the second (two proportions, pooled)."""
    pooled = (a.n + b.n) / max(a.of + b.of, 1)
    error = math.sqrt(pooled * (1 - pooled) * (1 / max(a.of, 1) + 1 / max(b.of, 1)))
    return (a.share - b.share) / error if error else 0.0


def _names(page: WholePage) -> list[str]:
    labelled = [(side, side.held) for side in reversed(page.sides) if side.held is not None]
    if not labelled:
        return []
    shares = _listed([f"{prose.percent(held.share)} of the {side.noun} ({prose.count(held.n)} of {prose.count(held.of)})" for side, held in labelled])
    beside = f"; of {prose.count(page.random.of)} random directions {prose.percent(page.random.share)}" if page.random else ""
    said = [f"A label by {page.narrow} holds for {shares}{beside}."]
    of_kind = {side.entry.kind: (side, held) for side, held in reversed(labelled)}
    if "sae" in of_kind and "neurons" in of_kind:
        said.append(_verdict(of_kind["sae"][1], of_kind["neurons"][1], page.narrow))
    said += [_against_chance(side, held, page.random) for side, held in labelled if page.random]
    n_shifted = sum(side.shifted.n + side.shifted.n_vague for side, _ in labelled if side.shifted)
    said.append(
        "With shifted labels none holds." if not n_shifted else f"With shifted labels {prose.count(n_shifted)} hold: as many of the others may be chance."
    )
    if any(held.n_vague for _, held in labelled):
        vague = _listed([f"{prose.percent(held.vague)} of the {side.noun}" for side, held in labelled])
        chance = f", and {prose.percent(page.random.vague)} of the random directions" if page.random else ""
        weak = " So such a name is weak evidence." if page.random and page.random.vague >= WEAK else ""
        said.append(f"A class or a context holds for {vague}{chance}.{weak}")
    return [s for s in said if s]


def _verdict(features: Held, neurons: Held, narrow: str) -> str:
    apart = differs(features, neurons)
    if apart > DIFFERS:
        return f"At equal activity, features say more by {narrow} than neurons do here."
    if apart < -DIFFERS:
        return (
            f"At equal activity, neurons say more by {narrow} than features do here: the SAE's directions are less clear than those that the model has anyway."
        )
    return "At equal activity, features and neurons do not differ here by more than chance would."


def _against_chance(side: Side, held: Held, random: Held | None) -> str:
    if random is None or differs(held, random) > DIFFERS:
        return ""
    return f"The {side.noun} do no better than random directions."


def _scores(page: WholePage) -> str:
    shares = [f"{prose.percent(side.precision)} for the median {prose.noun(side.entry.kind)}" for side in reversed(page.sides) if side.precision is not None]
    return f"Where a {page.narrow} holds, its precision is {_listed(shares)}." if shares else ""


def _sparsity(page: WholePage) -> str:
    shares = [f"{prose.percent(side.positive)} for {side.noun}" for side in page.sides]
    return f"The share of all values that are above 0 is {_listed(shares)}." if shares else ""


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
