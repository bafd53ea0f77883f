"""Where visitors' edits are run: on the desk's one line for the model, each bounded in time and stopped at a word, kept in memory like their samples.

A result lies under the name of its sample and of the edits: the token of a visitor's own sound, which nobody can guess, the digest of a text, or
a clip of the corpus, which is anybody's. What is found on a clip or a text that has been forgotten meanwhile is not kept.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ...edits import Edit
from ...errors import BadInput, Stopped
from ...units import UnitId, Waveform
from ..line.kept import Kept
from ..line.turns import Kind, Tell, quiet

if TYPE_CHECKING:
    from ..line.sounds import Sounds
    from ..texts.desk import Texts
    from .ablation.effect import UnitEffect
    from .continuation import Continuation
    from .speech import EditedSpeech
    from .text import EditedText

T = TypeVar("T")
Stop = Callable[[], bool]

EDIT_S = 90
"""how long a run may take once the model is its own; a continuation all its steps together"""
N_STOPPED = 1_000
"""runs that are remembered as stopped"""
KEPT_BYTES = 64_000_000
SPEECH_BYTES, POSITION_BYTES = 40_000, 2_500
"""what a result on a sound takes in memory at most, and one on a text for each of its tokens"""


@dataclass(frozen=True, eq=False)
class Outcome(Generic[T]):
    """A result while it is kept."""

    value: T
    n_bytes: int


@dataclass(frozen=True)
class Wanted:
    """What a text is to go on with."""

    n_tokens: int
    seed: int


class Editing:
    """One a process, shared by all visitors."""

    def __init__(self, sounds: Sounds, texts: Texts, edit_s: float = EDIT_S):
        self._sounds, self._passages, self._edit_s = sounds, texts, edit_s
        self._speech: Kept[Outcome[EditedSpeech]] = Kept(KEPT_BYTES)
        self._texts: Kept[Outcome[EditedText]] = Kept(KEPT_BYTES)
        self._continued: Kept[Outcome[tuple[Wanted, Continuation]]] = Kept(KEPT_BYTES)
        self._effects: OrderedDict[UnitId, UnitEffect] = OrderedDict()
        self._stopped: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    # -- runs ------------------------------------------------------------------------------------------------------------

    def stop(self, run: str) -> None:
        """Ask a run to end at its next step, or not to begin. Only who began it knows its name; one without a name goes on."""
        with self._lock:
            self._stopped |= {run: None} if run else {}
            while len(self._stopped) > N_STOPPED:
                self._stopped.popitem(last=False)

    def _bounded(self, slug: str, run: str, tell: Tell, work: Callable[[Stop], T], kind: Kind = "edit") -> T:
        """`work` on the model's line. Raises Stopped when the visitor says so, and BadInput when it takes too long."""
        tell(0.05, "Beginning" if self._sounds.state(slug).name == "ready" else "Loading the model")
        clock = _Clock(lambda: run in self._stopped, self._edit_s)

        def told(share: float, words: str) -> None:
            if clock.over():
                raise Stopped("This was stopped before it began.")
            tell(share, words)

        try:
            return self._sounds.run(lambda: clock.begin(work), kind, told)
        except Stopped:
            if clock.late:
                raise BadInput(f"This took longer than {self._edit_s:.0f} s and was given up. Take a shorter sample, or fewer edits.") from None
            raise
        finally:
            clock.give_up()

    def forget(self, token: str) -> None:
        """All that was found on a visitor's clip or text."""
        for kept in (self._speech, self._texts, self._continued):
            kept.drop_under(f"{token} ")

    # -- sounds ----------------------------------------------------------------------------------------------------------

    def hear(self, slug: str, edits: Sequence[Edit], clip: str, sample: str | None, run: str, tell: Tell) -> None:
        """Transcribe a visitor's clip, or one of the corpus, plainly and edited, unless that has been done. Raises BadInput where the clip is not kept."""
        from .speech import edit_speech

        _check(edits)
        if self.heard(slug, edits, clip, sample) is None:
            sound, sounds = self._sound(slug, clip, sample), self._sounds
            found = self._bounded(slug, run, tell, lambda stop: edit_speech(sounds.runtime(), sounds.store, edits, sound, tell=tell, stop=stop))
            if sample or sounds.kept.get(clip) is not None:
                self._speech.put(Outcome(found, SPEECH_BYTES), self._clip_name(slug, edits, clip, sample))

    def heard(self, slug: str, edits: Sequence[Edit], clip: str, sample: str | None) -> EditedSpeech | None:
        """What `hear` has found, as long as it is kept."""
        return _value(self._speech.get(self._clip_name(slug, edits, clip, sample)))

    def _sound(self, slug: str, clip: str, sample: str | None) -> Waveform:
        if sample:
            return self._sounds.decode(self._sounds.sample(slug, sample))[0]
        kept = self._sounds.kept.get(clip)
        if kept is None:
            raise BadInput("The clip is no longer kept. Bring it once more.")
        return self._sounds.decode(kept.sound)[0]

    def _clip_name(self, slug: str, edits: Sequence[Edit], clip: str, sample: str | None) -> str:
        entry = self._sounds.store.catalog.dictionary(slug)
        return " ".join((f"{entry.corpus}/{sample}" if sample else clip, entry.model, *map(str, edits)))

    # -- texts -----------------------------------------------------------------------------------------------------------

    def read(self, slug: str, edits: Sequence[Edit], text: str, run: str, tell: Tell) -> None:
        """Read a text plainly and edited, unless that has been done."""
        from .text import edit_text

        _check(edits)
        if self.found(slug, edits, text) is None:
            sounds, token = self._sounds, self._passages.read(slug, text, tell)
            found = self._bounded(slug, run, tell, lambda stop: edit_text(sounds.runtime(), sounds.store, edits, text, tell=tell, stop=stop))
            if self._passages.kept.get(token) is not None:
                self._texts.put(Outcome(found, POSITION_BYTES * len(found.tokens)), self._text_name(slug, edits, text))

    def found(self, slug: str, edits: Sequence[Edit], text: str) -> EditedText | None:
        """What `read` has found, as long as it is kept."""
        return _value(self._texts.get(self._text_name(slug, edits, text)))

    def go_on(self, slug: str, edits: Sequence[Edit], text: str, wanted: Wanted, run: str) -> Iterator[Continuation]:
        """A text's continuations without and with edits, as they grow. Others get the model between two steps."""
        from .continuation import continue_text

        _check(edits)
        sounds, name, token = self._sounds, self._text_name(slug, edits, text), self._passages.read(slug, text)
        clock = _Clock(lambda: run in self._stopped, self._edit_s)

        def begin(stop: Stop) -> Iterator[Continuation]:
            return continue_text(sounds.runtime(), sounds.store, edits, text, n_tokens=wanted.n_tokens, seed=wanted.seed, stop=stop)

        try:
            steps = sounds.run(lambda: clock.begin(begin), "step")
            while (grown := sounds.run(lambda: next(steps, None), "step", within=True)) is not None and self._passages.kept.get(token) is not None:
                self._continued.put(Outcome((wanted, grown), 4 * (len(grown.plain) + len(grown.edited)) + 200), name)
                yield grown
        except Stopped:
            return
        finally:
            clock.give_up()

    def continued(self, slug: str, edits: Sequence[Edit], text: str) -> tuple[Wanted, Continuation] | None:
        """How far `go_on` has come, as long as it is kept."""
        return _value(self._continued.get(self._text_name(slug, edits, text)))

    def _text_name(self, slug: str, edits: Sequence[Edit], text: str) -> str:
        return " ".join((self._passages.name(slug, text), *map(str, edits)))

    # -- what a unit does ------------------------------------------------------------------------------------------------

    def ablate(self, unit: UnitId, run: str, tell: Tell) -> None:
        """Switch a unit off on its own strongest examples, unless that has been done."""
        from .ablation.effect import unit_effect

        if self.effect(unit) is None:
            sounds, slug = self._sounds, unit.dictionary

            def work(stop: Stop) -> UnitEffect:
                return unit_effect(sounds.runtime(), sounds.store, unit, tell=tell, stop=stop)

            self._effects[unit] = self._bounded(slug, run, tell, work, "unit")
            with self._lock:
                while len(self._effects) > N_STOPPED:
                    self._effects.popitem(last=False)

    def effect(self, unit: UnitId) -> UnitEffect | None:
        """What `ablate` has found."""
        return self._effects.get(unit)

    # -- programs --------------------------------------------------------------------------------------------------------

    def answer_sound(self, edits: Sequence[Edit], data: bytes, tell: Tell = quiet) -> dict[str, Any]:
        """What `edit --audio` prints of the sound in a file's bytes; nothing is kept."""
        from .apply import model_of_edits
        from .speech import edit_speech

        sounds = self._sounds
        model_of_edits(sounds.store.catalog, edits, "audio")
        sound, notices = sounds.decode(data)
        slug = edits[0].unit.dictionary
        found = self._bounded(slug, "", tell, lambda stop: edit_speech(sounds.runtime(), sounds.store, edits, sound, stop=stop)).json()
        return {**found, "notices": [*notices, *found["notices"]]}

    def answer_text(self, edits: Sequence[Edit], text: str, n_tokens: int, seed: int, tell: Tell = quiet) -> dict[str, Any]:
        """What `edit --text` prints; nothing is kept."""
        from .apply import model_of_edits
        from .continuation import edit_and_continue

        sounds = self._sounds
        model_of_edits(sounds.store.catalog, edits, "text")
        slug = edits[0].unit.dictionary
        return self._bounded(slug, "", tell, lambda stop: edit_and_continue(sounds.runtime(), sounds.store, edits, text, n_tokens, seed, stop))


class _Clock:
    """Whether a run is over: its visitor has stopped it, its time is up since the model became its own, or nobody waits for it any more."""

    def __init__(self, stopped: Callable[[], bool], seconds: float):
        self._stopped, self._seconds = stopped, seconds
        self._end: float | None = None
        self._given_up = self.late = False

    def begin(self, work: Callable[[Stop], T]) -> T:
        self._end = time.monotonic() + self._seconds
        if self.over():
            raise Stopped("This was stopped before it began.")
        return work(self.over)

    def over(self) -> bool:
        self.late = self.late or (self._end is not None and time.monotonic() > self._end)
        return self._stopped() or self.late or self._given_up

    def give_up(self) -> None:
        self._given_up = True


def _check(edits: Sequence[Edit]) -> None:
    if not edits:
        raise BadInput("Nothing is edited. Choose a unit to turn up, down or off first.")


def _value(outcome: Outcome[T] | None) -> T | None:
    return outcome.value if outcome else None
