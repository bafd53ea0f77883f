"""What the lists of units that fire share, on a sound and on a text: the dictionaries to choose from, and what a row says of its unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from earmark.errors import EarmarkError
from earmark.links import Link
from earmark.phones import shown_label
from earmark.shelf.catalog import DictionaryEntry
from earmark.shelf.store import Store, rows_of, said_at
from earmark.units import UnitHit

from .. import prose
from ..figures import TraceView, log_share

N_HITS = 40


@dataclass(frozen=True)
class Pick:
    """One dictionary over the same layer."""

    entry: DictionaryEntry
    title: str
    href: str
    current: bool
    problem: str | None
    bare: bool
    """it has no tables, and perhaps nobody has opened it yet"""


@dataclass(frozen=True)
class Firing:
    """One unit that fires."""

    unit: int
    name: str
    card: str
    label: str | None
    heard: tuple[str, ...]
    """the words of its strongest clips; of texts in one line those at the peaks of its strongest windows"""
    silent: bool
    """0 over the whole corpus: there is no montage"""
    trace: TraceView
    peak: float
    relative: float | None
    relative_bar: float
    density: float | None
    density_bar: float
    detail: str
    """the value that the list is sorted by, where no column has it"""


@dataclass(frozen=True)
class Firings:
    """The units that fire, in one order."""

    link: Link
    entry: DictionaryEntry
    picks: tuple[Pick, ...]
    rows: tuple[Firing, ...] = ()
    quiet: tuple[Firing, ...] = ()
    """of a sound those that answer to silence, where others fire: folded away behind them, in the same order"""
    problem: str | None = None
    bare: bool = False
    """the dictionary has no tables that say more of its units"""


def picks_of(store: Store, link: Link, problems: Mapping[str, str]) -> tuple[Pick, ...]:
    """The dictionaries over the layer of a link's, with what hinders those that could not be run."""
    return tuple(_pick(store, link, entry, problems.get(entry.slug)) for entry in store.catalog.siblings(link.dictionary))


def _pick(store: Store, link: Link, entry: DictionaryEntry, problem: str | None) -> Pick:
    href = replace(link, dictionary=entry.slug, unit=None).href()
    title = entry.title or prose.KIND_TITLES[entry.kind]
    return Pick(entry, title, href, entry.slug == link.dictionary, problem, store.is_bare(entry.slug))


def known_units(store: Store, slug: str, units: list[int]) -> dict[int, dict[str, Any]]:
    """What the tables say of some units: label, dead, and the words of their strongest clips, of texts those at the peaks; none without tables."""
    try:
        frame, corpus = store.units_frame(slug), store.corpus(store.dictionary(slug).corpus)
    except EarmarkError:
        return {}
    known = rows_of(frame.iloc[units])
    return {int(r["unit"]): r | {"heard": tuple(said_at(corpus, *place) for place in zip(r["strongest"], r["peaks_at"], strict=True))} for r in known}


def label_of(known: Mapping[str, Any] | None) -> str | None:
    """The label in what the tables say of a unit, as people read it."""
    return shown_label(str(known["label_kind"]), known["label"]) if known and isinstance(known.get("label"), str) else None


def words_of(known: Mapping[str, Any] | None) -> str:
    """The words at the peaks of a unit's strongest windows, in one line."""
    return " · ".join(filter(None, known["heard"])) if known else ""


def firing(entry: DictionaryEntry, hit: UnitHit, trace: TraceView, known: Mapping[str, Any] | None, heard: tuple[str, ...], detail: str) -> dict[str, Any]:
    """The fields of a Firing, for a row of a sound or of a text to add its own to."""
    return {
        "unit": hit.unit,
        "name": prose.unit_name(entry.kind, hit.unit),
        "card": Link("feature", entry.slug, hit.unit).href(),
        "label": label_of(known),
        "heard": heard,
        "silent": known is None or bool(known["dead"]),
        "trace": trace,
        "peak": hit.peak,
        "relative": hit.relative,
        "relative_bar": 100 * min(1.0, hit.relative or 0.0),
        "density": hit.density,
        "density_bar": log_share(hit.density or 0.0),
        "detail": detail,
    }
