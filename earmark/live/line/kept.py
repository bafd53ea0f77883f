"""What visitors brought, for as long as they look at it: in memory, under names that nobody can guess, bounded in size and age."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from ...speech import Speech
from ...units import FrameGrid, Waveform

if TYPE_CHECKING:
    from ...dictionaries.base import Codes

MAX_BYTES = 256_000_000
MAX_AGE_S = 40 * 60


@dataclass(frozen=True, eq=False)
class Clip:
    """One sound, and what every dictionary over one layer of the model did on it."""

    sound: bytes
    """wav, 16 bits, mono, 16 kHz: exactly what the model heard"""
    mel: np.ndarray
    """uint8 [64, columns of 20 ms]"""
    grid: FrameGrid
    duration_s: float
    transcript: str
    codes: Mapping[str, Codes]
    """dictionary -> values of all its units"""
    notices: tuple[str, ...] = ()
    problems: Mapping[str, str] = field(default_factory=dict[str, str])
    """dictionary -> why it could not be opened"""
    sample: str | None = None
    """the corpus's clip that this is, where it was not brought"""
    speech: Speech | None = None
    """words and phones with their times, where the transcript fits the sound"""

    @property
    def n_bytes(self) -> int:
        arrays = [self.mel, *(a for c in self.codes.values() for a in (c.values, c.indices) if a is not None)]
        return len(self.sound) + sum(a.nbytes for a in arrays)


@dataclass(frozen=True, eq=False)
class Brought:
    """A sound that has been read and waits for the model."""

    waveform: Waveform
    notices: tuple[str, ...] = ()
    sample: str | None = None
    """the corpus's clip that this is, where it was not brought"""

    @property
    def n_bytes(self) -> int:
        return self.waveform.samples.nbytes


class Sized(Protocol):
    @property
    def n_bytes(self) -> int: ...


T = TypeVar("T", bound=Sized)


class Kept(Generic[T]):
    """Clips by token. The one longest unused leaves when there are too many; each leaves when it is too old, seen or not."""

    def __init__(
        self,
        max_bytes: int = MAX_BYTES,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], float] = time.monotonic,
        gone: Callable[[str], object] = lambda token: None,
    ):
        """gone: told the token of whatever leaves, for whatever reason."""
        self._max_bytes, self.max_age_s, self._clock, self._gone = max_bytes, max_age_s, clock, gone
        self._clips: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def put(self, clip: T, token: str | None = None) -> str:
        """The token under which the clip is found from now on: one that nobody can guess, unless it is anybody's clip."""
        token = token or secrets.token_urlsafe(24)
        left: list[str] = []
        with self._lock:
            self._clips[token] = (self._clock() + self.max_age_s, clip)
            self._clips.move_to_end(token)
            while len(self._clips) > 1 and sum(c.n_bytes for _, c in self._clips.values()) > self._max_bytes:
                left.append(self._clips.popitem(last=False)[0])
            if self._timer is None:
                self._wait()
        for other in left:
            self._gone(other)
        return token

    def _wait(self) -> None:
        """Look again when the oldest is due, a little later: one timer for all."""
        due = min(end for end, _ in self._clips.values()) - self._clock()
        self._timer = threading.Timer(max(due, 0) + 1, self._sweep)
        self._timer.daemon = True
        self._timer.start()

    def _sweep(self) -> None:
        self._purge()
        with self._lock:
            self._timer = None
            if self._clips:
                self._wait()

    def get(self, token: str) -> T | None:
        """The clip, or None when there is none: it was never there, is too old, or had to make room."""
        self._purge()
        with self._lock:
            if token not in self._clips:
                return None
            self._clips.move_to_end(token)
            return self._clips[token][1]

    def drop(self, token: str) -> None:
        with self._lock:
            there = self._clips.pop(token, None)
        if there:
            self._gone(token)

    def drop_under(self, prefix: str) -> None:
        """All whose token begins so."""
        with self._lock:
            for token in [t for t in self._clips if t.startswith(prefix)]:
                del self._clips[token]

    def __len__(self) -> int:
        return len(self._clips)

    def _purge(self) -> None:
        now = self._clock()
        with self._lock:
            old = [t for t, (end, _) in self._clips.items() if end <= now]
            for token in old:
                del self._clips[token]
        for token in old:
            self._gone(token)
