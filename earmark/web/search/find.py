"""What a person types, matched with units: a number, a label ("sk", "/ʃ/", "nasal", "comma"), words of the strongest samples.

The page, its JSON and the command line all search here, over every dictionary whose tables are on this machine and sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cards import UnitLabel
from ...errors import BadInput, EarmarkError
from ...links import MAX_TEXT
from ...shelf.folders import Corpus, Dictionary
from ...shelf.store import Store
from ..media import modality_of
from ..records import number
from .said import Said, said_in
from .wording import is_label, label_fits, query_of

MAX_FOUND = 500
N_STRONGEST = 5
"""samples of a unit whose words are searched"""


@dataclass(frozen=True, eq=False)
class Matches:
    """Which units of one dictionary are what was asked for, [n_units] each."""

    dictionary: str
    labels: Mapping[int, UnitLabel]
    verb: str
    """what is done with its samples: heard, or read where the model reads text"""
    by_number: NDArray[np.bool_]
    by_label: NDArray[np.bool_]
    exact: NDArray[np.bool_]
    """the label is the query itself, not only a word that begins like it"""
    times: NDArray[np.int64]
    """of the unit's strongest samples those that hold the words; of texts, near their peaks"""

    @property
    def kept(self) -> NDArray[np.bool_]:
        return self.by_number | self.by_label | (self.times > 0)

    def found(self, unit: int) -> Found:
        flags = bool(self.by_number[unit]), bool(self.by_label[unit]), bool(self.exact[unit]), int(self.times[unit])
        return Found(self.dictionary, unit, self.labels.get(unit), *flags, self.verb)


@dataclass(frozen=True)
class Found:
    """One unit that a search has found."""

    dictionary: str
    unit: int
    label: UnitLabel | None
    by_number: bool
    by_label: bool
    exact: bool
    times: int
    verb: str

    @property
    def why(self) -> str:
        """Why it was found, in words."""
        said = ["its number"] if self.by_number else []
        said += [label_why(self.label)] if self.by_label and self.label else []
        return " · ".join(said + ([f"{self.verb} in {self.times} of {N_STRONGEST}"] if self.times else []))

    @property
    def score(self) -> float | None:
        """A label's held-out precision, else the share of the strongest samples; None for a number alone."""
        if self.by_label and self.label:
            return self.label.precision
        return self.times / N_STRONGEST if self.times else None

    @property
    def order(self) -> tuple[bool, bool, bool, float, int]:
        """Numbers first, then labels, exact ones before others, then words; equals stay in the catalog's order."""
        return not self.by_number, not self.by_label, not self.exact, -(self.score or 0.0), -self.times


def label_why(label: UnitLabel) -> str:
    kind = "phones" if label.kind == "word" and label.text.startswith("/") else label.kind
    return f"label: {kind} {label.shown}, {label.precision:.0%} of its strongest activity"


def matches(store: Store, slug: str, text: str) -> Matches:
    """Which units of a dictionary are what `text` asks for."""
    d = store.dictionary(slug, fetch=False)
    by_number, by_label, exact = (np.zeros(d.n_units, bool) for _ in range(3))
    digits = text.strip().removeprefix("#")
    if digits.isascii() and digits.isdigit() and int(digits[:9]) < d.n_units:
        by_number[int(digits[:9])] = True
    fitting = {label: is_label(text, label) for label in {label.text for label in d.labels.values()} if label_fits(text, label)}
    for unit, label in d.labels.items():
        if label.text in fitting:
            by_label[unit], exact[unit] = True, fitting[label.text]
    times = _strongest(store, d, store.corpus(d.corpus, fetch=False)).times(query_of(text).said)
    return Matches(slug, d.labels, _verb(store, slug), by_number, by_label, exact, times)


@lru_cache(maxsize=8)
def _strongest(store: Store, d: Dictionary, corpus: Corpus) -> Said:
    """What is said in each unit's strongest samples, of texts around their peaks."""
    frame = store.units_frame(d.entry.slug)
    pairs = zip(frame["strongest"], frame["peaks_at"], strict=True)
    return said_in([[corpus.near(row, at) for row, at in zip(rows, places, strict=True)] for rows, places in pairs])


@lru_cache(maxsize=8)
def _transcripts(corpus: Corpus) -> Said:
    return said_in([[line] for line in corpus.transcripts])


def clips_saying(store: Store, slug: str, text: str) -> tuple[str, ...]:
    """The samples of the sounds that a dictionary's tables were built from in which each word of `text` begins a word; shortest first."""
    corpus, words = store.corpus(store.dictionary(slug, fetch=False).corpus, fetch=False), query_of(text).said
    if corpus.is_text or not words:
        return ()
    rows = np.flatnonzero(_transcripts(corpus).times(words)).tolist()
    return tuple(corpus.ids[row] for row in sorted(rows, key=lambda row: (len(corpus.transcripts[row]), row)))


def find(store: Store, text: str, n: int | None = None) -> tuple[Found, ...]:
    """The first n units (all: None) of all dictionaries with tables that `text` finds.

    Raises BadInput for an empty text, one beyond MAX_TEXT and n out of range.
    """
    _check(text, n)
    found: list[Found] = []
    for slug in store.catalog.dictionaries:
        try:
            hit = matches(store, slug, text)
        except EarmarkError:
            continue
        found += [hit.found(unit) for unit in np.flatnonzero(hit.kept).tolist()]
    return tuple(sorted(found, key=lambda f: f.order)[:n])


def find_labels(store: Store, text: str, n: int = 50) -> tuple[Found, ...]:
    """Units of all dictionaries whose label is what `text` asks for, best score first.

    Raises BadInput for an empty text, one beyond MAX_TEXT and n out of range.
    """
    _check(text, n)
    found: list[Found] = []
    for slug in store.catalog.dictionaries:
        try:
            labels, verb = store.dictionary(slug, fetch=False).labels, _verb(store, slug)
        except EarmarkError:
            continue
        found += [Found(slug, unit, label, False, True, False, 0, verb) for unit, label in labels.items() if label_fits(text, label.text)]
    return tuple(sorted(found, key=lambda f: f.order)[:n])


def found_json(found: Iterable[Found]) -> list[dict[str, Any]]:
    return [
        {"dictionary": f.dictionary, "unit": int(f.unit), "label": f.label.text if f.label else None, "score": number(f.score), "why": f.why} for f in found
    ]


def _check(text: str, n: int | None) -> None:
    if not text.strip():
        raise BadInput("Nothing to look for. Give a phone (sk, /ʃ/), a word, a class such as nasal, silence or comma, or a unit's number.")
    if len(text) > MAX_TEXT:
        raise BadInput(f"What to look for has {len(text):,} characters; at most {MAX_TEXT} are looked for.")
    if n is not None and not 1 <= n <= MAX_FOUND:
        raise BadInput(f"n is {n}; 1 to {MAX_FOUND} units can be listed.")


def _verb(store: Store, slug: str) -> str:
    return "read" if modality_of(store, slug) == "text" else "heard"
