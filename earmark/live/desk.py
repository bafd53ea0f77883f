"""Where visitors' sounds are handled, and the line for the model: one for all, loaded when first needed, one run at a time, each within a time limit.

A sound is read first, in a line of its own, so that a file that takes long holds up nobody who waits for the model.
Nothing heavy is imported before a model is wanted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..cards import Neighbour
from ..errors import BadInput, EarmarkError
from ..shelf.hub import HERE, Terms, far_away, find_checkpoint, find_model
from ..shelf.store import Store
from ..units import SAMPLE_RATE_HZ, Analysis, Waveform
from .editing.desk import Editing
from .kept import Brought, Clip, Kept, wav_of
from .lab.desk import Lab
from .texts.desk import Texts

if TYPE_CHECKING:
    from ..inputs.audio import Limits
    from ..runtime import Runtime
    from .checkpoints.facts import Facts

T = TypeVar("T")
Tell = Callable[[float, str], object]

N_READERS = 3
"""files read at a time"""
DECODE_S = 12
RUN_S = 120
BROUGHT_BYTES, BROUGHT_S = 96_000_000, 600
"""sounds that have been read and wait for the model: a minute of sound is 4 MB"""


@dataclass(frozen=True)
class State:
    """Whether a dictionary's model is there."""

    name: str
    """idle, loading, ready or failed"""
    text: str
    """a sentence for the visitor"""


class Desk:
    """One a process, shared by all visitors."""

    def __init__(self, store: Store, decode_s: float = DECODE_S, run_s: float = RUN_S):
        self.store = store
        self.kept: Kept[Clip] = Kept()
        self._brought: Kept[Brought] = Kept(BROUGHT_BYTES, BROUGHT_S)
        self.texts, self.editing, self.lab = Texts(self), Editing(self), Lab(self)
        self._decode_s, self._run_s = decode_s, run_s
        self._decoding = ThreadPoolExecutor(N_READERS, "decode")
        self._model = ThreadPoolExecutor(1, "model")
        self._fetching = ThreadPoolExecutor(2, "fetch")
        self._loading: dict[str, Future[None]] = {}
        self._progress: dict[str, str] = {}
        self._facts: dict[str, Facts] = {}
        self._runtime: Runtime | None = None
        self._lock = threading.Lock()

    # -- the model -------------------------------------------------------------------------------------------------------

    def warm(self, slug: str) -> State:
        """Start loading a dictionary's model in the background, unless that has been done, and say how far it is. Nothing is fetched."""
        with self._lock:
            if self._idle(slug) and not self.far(slug):
                self._loading[slug] = self._model.submit(self._open, slug)
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

    def facts(self, slug: str) -> Facts | None:
        """What is known of a dictionary that is in memory."""
        held = self._runtime is not None and slug in self._runtime.loaded
        return self._facts.get(slug) if held else None

    def neighbours(self, slug: str, unit: int) -> tuple[Neighbour, ...]:
        """The nearest directions of a dictionary that is in memory."""
        from .checkpoints.facts import neighbours

        held = self._runtime is not None and slug in self._runtime.loaded
        return neighbours(self.runtime().open(slug), unit) if held else ()

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
            self._model.submit(self._open, slug).result()
        finally:
            self._progress.pop(slug, None)

    def _open(self, slug: str) -> None:
        from ..inputs.mel import mel_grey
        from .checkpoints.facts import examine

        self._facts[slug] = examine(self.runtime(), self.store, slug)
        if self.store.catalog.model(self.store.catalog.dictionary(slug).model).modality == "audio":
            mel_grey(Waveform(np.zeros(SAMPLE_RATE_HZ, np.float32)))  # its library loads slowly, too

    def runtime(self) -> Runtime:
        """The models in memory; only the model's thread runs them."""
        from ..runtime import Runtime

        if self._runtime is None:
            self._runtime = Runtime(self.store.settings, HERE)
        return self._runtime

    def run(self, work: Callable[[], T]) -> T:
        """On the one thread that runs the model. Raises BadInput when it takes too long."""
        try:
            return self._model.submit(copy_context().run, work).result(self._run_s)  # progress is told to whoever has asked
        except TookTooLong:
            raise BadInput(f"The model took longer than {self._run_s:.0f} s, and this was given up. Bring less, or try once more in a minute.") from None

    # -- sounds ----------------------------------------------------------------------------------------------------------

    def limits(self) -> Limits:
        from ..inputs.audio import Limits

        s = self.store.settings
        return Limits(s.max_upload_mb * 1_000_000, s.max_source_s, s.max_audio_s, self._decode_s)

    def decode(self, data: bytes) -> tuple[Waveform, tuple[str, ...]]:
        """A file's bytes as a waveform, with notices. Raises BadInput for what cannot be used, or not in time."""
        from ..inputs.audio import decode

        try:
            found = self._decoding.submit(decode, data, self.limits()).result(self._decode_s + 5)
        except TookTooLong:
            raise BadInput(f"Reading the file took longer than {self._decode_s:.0f} s and was given up. Cut it, or save it as wav.") from None
        return found.waveform, found.notices

    def take(self, path: Path) -> bytes:
        """A file's bytes; the file is deleted, whatever it holds."""
        from ..inputs.audio import read_file

        try:
            return read_file(path, self.limits())
        except BadInput:
            raise BadInput(f"The file is gone or too large; at most {self.store.settings.max_upload_mb} MB are taken. Bring it once more.") from None
        finally:
            path.unlink(missing_ok=True)

    def sample(self, slug: str, sample: str) -> bytes:
        """The sound of a clip of the corpus that a dictionary's tables were built from."""
        corpus = self.store.catalog.dictionary(slug).corpus
        return self.store.corpus(corpus or "").audio(sample)[0]

    def bring(self, data: bytes, sample: str | None = None) -> str:
        """The ticket with which the sound in a file's bytes waits for the model. Raises BadInput for what cannot be read."""
        return self._brought.put(Brought(*self.decode(data), sample))

    def listen(self, slug: str, ticket: str, tell: Tell = lambda share, words: None) -> str:
        """The token of the clip that a brought sound becomes: run through the model once, kept. Raises BadInput for a ticket that is used or too old."""
        self._hears(slug)
        brought = self._brought.get(ticket)
        self._brought.drop(ticket)
        if brought is None:
            raise BadInput("The sound is not here any more. Bring it once more.")
        tell(0.3, "Listening" if self.state(slug).name == "ready" else "Loading the model")
        return self.kept.put(self.run(lambda: self._clip(slug, brought.waveform, brought.notices, brought.sample, tell)))

    def forget(self, token: str) -> None:
        """A visitor's own clip, and all that was found on it."""
        self.kept.drop(token)
        self.editing.forget(token)

    def heard(self, slug: str, sample: str) -> Clip | None:
        """A clip of the corpus that has been run through a dictionary's layer, for whoever asked; None where it is not kept."""
        return self.kept.get(self._name(slug, sample))

    def hear(self, slug: str, sample: str, tell: Tell = lambda share, words: None) -> None:
        """Run a clip of the corpus through a dictionary's layer, unless that has been done."""
        self._hears(slug)
        if self.heard(slug, sample) is None:
            tell(0.2, "Listening" if self.state(slug).name == "ready" else "Loading the model")
            waveform, _ = self.decode(self.sample(slug, sample))
            self.kept.put(self.run(lambda: self._clip(slug, waveform, (), sample, tell, words=False)), self._name(slug, sample))

    def _name(self, slug: str, sample: str) -> str:
        entry = self.store.catalog.dictionary(slug)
        return f"{entry.corpus}/{sample}/{entry.model}/{entry.layer}"

    def analyse(self, slug: str, data: bytes, top: int, order: str) -> Analysis:
        """What the command `analyse` gives."""
        from .analysis import analyse, check_order

        self._hears(slug)
        check_order(top, order)
        waveform, _ = self.decode(data)
        return self.run(lambda: analyse(self.runtime(), self.store, slug, waveform, top=top, order=order))

    def _hears(self, slug: str) -> None:
        """Raise BadInput for a dictionary that cannot take a sound now."""
        entry = self.store.catalog.dictionary(slug)
        if self.store.catalog.model(entry.model).modality != "audio":
            raise BadInput(f"{entry.model} reads text; it cannot hear a sound. Choose a dictionary of a speech model.")
        far = self.far(slug)
        if far:
            raise BadInput(f"{' and '.join(far)} must be fetched from the Hub first: open {slug} on Browse, then bring the sound once more.")

    def _clip(self, slug: str, waveform: Waveform, notices: tuple[str, ...], sample: str | None, tell: Tell, words: bool = True) -> Clip:
        from ..inputs.alignment import align
        from ..inputs.mel import mel_grey

        runtime = self.runtime()
        runtime.open(slug)
        slugs, problems = [], {}
        for entry in self.store.catalog.siblings(slug):
            try:
                runtime.open(entry.slug)
                slugs.append(entry.slug)
            except EarmarkError as error:
                problems[entry.slug] = str(error)
        with runtime.using(*slugs) as opened:
            tell(0.5, "Listening")
            model = self.store.catalog.dictionary(slug).model
            taken = runtime.capture(model, waveform, opened)
            codes = {o.entry.slug: o.dictionary.codes(taken[o.hook].values) for o in opened}
            text, speech = "", None
            if words:
                tell(0.7, "Writing down the words")
                text = runtime.read(model, waveform)
        if text:
            tell(0.9, "Finding where each word lies")
            speech = align(waveform, text)
        return Clip(wav_of(waveform), mel_grey(waveform), taken[opened[0].hook].grid, waveform.duration_s, text, codes, notices, problems, sample, speech)
