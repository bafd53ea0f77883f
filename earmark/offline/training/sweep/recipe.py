"""A recipe: the runs of a sweep and the rule by which one of them ships, as data in one TOML file; `train --recipe` takes one of its runs."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ....errors import BadInput
from ....learning.settings import TrainSettings, usual
from ....raw import is_object

MAX_FVU, MAX_DEAD = 0.20, 0.05
_WORDS = {"int": "number", "float": "number", "bool": "true or false"}
_KEYS = ("dictionary", "source", "width", "n_positions", "max_fvu", "max_dead", "base", "runs")
_TYPES = {"int": int, "float": (int, float), "bool": bool}


@dataclass(frozen=True)
class Recipe:
    """What is trained and compared."""

    dictionary: str
    """the catalog's entry that it is for"""
    max_fvu: float
    """a run ships only if its FVU on held-out samples is not above this"""
    max_dead: float
    """the same for its share of dead units"""
    base: TrainSettings
    """what the runs vary; the untrained controls are this before its first step"""
    runs: dict[str, TrainSettings]
    told: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """of each run the settings that the file names, those of its base among them"""
    source: str | None = None
    """where its settings are published"""
    width: int | None = None
    """of the hook, so that sizes are known without the model"""
    n_positions: int | None = None
    """that its publishers trained on"""


def read_recipe(path: Path) -> Recipe:
    """Raises BadInput with the place and the reason when it cannot be used."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"The recipe '{path}' cannot be read: {error}.") from None
    extra = sorted(set(raw) - set(_KEYS))
    if extra:
        raise BadInput(f"{path.name} has the unknown key '{extra[0]}'; valid: {', '.join(_KEYS)}.")
    limits = {name: raw.get(name, default) for name, default in (("max_fvu", MAX_FVU), ("max_dead", MAX_DEAD))}
    for name, limit in limits.items():
        if not _is(limit, "float") or not 0 <= limit <= 1:
            raise BadInput(f"{path.name}: {name} is {limit!r}; it must lie between 0 and 1.")
    runs, base = raw.get("runs"), raw.get("base", {})
    if not isinstance(raw.get("dictionary"), str) or not is_object(runs) or not runs or not is_object(base):
        raise BadInput(f"{path.name} needs dictionary = 'SLUG' and at least one run, such as [runs.short]; [base] holds what all runs share.")
    made = {name: _settings(f"{path.name}: runs.{name}", values, base) for name, values in runs.items()}
    told = {name: base | values for name, values in runs.items()}
    for name, kind in (("source", "str"), ("width", "int"), ("n_positions", "int")):
        if name in raw and not _is(raw[name], kind):
            raise BadInput(f"{path.name}: {name} is {raw[name]!r}, which is no {'number' if kind == 'int' else 'word'} that it takes.")
    others = {name: raw.get(name) for name in ("source", "width", "n_positions")}
    return Recipe(raw["dictionary"], limits["max_fvu"], limits["max_dead"], _settings(f"{path.name}: base", {}, base), made, told, **others)


def _settings(where: str, values: Any, base: dict[str, Any]) -> TrainSettings:
    known = {f.name: str(f.type) for f in fields(TrainSettings)}
    if not is_object(values):
        raise BadInput(f"{where} must be a table of settings, not {values!r}.")
    for name, value in (base | values).items():
        if name not in known:
            raise BadInput(f"{where} has the unknown setting '{name}'; valid: {', '.join(known)}.")
        if not _is(value, known[name]):
            raise BadInput(f"{where}: {name} is {value!r}, which is no {_WORDS.get(known[name], 'word')} that it takes.")
    try:
        return usual(**{"kind": TrainSettings.kind, **base, **values})
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES.get(kind, str)) and isinstance(value, bool) == (kind == "bool")
