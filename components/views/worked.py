"""Worked examples: units of a dictionary that somebody picked, each with a sentence, for who comes for the first time."""

from __future__ import annotations

from dataclasses import dataclass

from earmark.errors import EarmarkError
from earmark.links import BrowseView, Link
from earmark.shelf.store import Store, rows_of

from .rows import Row, unit_row


@dataclass(frozen=True)
class Worked:
    """One of them."""

    row: Row
    note: str
    unclear: bool
    """nobody could say what it responds to"""


def worked_examples(store: Store, link: Link) -> tuple[Worked, ...]:
    """Those of a settled link's dictionary, above its list as one first sees it; none above a list that was searched or turned over."""
    entry = store.catalog.dictionary(link.dictionary)
    if link.browse != BrowseView() or not entry.suggestions:
        return ()
    try:
        frame, corpus = store.units_frame(entry.slug), store.corpus(store.dictionary(entry.slug).corpus)
    except EarmarkError:
        return ()
    top = float(frame["peak"].max()) or 1.0
    there = [s for s in entry.suggestions if 0 <= s.unit < len(frame)]
    return tuple(Worked(unit_row(entry, corpus, rows_of(frame.iloc[[s.unit]])[0], top), s.note, s.unclear) for s in there)
