"""Named lists of units, as an address carries them: `name=Endings&units=whisper-tiny.en-l2-sae:2815,1143;whisper-tiny.en-l2-neurons:728`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .units import UnitId

MAX_UNITS = 100
MAX_NAME = 80
_DICTIONARY = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


@dataclass(frozen=True)
class UnitList:
    """Units that somebody has collected, in their order, each once."""

    name: str = ""
    units: tuple[UnitId, ...] = ()

    def __str__(self) -> str:
        """The units as an address has them: numbers behind their dictionary, a semicolon where another begins."""
        runs = itertools.groupby(self.units, key=lambda unit: unit.dictionary)
        return ";".join(f"{dictionary}:{','.join(str(unit.index) for unit in run)}" for dictionary, run in runs)

    def without(self, unit: UnitId) -> UnitList:
        return replace(self, units=tuple(u for u in self.units if u != unit))

    def parameters(self) -> dict[str, str]:
        """What of an address it is; empty values are left out."""
        return {name: value for name, value in (("name", self.name), ("units", str(self))) if value}


def parse_units(text: str) -> tuple[tuple[UnitId, ...], tuple[str, ...]]:
    """The units that a text names, and a sentence about each part of it that names none."""
    units: dict[UnitId, None] = {}
    notices: list[str] = []
    for part in text.split(";")[:MAX_UNITS]:
        dictionary, _, numbers = part.strip().rpartition(":")
        for word in numbers.split(",")[: 2 * MAX_UNITS]:
            index = word.strip()
            if not part.strip() or (dictionary and not index):
                continue
            if _DICTIONARY.fullmatch(dictionary) and index.isascii() and index.isdigit() and len(index) < 10:
                units[UnitId(dictionary, int(index))] = None
            else:
                notices.append(f"'{part.strip()[:40]}' names no units; a list has them as DICTIONARY:3,7, with a semicolon before another dictionary.")
                break
    if len(units) > MAX_UNITS:
        notices.append(f"A list holds at most {MAX_UNITS} units; the {len(units) - MAX_UNITS} behind them were left out.")
    return tuple(units)[:MAX_UNITS], tuple(dict.fromkeys(notices))


def parse_list(query: Mapping[str, str]) -> tuple[UnitList, tuple[str, ...]]:
    """The list of an address, and what in it could not be understood."""
    units, notices = parse_units(query.get("units", ""))
    name = " ".join(query.get("name", "").encode("utf-8", "replace").decode().split())[:MAX_NAME].strip()
    return UnitList(name, units), notices
