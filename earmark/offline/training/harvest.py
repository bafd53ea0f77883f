"""Activations of a corpus at some places, on disk: one file a row group of samples and place, each written whole or not at all.

A file holds float32 values [n_positions, width], the row of each position's sample, and of texts which positions are attention sinks. Half
precision would take half the room (1.2 million tokens of SmolLM2 at width 576 take 2.7 GB), but another unit might then be among the k
largest than on the page.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import new_file
from ...errors import BadInput
from ...machine import check_room
from ...runtime import Runtime
from ...settings import Settings
from ...shelf.catalog import model_revision
from ...shelf.folders import Corpus
from ...units import Hook
from .. import workers
from ..passes import Place, Taken, places, read_sample, read_samples, take


@dataclass(frozen=True)
class Stored:
    """One row group."""

    values: NDArray[np.float32]
    """[n_positions, width]"""
    rows: NDArray[np.int32]
    """row of the sample of each position; ascending"""
    sinks: NDArray[np.bool_] | None
    """[n_positions]; None for sounds"""


@dataclass(frozen=True)
class Harvest:
    """Stored activations."""

    folder: Path
    corpus: Corpus
    hook: Hook
    n_groups: int

    def stored(self, number: int) -> Stored:
        """All positions of one row group, sinks among them."""
        try:
            with np.load(_file(self.folder, number)) as file:
                return Stored(file["values"], file["rows"], file["sinks"] if "sinks" in file.files else None)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise BadInput(f"{_file(self.folder, number)} cannot be read ({type(error).__name__}). Remove it and train again.") from None

    def marks(self, number: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """(row of the sample of each position, whether it is a sink) of one row group, without reading its values."""
        with np.load(_file(self.folder, number)) as file:
            rows = file["rows"]
            return rows, file["sinks"] if "sinks" in file.files else np.zeros(len(rows), bool)

    def mapped(self, number: int) -> NDArray[np.float32]:
        """[n_positions, width] of one row group, sinks among them, left on the disk: the archive holds arrays as they are."""
        path = _file(self.folder, number)
        with zipfile.ZipFile(path) as archive, archive.open("values.npy") as member:
            np.lib.format.read_magic(member)
            shape, _, dtype = np.lib.format.read_array_header_1_0(member)
            header, stored_at = member.tell(), archive.getinfo("values.npy").header_offset
        with path.open("rb") as file:
            file.seek(stored_at + 26)  # of the member's own header: lengths of its name and of what else it says
            n_name, n_more = np.frombuffer(file.read(4), "<u2")
        return np.memmap(path, dtype, "r", stored_at + 30 + int(n_name) + int(n_more) + header, shape)

    def group(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """(values [n_positions, width], row of the sample of each position [n_positions]) of one row group, without sinks."""
        found = self.stored(number)
        return (found.values, found.rows) if found.sinks is None else (found.values[~found.sinks], found.rows[~found.sinks])

    def groups(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
        return (self.group(g) for g in range(self.n_groups))

    @property
    def complete(self) -> bool:
        """Whether every row group is there."""
        return all(_file(self.folder, g).exists() for g in range(self.n_groups))


def _file(folder: Path, group: int) -> Path:
    return folder / f"activations-{group:05d}.npz"


def harvest_folder(settings: Settings, model: str, revision: str, hook: Hook, corpus: Corpus) -> Path:
    key = hashlib.sha256(f"{model} {revision} {hook} {corpus.manifest['revision']}".encode()).hexdigest()[:12]
    return settings.cache / "activations" / f"{model}-{key}"


def stored_harvest(settings: Settings, model: str, revision: str, hook: Hook, corpus: Corpus) -> Harvest:
    """What lies on disk for one hook, which may be nothing yet."""
    return Harvest(harvest_folder(settings, model, revision, hook, corpus), corpus, hook, corpus.table.n_groups)


def harvest(settings: Settings, model: str, site: str, layer: int, corpus_slug: str, n_workers: int) -> Harvest:
    """One place's activations, collected where they are not there yet."""
    return harvest_all(settings, model, [(site, layer)], corpus_slug, n_workers)[0]


def harvest_all(settings: Settings, model: str, sites: Sequence[tuple[str, int]], corpus_slug: str, n_workers: int) -> list[Harvest]:
    """Collect what is not there yet of each (site, layer), in one pass; exact activations of the model as it is used, padding left out."""
    runtime = Runtime(settings)
    wanted = places(runtime.model(model), sites)
    corpus = Corpus(settings.data / corpus_slug)
    revision = model_revision(runtime.catalog.model(model))
    hop_s = runtime.model(model).grid[0]
    found = {place: stored_harvest(settings, model, revision, place.hook, corpus) for place in wanted}
    missing = _missing(found)
    if missing:
        del runtime
        n_samples = {g: corpus.table.first_row(g + 1) - corpus.table.first_row(g) for g in range(corpus.table.n_groups)}
        done = len(corpus.ids) - sum(n_samples[g] for g in missing)
        for stored in found.values():
            workers.work_folder(stored.folder)
        check_room(settings.cache, _n_bytes(corpus, hop_s, missing))
        args = (settings, model, {place: stored.folder for place, stored in found.items()}, corpus_slug, missing)
        workers.run(_collect, args, min(n_workers, len(missing)), len(corpus.ids), done, "Activations")
    return [found[place] for place in places_of(wanted, sites)]


class Samples:
    """A corpus's samples at some places: stored activations where a row group has all of them, else what the model gives. Both are the same."""

    def __init__(self, settings: Settings, runtime: Runtime, model: str, corpus: Corpus, wanted: Sequence[Place]):
        self._model, self._corpus, self._wanted = runtime.model(model), corpus, list(dict.fromkeys(wanted))
        revision = model_revision(runtime.catalog.model(model))
        self._stored = {place: stored_harvest(settings, model, revision, place.hook, corpus) for place in self._wanted}

    def group(self, number: int, chosen: Container[int] | None = None) -> Iterator[tuple[int, dict[Place, Taken]]]:
        """(row, what it gave) for each sample of a row group; with `chosen`, for those rows alone."""
        rows = range(self._corpus.table.first_row(number), self._corpus.table.first_row(number + 1))
        rows = rows if chosen is None else [row for row in rows if row in chosen]
        if not rows:
            return
        if not all(_file(stored.folder, number).exists() for stored in self._stored.values()):
            yield from ((row, take(self._model, sample, self._wanted)) for row, sample in self._samples(number, rows))
            return
        found = {place: stored.stored(number) for place, stored in self._stored.items()}
        for row in rows:
            yield row, {place: _of_row(stored, row) for place, stored in found.items()}

    def _samples(self, number: int, rows: Sequence[int]) -> Iterator[tuple[int, Any]]:
        if isinstance(rows, range):
            return ((row, sample) for row, _, sample in read_samples(self._corpus, number, self._model))
        return ((row, read_sample(self._corpus, self._corpus.ids[row], self._model)) for row in rows)


def _of_row(stored: Stored, row: int) -> Taken:
    here = slice(*np.searchsorted(stored.rows, (row, row + 1)))
    return Taken(stored.values[here], None if stored.sinks is None else stored.sinks[here])


def places_of(found: Sequence[Place], sites: Sequence[tuple[str, int]]) -> list[Place]:
    """The place of each (site, layer), in their order."""
    by_site = {(place.site, place.layer): place for place in found}
    return [by_site[site] for site in sites]


def _missing(found: dict[Place, Harvest]) -> dict[int, list[Place]]:
    """{row group: places that lack it}"""
    n_groups = max((stored.n_groups for stored in found.values()), default=0)
    lacking = {g: [place for place, stored in found.items() if not _file(stored.folder, g).exists()] for g in range(n_groups)}
    return {g: lacks for g, lacks in lacking.items() if lacks}


def _n_bytes(corpus: Corpus, hop: float, missing: dict[int, list[Place]]) -> int:
    """About how many bytes the activations that are missing take: hop is between two positions, in what the corpus measures its samples in."""
    starts = {group: corpus.table.first_row(group) for group in range(corpus.table.n_groups + 1)}
    lengths = {group: sum(corpus.durations_s[starts[group] : starts[group + 1]]) for group in missing}
    return int(sum(lengths[group] / hop * place.hook.width * 4 for group, wanted in missing.items() for place in wanted))


def _collect(share: workers.Share, settings: Settings, model_slug: str, folders: dict[Place, Path], corpus_slug: str, missing: dict[int, list[Place]]) -> None:
    model = Runtime(settings).model(model_slug)
    corpus = Corpus(settings.data / corpus_slug)
    for group, wanted in list(missing.items())[share.worker :: share.n_workers]:
        samples: list[tuple[int, dict[Place, Taken]]] = []
        for row, _, sample in read_samples(corpus, group, model):
            samples.append((row, take(model, sample, wanted)))
            share.report(1)
        for place in wanted:
            parts = [taken[place] for _, taken in samples]
            rows = np.repeat(np.array([row for row, _ in samples], np.int32), [len(part.values) for part in parts])
            sinks = [part.sinks for part in parts if part.sinks is not None]
            save_group(folders[place], group, Stored(np.concatenate([part.values for part in parts]), rows, np.concatenate(sinks) if sinks else None))


def save_group(folder: Path, group: int, found: Stored) -> None:
    arrays = {"values": found.values, "rows": found.rows} | ({} if found.sinks is None else {"sinks": found.sinks})
    with new_file(_file(folder, group)) as file:
        np.savez(file, allow_pickle=False, **arrays)
