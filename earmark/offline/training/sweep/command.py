"""The command `sweep`: every run of a recipe, what they are compared with, and which of them ships."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from ....errors import BadInput, BadTable, unknown
from ....learning.settings import TrainSettings
from ....raw import part
from ....settings import Settings
from ....shelf.schema import SWEEP
from ....shelf.tables import put_table, read_manifest
from ....swept import SweptRun
from ..command import train_command
from .bench import Bench, Judged
from .controls import STARTS
from .recipe import Recipe, read_recipe


@dataclass(frozen=True)
class Swept:
    """What a sweep found."""

    runs: tuple[SweptRun, ...]
    told: tuple[str, ...]
    """sentences: runs that failed, which one ships, what is to be done next"""


def sweep(settings: Settings, path: Path, only: Sequence[str], n_workers: int) -> Swept:
    """Train and judge what is not done yet, and put the table into the dictionary's folder; with `only`, nothing but the runs of these names.

    Raises BadInput for a recipe that cannot be used. A run that fails, such as one that diverges, is told, and the others go on.
    """
    recipe = read_recipe(path)
    for name in only:
        if name not in recipe.runs:
            raise unknown(f"run of {path.name}", name, recipe.runs)
    bench = Bench(settings, recipe.dictionary, n_workers)
    done: list[Judged] = []
    failed: list[str] = []
    for name in tqdm(only or list(recipe.runs), desc="Sweep", unit="run"):
        try:
            done.append(bench.run(name, recipe.runs[name]))
        except BadInput as error:
            failed.append(f"{name}: {error}")
    runs = [run for run, _ in done]
    if only:
        return Swept(tuple(runs), tuple(failed))
    if not runs:
        raise BadInput(f"No run of {path.name} came to an end: {' '.join(failed)}")
    best = ships(runs, recipe)
    matched = dict(zip((run.name for run in runs), (n for _, n in done), strict=True))[best.name if best else runs[0].name]
    others = [bench.control(recipe.base, start)[0] for start in STARTS]
    if bench.layer is not None:
        siblings = bench.runtime.catalog.siblings(recipe.dictionary)
        others += [bench.neighbour(entry, matched)[0] for entry in siblings if entry.kind != "sae"]
    rows = tuple(replace(run, shipped=best is not None and run.name == best.name) for run in (*runs, *others))
    return Swept(rows, (*failed, *_next(settings, recipe, bench, best, _put(settings, recipe.dictionary, rows))))


def ships(runs: Iterable[SweptRun], recipe: Recipe) -> SweptRun | None:
    """Of the runs within the recipe's limits the one that holds most labels, or without labels the one with the least FVU; None where none is."""
    within = [r for r in runs if r.fvu is not None and r.fvu <= recipe.max_fvu and r.dead is not None and r.dead <= recipe.max_dead]
    return max(within, key=lambda r: (r.held_share or 0.0, -(r.fvu or 0.0)), default=None)


def _put(settings: Settings, slug: str, rows: Sequence[SweptRun]) -> bool:
    """Whether the table could be put into the dictionary's folder: one that was never trained has none."""
    folder = settings.data / slug
    if not (folder / "manifest.json").is_file():
        return False
    put_table(folder, SWEEP, [asdict(run) for run in rows])
    return True


def _next(settings: Settings, recipe: Recipe, bench: Bench, best: SweptRun | None, was_put: bool) -> list[str]:
    """What ships, and what is to be run for it."""
    slug = recipe.dictionary
    if best is None:
        return [f"No run has FVU <= {recipe.max_fvu} and at most {recipe.max_dead:.0%} dead: none ships."]
    chosen = recipe.runs[best.name]
    by = "token or word" if bench.stored.corpus.is_text else "phone or word"
    held = "" if best.held_share is None else f", {best.held_share:.1%} of its eligible units named by {by}"
    lines = [f"'{best.name}' ships: FVU {best.fvu:.3f}, {best.dead:.1%} dead{held}."]
    if not _is_trained_so(settings, slug, asdict(chosen)):
        lines.append(f"{slug} is another one. This makes it: {train_command(slug, str(bench.entry.corpus), chosen)}")
    if not was_put:
        lines.append("Then run the same sweep again: its table goes into that folder.")
    return lines


def _is_trained_so(settings: Settings, slug: str, chosen: dict[str, object]) -> bool:
    try:
        told = part(part(read_manifest(settings.data / slug), "training"), "settings")
        return bool(told) and asdict(TrainSettings()) | told == chosen  # an older manifest lacks what came later, and was trained with its default
    except BadTable:
        return False


def lines(swept: Swept) -> list[str]:
    """The table as people read it; a star marks what ships."""
    head = f"{'':2}{'run':<34} {'kind':<10} {'units':>6} {'k':>3} {'seen':>10} {'L0':>6} {'FVU':>6} {'dead':>6} {'eligible':>8} {'held':>6} {'any':>6}"
    return [head, *(_line(run) for run in swept.runs), *swept.told]


def _line(r: SweptRun) -> str:
    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    figures = f"{number(r.l0, '.1f'):>6} {number(r.fvu, '.3f'):>6} {number(r.dead, '.1%'):>6} {number(r.n_eligible, 'd'):>8}"
    shares = f"{number(r.held_share, '.1%'):>6} {number(r.held_any_share, '.1%'):>6}"
    size = f"{r.n_units:>6} {number(r.k, 'd'):>3} {number(r.n_activations, ',d'):>10}"
    return f"{'* ' if r.shipped else '  '}{r.name:<34} {r.kind:<10} {size} {figures} {shares}"
