"""The list of edits that an address carries, as sliders: what each turns up, down or off, where, and what can be tried with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from earmark.cards import UnitCard
from earmark.edits import MAX_ADDED, MAX_EDITS, MAX_FACTOR, SLIDER_FACTOR, Edit
from earmark.errors import EarmarkError
from earmark.links import MAX_LINK_TEXT, Link, ReadView
from earmark.live.analysis import MOMENT, REGION
from earmark.live.line.kept import Clip
from earmark.live.texts.passage import Passage
from earmark.passages import around, visible
from earmark.shelf.store import Store
from earmark.units import UnitId

from .. import prose

Ends = tuple[float | None, float | None]
"""the first and the last place of a stretch; None: the sample's own"""
NEAR = (6, 3)
"""tokens before and after a peak that name a text"""
N_PLACES = 3
"""examples of a unit that a card proposes for trying an edit"""


@dataclass(frozen=True)
class Stretch:
    """Where an edit acts, or could act."""

    value: str
    """what stands behind @ in the written form; empty for the whole sample"""
    title: str
    chosen: bool


@dataclass(frozen=True)
class EditRow:
    """One edit with its slider."""

    edit: Edit
    key: str
    """its unit as this link writes it"""
    name: str
    card: str
    label: str | None
    stretches: tuple[Stretch, ...]
    without: str
    """the address without it"""
    peak: float | None
    """the unit's largest magnitude in the sample, with its sign; None where it is not known"""
    largest: float | None
    """the same in the corpus"""

    @property
    def silent(self) -> bool:
        """A factor changes nothing here."""
        return self.peak == 0 and self.edit.added == 0


@dataclass(frozen=True)
class Place:
    """A sample of the corpus to try an edit on."""

    title: str
    href: str


@dataclass(frozen=True)
class EditPanel:
    """All edits of a link."""

    link: Link
    rows: tuple[EditRow, ...]
    said: str
    """in words"""
    is_text: bool
    sample: str = ""
    """`clip` or `text` where one is here to be run, else empty"""
    done: bool = False
    """the result for this sample and these edits is shown"""
    places: tuple[Place, ...] = ()
    own: str = ""
    """on a card: the address of a sound or text of one's own with these edits"""
    slider: float = SLIDER_FACTOR
    max_factor: float = MAX_FACTOR
    max_added: float = MAX_ADDED
    max_edits: int = MAX_EDITS

    @property
    def changes_nothing(self) -> bool:
        return all(row.edit.changes_nothing for row in self.rows)

    @property
    def room(self) -> bool:
        """Another edit may be added."""
        return len(self.rows) < self.max_edits


def panel_on(store: Store, link: Link, sample: Clip | Passage | None, here: bool, done: bool) -> EditPanel:
    """On the tabs Audio and Text. `sample`: what the model did on it, as far as that is known; `here`: there is a sample to run."""
    kind = "clip" if link.tab == "audio" else "text"
    return EditPanel(link, _rows(store, link, link.edits, sample), said(store, link.edits, link.tab), link.tab == "text", kind if here else "", done)


def panel_of_card(store: Store, link: Link, card: UnitCard | None) -> EditPanel:
    """On a unit's card: without an edit of its own in the address it stands at 1; the examples lead on to where it can be tried."""
    unit = UnitId(link.dictionary, link.unit or 0)
    edits = link.edits if any(edit.unit == unit for edit in link.edits) or len(link.edits) >= MAX_EDITS else (Edit(unit), *link.edits)
    text = store.catalog.model(store.catalog.dictionary(link.dictionary).model).modality == "text"
    to = Link("text" if text else "audio", link.dictionary, link.unit if text else None, edits=edits)
    rows = _rows(store, replace(link, edits=edits), edits, None)
    return EditPanel(link, rows, said(store, edits, to.tab), text, places=_places(card, to), own=to.href())


def _places(card: UnitCard | None, to: Link) -> tuple[Place, ...]:
    strongest = [e for e in card.examples if e.group == "top" and e.transcript.strip()] if card else []
    if to.tab == "audio":
        return tuple(Place(e.transcript, replace(to, sample=e.sample).href()) for e in strongest[:N_PLACES])
    texts = [(e.tokens or (), e.at) for e in strongest[:N_PLACES]]
    return tuple(
        Place(visible("".join(tokens[slice(*around(tokens, at, *NEAR))])), replace(to, read=ReadView(excerpt(tokens, at))).href()) for tokens, at in texts
    )


def excerpt(tokens: Sequence[str], at: int) -> str:
    """As much of a text from its beginning as an address carries, cut where a word begins; its beginning gives way where the token `at` would be cut."""
    first = 0
    while len("".join(tokens[first : at + 1])) > MAX_LINK_TEXT:
        first += 1
    text = "".join(tokens[first:])
    if len(text) <= MAX_LINK_TEXT:
        return text.strip()
    kept = text[:MAX_LINK_TEXT]
    word = kept.rfind(" ")
    return (kept[:word] if word >= len("".join(tokens[first : at + 1])) else kept).strip()


def _rows(store: Store, link: Link, edits: Sequence[Edit], sample: Clip | Passage | None) -> tuple[EditRow, ...]:
    return tuple(_row(store, link, edits, edit, sample) for edit in edits)


def _row(store: Store, link: Link, edits: Sequence[Edit], edit: Edit, sample: Clip | Passage | None) -> EditRow:
    slug, index = edit.unit.dictionary, edit.unit.index
    known = _card_of(store, edit.unit)
    key = str(edit.unit).removeprefix(f"{link.dictionary}:")
    without = replace(link, edits=tuple(other for other in edits if other != edit)).href()
    card, largest = Link("feature", slug, index).href(), known.stats.peak if known else None
    label = known.label.shown if known and known.label else None
    return EditRow(edit, key, unit_name(store, edit.unit, link), card, label, _stretches(link, edit), without, _peak(edit.unit, sample), largest)


def _card_of(store: Store, unit: UnitId) -> UnitCard | None:
    """What the tables say of a unit; None without tables."""
    try:
        return store.card(unit)
    except EarmarkError:
        return None


def _peak(unit: UnitId, sample: Clip | Passage | None) -> float | None:
    codes = sample.codes.get(unit.dictionary) if sample else None
    if codes is None or unit.index >= codes.n_units:
        return None
    trace = codes.trace(unit.index)
    return float(trace[np.abs(trace).argmax()]) if len(trace) else None


def _stretches(link: Link, edit: Edit) -> tuple[Stretch, ...]:
    """The whole sample, the edit's own stretch, and the one that is selected."""
    own, heard = (edit.start, edit.end), link.heard
    selected = {REGION: (heard.at_s, heard.to_s), MOMENT: (heard.at_s, heard.at_s)}.get(heard.order)
    if link.tab == "feature" or (link.tab == "audio" and heard.order == MOMENT):
        selected = None
    found: dict[Ends, None] = dict.fromkeys([(None, None), own, *([selected] if selected else [])])
    return tuple(Stretch(_written(place), stretch_words(place, link.tab, marked=place == selected != own), place == own) for place in found)


def _written(place: Ends) -> str:
    return "" if place == (None, None) else "..".join("" if end is None else f"{end:.6g}" for end in place)


def stretch_words(place: Ends, tab: str, marked: bool = False) -> str:
    """Where an edit acts, in words."""
    start, end = (None if end is None else f"{end:.6g}" for end in place)
    tokens, unit = tab == "text", "" if tab == "text" else " s"
    if start is None and end is None:
        return {"text": "the whole text", "audio": "the whole clip"}.get(tab, "the whole sample")
    if start == end:
        found = f"{'token' if tokens else 'at'} {start}{unit}"
    elif start is None or end is None:
        found = f"{'tokens ' if tokens else ''}{'from ' if end is None else 'up to '}{start or end}{unit}"
    else:
        found = f"{'tokens ' if tokens else ''}{start} to {end}{unit}"
    return found + (", the stretch selected" if marked and start != end else ", the token selected" if marked else "")


def unit_name(store: Store, unit: UnitId, link: Link) -> str:
    """`Feature 1301`, with its dictionary where that is another one than the link's."""
    entry = store.catalog.dictionary(unit.dictionary)
    name = prose.unit_name(entry.kind, unit.index)
    return name if unit.dictionary == link.dictionary else f"{name} of {unit.dictionary}"


def said(store: Store, edits: Sequence[Edit], tab: str) -> str:
    """`Feature 1301 off; feature 40 × 2.5, over 0.5 to 1 s`; empty for no edits."""
    words: list[str] = []
    for edit in edits:
        name = prose.unit_name(store.catalog.dictionary(edit.unit.dictionary).kind, edit.unit.index)
        where = "" if edit.start is None and edit.end is None else f", {stretch_words((edit.start, edit.end), tab)}"
        words.append(f"{name} {prose.amount(edit)}{where}")
    return "; ".join([*words[:1], *map(prose.lowered, words[1:])])
