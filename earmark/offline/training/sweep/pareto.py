"""`train --sweep`: the same training with one setting at several values, and what each pays in FVU for how few units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from ....errors import BadInput
from ....learning.settings import TrainSettings
from ....measure.quality import Quality
from ..reports.curves import front

SWEPT = ("k", "penalty", "covariance", "n_units", "lr", "n_activations", "aux", "seed")
"""settings that make sense at several values"""


@dataclass(frozen=True)
class Run:
    """One value's outcome."""

    name: str
    """such as k-32"""
    settings: TrainSettings
    quality: Quality

    def json(self) -> dict[str, Any]:
        return {"run": self.name, **self.quality.json()}


def parse_sweep(text: str, base: TrainSettings) -> dict[str, TrainSettings]:
    """`k=16,32,64` -> {name of the run: its settings}. Raises BadInput for anything else."""
    setting, _, values = text.partition("=")
    if setting not in SWEPT or not values:
        raise BadInput(f"'{text[:60]}' is no sweep; it takes SETTING=VALUE,VALUE with one of {', '.join(SWEPT)}, such as k=16,32,64.")
    whole = {f.name: f.type for f in fields(TrainSettings)}[setting] == "int"
    runs: dict[str, TrainSettings] = {}
    for value in values.split(","):
        try:
            number = int(value.replace("_", "")) if whole else float(value)
        except ValueError:
            raise BadInput(f"'{value[:20]}' in the sweep '{text[:60]}' is no {'whole ' if whole else ''}number.") from None
        runs[f"{setting}-{number:g}" if not whole else f"{setting}-{number}"] = replace(base, **{setting: number})
    if len(runs) < 2:
        raise BadInput(f"'{text[:60]}' names one value; a sweep needs at least two.")
    return runs


def sweep_runs(runs: dict[str, TrainSettings], train: Callable[[str, TrainSettings], Quality]) -> tuple[list[Run], list[str]]:
    """(what came to an end, sentences of what did not): a run that diverges is told, and the others go on."""
    done: list[Run] = []
    failed: list[str] = []
    for name, settings in runs.items():
        try:
            done.append(Run(name, settings, train(name, settings)))
        except BadInput as error:
            failed.append(f"{name}: {error}")
    if not done:
        raise BadInput(f"No run of the sweep came to an end: {' '.join(failed)}")
    return done, failed


def lines(runs: list[Run]) -> list[str]:
    """A table; a star marks the runs that no other beats both in L0 and in FVU."""
    ahead = {name for name, _, _ in front(points(runs))}
    head = f"  {'run':<20} {'L0':>8} {'FVU':>8} {'dead':>7}"
    rows = [f"{'* ' if r.name in ahead else '  '}{r.name:<20} {r.quality.l0:>8.1f} {r.quality.fvu:>8.4f} {r.quality.dead:>7.1%}" for r in runs]
    return [head, *rows]


def points(runs: list[Run]) -> list[tuple[str, float, float]]:
    return [(run.name, run.quality.l0, run.quality.fvu) for run in runs]
