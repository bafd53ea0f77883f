"""The command `train`: an SAE of the catalog from its corpus, or one of one's own from any activations; in SAELens's layout, with its record."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

from ... import __version__
from ...atomic import new_folder, write_json
from ...dictionaries import open_checkpoint, saelens
from ...dictionaries.base import SparseAutoencoder
from ...errors import BadInput
from ...learning.settings import TrainSettings, usual
from ...settings import Settings
from ...shelf.catalog import dictionary_revision, read_catalog
from ...shelf.tables import FORMAT, files_of, outlives, sha256_of
from .harvest import Harvest, harvest
from .reports.curves import training_svg
from .source import Source, of_corpus
from .train import LOG, How, Log, judge, train

RECORD = "training.json"
FIGURE = "training.svg"


def train_dictionary(settings: Settings, slug: str, chosen: TrainSettings, corpus: str | None, n_workers: int, how: How = How()) -> str:
    """Collect activations, train, judge, write the folder. Returns a sentence with the figures. Raises BadInput for what is no SAE."""
    catalog = read_catalog(settings.data)
    entry = catalog.dictionary(slug)
    if entry.kind != "sae" or entry.format != saelens.FORMAT or not entry.folder:
        raise BadInput(f"{slug} is no SAE in SAELens's layout; only those are trained here. With --out FOLDER one is trained beside the catalog.")
    if entry.folder != slug:
        raise BadInput(f"{slug} has its weights in '{entry.folder}'; what is trained goes to a folder of its own name. Let `folder` be '{slug}'.")
    stored, corpus = harvest_of(settings, slug, corpus, n_workers)
    source = of_corpus(stored, chosen.held_out_share)
    sae, log = train(source, chosen, settings.cache, how)
    target = settings.data / entry.folder
    with new_folder(target) as folder:
        if target.exists():
            for path in target.iterdir():
                if outlives(path, new_weights=True) and path.suffix not in {".json", ".safetensors", ".jsonl", ".svg"}:
                    shutil.copy2(path, folder / path.name)
        shipped = write_sae(folder, sae, log, {"model_name": entry.model, "hook_name": str(stored.hook), "dataset_path": corpus})
        figures = judge(shipped, source.held_out())
        weights = sha256_of(folder / saelens.WEIGHTS)
        manifest = {
            "format": FORMAT,
            "what": "dictionary",
            "dictionary": slug,
            "kind": "sae",
            "model": entry.model,
            "hook": dataclasses.asdict(stored.hook),
            "n_units": shipped.n_units,
            "revision": dictionary_revision(entry, catalog.model(entry.model), str(stored.hook), weights),
            "earmark": __version__,
            "quality": figures.json(),
            "training": {"command": train_command(slug, corpus, chosen), "settings": dataclasses.asdict(chosen), **source.about},
            "files": files_of(folder),
        }
        write_json(folder / "manifest.json", manifest)
    told = f"L0 {figures.l0:.1f}, FVU {figures.fvu:.4f}, dead {figures.dead:.2%} of {shipped.n_units}"
    return f"{slug}: on held-out samples {told} ({figures.n_positions} positions)."


def harvest_of(settings: Settings, slug: str, corpus: str | None, n_workers: int) -> tuple[Harvest, str]:
    """(the stored activations of a dictionary's hook, their corpus), collected where they are not there yet."""
    entry = read_catalog(settings.data).dictionary(slug)
    corpus = corpus or entry.corpus
    if not corpus:
        raise BadInput(f"{slug} names no corpus in the catalog; give one with --corpus.")
    return harvest(settings, entry.model, entry.site, entry.layer, corpus, n_workers), corpus


def write_sae(folder: Path, sae: SparseAutoencoder, log: Log, metadata: dict[str, Any]) -> SparseAutoencoder:
    """Weights, metrics and their curves into a folder. Returns what the file holds, half precision and all: figures are of that."""
    saelens.save(sae, folder, metadata)
    (folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")
    (folder / FIGURE).write_text(training_svg(log), encoding="utf-8")
    return open_checkpoint(folder, format=saelens.FORMAT).dictionary


def train_folder(settings: Settings, source: Source, chosen: TrainSettings, out: Path, command: str, metadata: dict[str, Any], how: How) -> dict[str, Any]:
    """Train on any activations into a folder of its own. Returns its record, with its figures on held-out positions."""
    check_out(out)
    sae, log = train(source, chosen, settings.cache, how)
    with new_folder(out) as folder:
        figures = judge(write_sae(folder, sae, log, metadata), source.held_out())
        record = {"command": command, "settings": dataclasses.asdict(chosen), **source.about, "earmark": __version__, "quality": figures.json()}
        write_json(folder / RECORD, record)
    return record


def check_out(out: Path) -> None:
    """Raises BadInput where something else than an earlier training would be replaced."""
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / RECORD).is_file()):
        raise BadInput(f"'{out}' is there already and is no training of ours; name a folder that is new.")
    if not out.absolute().parent.is_dir():
        raise BadInput(f"'{out}' cannot be made: the folder that it would lie in is not there.")


def flags_of(chosen: TrainSettings) -> list[str]:
    """What differs from the usual settings of its kind, as the command line takes it."""
    defaults = usual(chosen.kind)
    flags: list[str] = []
    if chosen.kind != TrainSettings.kind:
        flags.append(f"--kind {chosen.kind}")
    for name, value in dataclasses.asdict(chosen).items():
        if value != getattr(defaults, name):
            flag = name.replace("_", "-")
            flags.append(f"--{flag} {value}" if not isinstance(value, bool) else f"--{flag}" if value else f"--no-{flag}")
    return flags


def train_command(slug: str, corpus: str, chosen: TrainSettings) -> str:
    """The command line that trains with these settings."""
    return " ".join(["python -m earmark train", slug, "--corpus", corpus, *flags_of(chosen)])
