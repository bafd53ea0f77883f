"""The command `train`: an SAE of the catalog from its corpus, in SAELens's layout, with a record of how it was made."""

from __future__ import annotations

import dataclasses
import json
import shutil

from ... import __version__
from ...dictionaries import open_checkpoint, saelens
from ...errors import BadInput
from ...learning.settings import TrainSettings, usual
from ...settings import Settings
from ...shelf.catalog import DictionaryEntry, dictionary_revision, read_catalog
from ...shelf.tables import FORMAT, files_of, new_folder, outlives, sha256_of, write_json
from .harvest import Harvest, harvest
from .train import evaluate, is_held_out, train


def train_dictionary(settings: Settings, slug: str, chosen: TrainSettings, corpus: str | None, n_workers: int) -> str:
    """Collect activations, train, evaluate, write the folder. Returns a sentence with the figures. Raises BadInput for what is no SAE."""
    catalog = read_catalog(settings.data)
    entry = catalog.dictionary(slug)
    if entry.kind != "sae" or entry.format != saelens.FORMAT or not entry.folder:
        raise BadInput(f"{slug} is no SAE in SAELens's layout; only those are trained here.")
    corpus = corpus or entry.corpus
    if entry.folder != slug:
        raise BadInput(f"{slug} has its weights in '{entry.folder}'; what is trained goes to a folder of its own name. Let `folder` be '{slug}'.")
    if not corpus:
        raise BadInput(f"{slug} names no corpus in the catalog; give one with --corpus.")
    stored = harvest(settings, entry.model, entry.site, entry.layer, corpus, n_workers)
    sae, log = train(stored, chosen, settings.cache)
    target = settings.data / entry.folder
    with new_folder(target) as folder:
        if target.exists():
            for path in target.iterdir():
                if outlives(path, new_weights=True) and path.suffix not in {".json", ".safetensors", ".jsonl"}:
                    shutil.copy2(path, folder / path.name)
        saelens.save(sae, folder, {"model_name": entry.model, "hook_name": str(stored.hook), "dataset_path": corpus})
        (folder / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log), encoding="utf-8")
        shipped = open_checkpoint(folder, format=saelens.FORMAT).dictionary  # the figures are those of the file, half precision and all
        figures = _figures(shipped, stored, chosen)
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
            "quality": figures,
            "training": _record(entry, chosen, corpus, stored),
            "files": files_of(folder),
        }
        write_json(folder / "manifest.json", manifest)
    told = f"L0 {figures['l0']:.1f}, FVU {figures['fvu']:.4f}, dead {figures['dead']:.2%} of {shipped.n_units}"
    return f"{slug}: on held-out samples {told} ({figures['n_positions']} positions)."


def _figures(sae: saelens.SparseAutoencoder, stored: Harvest, chosen: TrainSettings) -> dict[str, float | int]:
    return evaluate(sae, stored, lambda name: is_held_out(name, chosen.held_out_share)).json()


def _record(entry: DictionaryEntry, chosen: TrainSettings, corpus: str, stored: Harvest) -> dict[str, object]:
    return {
        "command": train_command(entry.slug, corpus, chosen),
        "settings": dataclasses.asdict(chosen),
        "corpus": corpus,
        "corpus_revision": stored.corpus.manifest["revision"],
        "held_out": "samples whose id has a sha256 that begins below held_out_share",
    }


def train_command(slug: str, corpus: str, chosen: TrainSettings) -> str:
    """The command line that trains with these settings."""
    defaults = usual(chosen.kind)
    flags = [f"--{n.replace('_', '-')} {v}" for n, v in dataclasses.asdict(chosen).items() if v != getattr(defaults, n)]
    return " ".join(["python -m earmark train", slug, "--corpus", corpus, *flags])
