"""The list of units: which ones a search keeps, in what order, and what a row shows of each."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from earmark.errors import EarmarkError, NotFetched
from earmark.links import Link
from earmark.shelf.catalog import CorpusEntry, DictionaryEntry
from earmark.shelf.folders import Corpus, Dictionary
from earmark.shelf.store import Store, rows_of
from earmark.web.search.find import Matches, matches

from .. import prose
from .bare import BareView
from .rows import Row, unit_row
from .worked import Worked

if TYPE_CHECKING:
    import pandas as pd

ROWS_A_PAGE = 24
EXACT_KINDS = ("phone", "token", "word")
"""labels that say most: few random directions have one, while classes and contexts are cheap"""


@dataclass(frozen=True)
class Choice:
    """One dictionary in a picker."""

    entry: DictionaryEntry
    title: str
    href: str
    current: bool
    n_units: int | None
    problem: str | None
    """why it cannot be opened"""
    quality: dict[str, float] | None = None
    """on held-out clips: l0, fvu; dead over the whole corpus"""
    bare: bool = False
    """it has no tables, which is no fault"""
    modality: str = "audio"
    model: str = ""
    """its model's title"""
    far: bool = False
    """its tables are on the Hub and have not been fetched yet"""


@dataclass(frozen=True)
class BrowsePage:
    """The list of units."""

    link: Link
    choices: tuple[Choice, ...]
    signed: bool = False
    rows: tuple[Row, ...] = ()
    n_found: int = 0
    n_units: int = 0
    pages: tuple[tuple[str, str | None], ...] = ()
    """label and address; None for the current one"""
    hero: Row | None = None
    problem: str | None = None
    credit: CorpusEntry | None = None
    labelled: bool = False
    """labels have been looked for"""
    bare: BareView | None = None
    """in place of the list where there are no tables"""
    worked: tuple[Worked, ...] = ()

    @property
    def groups(self) -> tuple[tuple[str, tuple[Choice, ...]], ...]:
        """The dictionaries by their models: the current one's first, then those that read as it does."""
        own = next((c for c in self.choices if c.current), self.choices[0])
        modality = {c.entry.model: c.modality for c in self.choices}
        models = sorted(modality, key=lambda model: (model != own.entry.model, modality[model] != own.modality))
        return tuple((model, tuple(c for c in self.choices if c.entry.model == model)) for model in models)

    @property
    def models(self) -> tuple[tuple[str, tuple[Choice, ...]], ...]:
        """Models that have tables, by what they take: for each the current dictionary or its first."""
        usable = sorted((c for c in self.choices if c.n_units is not None), key=lambda c: not c.current)
        firsts = {c.entry.model: c for c in reversed(usable)}
        listed = [firsts[model] for model in dict.fromkeys(c.entry.model for c in self.choices) if model in firsts]
        found = ((modality, tuple(c for c in listed if c.modality == modality)) for modality in prose.MODALITIES)
        return tuple((prose.MODALITIES[modality], choices) for modality, choices in found if choices)

    @property
    def is_text(self) -> bool:
        return any(c.current and c.modality == "text" for c in self.choices)


def choices(store: Store, link: Link) -> tuple[Choice, ...]:
    """Every dictionary, those that cannot be opened with the reason."""
    found: list[Choice] = []
    for entry in store.catalog.offered(link.dictionary):
        slug = entry.slug
        n_units, problem, quality, far = None, None, None, False
        try:
            dictionary = store.dictionary(slug, fetch=False)
            n_units, quality = dictionary.n_units, dictionary.manifest.get("quality")
        except NotFetched:
            far = True
        except EarmarkError as error:
            problem = str(error)
        target = replace(link, dictionary=slug, unit=None, browse=replace(link.browse, page=1), revision=None, tab="browse")
        title = entry.title or prose.KIND_TITLES[entry.kind]
        model = store.catalog.model(entry.model)
        current, bare = slug == link.dictionary, store.is_bare(slug)
        found.append(Choice(entry, title, target.href(), current, n_units, problem, quality, far=far, bare=bare, modality=model.modality, model=model.title))
    return tuple(found)


def ailing(found: Sequence[Choice]) -> bool:
    """Whether a dictionary has tables that cannot be opened now."""
    return any(choice.problem and not choice.bare for choice in found)


def with_tables(store: Store, current: str) -> tuple[tuple[str, str], ...]:
    """(slug, title) of the dictionaries that have tables, and of the current one."""
    entries = (e for e in store.catalog.offered(current) if e.slug == current or store.has_tables(e.slug))
    return tuple((e.slug, f"{e.title or prose.KIND_TITLES[e.kind]}, {e.model} layer {e.layer}") for e in entries)


def browse_page(store: Store, link: Link) -> BrowsePage:
    picker = choices(store, link)
    try:
        dictionary = store.dictionary(link.dictionary)
        corpus = store.corpus(dictionary.corpus)
        frame = _listed(store, dictionary, corpus)
    except EarmarkError as error:
        return BrowsePage(link, picker, problem=str(error))
    asked = matches(store, link.dictionary, link.browse.text) if link.browse.text.strip() else None
    found = select_units(frame, link, asked)
    n_pages = max(1, -(-len(found) // ROWS_A_PAGE))
    page = min(link.browse.page, n_pages)
    link = replace(link, browse=replace(link.browse, page=page))
    part = found.iloc[(page - 1) * ROWS_A_PAGE : page * ROWS_A_PAGE]
    top = float(frame["peak"].max()) or 1.0
    rows = tuple(unit_row(dictionary.entry, corpus, r, top, asked.found(r["unit"]).why if asked else "") for r in rows_of(part))
    best = _hero(frame)
    hero = unit_row(dictionary.entry, corpus, best, top) if best else None
    return BrowsePage(
        link,
        picker,
        dictionary.signed,
        rows,
        len(found),
        len(frame),
        _pages(link, n_pages),
        hero,
        None,
        store.catalog.corpus(dictionary.corpus),
        bool(dictionary.labels),
    )


@lru_cache(maxsize=8)
def _listed(store: Store, dictionary: Dictionary, corpus: Corpus) -> pd.DataFrame:
    """The units of one dictionary, with how much their strongest samples share: of texts the words at the peaks, of sounds the transcripts."""
    frame = store.units_frame(dictionary.entry.slug)
    if corpus.is_text:
        peaks = [list(zip(*pair, strict=True)) for pair in zip(frame["strongest"], frame["peaks_at"], strict=True)]
        words, around = ([[read(row, at) for row, at in places] for places in peaks] for read in (corpus.word_at, corpus.near))
        return frame.assign(common=shared_peaks(words, around))
    return frame.assign(common=shared_words([[corpus.transcripts[int(s)] for s in rows] for rows in frame["strongest"]]))


def shared_words(heard: Sequence[Sequence[str]]) -> list[float]:
    """For each unit's strongest transcripts the share of them that hold their best word, of four letters or more, plus a little for a
    rare one; a line that is said twice counts once. Units that shouldn't lead a list get a negative value."""
    folded = [{line.casefold() for line in lines} for lines in heard]
    words = {line: set(re.findall(r"[^\W\d_]+", line)) for line in set[str]().union(*folded)}
    long = {line: [word for word in own if len(word) > 3] for line, own in words.items()}
    said = [[words[line] for line in lines] for lines in folded]
    in_units = Counter(itertools.chain.from_iterable(set[str]().union(*lines) for lines in said))
    found: list[float] = []
    for own, lines in zip(folded, said, strict=True):
        times = Counter(itertools.chain.from_iterable(long[line] for line in own))
        best = max((n / 5 + 0.19 * (1 - math.log(in_units[word]) / math.log(len(said) + 1)) for word, n in times.items() if n > 1), default=0.0)
        found.append(best - 2 if any(prose.NOT_IN_FRONT & line for line in lines) else best)
    return found


def shared_peaks(words: Sequence[Sequence[str]], around: Sequence[Sequence[str]]) -> list[float]:
    """The same for texts: the share of each unit's strongest peaks that stand on its best word, plus a little for a rare one.

    around: what is read near each of the peaks.
    """
    said = [[word.casefold() for word in own if any(letter.isalpha() for letter in word)] for own in words]
    in_units = Counter(word for own in said for word in set(own))
    found: list[float] = []
    for own, texts in zip(said, around, strict=True):
        best = max((n / 5 + 0.19 * (1 - math.log(in_units[word]) / math.log(len(said) + 1)) for word, n in Counter(own).items() if n > 1), default=0.0)
        rude = any(prose.NOT_IN_FRONT & set(re.findall(r"[^\W\d_]+", text.casefold())) for text in texts)
        found.append(best - 2 if rude else best)
    return found


def select_units(frame: pd.DataFrame, link: Link, asked: Matches | None = None) -> pd.DataFrame:
    """The rows of `_listed`, one a unit in their order, that a link keeps, in its order; `asked` is what its text matches, None without one."""
    view = link.browse
    keep = frame["unit"] >= 0
    if view.dead != "show":
        keep &= frame["dead"] == (view.dead == "only")
    if view.min_density is not None:
        keep &= frame["density"] >= view.min_density
    if view.max_density is not None:
        keep &= frame["density"] <= view.max_density
    if view.named:
        keep &= frame["label_kind"].isin(EXACT_KINDS) if view.named == "word" else frame["label"].notna()
    first: dict[str, bool] = {}
    if asked:
        keep = keep & asked.kept | asked.by_number
        frame = frame.assign(number=asked.by_number, exact=asked.exact, labelled=asked.by_label, times=asked.times)
        first = {"number": False, "exact": False, "labelled": False, "times": False}
    frame = frame[keep]
    column = {"unit": "unit", "density": "density", "match": "match_correlation", "peak": "peak", "label": "label_score"}.get(view.sort, "common")
    keys = first | {column: not view.descending}
    keys |= {name: ascending for name, ascending in (("peak", False), ("unit", True)) if name not in keys}
    return frame.sort_values(list(keys), ascending=list(keys.values()), kind="stable", na_position="last")


def _hero(frame: pd.DataFrame) -> dict[str, Any] | None:
    """The unit that the first button plays: much in common between its strongest transcripts, neither rare nor everywhere."""
    few = frame[(~frame["dead"]) & frame["density"].between(0.0002, 0.02) & (frame["n_samples"] >= 20)]
    if few.empty:
        few = frame[~frame["dead"]]
    if few.empty:
        return None
    best = few.sort_values(["common", "peak"], ascending=False)
    return rows_of(best.iloc[:1])[0]


def _pages(link: Link, n_pages: int) -> tuple[tuple[str, str | None], ...]:
    """Previous, some numbers around the current page, next."""
    page = link.browse.page

    def to(number: int) -> str:
        return replace(link, browse=replace(link.browse, page=number)).href()

    near = sorted({1, n_pages, *range(max(1, page - 1), min(n_pages, page + 1) + 1)})
    found: list[tuple[str, str | None]] = [("‹", to(page - 1))] if page > 1 else []
    for before, number in zip([0, *near], near, strict=False):
        if number - before > 1:
            found.append(("…", ""))
        found.append((str(number), None if number == page else to(number)))
    return tuple(found + ([("›", to(page + 1))] if page < n_pages else [])) if n_pages > 1 else ()
