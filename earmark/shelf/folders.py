"""What one folder of the shelf holds: a corpus with its samples and what is said or written in them, or a dictionary with its tables. No torch."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..cards import Effects, RoundTrip, UnitLabel
from ..errors import BadTable, NotFound
from ..passages import cut, word_around
from ..raw import columns_of
from ..speech import Span, Speech
from ..units import SIGNED_KINDS
from .catalog import DictionaryEntry
from .hub.remote import Folder
from .schema import EFFECTS, LABELS, SAMPLES, SPECS, SPEECH, TIMELINE_LEVELS, TRIPS, TableSpec
from .tables import Table

NEAR = (60, 30)
"""characters before and behind a place in a text that are searched for words"""


@dataclass(frozen=True)
class Provenance:
    """Where a sample comes from; what is not known is empty."""

    author: str
    """of a sound, who speaks"""
    work: str
    """of a sound, its class"""
    origin: str
    licence: str


class Corpus:
    """Samples of one corpus: names, texts and lengths in memory; sounds and pictures read when asked for."""

    def __init__(self, folder: Path | Folder):
        place = folder if isinstance(folder, Folder) else Folder(folder)
        self.manifest = place.manifest()
        self.place = place
        self.table = Table(place.path, SAMPLES, self.manifest, place.file)
        self.is_text: bool = self.manifest.get("modality") == "text"
        light = self.table.all(["id", "transcript", "transcript_by", "duration_s", "class_name", "speaker", "origin", "licence", "printed"])
        self.ids = [str(name) for name in light.column("id").to_pylist()]
        self.transcripts: list[str] = [t or "" for t in light.column("transcript").to_pylist()]
        self.transcript_by: list[str] = [t or "" for t in light.column("transcript_by").to_pylist()]
        self.class_names: list[str | None] = light.column("class_name").to_pylist()
        self.speakers: list[str | None] = light.column("speaker").to_pylist()
        self.origins: list[str] = [o or "" for o in light.column("origin").to_pylist()]
        self.licences: list[str] = [x or "" for x in light.column("licence").to_pylist()]
        printed = light.column("printed").combine_chunks()
        self._ends = np.concatenate([[0], np.cumsum(pc.list_value_length(printed).fill_null(0).to_numpy())])
        self._printed = pc.list_flatten(printed).to_numpy()
        self.durations_s: list[float] = [float(n) if s is None else s for s, n in zip(light.column("duration_s").to_pylist(), np.diff(self._ends), strict=True)]
        """of sounds in seconds, of texts in tokens"""
        self.row_of = {name: row for row, name in enumerate(self.ids)}

    def row(self, sample: str) -> int:
        if sample not in self.row_of:
            raise NotFound(f"The corpus '{self.manifest['slug']}' has no sample '{sample[:80]}'.")
        return self.row_of[sample]

    def audio(self, sample: str) -> tuple[bytes, str]:
        """A sample's sound as its source has it, and its media type."""
        found = self.table.row(self.row(sample), ["audio", "audio_type"])
        if found["audio"] is None:
            raise NotFound(f"The sample '{sample[:80]}' has no sound.")
        return found["audio"], found["audio_type"]

    def mel(self, sample: str) -> np.ndarray:
        """A sample's mel picture: uint8 [64 mels from low to high, columns of 20 ms]."""
        from PIL import Image

        found = self.table.row(self.row(sample), ["mel"])["mel"]
        if found is None:
            raise NotFound(f"The sample '{sample[:80]}' has no spectrogram.")
        return np.asarray(Image.open(io.BytesIO(found)).convert("L"))

    def tokens_of(self, sample: str) -> tuple[str, ...]:
        """What each position of a text prints; put together it is the text. Raises NotFound for a sound."""
        found = self.tokens_in(self.row(sample))
        if found is None:
            raise NotFound(f"The sample '{sample[:80]}' is no text: it has no tokens.")
        return found

    def tokens_in(self, row: int) -> tuple[str, ...] | None:
        """The same for a sample's row; None for a sound."""
        lengths = self._lengths(row)
        if not len(lengths):
            return None
        if int(lengths.sum()) != len(self.transcripts[row]):
            raise BadTable(f"The tokens of '{self.ids[row]}' do not print its text. Make the corpus '{self.manifest['slug']}' again.")
        return cut(self.transcripts[row], lengths.tolist())

    def word_at(self, row: int, at: int) -> str:
        """The word of a text that position `at` prints, or prints a part of."""
        lengths = self._lengths(row)
        if at >= len(lengths):
            return ""
        while at > 0 and lengths[at] == 0:
            at -= 1
        start = int(lengths[:at].sum())
        return word_around(self.transcripts[row], start, start + int(lengths[at]))

    def near(self, row: int, at: int) -> str:
        """What is said in a sound; of a text some words around what position `at` prints, whole ones at the beginning."""
        lengths, text = self._lengths(row), self.transcripts[row]
        if not len(lengths):
            return text
        start = int(lengths[:at].sum())
        first, last = max(0, start - NEAR[0]), start + int(lengths[min(at, len(lengths) - 1)]) + NEAR[1]
        return text[first:last] if first == 0 else " ".join(text[first:last].split()[1:])

    def _lengths(self, row: int) -> np.ndarray:
        """uint16 [n_positions] of a text: the characters that each position prints; empty for a sound."""
        return self._printed[self._ends[row] : self._ends[row + 1]]

    def provenance(self, sample: str) -> Provenance:
        row = self.row(sample)
        return Provenance(self.speakers[row] or "", self.class_names[row] or "", self.origins[row], self.licences[row])

    @cached_property
    def speech_table(self) -> Table | None:
        """The table `speech`, one row a sample in their order, for those who want all of it; None where the corpus has none."""
        if not any(name.startswith(f"{SPEECH.name}-") for name in self.manifest["files"]):
            return None
        table = Table(self.place.path, SPEECH, self.manifest, self.place.file)
        if table.n_rows != len(self.ids):
            raise BadTable(f"'{self.manifest['slug']}' has {len(self.ids)} samples, its table 'speech' {table.n_rows}. Run `python -m earmark align` again.")
        return table

    def speech(self, sample: str) -> Speech | None:
        """What was said in a sample, and when; None where that is not known."""
        row = self.row(sample)
        if self._told is None or not self._told.how[row]:
            return None
        return Speech(self._told.spans("words", row), self._told.spans("phones", row), self._told.how[row], self._told.scores[row])

    @cached_property
    def _told(self) -> _Told | None:
        """The table `speech` in memory."""
        return None if self.speech_table is None else _Told(self.speech_table.all())

    def words(self, sample: str) -> tuple[Span, ...]:
        """The words of a sample with their times; none where they are not known."""
        found = self.speech(sample)
        return found.words if found else ()

    def phones(self, sample: str) -> tuple[Span, ...]:
        """The phones of a sample with their times; none where they are not known."""
        found = self.speech(sample)
        return found.phones if found else ()


def speech_of(row: dict[str, Any]) -> Speech | None:
    """A row of the table `speech` as a value; None where nothing is known."""
    if not row["how"]:
        return None
    words, phones = (tuple(Span(s["text"], s["start_s"], s["end_s"]) for s in row[name] or ()) for name in ("words", "phones"))
    return Speech(words, phones, row["how"], row["score"])


class _Told:
    """All of a table `speech`, flat: a card shows what is said in dozens of samples."""

    def __init__(self, rows: pa.Table):
        self.how = [how or "" for how in rows.column("how").to_pylist()]
        self.scores: list[float | None] = rows.column("score").to_pylist()
        self._flat = {name: flat_spans(rows, name) for name in ("words", "phones")}

    def spans(self, name: str, row: int) -> tuple[Span, ...]:
        sample, text, start_s, end_s = self._flat[name]
        first, last = sample.searchsorted((row, row + 1))
        times = zip(start_s[first:last].tolist(), end_s[first:last].tolist(), strict=True)
        return tuple(Span(str(t), *span) for t, span in zip(text[first:last].to_pylist(), times, strict=True))


class Dictionary:
    """Tables of one dictionary."""

    def __init__(self, entry: DictionaryEntry, place: Folder):
        self.entry = entry
        self.manifest = place.manifest()
        if "tables" not in self.manifest:
            raise BadTable(f"'{entry.slug}' has no tables yet. Build them with `python -m earmark build {entry.slug}`.")
        self.revision: str = self.manifest["revision"]
        self.corpus: str = self.manifest["tables"]["corpus"]
        self.hop_s: float = self.manifest["tables"]["hop_s"]
        self.offset_s: float = self.manifest["tables"]["offset_s"]
        self._place = place
        self._open: dict[str, Table] = {}
        self._lock = threading.Lock()

    @cached_property
    def labels(self) -> dict[int, UnitLabel]:
        """Labels by unit; empty where nobody has looked for any."""
        if not self.has(LABELS):
            return {}
        rows = self.table("labels").all().to_pylist()
        return {r.pop("unit"): UnitLabel(text=r.pop("label"), **r) for r in rows}

    def effects(self, index: int) -> Effects | None:
        """A unit's direct effect on the next token; None where nobody has computed it."""
        if not self.has(EFFECTS):
            return None
        row = self.table(EFFECTS.name).row_of(index)
        lists = (tuple(zip(row[f"{end}_tokens"], row[f"{end}_values"], strict=True)) for end in ("top", "bottom"))
        return Effects(*lists, kurtosis=row["kurtosis"])

    @cached_property
    def nearest(self) -> np.ndarray:
        """float32 [n]: the cosine of each unit's direction with the nearest other one; empty for axes, which stand at right angles."""
        cosines = self.table("units").all(["cosines"]).column("cosines").combine_chunks()
        some = pc.list_value_length(cosines).fill_null(0).to_numpy() > 0
        return pc.list_element(cosines.filter(pa.array(some)), 0).to_numpy()

    @cached_property
    def trips(self) -> dict[str, np.ndarray] | None:
        """The columns of the table `trips` [n_units]; None where nobody has computed it."""
        if not self.has(TRIPS):
            return None
        return columns_of(self.table(TRIPS.name).all())

    def trip(self, index: int) -> RoundTrip | None:
        """A unit's round trip; None where nobody has computed it."""
        if self.trips is None:
            return None
        return RoundTrip(**{name: column[index].item() for name, column in self.trips.items() if name != "unit"})

    @property
    def signed(self) -> bool:
        """Whether values can be negative: told by the manifest; by the kind in one that was written before manifests told it."""
        return self.manifest.get("signed", self.entry.kind in SIGNED_KINDS)

    @property
    def n_units(self) -> int:
        return self.manifest["n_units"]

    def has(self, spec: TableSpec) -> bool:
        """Whether there is such a table; not every dictionary has labels, effects, round trips or a sweep."""
        return any(name.startswith(f"{spec.name}-") for name in self.manifest["files"])

    def table(self, name: str) -> Table:
        spec = {s.name: s for s in SPECS}[name]
        with self._lock:
            if name not in self._open:
                self._open[name] = Table(self._place.path, spec, self.manifest, self._place.file)
            return self._open[name]

    def check_unit(self, index: int) -> None:
        if not 0 <= index < self.n_units:
            raise NotFound(f"{self.entry.slug} has units 0 to {self.n_units - 1}; {index} is none of them.")


def flat_spans(rows: pa.Table, name: str) -> tuple[np.ndarray, pa.Array[Any], np.ndarray, np.ndarray]:
    """All `words` or `phones` of rows of `speech` in one go: sample (row) [n], text [n], start_s and end_s [n], in order."""
    column = rows.column(name).combine_chunks()
    found = pa.table({"span": pc.list_flatten(column)}).flatten()
    sample = rows.column("sample").to_numpy()[pc.list_parent_indices(column).to_numpy()]
    start_s, end_s = (found.column(f"span.{which}").to_numpy() for which in ("start_s", "end_s"))
    return sample, found.column("span.text").combine_chunks(), start_s, end_s


def line_values(stored: bytes, low: float, high: float) -> np.ndarray:
    """float32 [n_positions] of a row of `timeline`."""
    return low + np.frombuffer(stored, np.uint8).astype(np.float32) * ((high - low) / TIMELINE_LEVELS)


def strongest(peaks: pa.Table, low: float | None, high: float | None, absolute: bool, n: int) -> list[tuple[int, float, int]]:
    """(sample row, peak, position) of the n strongest samples of one unit's rows of `peaks` within [low, high].

    Rows come sorted by tail (largest values first), then by peak from high to low. The bounds are rounded as the stored peaks are,
    so that a bound copied from a listed peak keeps that sample.
    """
    tail, sample, peak, at = (peaks.column(c).to_numpy() for c in ("tail", "sample", "peak", "at"))
    if not absolute:
        sample, peak, at = (column[tail == 1] for column in (sample, peak, at))
    size = peak.astype(np.float32)
    if absolute:
        size = np.abs(size)
        order = np.lexsort((sample, -size))
        order = order[np.sort(np.unique(sample[order], return_index=True)[1])]  # of a sample's two values the stronger one
        sample, peak, at, size = sample[order], peak[order], at[order], size[order]
    keep = np.ones(len(size), bool)
    with np.errstate(over="ignore"):
        if low is not None:
            keep &= size >= np.float16(low)
        if high is not None:
            keep &= size <= np.float16(high)
    chosen = np.flatnonzero(keep)[:n]
    return [(int(sample[i]), float(peak[i]), int(at[i])) for i in chosen]
