"""Activations of a corpus at one hook, on disk: one file a row group of samples, each written whole or not at all."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ...runtime import Runtime
from ...settings import Settings
from ...shelf.catalog import model_revision
from ...shelf.folders import Corpus
from ...units import Hook
from .. import workers


@dataclass(frozen=True)
class Harvest:
    """Stored activations."""

    folder: Path
    corpus: Corpus
    hook: Hook
    n_groups: int

    def group(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """(values [n_positions, width], row of the sample of each position [n_positions]) of one row group."""
        try:
            with np.load(_file(self.folder, number)) as file:
                return file["values"], file["rows"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise BadInput(f"{_file(self.folder, number)} cannot be read ({type(error).__name__}). Remove it and train again.") from None

    def groups(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
        return (self.group(g) for g in range(self.n_groups))


def _file(folder: Path, group: int) -> Path:
    return folder / f"activations-{group:05d}.npz"


def harvest_folder(settings: Settings, model: str, revision: str, hook: Hook, corpus: Corpus) -> Path:
    key = hashlib.sha256(f"{model} {revision} {hook} {corpus.manifest['revision']}".encode()).hexdigest()[:12]
    return workers.work_folder(settings.cache, "activations", f"{model}-{key}")


def harvest(settings: Settings, model: str, site: str, layer: int, corpus_slug: str, n_workers: int) -> Harvest:
    """Collect what is not there yet; exact activations of the model as it is used, padding left out."""
    runtime = Runtime(settings)
    entry = runtime.catalog.model(model)
    hook = runtime.model(model).hook(site, layer)
    corpus = Corpus(settings.data / corpus_slug)
    folder = harvest_folder(settings, model, model_revision(entry), hook, corpus)
    n_groups = corpus.table.n_groups
    missing = [g for g in range(n_groups) if not _file(folder, g).exists()]
    if missing:
        done = len(corpus.ids) * (n_groups - len(missing)) // n_groups
        del runtime
        args = (settings, model, hook, corpus_slug, folder, missing)
        workers.run(_collect, args, min(n_workers, len(missing)), len(corpus.ids), done, "Activations")
    return Harvest(folder, corpus, hook, n_groups)


def _collect(share: workers.Share, settings: Settings, model_slug: str, hook: Hook, corpus_slug: str, folder: Path, missing: list[int]) -> None:
    model = Runtime(settings).model(model_slug)
    corpus = Corpus(settings.data / corpus_slug)
    for group in missing[share.worker :: share.n_workers]:
        values, rows = [], []
        for row, _, sound in workers.read_samples(corpus, group):
            taken = model.capture(sound, [hook])[hook].values
            values.append(taken)
            rows.append(np.full(len(taken), row, np.int32))
            share.report(1)
        save_group(folder, group, np.concatenate(values), np.concatenate(rows))


def save_group(folder: Path, group: int, values: NDArray[np.float32], rows: NDArray[np.int32]) -> None:
    fresh = folder / f".{group}.{os.getpid()}.npz"
    np.savez(fresh, values=values, rows=rows)
    os.replace(fresh, _file(folder, group))
