"""Tables of all dictionaries of one layer in one pass over a corpus; resumable, and the same whatever was interrupted."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...atomic import new_file, new_folder, remove_folder, write_json
from ...errors import BadInput, BadTable, MissingWeights
from ...models.base import TextModel
from ...runtime import Opened, Runtime
from ...settings import Settings
from ...shelf.catalog import licence_text, read_catalog
from ...shelf.folders import Corpus
from ...shelf.hub import HERE, find_checkpoint
from ...shelf.tables import FORMAT, files_of, outlives, read_manifest
from ...units import SINK_NORM, Kind
from .. import workers
from ..passes import Place, codes_of
from ..training.harvest import Samples
from .accumulate import N_TOP, Accumulator, Correlator, spill_file
from .rows import TRACE_LEVELS, Built, write_tables
from .timeline import N_POSITIONS, N_TOKENS, Beginning, timeline_starts

CHECKPOINT_S = 120.0


@dataclass(frozen=True)
class Plan:
    """What one pass makes."""

    slugs: tuple[str, ...]
    corpus: str
    n_workers: int
    folder: Path
    limit: int | None = None
    """only the first so many samples: trials and benchmarks"""
    checkpoint_s: float = CHECKPOINT_S
    n_peaks: int | None = None
    """samples kept in `peaks` of each unit; None: all of a feature, 500 at either end of a neuron or an axis"""
    text: bool = False

    @property
    def n_line(self) -> int:
        return N_TOKENS if self.text else N_POSITIONS


class Shard:
    """The accumulators of one worker, and how they are kept between two starts."""

    def __init__(self, plan: Plan, opened: Sequence[Opened], worker: int):
        self._plan, self._path = plan, plan.folder / f"shard-{worker}.npz"
        self.accumulators = {o.entry.slug: Accumulator(o.dictionary.n_units, o.dictionary.signed, plan.folder / f"{o.entry.slug}-{worker}") for o in opened}
        features = [o for o in opened if o.entry.kind == "sae"]
        others = [o for o in opened if o.entry.kind != "sae"]
        self.correlators = {(f.entry.slug, o.entry.slug): Correlator(f.dictionary.n_units, o.dictionary.n_units) for f in features for o in others}
        self.beginnings = {o.entry.slug: Beginning(timeline_stem(plan, o.entry.slug), plan.n_line) for o in opened}
        self.n_groups_done = 0

    def save(self) -> None:
        """Write everything atomically."""
        state = {f"{slug}/{name}": array for slug, a in self.accumulators.items() for name, array in a.state().items()}
        state |= {f"products/{f}/{o}": c.products for (f, o), c in self.correlators.items()}
        state |= {f"n_kept/{slug}": np.array(b.n_kept) for slug, b in self.beginnings.items()}
        state["n_groups_done"] = np.array(self.n_groups_done)
        with new_file(self._path) as file:
            np.savez(file, allow_pickle=False, **state)

    def load(self) -> None:
        """Go on from what was saved, if anything was. Rows spilled after that are written again under the same names."""
        if not self._path.exists():
            return
        try:
            with np.load(self._path) as file:
                self.n_groups_done = int(file["n_groups_done"])
                for slug, accumulator in self.accumulators.items():
                    accumulator.restore({n.split("/", 1)[1]: file[n] for n in file.files if n.startswith(f"{slug}/")})
                for (f, o), correlator in self.correlators.items():
                    correlator.products = file[f"products/{f}/{o}"]
                for slug, beginning in self.beginnings.items():
                    beginning.n_kept = int(file[f"n_kept/{slug}"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise BadInput(f"What the last run left in {self._path} cannot be read ({type(error).__name__}). Remove that folder and build again.") from None


def build(
    settings: Settings,
    slug: str,
    corpus_slug: str | None,
    n_workers: int,
    only: bool = False,
    limit: int | None = None,
    checkpoint_s: float | None = None,
    n_peaks: int | None = None,
) -> tuple[str, ...]:
    """Build the tables of a dictionary and, unless `only`, of the other dictionaries over its layer. Returns the slugs that were built.

    Activations that a training has stored are read from there. n_peaks: see `Plan`.
    Raises BadInput when no corpus is named or a worker stops; run again, it goes on where it was.
    """
    runtime = Runtime(settings)
    entry = runtime.catalog.dictionary(slug)
    corpus_slug = corpus_slug or entry.corpus
    if not corpus_slug:
        raise BadInput(f"{slug} names no corpus in the catalog; give one with --corpus: {', '.join(sorted(runtime.catalog.corpora))}.")
    runtime.catalog.corpus(corpus_slug)
    chosen = (entry,) if only else tuple(d for d in runtime.catalog.siblings(slug) if d.slug == slug or _openable(runtime, d.slug))
    opened = [runtime.open(d.slug) for d in chosen]
    corpus = Corpus(settings.data / corpus_slug)
    if n_peaks is not None and n_peaks < N_TOP:
        raise BadInput(f"--peaks is {n_peaks}; at least {N_TOP} are needed, which a unit's card shows.")
    plan = _plan(settings, opened, corpus, corpus_slug, n_workers, limit)
    plan = dataclasses.replace(plan, checkpoint_s=CHECKPOINT_S if checkpoint_s is None else checkpoint_s, n_peaks=n_peaks, text=corpus.is_text)
    total = min(limit or len(corpus.ids), len(corpus.ids))
    with workers.alone(settings.cache, plan.folder.name):
        _build(settings, plan, opened, corpus, total)
    remove_folder(plan.folder)
    return plan.slugs


def _build(settings: Settings, plan: Plan, opened: Sequence[Opened], corpus: Corpus, total: int) -> None:
    done = total * sum(_groups_done(plan, w) for w in range(plan.n_workers)) // corpus.table.n_groups
    workers.run(_work, (settings, plan), plan.n_workers, total, min(done, total), "Build")
    _finish(settings, plan, opened, corpus, total)


def _openable(runtime: Runtime, slug: str) -> bool:
    """Whether a sibling can join the pass: an SAE that is not trained yet, or not on this machine, cannot."""
    entry = runtime.catalog.dictionary(slug)
    try:
        return entry.kind != "sae" or find_checkpoint(entry, runtime.settings, HERE).exists()
    except MissingWeights:
        return False


def _plan(settings: Settings, opened: Sequence[Opened], corpus: Corpus, corpus_slug: str, n_workers: int, limit: int | None) -> Plan:
    """The same work finds its folder again; it then keeps its number of workers, whatever is asked for now."""
    what = [corpus.manifest["revision"], __version__, str(limit), *(f"{o.entry.slug} {o.revision}" for o in opened)]
    folder = workers.work_folder(settings.cache, "build", hashlib.sha256("\n".join(what).encode()).hexdigest()[:12])
    note = folder / "plan.json"
    try:
        n_workers = int(json.loads(note.read_text(encoding="utf-8"))["n_workers"])
    except (OSError, ValueError, KeyError, TypeError):
        write_json(note, {"n_workers": n_workers})
    return Plan(tuple(o.entry.slug for o in opened), corpus_slug, n_workers, folder, limit)


def timeline_stem(plan: Plan, slug: str) -> Path:
    """Where the values of the first positions wait: one place for all workers."""
    return plan.folder / f"{slug}-timeline"


def _groups_done(plan: Plan, worker: int) -> int:
    path = plan.folder / f"shard-{worker}.npz"
    if not path.exists():
        return 0
    with np.load(path) as file:
        return int(file["n_groups_done"])


def _work(share: workers.Share, settings: Settings, plan: Plan) -> None:
    runtime = Runtime(settings)
    opened = [runtime.open(slug) for slug in plan.slugs]
    corpus = Corpus(settings.data / plan.corpus)
    shard = Shard(plan, opened, share.worker)
    shard.load()
    places = {o.entry.slug: Place(o.entry.site, o.entry.layer, o.hook) for o in opened}
    samples = Samples(settings, runtime, opened[0].entry.model, corpus, list(places.values()))
    saved_at = time.monotonic()
    groups = range(share.worker, corpus.table.n_groups, share.n_workers)
    for group in groups[shard.n_groups_done :]:
        for row, found in samples.group(group):
            if plan.limit is not None and row >= plan.limit:
                break
            taken = {slug: found[place] for slug, place in places.items()}
            codes = {o.entry.slug: codes_of(o.dictionary, taken[o.entry.slug]) for o in opened}
            for slug, accumulator in shard.accumulators.items():
                accumulator.add(row, corpus.ids[row], codes[slug], taken[slug].sinks)
                shard.beginnings[slug].add(row, codes[slug])
            for (f, o), correlator in shard.correlators.items():
                correlator.add(codes[f], codes[o])
            share.report(1)
        for correlator in shard.correlators.values():
            correlator.flush()
        shard.n_groups_done += 1
        if time.monotonic() - saved_at > plan.checkpoint_s:
            shard.save()
            saved_at = time.monotonic()
    shard.save()


def _finish(settings: Settings, plan: Plan, opened: Sequence[Opened], corpus: Corpus, total: int) -> None:
    """Merge the shards and write every dictionary's folder."""
    whole = Shard(plan, opened, 0)
    whole.load()
    spills = {slug: [spill_file(plan.folder / f"{slug}-0", n) for n in range(a.n_spilled)] for slug, a in whole.accumulators.items()}
    for worker in range(1, plan.n_workers):
        shard = Shard(plan, opened, worker)
        shard.load()
        for slug, accumulator in whole.accumulators.items():
            other = shard.accumulators[slug]
            accumulator.merge(other)
            spills[slug] += [spill_file(plan.folder / f"{slug}-{worker}", n) for n in range(other.n_spilled)]
        for key, correlator in whole.correlators.items():
            correlator.products = correlator.products + shard.correlators[key].products
    counted = {a.n_samples for a in whole.accumulators.values()}
    if counted != {total}:
        raise BadInput(f"The pass counted {sorted(counted)} samples instead of {total}; nothing was replaced. Remove {plan.folder} and build again.")
    kinds: dict[str, Kind] = {o.entry.slug: o.entry.kind for o in opened}
    model = Runtime(settings).model(opened[0].entry.model)
    reader = model if isinstance(model, TextModel) and model.predicts else None
    for o in opened:
        correlations: dict[str, NDArray[np.float32]] = {}
        for (f, other), correlator in whole.correlators.items():
            if o.entry.slug in (f, other):
                r = correlator.correlations(whole.accumulators[f], whole.accumulators[other])
                correlations[other if o.entry.slug == f else f] = r if o.entry.slug == f else r.T
        stem = timeline_stem(plan, o.entry.slug)
        a = whole.accumulators[o.entry.slug]
        _write(
            settings,
            plan,
            Built(o, a, spills[o.entry.slug], correlations, kinds, corpus, stem, plan.n_line, plan.n_peaks, TRACE_LEVELS[plan.text], reader),
            corpus,
            model.grid,
        )


def _write(settings: Settings, plan: Plan, built: Built, corpus: Corpus, grid: tuple[float, float]) -> None:
    """One dictionary's folder: what lay there (weights, training record) stays, the tables and the manifest are new."""
    entry, a = built.opened.entry, built.accumulator
    target = settings.data / entry.slug
    before: dict[str, Any] = {}
    try:
        before = read_manifest(target)
    except BadTable:
        pass  # the first time there is none
    with new_folder(target) as folder:
        if target.exists():
            for path in target.iterdir():
                if outlives(path, new_weights=before.get("revision") != built.opened.revision):
                    shutil.copy2(path, folder / path.name)
        catalog = read_catalog(settings.data)
        (folder / "LICENSE").write_text(licence_text(entry, catalog.model(entry.model), catalog.corpus(plan.corpus)), encoding="utf-8")
        write_tables(built, folder)
        manifest = {
            "format": FORMAT,
            "what": "dictionary",
            "dictionary": entry.slug,
            "kind": entry.kind,
            "model": entry.model,
            "hook": {"module": built.opened.hook.module, "side": built.opened.hook.side, "width": built.opened.hook.width},
            "n_units": a.n_units,
            "signed": a.signed,
            "revision": built.opened.revision,
            "earmark": __version__,
            "quality": before.get("quality"),
            "training": before.get("training"),
            "tables": {
                "corpus": plan.corpus,
                "corpus_revision": corpus.manifest["revision"],
                "hop_s": grid[0],
                "offset_s": grid[1],
                "n_samples": a.n_samples,
                "n_positions": a.n_positions,
                "dead": float((a.n_nonzero == 0).mean()),
                "timeline_starts": timeline_starts(built.timeline, plan.n_line),
                **({"n_sinks": a.n_sinks, "sink_norm": SINK_NORM} if plan.text else {}),
                **({} if plan.n_peaks is None else {"n_peaks": plan.n_peaks}),
            },
            "files": files_of(folder),
        }
        write_json(folder / "manifest.json", manifest)
