"""catalog.toml: the shipped one with values, keys and entries put in place of each other, left out, renamed, and odd; and spoilt letters."""

from __future__ import annotations

import json
import math
import random
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from earmark.errors import EarmarkError
from earmark.settings import ROOT, Settings
from earmark.shelf.catalog import read_catalog
from earmark.shelf.hub import far_away
from earmark.shelf.store import Store
from tests.fuzz.harm import harmed
from tests.fuzz.kinds import Case
from tests.fuzz.odd import spoilt_tree
from tests.fuzz.watch import Watch


def prepare(folder: Path, watch: Watch) -> Case:
    text = (ROOT / "precomputed" / "catalog.toml").read_text(encoding="utf-8")
    whole = tomllib.loads(text)
    assert tomllib.loads(toml(whole)) == whole
    data = folder / "data"
    data.mkdir()
    settings = replace(Settings.from_env({}), data=data, cache=folder / "cache", offline=True)

    def case(chance: random.Random) -> Callable[[], str]:
        spoilt = toml(spoilt_tree(whole, chance)).encode("utf-8", "surrogatepass") if chance.random() < 0.8 else harmed(text.encode(), chance)
        (data / "catalog.toml").write_bytes(spoilt)
        return lambda: read(settings)

    read(replace(settings, data=ROOT / "precomputed"))
    return case


def read(settings: Settings) -> str:
    """Every entry is asked for: what can be used holds what it should, and the rest is a sentence."""
    read_catalog.cache_clear()
    store = Store(settings)
    catalog = store.catalog
    for slug in (*catalog.dictionaries, *(fault.partition(".")[2] for fault in catalog.faults if fault.startswith("dictionaries."))):
        try:
            entry = catalog.dictionary(slug)
            model = catalog.model(entry.model)
            catalog.siblings(slug)
            far_away(entry, model, settings)
            store.has_tables(slug)
            store.dictionary(slug, fetch=False)
        except EarmarkError as error:
            assert len(str(error)) < 1500
    assert all(fault.endswith(".") and len(fault) < 1200 for fault in catalog.faults.values())
    return f"{'some' if catalog.faults else 'all'} of it is used"


def toml(value: dict[str, Any]) -> str:
    """A dictionary as a document of one line a key."""
    return "\n".join(f"{_word(key)} = {_value(inner)}" for key, inner in value.items() if inner is not None)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(key)} = {_value(inner)}" for key, inner in value.items() if inner is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(inner) for inner in value if inner is not None) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return _word(value) if isinstance(value, str) else json.dumps(value)


def _word(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
