"""Views that were drawn, for the next who asks for the same: many come to the few units that somebody has linked, and a page asks for its first view twice.

No gradio. A view is kept only where its address and the tables alone say what it shows (`Shown.lasts`), for some minutes, and packed: HTML of cards takes an
eighth of its size.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_BYTES = 48_000_000
"""of all packed views"""
MAX_AGE_S = 300.0
"""what a page offers by chance, such as another pair, is drawn anew after so long"""
VIEW_BYTES = 4_000
"""of each besides its texts: what it was drawn for, above all"""
LEVEL = 1
"""of zlib: the quickest"""


class Shown(NamedTuple):
    """What a tab shows for a link."""

    values: tuple[Any, ...]
    """of its components, in their order"""
    title: str
    """the document's"""
    lasts: bool = False
    """the address and the tables alone say it: nothing that a visitor has brought, nothing that the model is still asked for"""


@dataclass(frozen=True)
class Drawing:
    """A figure of plotly's as the JSON that the page is sent: to write it takes as long as to draw it."""

    json: str

    def to_json(self) -> str:
        return self.json


def drawn(shown: Shown) -> Shown:
    """The same with its figures written down."""
    return shown._replace(values=tuple(Drawing(value.to_json()) if hasattr(value, "to_json") else value for value in shown.values))


@dataclass(frozen=True)
class _Text:
    """A text or a drawing, packed."""

    packed: bytes
    is_drawing: bool

    @classmethod
    def of(cls, value: str | Drawing) -> _Text:
        text = value.json if isinstance(value, Drawing) else value
        return cls(zlib.compress(text.encode("utf-8", "surrogatepass"), LEVEL), isinstance(value, Drawing))

    def value(self) -> str | Drawing:
        text = zlib.decompress(self.packed).decode("utf-8", "surrogatepass")
        return Drawing(text) if self.is_drawing else text


@dataclass(frozen=True)
class _View:
    """A view, its texts packed."""

    shown: Shown
    n_bytes: int
    due: float
    """when it is too old"""

    @classmethod
    def of(cls, shown: Shown, due: float) -> _View:
        values = tuple(_Text.of(value) if isinstance(value, (str, Drawing)) else value for value in shown.values)
        return cls(shown._replace(values=values), VIEW_BYTES + sum(len(value.packed) for value in values if isinstance(value, _Text)), due)

    def open(self) -> Shown:
        return self.shown._replace(values=tuple(value.value() if isinstance(value, _Text) else value for value in self.shown.values))


class KeptViews:
    """Drawn views by what they were drawn for. The oldest leaves when there are too many, and each when it is too old."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_age_s: float = MAX_AGE_S, clock: Callable[[], float] = time.monotonic):
        self._max_bytes, self._max_age_s, self._clock = max_bytes, max_age_s, clock
        self._views: dict[Hashable, _View] = {}
        """in the order in which they were drawn"""
        self._n_bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._views)

    def get(self, key: Hashable) -> Shown | None:
        with self._lock:
            self._forget()
            view = self._views.get(key)
        return view.open() if view else None

    def put(self, key: Hashable, shown: Shown) -> None:
        view = _View.of(shown, self._clock() + self._max_age_s)
        with self._lock:
            self._drop(key)
            self._views[key] = view
            self._n_bytes += view.n_bytes
            self._forget()

    def _forget(self) -> None:
        """The oldest leave, as long as they are too old or too many."""
        now = self._clock()
        while self._views and (self._n_bytes > self._max_bytes or next(iter(self._views.values())).due < now):
            self._drop(next(iter(self._views)))

    def _drop(self, key: Hashable) -> None:
        left = self._views.pop(key, None)
        self._n_bytes -= left.n_bytes if left else 0
