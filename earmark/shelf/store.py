"""What the shelf holds, read for people: a unit's card, searches by peak, lists of units, sounds and pictures. No torch."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..cards import Example, Histogram, Hit, Match, Neighbour, Timeline, UnitCard, UnitStats
from ..errors import BadInput, BadTable, EarmarkError
from ..health import QUALITY, round_trip, spread
from ..raw import columns_of, part
from ..settings import Settings
from ..swept import SweptRun
from ..units import UnitId
from .catalog import Catalog, DictionaryEntry, read_catalog
from .folders import Corpus, Dictionary, line_values, strongest
from .hub.remote import Places
from .schema import QUANTILES, SWEEP
from .tables import read_manifest

if TYPE_CHECKING:
    import pandas as pd

MAX_HITS = 500
GROUPS = ("top", "q90", "q75", "q50", "q25", "q00", "bottom")
"""groups of examples in the order in which a card shows them"""


class Store:
    """The whole shelf of one process. Folders are opened when first asked for, and again when a build has replaced them."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.catalog: Catalog = read_catalog(settings.data)
        self._places = Places(settings)

    def dictionary(self, slug: str, fetch: bool = True) -> Dictionary:
        """A dictionary with its tables; without `fetch`, only if they are here. Raises NotFound for an unlisted one, BadTable without sound tables."""
        entry = self._entry(slug)
        return self._places.opened(slug, entry.tables, lambda place: Dictionary(entry, place), fetch, needs_tables=True)

    def corpus(self, slug: str, fetch: bool = True) -> Corpus:
        """A corpus with its samples, fetched when it lies in a data set of the Hub; without `fetch`, only if it is here."""
        return self._places.opened(slug, self.catalog.corpus(slug).tables, Corpus, fetch)

    def _entry(self, slug: str) -> DictionaryEntry:
        """What the catalog says of a dictionary that can have tables. Raises BadTable for one of the Lab, which lives as long as a visit."""
        if slug in self.catalog.guests:
            raise BadTable(f"'{slug}' was trained in the Lab: it has no tables, and is gone after a while. Download it there to keep it.")
        return self.catalog.dictionary(slug)

    def state(self) -> Hashable:
        """Another one whenever a folder of the catalog may hold something else than before."""
        return self._places.state((*self.catalog.dictionaries, *self.catalog.corpora))

    def has_tables(self, slug: str) -> bool:
        try:
            self.dictionary(slug, fetch=False)
        except EarmarkError:
            return False
        return True

    def is_bare(self, slug: str) -> bool:
        """Whether a listed dictionary has no tables anywhere; damaged ones are another matter."""
        entry = self.catalog.dictionary(slug)
        manifest = self.settings.data / slug / "manifest.json"
        if entry.tables is not None:
            return False
        if not manifest.is_file():
            return True
        try:
            return "tables" not in read_manifest(manifest.parent)
        except BadTable:
            return False

    def health(self, slug: str) -> dict[str, Any]:
        """The stored figures of a dictionary; null for what has not been computed or does not apply (`QUALITY` says what each of them is).

        l0, fvu and what the model still does are those of held-out samples; dead is the share of units that are 0 over the whole corpus.
        """
        tables = self.has_tables(slug)
        manifest = self.dictionary(slug).manifest if tables else read_manifest(self.settings.data / self._entry(slug).slug)
        quality, over = part(manifest, "quality"), part(manifest, "tables")
        return {
            **{name: quality.get(name) for name in QUALITY},
            "dead": over.get("dead"),
            "dead_held_out": quality.get("dead"),
            "n_positions": quality.get("n_positions"),
            "corpus": over.get("corpus"),
            "n_corpus_positions": over.get("n_positions"),
            "decoder_cosine": spread(self.dictionary(slug).nearest) if tables else None,
            "round_trip": round_trip(self.dictionary(slug).trips) if tables else None,
            "revision": manifest.get("revision"),
        }

    def label_summary(self, slug: str) -> dict[str, Any]:
        """{n_units, n_eligible, held, shuffled, random, n_active}: how many labels hold, by kind. Raises BadTable where none were looked for."""
        summary = self.dictionary(slug).manifest.get("labels")
        if not summary:
            raise BadTable(f"'{slug}' has no labels yet. Run `python -m earmark label {slug}`.")
        return summary

    def sweep(self, slug: str) -> tuple[SweptRun, ...]:
        """The runs that a dictionary was chosen from, and what they are compared with; empty where there was no sweep."""
        d = self.dictionary(slug)
        return tuple(SweptRun(**row) for row in d.table(SWEEP.name).all().to_pylist()) if d.has(SWEEP) else ()

    # -- one unit ----------------------------------------------------------------------------------------------------

    def card(self, unit: UnitId) -> UnitCard:
        """Everything a unit's page shows, from its tables alone."""
        d = self.dictionary(unit.dictionary)
        d.check_unit(unit.index)
        return _card(d, self.corpus(d.corpus), unit.index)

    def search(self, unit: UnitId, low: float | None = None, high: float | None = None, absolute: bool = False, n: int = 20) -> tuple[Hit, ...]:
        """Samples whose peak of this unit lies within [low, high], strongest first, one entry a sample.

        The peak is the largest value in the sample; with `absolute`, the value of largest magnitude, compared by magnitude.
        Exact above the unit's floor (see UnitStats). Raises BadInput for bounds that are not numbers or n out of range.
        """
        d = self.dictionary(unit.dictionary)
        d.check_unit(unit.index)
        if not 1 <= n <= MAX_HITS:
            raise BadInput(f"n is {n}; 1 to {MAX_HITS} samples can be listed.")
        for name, bound in (("min", low), ("max", high)):
            if bound is not None and not np.isfinite(bound):
                raise BadInput(f"{name} is {bound}; it must be a finite number.")
        corpus = self.corpus(d.corpus)
        rows = strongest(d.table("peaks").rows_of(unit.index), low, high, absolute, n)
        return tuple(_hit(d, corpus, *row) for row in rows)

    def timeline(self, unit: UnitId) -> Timeline:
        """A unit over the first positions of its corpus. Raises BadTable where the tables hold none."""
        d = self.dictionary(unit.dictionary)
        d.check_unit(unit.index)
        row = d.table("timeline").row_of(unit.index)
        return Timeline(line_values(row["values"], row["low"], row["high"]), d.hop_s, tuple(d.manifest["tables"].get("timeline_starts", ())))

    # -- many units --------------------------------------------------------------------------------------------------

    def units_frame(self, slug: str) -> pd.DataFrame:
        """One row a unit: unit, density, peak, mean, dead, label with its kind and score, match_unit, match_correlation and `heard`, the
        transcripts of its five strongest samples, of texts the words at their peaks (`strongest`: their rows in the corpus, `peaks_at`: the
        positions of the peaks); for Browse and exports. Shared: do not change it."""
        return _units_frame(self.dictionary(slug), self.corpus(self.dictionary(slug).corpus))


@lru_cache(maxsize=64)
def _card(d: Dictionary, corpus: Corpus, index: int) -> UnitCard:
    """One view asks for the same card several times, and the next visitor soon again."""
    row = d.table("units").row_of(index)
    match = None
    if row["match_dictionary"] is not None:
        match = Match(row["match_dictionary"], row["match_unit"], row["match_correlation"])
    return UnitCard(
        id=UnitId(d.entry.slug, index),
        stats=_stats(row),
        histogram=Histogram(tuple(row["edges"]), tuple(row["counts"])),
        examples=_examples(d, corpus, index),
        neighbours=tuple(Neighbour(u, c) for u, c in zip(row["neighbours"], row["cosines"], strict=True)),
        match=match,
        label=d.labels.get(index),
        effects=d.effects(index),
        trip=d.trip(index),
    )


def _examples(d: Dictionary, corpus: Corpus, index: int) -> tuple[Example, ...]:
    rows = d.table("examples").rows_of(index).to_pylist()
    if other := {r["group"] for r in rows}.difference(GROUPS):
        raise BadTable(f"The table 'examples' of '{d.entry.slug}' has the group '{str(min(other))[:20]}'; known are {', '.join(GROUPS)}. Build it again.")
    rows.sort(key=lambda r: (GROUPS.index(r["group"]), r["rank"]))
    return tuple(_example(d, corpus, row) for row in rows)


def _example(d: Dictionary, corpus: Corpus, row: dict[str, Any]) -> Example:
    stored = np.frombuffer(row["trace"], dtype=np.uint8).astype(np.float32)
    start_s = d.offset_s + row["start"] * d.hop_s
    sample = _known(d, corpus, row["sample"])
    return Example(
        rank=row["rank"],
        group=row["group"],
        sample=corpus.ids[sample],
        peak=row["peak"],
        at_s=d.offset_s + row["at"] * d.hop_s,
        start_s=start_s,
        end_s=start_s + len(stored) * d.hop_s,
        trace=row["low"] + stored / 255.0 * (row["high"] - row["low"]),
        transcript=corpus.transcripts[sample],
        duration_s=corpus.durations_s[sample],
        at=row["at"],
        start=row["start"],
        tokens=corpus.tokens_in(sample),
    )


def _hit(d: Dictionary, corpus: Corpus, row: int, peak: float, at: int) -> Hit:
    at_s, row = round(d.offset_s + at * d.hop_s, 6), _known(d, corpus, row)
    return Hit(corpus.ids[row], peak, at_s, corpus.transcripts[row], corpus.durations_s[row], at, corpus.tokens_in(row))


def _known(d: Dictionary, corpus: Corpus, row: int) -> int:
    """The row of a sample that a table names. Raises BadTable where the corpus has no such row."""
    if not 0 <= row < len(corpus.ids):
        raise BadTable(f"The tables of '{d.entry.slug}' name the sample {row} of '{d.corpus}', which has {len(corpus.ids)}. Build them again.")
    return row


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of such a frame, each as values by column."""
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(frame[name].tolist() for name in names), strict=True)]


def said_at(corpus: Corpus, row: int, at: int) -> str:
    """What is said in a sound; of a text the word at a position."""
    return corpus.word_at(row, at) if corpus.is_text else corpus.transcripts[row]


@lru_cache(maxsize=8)
def _units_frame(d: Dictionary, corpus: Corpus) -> pd.DataFrame:
    import pandas as pd

    columns = ["unit", "density", "nonzero", "dead", "peak", "low", "mean", "n_samples", "match_unit", "match_correlation"]
    frame = pd.DataFrame(columns_of(d.table("units").all(columns)))
    top = d.table("examples").all(["unit", "group", "rank", "sample", "at"])
    first: NDArray[np.bool_] = (top.column("group").cast(pa.string()).to_numpy() == "top") & (top.column("rank").to_numpy() < 5)
    top = top.filter(first)
    named = [d.labels.get(unit) for unit in frame["unit"].tolist()]
    frame["label"] = [n.text if n else None for n in named]
    frame["label_kind"] = [n.kind if n else None for n in named]
    frame["label_score"] = [n.precision if n else np.nan for n in named]
    found: list[list[tuple[int, int, int]]] = [[] for _ in range(len(frame))]
    for unit, rank, sample, at in zip(*(top.column(c).to_pylist() for c in ("unit", "rank", "sample", "at")), strict=True):
        found[int(unit)].append((rank, sample, at))
    frame["strongest"] = [tuple(sample for _, sample, _ in sorted(rows)) for rows in found]
    frame["peaks_at"] = [tuple(at for _, _, at in sorted(rows)) for rows in found]
    frame["heard"] = [" · ".join(filter(None, (said_at(corpus, sample, at) for _, sample, at in sorted(rows)))) for rows in found]
    return frame


def _stats(row: dict[str, Any]) -> UnitStats:
    return UnitStats(
        density=row["density"],
        nonzero=row["nonzero"],
        peak=row["peak"],
        low=row["low"],
        mean=row["mean"],
        quantiles={f"q{round(q * 100):02d}": v for q, v in zip(QUANTILES, row["quantiles"], strict=False)},
        n_positions=row["n_positions"],
        n_samples=row["n_samples"],
        dead=row["dead"],
        floor=row["floor"],
        floor_abs=row["floor_abs"],
    )
