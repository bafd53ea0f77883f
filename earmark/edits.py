"""Edits of units as words: how much of a unit's value is kept, what is added, where; and their written form, one for links, JSON and the command line.

`DICT:UNIT=FACTOR`, with `+ADDED` or `-ADDED` and `@START..END` behind it where they are not the defaults: `whisper-tiny.en-l2-sae:1301=0`,
`smollm2-135m-l22-sae:40=1+12.5@3..9`. In a link of that dictionary `DICT:` is left out: `1301=0,40=2@..4`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from .errors import BadInput
from .units import UnitId

MAX_FACTOR = 20.0
MAX_ADDED = 1e6
MAX_PLACE = 1e6
"""seconds or tokens"""
MAX_EDITS = 8
SLIDER_FACTOR = 5.0
"""where the page's sliders end"""
MAX_WRITTEN = 200
"""characters of one edit"""

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan"
_FORM = re.compile(
    rf"(?:(?P<dictionary>[^=:]*):)?(?P<unit>\d+)=(?P<factor>[+-]?(?:{_NUMBER}))"
    rf"(?P<added>[ +-](?:{_NUMBER}))?"  # a plus that an address was not told to keep arrives as a space
    rf"(?:@(?P<start>[+-]?(?:{_NUMBER}))?\.\.(?P<end>[+-]?(?:{_NUMBER}))?)?",
    re.ASCII | re.IGNORECASE,
)
_EXAMPLE = "such as whisper-tiny.en-l2-sae:1301=0, or 40=1+12.5@0.5..1.25"


@dataclass(frozen=True)
class Edit:
    """A unit's new value, factor * value + added, over a stretch of a sample. Raises BadInput for numbers that are none, or too large."""

    unit: UnitId
    factor: float = 1.0
    """0: the unit is off"""
    added: float = 0.0
    """in the unit's shown values"""
    start: float | None = None
    """seconds, or of a text the number of a token; None: from the beginning"""
    end: float | None = None
    """the stretch's last moment or token, itself included; None: to the end"""

    def __post_init__(self) -> None:
        if not abs(self.factor) <= MAX_FACTOR:
            raise BadInput(f"The factor of {self.unit} is {self.factor:g}; it must be a number from {-MAX_FACTOR:g} to {MAX_FACTOR:g} (0: off, 1: as it is).")
        if not abs(self.added) <= MAX_ADDED:
            raise BadInput(f"What is added to {self.unit} is {self.added:g}; it must be a number from {-MAX_ADDED:,.0f} to {MAX_ADDED:,.0f}.")
        for name, place in (("begins", self.start), ("ends", self.end)):
            if place is not None and not 0 <= place <= MAX_PLACE:
                raise BadInput(f"The edit of {self.unit} {name} at {place:g}; a stretch counts from 0, in seconds or tokens, to {MAX_PLACE:,.0f}.")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise BadInput(f"The edit of {self.unit} ends at {self.end:g}, before it begins at {self.start:g}. Write the earlier one first.")

    @property
    def changes_nothing(self) -> bool:
        return self.factor == 1 and self.added == 0

    def meets(self, other: Edit) -> bool:
        """Whether both change the same unit at the same place."""
        return self.unit == other.unit and (self.start or 0) <= _end(other) and (other.start or 0) <= _end(self)

    def short(self, dictionary: str) -> str:
        """The written form in a link of that dictionary."""
        return str(self).removeprefix(f"{dictionary}:")

    def __str__(self) -> str:
        added = "" if self.added == 0 else ("+" if self.added > 0 else "-") + _written(abs(self.added))
        stretch = "" if self.start is None and self.end is None else f"@{_written(self.start)}..{_written(self.end)}"
        return f"{self.unit}={_written(self.factor)}{added}{stretch}"


def parse_edit(text: str, dictionary: str = "") -> Edit:
    """One edit in its written form; `dictionary` is the one meant where none is named. Raises BadInput."""
    found = _FORM.fullmatch(text.strip()[:MAX_WRITTEN])
    if found is None:
        raise BadInput(f"'{text.strip()[:80]}' is no edit. Write DICTIONARY:UNIT=FACTOR, then +ADDED and @START..END where wanted, {_EXAMPLE}.")
    slug = found["dictionary"] or dictionary
    if not slug:
        raise BadInput(f"'{text.strip()[:80]}' names no dictionary. Write DICTIONARY:UNIT=FACTOR, such as whisper-tiny.en-l2-sae:1301=0.")
    added, start, end = (None if part is None else float(part.replace(" ", "+")) for part in found.group("added", "start", "end"))
    return Edit(UnitId(slug, int(found["unit"][:12])), float(found["factor"]), added or 0.0, start, end)


def parse_edits(text: str, dictionary: str = "") -> tuple[Edit, ...]:
    """Edits with commas between them. Raises BadInput for one that cannot be read, and as `check_apart` does."""
    written = [part for part in text.split(",") if part.strip()]
    edits = tuple(parse_edit(part, dictionary) for part in written[: MAX_EDITS + 1])
    check_apart(edits)
    return edits


def check_apart(edits: Iterable[Edit]) -> None:
    """Raise BadInput for too many edits, and for two of one unit at the same place."""
    edits = tuple(edits)
    if len(edits) > MAX_EDITS:
        raise BadInput(f"More than {MAX_EDITS} edits are given; at most {MAX_EDITS} are made at once. Leave some out.")
    for one, other in combinations(edits, 2):
        if one.meets(other):
            raise BadInput(f"'{one}' and '{other}' change the same unit at the same place. Keep one of them, or give them stretches that do not meet.")


def _end(edit: Edit) -> float:
    return math.inf if edit.end is None else edit.end


def _written(number: float | None) -> str:
    """The shortest form that reads as the same number; nothing for None."""
    return "" if number is None else repr(float(number)).removesuffix(".0")
