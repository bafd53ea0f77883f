"""What a search over all dictionaries has found: units by their number, by what they respond to, by what their strongest samples say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from earmark.errors import EarmarkError, NotFound
from earmark.links import BrowseView, Link
from earmark.phones import IPA, in_ipa, shown_label
from earmark.shelf.store import Store, rows_of
from earmark.web.search.find import Found, clips_saying, find, query_of

from .. import prose
from .rows import Row, unit_row

N_SHOWN, N_CLIPS = 24, 8
"""rows of each section, clips"""
EXAMPLES = ("sk", "/ʃ/", "nasal", "silence", "comma", "money", "42")


@dataclass(frozen=True)
class Section:
    """Units that were found in one way."""

    title: str
    how: str
    """how they were found, after their number"""
    rows: tuple[tuple[str, Row], ...]
    """the dictionary in words, and the unit"""
    n_found: int


@dataclass(frozen=True)
class Place:
    """One dictionary's share of what was found."""

    title: str
    n_found: int
    href: str
    """all of it, in the list of that dictionary"""


@dataclass(frozen=True)
class Clip:
    """A clip in which it is said."""

    transcript: str
    seconds: str
    href: str
    """what fires on it"""


@dataclass(frozen=True)
class FindPage:
    """The results."""

    text: str
    n_found: int = 0
    sections: tuple[Section, ...] = ()
    places: tuple[Place, ...] = ()
    clips: tuple[Clip, ...] = ()
    n_clips: int = 0
    examples: tuple[tuple[str, str], ...] = ()
    """what one could type, with the address of its results"""
    problems: tuple[str, ...] = ()
    """why something that was found cannot be shown"""
    nothing: str = ""
    """why nothing was found"""
    phones: tuple[tuple[str, str, str], ...] = ()
    """every phone, its IPA and the address of its results, where what stands in slashes is none"""

    @property
    def said(self) -> str:
        """`62 units by label, 2,733 by what is said in their strongest samples`."""
        counts = [f"{prose.count(s.n_found)}{(' units' if s.n_found > 1 else ' unit') if not n else ''} {s.how}" for n, s in enumerate(self.sections)]
        return ", ".join(counts)


def find_page(store: Store, link: Link) -> FindPage:
    text = link.browse.text.strip()
    examples = tuple((word, Link("find", browse=BrowseView(word)).href()) for word in EXAMPLES)
    if not text:
        return FindPage("", examples=examples)
    found = find(store, text)
    by_number = [f for f in found if f.by_number]
    by_label = [f for f in found if f.by_label and not f.by_number]
    by_words = [f for f in found if not f.by_label and not f.by_number]
    parts = (
        ("Their number", "by number", by_number),
        ("Their label", "by label", by_label),
        ("Their strongest samples", "by what is said or read in their strongest samples", by_words),
    )
    problems: dict[str, None] = {}
    sections = tuple(Section(title, how, _rows(store, part[:N_SHOWN], problems), len(part)) for title, how, part in parts if part)
    places = tuple(_place(store, slug, text, [f for f in found if f.dictionary == slug]) for slug in dict.fromkeys(f.dictionary for f in found))
    clips, n_clips = _clips(store, text, problems)
    return FindPage(text, len(found), sections, places, clips, n_clips, examples, tuple(problems), _nothing(text), _phones(text))


def _nothing(text: str) -> str:
    """What to say where nothing answers."""
    query = query_of(text)
    if query.unknown:
        said = f"“{'” and “'.join(query.unknown)}” {'is no phone' if len(query.unknown) == 1 else 'are no phones'}"
        return f"{said}. In slashes stand phones, as the CMU dictionary writes them or in IPA."
    if query.slashed:
        named = " and ".join(shown_label("phone", f"/{' '.join(phones)}/") for phones in query.sounds)
        return f"No unit's label has {named}. What stands in slashes is looked for in labels alone."
    return f"Nothing answers to “{text}”: no label, no unit's number, and nothing said in any unit's five strongest samples."


def _phones(text: str) -> tuple[tuple[str, str, str], ...]:
    if not query_of(text).unknown:
        return ()
    return tuple((phone, in_ipa((phone,)), Link("find", browse=BrowseView(f"/{phone}/")).href()) for phone in IPA)


def _clips(store: Store, text: str, problems: dict[str, None]) -> tuple[tuple[Clip, ...], int]:
    """Some of the clips that say it, and how many do: one corpus after the other, each by its first dictionary."""
    first: dict[str, str] = {}
    for slug, entry in store.catalog.dictionaries.items():
        if entry.corpus and store.has_tables(slug):
            first.setdefault(entry.corpus, slug)
    found: list[tuple[str, str]] = []
    for slug in first.values():
        try:
            found += [(slug, sample) for sample in clips_saying(store, slug, text)]
        except EarmarkError as error:
            problems[str(error)] = None
    clips: list[Clip] = []
    for slug, sample in found[:N_CLIPS]:
        corpus = store.corpus(store.dictionary(slug).corpus)
        row = corpus.row(sample)
        clips.append(Clip(corpus.transcripts[row], prose.seconds(corpus.durations_s[row]), Link("audio", slug, sample=sample).href()))
    return tuple(clips), len(found)


def _place(store: Store, slug: str, text: str, found: list[Found]) -> Place:
    return Place(_name(store, slug), len(found), Link("browse", slug, browse=BrowseView(text)).href())


def _name(store: Store, slug: str) -> str:
    entry = store.catalog.dictionary(slug)
    return f"{entry.title or prose.KIND_TITLES[entry.kind]}, {store.catalog.model(entry.model).title or entry.model} layer {entry.layer}"


def _rows(store: Store, found: list[Found], problems: dict[str, None]) -> tuple[tuple[str, Row], ...]:
    rows: dict[tuple[str, int], tuple[str, Row]] = {}
    for slug in dict.fromkeys(f.dictionary for f in found):
        try:
            rows |= {(slug, unit): row for unit, row in placed_rows(store, slug, {f.unit: f.why for f in found if f.dictionary == slug}).items()}
        except EarmarkError as error:
            problems[str(error)] = None
    return tuple(rows[f.dictionary, f.unit] for f in found if (f.dictionary, f.unit) in rows)


def placed_rows(store: Store, slug: str, units: Mapping[int, str]) -> dict[int, tuple[str, Row]]:
    """For some units of a dictionary, each with why it was found: the dictionary in words, and the row. Raises EarmarkError for a unit that is not here."""
    entry, frame = store.catalog.dictionary(slug), store.units_frame(slug)
    missing = next((unit for unit in units if not 0 <= unit < len(frame)), None)
    if missing is not None:
        raise NotFound(f"{slug} has units 0 to {len(frame) - 1}; {missing} is none of them.")
    corpus, place, top = store.corpus(store.dictionary(slug).corpus), _name(store, slug), float(frame["peak"].max()) or 1.0
    rows = rows_of(frame.iloc[list(units)])
    return {unit: (place, unit_row(entry, corpus, row, top, why)) for (unit, why), row in zip(units.items(), rows, strict=True)}
