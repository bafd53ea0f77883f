"""The line for the model: one for all, loaded when first needed, one run at a time, each within a time limit.

Nothing heavy is imported before a model is wanted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ...cards import Neighbour
from ...errors import BadInput, EarmarkError
from ...machine import told
from ...shelf.hub import HERE, Terms, far_away, find_checkpoint, find_model
from ...shelf.store import Store
from ...units import SAMPLE_RATE_HZ, Waveform
from .quiet import Aside
from .turns import Kind, Tell, Turns, quiet

if TYPE_CHECKING:
    from ...runtime import Runtime
    from ..checkpoints.facts import Facts

T = TypeVar("T")

RUN_S = 120
"""how long a turn may take"""
SOON_S, EVERY_S = 0.05, 0.5
"""when those who wait are told so first, and how often then"""
DOING: dict[Kind, str] = {"sound": "Listening", "text": "Reading"}
"""kind of work -> what is said when its turn has come"""


@dataclass(frozen=True)
class State:
    """Whether a dictionary's model is there."""

    name: str
    """idle, loading, ready or failed"""
    text: str
    """a sentence for the visitor"""


class Line:
    """The models in memory, and the turns of those who want them run."""

    def __init__(self, store: Store, run_s: float = RUN_S):
        self.store = store
        self._run_s = run_s
        self.turns = Turns()
        self._fetching = ThreadPoolExecutor(2, "fetch")
        self._set_aside = Aside()
        self._loading: dict[str, Future[None]] = {}
        self._progress: dict[str, str] = {}
        self._facts: dict[str, Facts] = {}
        self._runtime: Runtime | None = None
        self._lock = threading.Lock()

    def warm(self, slug: str) -> State:
        """Start loading a dictionary's model in the background, unless that has been done, and say how far it is. Nothing is fetched."""
        with self._lock:
            if self._idle(slug) and not self.far(slug):
                self._loading[slug] = self.turns.take("load", lambda: self._open(slug), within=True).done
        return self.state(slug)

    def open(self, slug: str) -> State:
        """The same, but what is not on this machine is fetched from the Hub first: only where a visitor asks for it."""
        self.store.catalog.dictionary(slug)
        with self._lock:
            if self._idle(slug):
                self._loading[slug] = self._fetching.submit(self._fetch, slug)
        return self.state(slug)

    def _idle(self, slug: str) -> bool:
        before = self._loading.get(slug)
        return before is None or (before.done() and (before.exception() is not None or self.facts(slug) is None))

    def far(self, slug: str) -> tuple[str, ...]:
        """The Hub's repositories that opening a dictionary fetches from first."""
        entry = self.store.catalog.dictionary(slug)
        return far_away(entry, self.store.catalog.model(entry.model), self.store.settings)

    def state(self, slug: str) -> State:
        loading = self._loading.get(slug)
        if loading is None:
            far = self.far(slug)
            return State("idle", f"To be fetched from the Hub first: {' and '.join(far)}." if far else "The model is not loaded yet.")
        if not loading.done():
            return State("loading", self._progress.get(slug, "The model is loading; you need not wait for it."))
        error = loading.exception()
        if error is None:
            return State("ready", "The model is ready.")
        return State("failed", str(error) if isinstance(error, EarmarkError) else "The model could not be loaded.")

    @property
    def loaded(self) -> tuple[str, ...]:
        """The dictionaries in memory."""
        return self._runtime.loaded if self._runtime is not None else ()

    def facts(self, slug: str) -> Facts | None:
        """What is known of a dictionary that is in memory."""
        return self._facts.get(slug) if slug in self.loaded else None

    def neighbours(self, slug: str, unit: int) -> tuple[Neighbour, ...]:
        """The nearest directions of a dictionary that is in memory."""
        from ..checkpoints.facts import neighbours

        return neighbours(self.runtime().open(slug), unit) if slug in self.loaded else ()

    def _fetch(self, slug: str) -> None:
        """Runs beside the model's thread, so that a long download is in nobody's way."""
        entry, settings = self.store.catalog.dictionary(slug), self.store.settings

        def tell(done: int, total: int) -> None:
            self._progress[slug] = f"Fetching from the Hub: {done / 1e6:,.0f} of {total / 1e6:,.0f} MB."

        self._progress[slug] = "Asking the Hub."
        terms = Terms(max_mb=settings.hub_max_mb, tell=tell)
        find_model(self.store.catalog.model(entry.model), settings, terms)
        if entry.kind == "sae":
            find_checkpoint(entry, settings, terms)
        self._progress[slug] = "Opening and trying it."
        try:
            self.turns.take("load", lambda: self._open(slug), within=True).done.result()
        finally:
            self._progress.pop(slug, None)

    def _open(self, slug: str) -> None:
        from ...inputs.mel import mel_grey
        from ..checkpoints.facts import examine

        with told():
            self._facts[slug] = examine(self.runtime(), self.store, slug)
        if self.store.catalog.model(self.store.catalog.dictionary(slug).model).modality == "audio":
            mel_grey(Waveform(np.zeros(SAMPLE_RATE_HZ, np.float32)))  # its library loads slowly, too
        self._set_aside()

    def runtime(self) -> Runtime:
        """The models in memory; only the model's thread runs them."""
        from ...runtime import Runtime

        if self._runtime is None:
            self._runtime = Runtime(self.store.settings, HERE)
        return self._runtime

    def run(self, work: Callable[[], T], kind: Kind, tell: Tell = quiet, within: bool = False) -> T:
        """On the one thread that runs the model, when it is its turn (`Turns.take`); until then who has asked is told their place.

        Raises BadInput where too many wait, and when it takes too long. Who stops listening leaves the line.
        """
        pause = SOON_S

        def begin() -> T:
            if pause == EVERY_S:  # something else has been told meanwhile
                tell(0.2, DOING.get(kind, "Beginning"))
            with told():
                return work()

        turn = self.turns.take(kind, begin, within)
        try:
            while not turn.begun.wait(pause):
                pause = EVERY_S
                if self.turns.spent_s() > self._run_s:
                    raise BadInput("The model is busy with something that takes too long. What needs no model works on; try once more in some minutes.")
                tell(0.0, self.turns.wait(turn).words)
        except BaseException:
            self.turns.leave(turn)
            raise
        try:
            return turn.done.result(self._run_s)
        except TookTooLong:
            raise BadInput(f"The model took longer than {self._run_s:.0f} s, and this was given up. Bring less, or try once more in a minute.") from None
