"""What `python -m earmark train` was asked for: which activations, which settings, into which folder; one training or several, or only their size."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..atomic import write_text
from ..errors import BadInput, BadTable, unknown
from ..learning.positions import read_activations
from ..learning.settings import TrainSettings, usual
from ..measure.quality import Quality
from ..offline.passes import places
from ..offline.training.command import check_out, flags_of, harvest_of, train_dictionary, train_folder
from ..offline.training.reports.curves import pareto_svg
from ..offline.training.reports.estimate import estimate
from ..offline.training.source import Source, of_corpus, of_files
from ..offline.training.sweep.pareto import lines, parse_sweep, points, sweep_runs
from ..offline.training.sweep.recipe import Recipe, read_recipe
from ..offline.training.train import How
from ..raw import part
from ..runtime import Runtime
from ..settings import Settings
from ..shelf.catalog import read_catalog
from ..shelf.folders import Corpus
from ..shelf.tables import read_manifest

POSITIONS_A_SECOND = 50
"""of the audio models' hooks, for an estimate"""


@dataclass(frozen=True)
class Order:
    """As the command line has it."""

    dictionary: str | None = None
    chosen: dict[str, Any] = field(default_factory=dict[str, Any])
    """settings that were named; they come before a recipe's"""
    corpus: str | None = None
    activations: Path | None = None
    """a .npy file [n_positions, width] or a folder of them, in place of a corpus"""
    longest: float | None = None
    """of stored activations, leave out what is more than this many times as long as the median"""
    out: Path | None = None
    recipe: Path | None = None
    run: str | None = None
    """a run of the recipe; None: its first"""
    sweep: str | None = None
    n_workers: int = 1
    how: How = How()


def run(settings: Settings, args: argparse.Namespace, n_workers: int) -> list[str]:
    """The command `train` with its arguments. Returns what to print."""
    chosen = {f.name: getattr(args, f.name) for f in fields(TrainSettings) if getattr(args, f.name, None) is not None}
    how = How(args.device, args.log_every, args.resume)
    order = Order(args.dictionary, chosen, args.corpus, args.activations, args.longest, args.out, args.recipe, args.only, args.sweep, n_workers, how)
    return dry_run(settings, order) if args.dry_run else carry_out(settings, order)


def read(order: Order) -> tuple[TrainSettings, str | None, Recipe | None]:
    """(settings, slug of the dictionary or None, recipe or None). Raises BadInput where the order makes no sense."""
    recipe = read_recipe(order.recipe) if order.recipe else None
    if order.run and recipe is None:
        raise BadInput("--run names a run of a recipe; give --recipe too.")
    named: dict[str, Any] = {}
    if recipe is not None:
        if order.run and order.run not in recipe.told:
            raise unknown(f"run of {Path(str(order.recipe)).name}", order.run, recipe.told)
        named = recipe.told[order.run or next(iter(recipe.told))]
    slug = order.dictionary or (recipe.dictionary if recipe and not order.activations else None)
    if (slug is None) == (order.activations is None):
        raise BadInput("train needs a dictionary of the catalog (or a recipe that names one), or --activations FILE.npy; one of both.")
    return usual(**{"kind": TrainSettings.kind} | named | order.chosen), slug, recipe


def carry_out(settings: Settings, order: Order) -> list[str]:
    """Train. Returns what to print."""
    chosen, slug, _ = read(order)
    if slug and not order.out:
        if order.sweep:
            raise BadInput("A sweep needs --out FOLDER, into which its runs go.")
        return [train_dictionary(settings, slug, chosen, order.corpus, order.n_workers, order.how)]
    if order.out is None:
        raise BadInput("--activations needs --out FOLDER, into which the autoencoder goes.")
    runs = parse_sweep(order.sweep, chosen) if order.sweep else {}
    if not runs:
        check_out(order.out)
    source, metadata = _source(settings, order, slug, chosen)
    if runs:
        return [*source.told, *_sweep(settings, order, source, metadata, runs)]
    record = train_folder(settings, source, chosen, order.out, _command(order, slug, chosen, order.out), metadata, order.how)
    figures = record["quality"]
    told = f"L0 {figures['l0']:.1f}, FVU {figures['fvu']:.4f}, dead {figures['dead']:.2%} of {chosen.n_units}"
    return [*source.told, f"{order.out.name}: on held-out positions {told} ({figures['n_positions']} positions)."]


def dry_run(settings: Settings, order: Order) -> list[str]:
    """Sizes, memory and an estimated time; nothing is trained, and no weights are needed where the width is known."""
    chosen, slug, recipe = read(order)
    if order.activations:
        files = sorted(order.activations.glob("*.npy")) if order.activations.is_dir() else [order.activations]
        shapes = [read_activations(file).shape for file in files]
        if not shapes:
            raise BadInput(f"'{order.activations}' holds no .npy file.")
        width, n_positions = shapes[0][1], sum(shape[0] for shape in shapes)
    else:
        width = (recipe and recipe.width) or _width(settings, str(slug))
        n_positions = (recipe and recipe.n_positions) or _n_positions(settings, str(slug), order.corpus)
    runs = parse_sweep(order.sweep, chosen) if order.sweep else {"": chosen}
    told: list[str] = []
    for name, of_run in runs.items():
        told += [*([name] if name else []), *estimate(of_run, width, n_positions, order.how.on).lines(of_run, n_positions), ""]
    return told[:-1]


def _source(settings: Settings, order: Order, slug: str | None, chosen: TrainSettings) -> tuple[Source, dict[str, Any]]:
    if order.activations:
        return of_files(order.activations, chosen.held_out_share, order.longest), {"dataset_path": order.activations.name}
    stored, corpus = harvest_of(settings, str(slug), order.corpus, order.n_workers)
    model = read_catalog(settings.data).dictionary(str(slug)).model
    return of_corpus(stored, chosen.held_out_share), {"model_name": model, "hook_name": str(stored.hook), "dataset_path": corpus}


def _sweep(settings: Settings, order: Order, source: Source, metadata: dict[str, Any], runs: dict[str, TrainSettings]) -> list[str]:
    assert order.out is not None
    out = order.out
    out.mkdir(parents=True, exist_ok=True)

    def trained(name: str, of_run: TrainSettings) -> Quality:
        command = _command(order, order.dictionary, of_run, out / name)
        return Quality(**train_folder(settings, source, of_run, out / name, command, metadata, order.how)["quality"])

    done, failed = sweep_runs(runs, trained)
    write_text(out / "pareto.svg", pareto_svg(points(done)))
    write_text(out / "sweep.jsonl", "".join(json.dumps(run.json()) + "\n" for run in done))
    return [*lines(done), *failed, f"Drawn in {out.name}/pareto.svg."]


def _command(order: Order, slug: str | None, chosen: TrainSettings, out: Path) -> str:
    what = f"--activations {order.activations.name}" if order.activations else str(slug)
    corpus = [f"--corpus {order.corpus}"] if order.corpus else []
    longest = [f"--longest {order.longest:g}"] if order.longest is not None else []
    return " ".join(["python -m earmark train", what, *corpus, f"--out {out.name}", *longest, *flags_of(chosen)])


def _width(settings: Settings, slug: str) -> int:
    """Of the hook: from a manifest of a dictionary over it, else from the model itself."""
    catalog = read_catalog(settings.data)
    entry = catalog.dictionary(slug)
    for other in (entry, *catalog.siblings(slug)):
        try:
            width = part(read_manifest(settings.data / other.slug), "hook").get("width")
        except BadTable:
            continue
        if other.site == entry.site and isinstance(width, int):
            return width
    return places(Runtime(settings).model(entry.model), [(entry.site, entry.layer)])[0].hook.width


def _n_positions(settings: Settings, slug: str, corpus: str | None) -> int | None:
    """About how many a corpus gives; None where it is not there."""
    corpus = corpus or read_catalog(settings.data).dictionary(slug).corpus
    if not corpus or not (settings.data / corpus / "manifest.json").is_file():
        return None
    found = Corpus(settings.data / corpus)
    return int(sum(found.durations_s) * (1 if found.is_text else POSITIONS_A_SECOND))
