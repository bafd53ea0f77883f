"""Two units beside each other: how far they rise and fall together, and which of their strongest samples they share. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..cards import UnitCard
from ..errors import BadInput, BadTable, EarmarkError
from ..units import KINDS, UnitId
from .folders import Dictionary, line_values
from .schema import TIMELINE_LEVELS
from .store import Store


@dataclass(frozen=True)
class Shared:
    """A sample among the strongest of both units of a pair."""

    sample: str
    peaks: tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """Two units beside each other."""

    cards: tuple[UnitCard, UnitCard]
    correlation: float | None
    """Pearson r of their values; None where one of them does not vary, or where their positions are not the same"""
    n_correlated: int
    """positions that it was computed over: the whole corpus for best matches, else the stored first positions"""
    n_top: int
    """strongest samples of each that `shared` was drawn from"""
    shared: tuple[Shared, ...]
    n_samples: int
    positive: dict[str, float]
    """dictionary over the first unit's layer -> share of all its values, over units and positions, that are above 0"""


def unit_id(text: str) -> UnitId:
    """`DICTIONARY:UNIT`. Raises BadInput for anything else."""
    slug, _, index = text.rpartition(":")
    if not slug or not (index.isascii() and index.isdigit()):
        raise BadInput(f"'{text[:80]}' is no unit. Write DICTIONARY:UNIT, such as whisper-tiny.en-l2-sae:3.")
    return UnitId(slug, int(index[:12]))


def compare(store: Store, a: UnitId, b: UnitId) -> Pair:
    """Everything that is told of a pair, from the tables alone. Raises NotFound and BadTable as `Store.card` does."""
    cards = (store.card(a), store.card(b))
    same_corpus = store.dictionary(a.dictionary).corpus == store.dictionary(b.dictionary).corpus
    r, n = _correlation(store, cards) if same_corpus else (None, 0)
    tops = [{e.sample: e.peak for e in card.examples if e.group == "top"} for card in cards]
    shared = tuple(Shared(s, (peak, tops[1][s])) for s, peak in tops[0].items() if s in tops[1]) if same_corpus else ()
    n_samples = len(store.corpus(store.dictionary(a.dictionary).corpus).ids)
    return Pair(cards, r, n, max(map(len, tops)), shared, n_samples, shares_positive(store, a.dictionary))


def _correlation(store: Store, cards: tuple[UnitCard, UnitCard]) -> tuple[float | None, int]:
    """(r, positions): over the whole corpus where one is the other's best match, else over the stored first positions."""
    for card, other in (cards, cards[::-1]):
        if card.match and (card.match.dictionary, card.match.unit) == (other.id.dictionary, other.id.index):
            return card.match.correlation, card.stats.n_positions
    try:
        lines = [store.timeline(card.id).values for card in cards]
    except BadTable:
        return None, 0
    if len(lines[0]) != len(lines[1]):
        return None, 0
    r = correlations(lines[0], lines[1][None])[0]
    return (float(r) if np.isfinite(r) else None), len(lines[0])


def correlations(line: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Pearson r of [n] with each row of [m, n], both from `timeline`; NaN where one of them does not vary.

    What the stored steps add to a variance, step^2 / 12 (Sheppard's correction), is taken off; a unit is not correlated with itself by chance.
    """
    line, others = line - line.mean(), others - others.mean(axis=1, keepdims=True)
    spread = np.sqrt(_variance(line[None]) * _variance(others))
    covariance = others @ line / len(line)
    return np.clip(np.divide(covariance, spread, out=np.full(len(others), np.nan), where=spread > 0), -1, 1)


def _variance(centred: np.ndarray) -> np.ndarray:
    plain: np.ndarray = np.square(centred, dtype=np.float64).mean(axis=1)
    step: np.ndarray = np.ptp(centred, axis=1) / TIMELINE_LEVELS
    return np.where(plain > step**2 / 6, plain - step**2 / 12, plain)


@lru_cache(maxsize=512)
def follower(d: Dictionary, leader: Dictionary, unit: int) -> int | None:
    """The unit of a dictionary that correlates best with a unit of another one over the stored first positions; None where none does."""
    row = leader.table("timeline").row_of(unit)
    line, table = line_values(row["values"], row["low"], row["high"]), d.table("timeline")
    best, found = 0.0, None
    for group in range(table.n_groups):
        rows = table.group(group).to_pylist()
        others = np.stack([line_values(r["values"], r["low"], r["high"]) for r in rows])
        if others.shape[1] != len(line):
            return None
        r = np.nan_to_num(correlations(line, others))
        if r.max() > best:
            best, found = float(r.max()), int(rows[int(r.argmax())]["unit"])
    return found


def partner(store: Store, unit: UnitId) -> UnitId | None:
    """Whom a unit is best compared with: its stored match, else the best follower among the other dictionaries over its layer."""
    match = store.card(unit).match
    if match is not None:
        return UnitId(match.dictionary, match.unit)
    found = three_kinds(store, (unit,))
    return found[1] if len(found) > 1 else None


def three_kinds(store: Store, units: tuple[UnitId, ...]) -> tuple[UnitId, ...]:
    """These units, and for each kind of dictionary over the first one's layer that is not among them the unit that follows the first one best."""
    leader = store.dictionary(units[0].dictionary)
    found = list(units)
    kinds = {store.catalog.dictionary(u.dictionary).kind for u in units}
    for entry in sorted(store.catalog.siblings(units[0].dictionary), key=lambda e: KINDS.index(e.kind)):
        try:
            index = None if entry.kind in kinds else follower(store.dictionary(entry.slug), leader, units[0].index)
        except EarmarkError:
            continue
        if index is not None:
            kinds.add(entry.kind)
            found.append(UnitId(entry.slug, index))
    return tuple(found)


def shares_positive(store: Store, slug: str) -> dict[str, float]:
    """For each dictionary over a layer the share of all its values that are above 0, as the wave-sae notebook reports them."""
    found: dict[str, float] = {}
    for entry in store.catalog.siblings(slug):
        try:
            found[entry.slug] = float(store.units_frame(entry.slug)["density"].mean())
        except EarmarkError:
            continue
    return found
