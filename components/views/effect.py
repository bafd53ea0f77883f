"""What turning a unit off changes on its own strongest samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from earmark.links import Link
from earmark.passages import visible

from ..tokens import Piece
from .beside import one
from .edited import Expects, expects

if TYPE_CHECKING:
    from earmark.live.editing.ablation.effect import UnitEffect


@dataclass(frozen=True)
class AffectedRow:
    """A word or token whose probability changes."""

    token: Piece
    change: float
    """nats"""
    control: float
    n: int
    bar: float
    """in percent of the longest"""


@dataclass(frozen=True)
class SampleRow:
    """One of the unit's strongest samples."""

    text: str
    href: str
    """the card with the sample marked"""
    change: float
    control: float


@dataclass(frozen=True)
class EffectView:
    """What was found, and how."""

    found: str
    how: str
    of: str
    """word or token"""
    affected: tuple[AffectedRow, ...]
    lost: tuple[Expects, ...]
    gained: tuple[Expects, ...]
    samples: tuple[SampleRow, ...]


def effect_view(found: UnitEffect | None, link: Link) -> EffectView | None:
    """None where nothing has been measured."""
    if found is None:
        return None
    longest = max((abs(a.change) for a in found.affected), default=0.0) or 1.0
    affected = tuple(AffectedRow(one(a.text), a.change, a.control, a.n, 100 * abs(a.change) / longest) for a in found.affected)
    card = link.to_unit(found.unit.index)
    samples = tuple(SampleRow(visible(e.text), Link(card.tab, card.dictionary, card.unit, sample=e.sample).href(), e.change, e.control) for e in found.examples)
    return EffectView(found.found, found.how, found.of, affected, expects(found.lost), expects(found.gained), samples)
