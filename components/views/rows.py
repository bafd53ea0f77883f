"""What a list shows of one unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from earmark.links import Link
from earmark.shelf.catalog import DictionaryEntry
from earmark.shelf.folders import Corpus

from .. import prose
from ..figures import log_share
from .firing import label_of
from .passages import Line, peak_lines


@dataclass(frozen=True)
class Row:
    """One unit in the list."""

    unit: int
    name: str
    href: str
    dead: bool
    label: str | None
    heard: tuple[str, ...]
    """what is said in its strongest samples"""
    lines: tuple[Line, ...]
    """in place of that, where they are texts: the tokens around its strongest peaks"""
    is_text: bool
    density: float
    density_bar: float
    peak: float
    peak_bar: float
    match: str | None
    why: str
    """why a search has found it; empty where there is none"""
    dictionary: str


def unit_row(entry: DictionaryEntry, corpus: Corpus, row: Mapping[str, Any], top: float, why: str = "") -> Row:
    """What a list shows of one unit: a row of `Store.units_frame`, `top` the largest peak of the dictionary."""
    unit = int(row["unit"])
    match = None
    if row["match_unit"] == row["match_unit"] and row["match_unit"] is not None:
        match = f"{int(row['match_unit'])} · r {row['match_correlation']:.2f}"
    return Row(
        unit=unit,
        name=prose.unit_name(entry.kind, unit),
        href=Link("feature", entry.slug, unit).href(),
        dead=bool(row["dead"]),
        label=label_of(row),
        heard=() if corpus.is_text else tuple(corpus.transcripts[int(s)] for s in row["strongest"]),
        lines=peak_lines(corpus, row["strongest"], row["peaks_at"]),
        is_text=corpus.is_text,
        density=row["density"],
        density_bar=log_share(row["density"]),
        peak=row["peak"],
        peak_bar=100 * max(0.0, row["peak"]) / top,
        match=match,
        why=why,
        dictionary=entry.slug,
    )
