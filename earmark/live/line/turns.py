"""Turns at the model: who comes before whom, and what is told to those who wait, from how long work of each kind has taken here so far."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from ...errors import BadInput
from .askers import ASKER, Asker, crowded
from .quiet import stand_back

T = TypeVar("T")
Tell = Callable[[float, str], object]
"""takes the share that is done, and what is being done; it may raise `Stopped` where nobody listens any more"""

Kind = Literal["load", "sound", "text", "splice", "edit", "unit", "step", "train"]
"""of work; of each it is remembered how long it takes"""
MAX_WAITING = 20
"""those who wait and the one whose turn it is"""
FIRST_GUESS_S: dict[Kind, float] = {"load": 8.0, "sound": 3.0, "text": 2.0, "splice": 3.0, "edit": 6.0, "unit": 20.0, "step": 0.2, "train": 8.0}
"""kind of work -> how long it takes, as long as none has been done here: of the shipped models on two cores"""
N_REMEMBERED = 20
"""of each kind, how many durations are remembered: the machine may be busier now than an hour ago"""


def quiet(share: float, words: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Wait:
    """How long somebody has to wait."""

    n_before: int
    """how many come first"""
    seconds: float
    """until they are done, as far as anybody can tell"""

    @property
    def words(self) -> str:
        return f"{self.n_before} {'is' if self.n_before == 1 else 'are'} before you, {about(self.seconds)}"

    @property
    def beforehand(self) -> str:
        """A sentence for those who have not brought anything yet; empty where nobody waits."""
        if not self.n_before:
            return ""
        who = "Somebody is at the model" if self.n_before == 1 else f"{self.n_before} are at the model or wait for it"
        return f"{who}: what is brought now has its turn in {about(self.seconds)}."


def about(seconds: float) -> str:
    """A duration that is no more than an estimate: rounded up, to five seconds above ten, to minutes above a minute and a half."""
    whole = max(math.ceil(seconds), 1)
    if whole > 90:
        return f"about {math.ceil(whole / 60)} min"
    return f"about {whole if whole <= 10 else 5 * math.ceil(whole / 5)} s"


class Durations:
    """How long work of each kind takes: the mean of the last ones that were done."""

    def __init__(self) -> None:
        self._taken: defaultdict[Kind, deque[float]] = defaultdict(lambda: deque(maxlen=N_REMEMBERED))

    def note(self, kind: Kind, seconds: float) -> None:
        self._taken[kind].append(seconds)

    def usual_s(self, kind: Kind) -> float:
        taken = tuple(self._taken[kind])
        return sum(taken) / len(taken) if taken else FIRST_GUESS_S[kind]

    def left_s(self, kind: Kind, spent_s: float) -> float:
        """Of work that has been going on for a while; of what takes longer than usual nobody knows more than that it is not over."""
        usual = self.usual_s(kind)
        return max(usual - spent_s, usual / 4)


@dataclass(eq=False)
class Turn(Generic[T]):
    """One piece of work in the line."""

    kind: Kind
    asker: Asker = field(default_factory=ASKER.get)
    begun: threading.Event = field(default_factory=threading.Event)
    begun_at: float = 0.0
    done: Future[T] = field(default_factory=Future[T])


class Turns:
    """One a model's line: a thread that does one thing after the other, in the order in which they came."""

    def __init__(self, most: int = MAX_WAITING, clock: Callable[[], float] = time.monotonic):
        self._most, self._clock = most, clock
        self._thread = ThreadPoolExecutor(1, "model", initializer=stand_back)
        self._line: list[Turn[Any]] = []
        self._took = Durations()
        self._lock = threading.Lock()

    def take(self, kind: Kind, work: Callable[[], T], within: bool = False) -> Turn[T]:
        """A turn for some work. Raises BadInput where too many wait, or too much of whoever asks, unless it belongs to work that has begun (`within`)."""
        turn: Turn[T] = Turn(kind)
        with self._lock:
            if len(self._line) >= self._most and not within:
                seconds = about(self._wait(len(self._line)).seconds)
                raise BadInput(f"{self._most} are waiting for the model, which is all there is room for, {seconds} in all. Try once more in a minute.")
            if not within and (said := crowded((other.asker for other in self._line if other.kind != "load"), self._most)):
                raise BadInput(said)
            self._line.append(turn)
            context = copy_context()  # what the work tells reaches whoever has asked
            turn.done = self._thread.submit(context.run, self._do, turn, work)
        return turn

    def _do(self, turn: Turn[T], work: Callable[[], T]) -> T:
        turn.begun_at = self._clock()
        turn.begun.set()
        try:
            found = work()
            self._took.note(turn.kind, self._clock() - turn.begun_at)
            return found
        finally:
            with self._lock:
                self._line.remove(turn)

    def leave(self, turn: Turn[T]) -> None:
        """Give a turn up, unless it has begun: those behind come sooner."""
        with self._lock:
            if turn.done.cancel():
                self._line.remove(turn)

    def spent_s(self) -> float:
        """How long the run that the model is at has taken so far; a model that is being loaded takes the time it takes."""
        with self._lock:
            now = next((turn for turn in self._line if turn.begun.is_set() and turn.kind != "load"), None)
            return 0.0 if now is None else self._clock() - now.begun_at

    def wait(self, turn: Turn[T] | None = None) -> Wait:
        """Until a turn begins; without one: until one would that was taken now."""
        with self._lock:
            place = next((n for n, other in enumerate(self._line) if other is turn), len(self._line))
            return self._wait(place)

    def _wait(self, place: int) -> Wait:
        before, now = self._line[:place], self._clock()
        left = (self._took.left_s(t.kind, now - t.begun_at) if t.begun.is_set() else self._took.usual_s(t.kind) for t in before)
        return Wait(place, sum(left))
