"""Where the runs of a sweep are trained and judged, each kept in the cache under its settings once it is finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from .... import __version__
from ....atomic import scratch, write_json
from ....dictionaries import open_checkpoint, saelens
from ....dictionaries.base import SparseAutoencoder
from ....errors import BadInput
from ....learning.settings import Start, TrainSettings
from ....runtime import Runtime
from ....settings import Settings
from ....shelf.catalog import DictionaryEntry
from ....shelf.schema import SPEECH, SWEEP
from ....swept import SweptRun
from ...labels.label import Layer, said_in
from ...workers import alone, work_folder
from ..harvest import harvest
from ..source import held_out_of, is_held_out, of_corpus, training_positions
from ..train import judge, train
from .controls import STARTS, scaled, untrained
from .held import Held, held_at, held_features

Judged = tuple[SweptRun, int]
"""a run, and the positions at which its median unit counts as active"""


class Bench:
    """The stored activations of one dictionary's hook and, where it is known, what is said at each position."""

    def __init__(self, settings: Settings, slug: str, n_workers: int):
        self.runtime = Runtime(settings)
        self.entry = self.runtime.catalog.dictionary(slug)
        self._settings, self._n_workers = settings, n_workers
        if self.entry.kind != "sae" or not self.entry.corpus:
            raise BadInput(f"{slug} is no SAE with a corpus in the catalog; only those are trained.")
        self.stored = harvest(settings, self.entry.model, self.entry.site, self.entry.layer, self.entry.corpus, n_workers)
        self.grid = self.runtime.model(self.entry.model).grid

    @cached_property
    def layer(self) -> Layer | None:
        """None where nothing is known of what is said: runs are then compared without labels."""
        corpus = self.stored.corpus
        if not corpus.is_text and not any(said is not None for said in said_in(corpus)):
            return None
        return Layer(self._settings, self.entry.model, self.entry.layer, str(self.entry.corpus), self._n_workers)

    def run(self, name: str, chosen: TrainSettings) -> Judged:
        """Train and judge one autoencoder. Raises BadInput when its training diverges."""

        def made() -> tuple[SparseAutoencoder, None]:
            return train(of_corpus(self.stored, chosen.held_out_share), chosen, self._settings.cache)[0], None

        return self._autoencoder(name, chosen, chosen.n_activations, made, control=False)

    def control(self, chosen: TrainSettings, start: Start) -> Judged:
        """The same for the autoencoder before its first step."""

        def made() -> tuple[SparseAutoencoder, Tensor]:
            x = training_positions(self.stored, chosen.held_out_share)
            return untrained(x, chosen, start), x

        return self._autoencoder(STARTS[start], chosen, 0, made, control=True, kind="topk", start=start, lr=None, aux=None)

    def neighbour(self, entry: DictionaryEntry, n_active: int) -> Judged:
        """Neurons or residual axes of the same layer, active at as many positions as the median feature of the chosen run."""

        def made() -> Judged:
            dictionary, layer = self.runtime.open(entry.slug).dictionary, self.layer
            held = None if layer is None else held_at(layer, layer.harvest(entry.site), dictionary, self.grid, n_active)
            return _row(entry.title or entry.slug, held, kind=entry.kind, n_units=dictionary.n_units), n_active

        return self._kept([entry.slug, n_active], made)

    def _autoencoder(
        self, name: str, chosen: TrainSettings, n_seen: int, made: Callable[[], tuple[SparseAutoencoder, Tensor | None]], control: bool, **other: Any
    ) -> Judged:
        told = {key: value for key, value in asdict(chosen).items() if key in SWEEP.schema.names} | {"n_activations": n_seen} | other

        def judged() -> Judged:
            sae, x = made()
            shipped = as_saved(sae, work_folder(self._settings.cache, "sweep"))
            figures = {n: v for n, v in self._quality(shipped, chosen).items() if n in SWEEP.schema.names}
            if x is not None:
                figures["fvu_scaled"] = self._quality(scaled(shipped, x), chosen)["fvu"]
            held = None if self.layer is None else held_features(self.layer, self.stored, shipped, self.grid)
            return _row(name, held, control=control, **told, **figures), held.n_active if held else 0

        found, n_active = self._kept([asdict(chosen), told], judged)
        return replace(found, name=name), n_active

    def _quality(self, sae: SparseAutoencoder, chosen: TrainSettings) -> dict[str, float | int]:
        return judge(sae, held_out_of(self.stored, lambda sample: is_held_out(sample, chosen.held_out_share))).json()

    def _kept(self, what: list[Any], made: Callable[[], Judged]) -> Judged:
        """What the cache keeps of the same work over the same activations and the same speech; made, and kept, where it has nothing."""
        manifest = self.stored.corpus.manifest
        speech = [file["sha256"] for name, file in sorted(manifest["files"].items()) if name.startswith(f"{SPEECH.name}-")]
        key = hashlib.sha256(json.dumps([what, str(self.stored.folder.name), manifest["revision"], speech, __version__]).encode()).hexdigest()[:12]
        path = work_folder(self._settings.cache, "sweep") / f"{key}.json"
        with alone(self._settings.cache, f"sweep-{key}"):
            if not path.exists():
                run, n_active = made()
                write_json(path, {"run": asdict(run), "n_active": n_active})
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return SweptRun(**kept["run"]), int(kept["n_active"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise BadInput(f"What the last sweep left in {path} cannot be read ({type(error).__name__}). Remove it and sweep again.") from None


def as_saved(sae: SparseAutoencoder, work: Path) -> SparseAutoencoder:
    """As a file would hold it: in half precision. It is written into a folder in `work`, which goes again."""
    with scratch(work / "saved") as folder:
        saelens.save(sae, folder, {})
        return open_checkpoint(folder, format=saelens.FORMAT).dictionary


def _row(name: str, held: Held | None, **columns: Any) -> SweptRun:
    """A run with null for what does not apply to it."""
    told: dict[str, Any] = dict.fromkeys(SWEEP.schema.names)
    told.update({"name": name, "control": False, "shipped": False}, **columns, **(held.columns() if held else {}))
    return SweptRun(**told)
