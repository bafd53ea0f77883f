"""Where visitors' sounds are handled: one model for all, loaded when first needed, one run at a time, each within a time limit.

Nothing heavy is imported before a model is wanted.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..errors import BadInput, EarmarkError
from ..shelf.store import Store
from ..units import SAMPLE_RATE_HZ, Analysis, Waveform
from .kept import Clip, Kept

if TYPE_CHECKING:
    from ..inputs.audio import Limits
    from ..runtime import Runtime

T = TypeVar("T")
Tell = Callable[[float, str], object]

DECODE_S = 20
RUN_S = 120


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
        self.store, self.kept = store, Kept()
        self._decode_s, self._run_s = decode_s, run_s
        self._decoding = ThreadPoolExecutor(2, "decode")
        self._model = ThreadPoolExecutor(1, "model")
        self._loading: dict[str, Future[None]] = {}
        self._runtime: Runtime | None = None
        self._lock = threading.Lock()

    # -- the model -------------------------------------------------------------------------------------------------------

    def warm(self, slug: str) -> State:
        """Start loading a dictionary's model in the background, unless that has been done, and say how far it is."""
        with self._lock:
            before = self._loading.get(slug)
            if before is None or (before.done() and before.exception() is not None):
                self._loading[slug] = self._model.submit(self._open, slug)
        return self.state(slug)

    def state(self, slug: str) -> State:
        loading = self._loading.get(slug)
        if loading is None:
            return State("idle", "The model is not loaded yet.")
        if not loading.done():
            return State("loading", "The model is loading; you can bring a sound already.")
        error = loading.exception()
        if error is None:
            return State("ready", "The model is ready.")
        return State("failed", str(error) if isinstance(error, EarmarkError) else "The model could not be loaded.")

    def _open(self, slug: str) -> None:
        from ..inputs.mel import mel_grey

        self._open_runtime().open(slug)
        mel_grey(Waveform(np.zeros(SAMPLE_RATE_HZ, np.float32)))  # its library loads slowly, too

    def _open_runtime(self) -> Runtime:
        from ..runtime import Runtime

        if self._runtime is None:
            self._runtime = Runtime(self.store.settings)
        return self._runtime

    def _run(self, work: Callable[[], T]) -> T:
        """On the one thread that runs the model. Raises BadInput when it takes too long."""
        try:
            return self._model.submit(work).result(self._run_s)
        except TookTooLong:
            raise BadInput(f"The model took longer than {self._run_s:.0f} s, and this was given up. Try a shorter sound, or once more in a minute.") from None

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

    def listen(self, slug: str, data: bytes, sample: str | None = None, tell: Tell = lambda share, words: None) -> str:
        """The token of the clip that a file's bytes become: read, run through the model once, kept."""
        self.store.catalog.dictionary(slug)
        tell(0.1, "Reading the sound")
        waveform, notices = self.decode(data)
        tell(0.3, "Listening" if self.state(slug).name == "ready" else "Loading the model")
        return self.kept.put(self._run(lambda: self._clip(slug, waveform, notices, sample, tell)))

    def heard(self, slug: str, sample: str) -> Clip | None:
        """A clip of the corpus that has been run through a dictionary's layer, for whoever asked; None where it is not kept."""
        return self.kept.get(self._name(slug, sample))

    def hear(self, slug: str, sample: str, tell: Tell = lambda share, words: None) -> None:
        """Run a clip of the corpus through a dictionary's layer, unless that has been done."""
        if self.heard(slug, sample) is None:
            tell(0.2, "Listening" if self.state(slug).name == "ready" else "Loading the model")
            waveform, _ = self.decode(self.sample(slug, sample))
            self.kept.put(self._run(lambda: self._clip(slug, waveform, (), sample, tell, words=False)), self._name(slug, sample))

    def _name(self, slug: str, sample: str) -> str:
        entry = self.store.catalog.dictionary(slug)
        return f"{entry.corpus}/{sample}/{entry.model}/{entry.layer}"

    def analyse(self, slug: str, data: bytes, top: int, order: str) -> Analysis:
        """What the command `analyse` gives."""
        from .analysis import analyse, check_order

        self.store.catalog.dictionary(slug)
        check_order(top, order)
        waveform, _ = self.decode(data)
        return self._run(lambda: analyse(self._open_runtime(), self.store, slug, waveform, top=top, order=order))

    def _clip(self, slug: str, waveform: Waveform, notices: tuple[str, ...], sample: str | None, tell: Tell, words: bool = True) -> Clip:
        from ..inputs.alignment import align
        from ..inputs.mel import mel_grey

        runtime = self._open_runtime()
        runtime.open(slug)
        opened, problems = [], {}
        for entry in self.store.catalog.siblings(slug):
            try:
                opened.append(runtime.open(entry.slug))
            except EarmarkError as error:
                problems[entry.slug] = str(error)
        tell(0.5, "Listening")
        model = self.store.catalog.dictionary(slug).model
        taken = runtime.capture(model, waveform, opened)
        codes = {o.entry.slug: o.dictionary.codes(taken[o.hook].values) for o in opened}
        text, speech = "", None
        if words:
            tell(0.7, "Writing down the words")
            text = runtime.read(model, waveform)
            tell(0.9, "Finding where each word lies")
            speech = align(waveform, text)
        return Clip(wav_of(waveform), mel_grey(waveform), taken[opened[0].hook].grid, waveform.duration_s, text, codes, notices, problems, sample, speech)


def wav_of(waveform: Waveform) -> bytes:
    import soundfile as sf

    file = io.BytesIO()
    sf.write(file, waveform.samples, waveform.rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()
