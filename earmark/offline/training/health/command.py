"""The command `health --recompute`: a dictionary's figures from the model, over its held-out samples; with --save into its manifest and tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ....atomic import scratch, write_json
from ....dictionaries.base import SparseAutoencoder
from ....errors import BadInput
from ....health import QUALITY, round_trip
from ....learning.settings import TrainSettings
from ....measure.trips import UNITS_A_BATCH, Trips, round_trips
from ....raw import part
from ....runtime import Runtime
from ....settings import Settings
from ....shelf.folders import Corpus
from ....shelf.schema import TRIPS
from ....shelf.store import Store
from ....shelf.tables import put_table, read_manifest
from ...workers import work_folder
from ..source import is_held_out
from .divided import Plan, behaviour, quality

N_JUDGED = 100
"""held-out samples that the model is run over in every way"""
MAX_JUDGED_S = 30.0
"""a longer sound is not read by a decoder in one go"""


@dataclass(frozen=True)
class Found:
    """A dictionary's figures, computed anew."""

    stored: dict[str, Any]
    """what the shelf said before"""
    quality: dict[str, Any]
    """as the manifest keeps it"""
    trips: Trips | None
    """None for an SAE that cannot decode without its input"""

    def json(self) -> dict[str, Any]:
        """As `Store.health` gives the stored ones."""
        found = {name: self.quality.get(name) for name in QUALITY}
        return {
            **self.stored,
            **found,
            "dead_held_out": self.quality["dead"],
            "n_positions": self.quality["n_positions"],
            "round_trip": round_trip(_columns(self.trips)) if self.trips else None,
        }


def recompute(settings: Settings, slug: str, n_workers: int, n_judged: int = N_JUDGED) -> Found:
    """Run the model over the samples that training never saw. Raises BadInput for what is no SAE, and when a worker stops."""
    store, runtime = Store(settings), Runtime(settings)
    opened = runtime.open(slug)
    sae = opened.dictionary
    if not isinstance(sae, SparseAutoencoder):
        raise BadInput(f"{slug} reconstructs nothing: L0, FVU and what is recovered belong to an SAE. `health` without --recompute shows what is stored.")
    stored = store.health(slug)
    training = part(read_manifest(settings.data / slug), "training")
    share: float = part(training, "settings").get("held_out_share", TrainSettings().held_out_share)
    corpus_slug = training.get("corpus") or stored["corpus"] or str(opened.entry.corpus)
    corpus = store.corpus(corpus_slug)
    held_out = tuple(name for name in corpus.ids if is_held_out(name, share))
    if not held_out:
        raise BadInput(f"None of the {len(corpus.ids)} samples of {corpus_slug} is held out: figures on what training saw would flatter. Take a larger corpus.")
    judged, by = chosen(corpus, held_out, n_judged) if runtime.model(opened.entry.model).predicts else ((), None)
    del runtime
    with scratch(work_folder(settings.cache, "health") / slug) as folder:
        plan = Plan(slug, corpus_slug, held_out, judged, folder)
        figures = quality(settings, plan, n_workers) | behaviour(settings, plan, n_workers) | {"transcripts": by}
        trips = trips_of(sae, np.load(plan.typical))
    return Found(stored, figures, trips)


def chosen(corpus: Corpus, held_out: Sequence[str], n: int) -> tuple[tuple[str, ...], str | None]:
    """(at most n held-out samples that the model is judged on, those whose ids hash lowest; by whom their transcripts are).

    Of sounds those with a transcript that came with them, where there are any: against its own transcripts a model makes no errors.
    """
    order = sorted(held_out, key=lambda name: hashlib.sha256(f"health {name}".encode()).digest())
    if corpus.manifest.get("modality") == "text":
        return tuple(order[:n]), None
    fit = [name for name in order if corpus.transcripts[corpus.row(name)].strip() and corpus.durations_s[corpus.row(name)] <= MAX_JUDGED_S]
    given = [name for name in fit if corpus.transcript_by[corpus.row(name)] == "source"]
    return (tuple(given[:n]), "source") if given else (tuple(fit[:n]), "model")


def trips_of(sae: SparseAutoencoder, values: np.ndarray) -> Trips | None:
    """Each unit decoded at its value of values [n_units].

    None where nothing can be decoded without the input, or what is decoded is not what is read (a transcoder).
    """
    if sae.width_out != sae.width or sae.W_skip is not None or (sae.undo_norm and sae.input_norm.per_position):
        return None
    return round_trips(values, sae.decode, lambda x: sae.encode(x).dense(), 1 if sae.reads_batches else UNITS_A_BATCH)


def save(settings: Settings, slug: str, found: Found) -> None:
    """Into the manifest's `quality` and the table `trips`, whole or not at all."""
    folder = settings.data / slug
    told = {"quality": part(read_manifest(folder), "quality") | found.quality}
    if found.trips is None:
        write_json(folder / "manifest.json", read_manifest(folder) | told)
    else:
        put_table(folder, TRIPS, pa.table({name: pa.array(column) for name, column in _columns(found.trips).items()}, schema=TRIPS.schema), told)


def _columns(trips: Trips) -> dict[str, np.ndarray]:
    return {"unit": np.arange(len(trips.own), dtype=np.int32), **asdict(trips)}
