"""Visitors' sounds and the corpus's clips on their way to the model.

A sound is read first, in a line and a process of its own, so that a file that takes long holds up nobody who waits for the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import BadInput, EarmarkError
from ...shelf.store import Store
from ...units import Analysis, Waveform
from .kept import Brought, Clip, Kept
from .model import RUN_S, Line, State
from .turns import Tell, quiet

if TYPE_CHECKING:
    from ...inputs.audio import Limits
    from .decoder import Decoders

N_READERS = 3
"""files read at a time"""
DECODE_S = 12
BROUGHT_BYTES, BROUGHT_S = 96_000_000, 600
"""sounds that have been read and wait for the model: a minute of sound is 4 MB"""


class Sounds(Line):
    """Reads sounds, runs them through the model, and keeps what it found."""

    def __init__(self, store: Store, decode_s: float = DECODE_S, run_s: float = RUN_S):
        super().__init__(store, run_s)
        self.kept: Kept[Clip] = Kept()
        self._brought: Kept[Brought] = Kept(BROUGHT_BYTES, BROUGHT_S)
        self._decode_s = decode_s
        self._decoders: Decoders | None = None

    def warm(self, slug: str) -> State:
        """The same, and where the model hears, a process that reads sounds gets ready."""
        if self.store.catalog.model(self.store.catalog.dictionary(slug).model).modality == "audio":
            self.decoders().warm()
        return super().warm(slug)

    def limits(self) -> Limits:
        from ...inputs.audio import Limits

        s = self.store.settings
        return Limits(s.max_upload_mb * 1_000_000, s.max_source_s, s.max_audio_s, self._decode_s)

    def decode(self, data: bytes) -> tuple[Waveform, tuple[str, ...]]:
        """A file's bytes as a waveform, with notices. Raises BadInput for what cannot be used, or not in time."""
        found = self.decoders().decode(data, self.limits())
        return found.waveform, found.notices

    def decoders(self) -> Decoders:
        """The processes that read sounds; the libraries that they need are imported with them."""
        from .decoder import Decoders

        with self._lock:
            self._decoders = self._decoders or Decoders(N_READERS)
        return self._decoders

    def take(self, path: Path) -> bytes:
        """A file's bytes; the file is deleted, whatever it holds."""
        from ...inputs.audio import read_file

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

    def listen(self, slug: str, ticket: str, tell: Tell = quiet) -> str:
        """The token of the clip that a brought sound becomes: run through the model once, kept. Raises BadInput for a ticket that is used or too old."""
        self._hears(slug)
        brought = self._brought.get(ticket)
        self._brought.drop(ticket)
        if brought is None:
            raise BadInput("The sound is not here any more. Bring it once more.")
        tell(0.3, "Listening" if self.state(slug).name == "ready" else "Loading the model")
        return self.kept.put(self.run(lambda: self._clip(slug, brought.waveform, brought.notices, brought.sample, tell), "sound", tell))

    def heard(self, slug: str, sample: str) -> Clip | None:
        """A clip of the corpus that has been run through a dictionary's layer, for whoever asked; None where it is not kept."""
        return self.kept.get(self._name(slug, sample))

    def hear(self, slug: str, sample: str, tell: Tell = quiet) -> None:
        """Run a clip of the corpus through a dictionary's layer, unless that has been done."""
        self._hears(slug)
        if self.heard(slug, sample) is None:
            tell(0.2, "Listening" if self.state(slug).name == "ready" else "Loading the model")
            waveform, _ = self.decode(self.sample(slug, sample))
            found = self.run(lambda: self._clip(slug, waveform, (), sample, tell, words=False), "sound", tell)
            self.kept.put(found, self._name(slug, sample))

    def _name(self, slug: str, sample: str) -> str:
        entry = self.store.catalog.dictionary(slug)
        return f"{entry.corpus}/{sample}/{entry.model}/{entry.layer}"

    def analyse(self, slug: str, data: bytes, top: int, order: str, tell: Tell = quiet) -> Analysis:
        """What the command `analyse` gives."""
        from ..analysis import analyse, check_order

        self._hears(slug)
        check_order(top, order)
        waveform, _ = self.decode(data)
        return self.run(lambda: analyse(self.runtime(), self.store, slug, waveform, top=top, order=order), "sound", tell)

    def _hears(self, slug: str) -> None:
        """Raise BadInput for a dictionary that cannot take a sound now."""
        entry = self.store.catalog.dictionary(slug)
        if self.store.catalog.model(entry.model).modality != "audio":
            raise BadInput(f"{entry.model} reads text; it cannot hear a sound. Choose a dictionary of a speech model.")
        far = self.far(slug)
        if far:
            raise BadInput(f"{' and '.join(far)} must be fetched from the Hub first: open {slug} on Browse, then bring the sound once more.")

    def _clip(self, slug: str, waveform: Waveform, notices: tuple[str, ...], sample: str | None, tell: Tell, words: bool = True) -> Clip:
        from ...inputs.alignment import align
        from ...inputs.audio import sound_file
        from ...inputs.mel import mel_grey

        runtime = self.runtime()
        runtime.open(slug)
        slugs: list[str] = []
        problems: dict[str, str] = {}
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
        grid, heard = taken[opened[0].hook].grid, sound_file(waveform, "WAV")
        return Clip(heard, mel_grey(waveform), grid, waveform.duration_s, text, codes, notices, problems, sample, speech)
