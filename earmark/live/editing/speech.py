"""What a speech model hears in a sound with units turned up, down or off: beside the plain run, and the run through the SAE alone.

The runs share what comes before the first edited place, are written down in the same way (greedily, one beam, without timestamps, window by window) and
each says what it would say alone. Word errors count from the plain transcript, not from what was truly said. How a word's probability is taken
is told in models/hearing.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from ...edits import Edit
from ...errors import BadInput, Stopped
from ...measure.recovered import word_errors, words_of
from ...models.base import AudioModel
from ...models.capture import Replace
from ...models.hearing import SAME, Hearing, word_spans
from ...runtime import Opened, Runtime
from ...shelf.store import Store
from ...speech import Speech
from ...units import FrameGrid, Waveform
from ..line.turns import Tell, quiet
from .apply import check_editable, model_of_edits, replacing_edits, through_saes

MAX_SOUND_S = 120
TOKENS_A_SECOND, MORE_TOKENS = 10, 24
"""a transcript of a window of s seconds has at most 10 s + 24 tokens: fast speech has 6 a second, and a decoder that repeats itself does not end"""
_RUNS = ("plain", "edited", "spliced")

Spans = tuple[tuple[int, int], ...]
"""(first, past the last) characters"""


@dataclass(frozen=True)
class WordChange:
    """A word of the plain transcript."""

    word: str
    p_plain: float
    p_edited: float
    start: int
    """its first character in the plain transcript"""
    end: int
    """and past its last"""


@dataclass(frozen=True)
class Heard:
    """A transcript."""

    text: str
    differs: Spans = ()
    """the words that differ from the plain transcript; of the plain one, those that the edited one has not"""


@dataclass(frozen=True)
class EditedSpeech:
    """A sound heard plainly, with edits, and through the SAE alone."""

    plain: Heard
    spliced: Heard | None
    """None where something that is edited is no SAE, or several SAEs read one place"""
    edited: Heard
    changes: tuple[WordChange, ...]
    wer: float | None
    """of the edited transcript against the plain one; None where that has no words"""
    wer_spliced: float | None
    letters: tuple[Speech | None, Speech | None] | None = None
    """a CTC model's letters and words over time, plainly and edited; None for a model without letters"""
    notices: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        """What the command and the endpoint `edit` answer."""
        texts = {name: None if heard is None else heard.text for name, heard in zip(_RUNS, (self.plain, self.edited, self.spliced), strict=True)}
        differs = {name: heard and heard.differs for name, heard in zip(_RUNS, (self.plain, self.edited, self.spliced), strict=True)}
        letters = None if self.letters is None else [one and asdict(one) for one in self.letters]
        told = {"wer": self.wer, "wer_spliced": self.wer_spliced, "differs": differs, "letters": letters, "notices": list(self.notices)}
        return {**texts, "changes": [asdict(change) for change in self.changes], **told}


def edit_speech(
    runtime: Runtime,
    store: Store,
    edits: Sequence[Edit],
    sound: Waveform,
    tell: Tell = quiet,
    stop: Callable[[], bool] = lambda: False,
) -> EditedSpeech:
    """One run of the model that goes all ways, while it is held. Raises BadInput for a sound that is too long, for edits that cannot be made and
    for a model that hears no words; Stopped when `stop`, asked before each pass of the decoder, says so."""
    model, slugs = model_of_edits(store.catalog, edits, "audio")
    if sound.duration_s > MAX_SOUND_S:
        raise BadInput(f"The sound lasts {sound.duration_s:.1f} s; units are edited over at most {MAX_SOUND_S} s. Cut it.")

    def check() -> None:
        if stop():
            raise Stopped("The edit was stopped before its transcripts were done.")

    tell(0.1, "Loading the model")
    with runtime.using(*slugs) as opened:
        check_editable(opened, edits)
        check()
        tell(0.3, "Listening plainly, and with the edits")
        hearing = runtime.run(model, lambda loaded: _heard(loaded, opened, edits, sound, check))
    return _answer(hearing, edits, sound)


def _heard(model: AudioModel, opened: Sequence[Opened], edits: Sequence[Edit], sound: Waveform, check: Callable[[], None]) -> Hearing:
    grid, whole = FrameGrid(*model.grid, 0), through_saes(opened)

    def ways(first: int) -> list[Replace]:
        return [{}, replacing_edits(opened, edits, grid, first=first), *([] if whole is None else [whole])]

    return model.hear(sound, ways, lambda duration_s: MORE_TOKENS + math.ceil(TOKENS_A_SECOND * duration_s), check)


def _answer(hearing: Hearing, edits: Sequence[Edit], sound: Waveform) -> EditedSpeech:
    plain, edited, *rest = hearing.texts
    lost, new = differing(plain, edited)
    spliced = Heard(rest[0], differing(plain, rest[0])[1]) if rest else None
    p = np.exp(hearing.judged.log_p[:2])
    changes = tuple(
        WordChange(plain[start:end], float(before), float(after), start, end) for (start, end), before, after in zip(hearing.judged.words, *p, strict=True)
    )
    letters = (hearing.letters[0], hearing.letters[1]) if hearing.letters else None
    rates = [word_errors(plain, text).rate for text in hearing.texts[1:]]
    return EditedSpeech(
        Heard(plain, lost), spliced, Heard(edited, new), changes, rates[0], rates[1] if rest else None, letters, tuple(_notices(hearing, edits, sound))
    )  # fmt: skip


def differing(plain: str, other: str) -> tuple[Spans, Spans]:
    """The words of each text that stand in no longest match with the other's (difflib): their characters, marks included. Capitals and marks do not
    count, as they do not in word errors: where there are no errors, nothing differs."""
    (words, places), (others, other_places) = _counted(plain), _counted(other)
    parts = [part[1:] for part in SequenceMatcher(None, words, others, autojunk=False).get_opcodes() if part[0] != "equal"]
    lost = [places[n] for start, end, _, _ in parts for n in range(start, end)]
    new = [other_places[n] for _, _, start, end in parts for n in range(start, end)]
    return tuple(dict.fromkeys(lost)), tuple(dict.fromkeys(new))


def _counted(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """The words that word errors count, each with the characters of the written word that it is in: an \"ice-cream\" is two."""
    found = [(word, span) for span in word_spans(text) for word in words_of(text[slice(*span)])]
    return [word for word, _ in found], [span for _, span in found]


def _notices(hearing: Hearing, edits: Sequence[Edit], sound: Waveform) -> list[str]:
    late = [edit for edit in edits if (edit.start or 0) >= sound.duration_s]
    found = [f"The edit of {edit.unit} begins at {edit.start:g} s; the sound ends at {sound.duration_s:.2f} s." for edit in late]
    if hearing.moved[1] <= SAME and not late and not all(edit.changes_nothing for edit in edits):
        found.append("Nothing changes on this sound: where the edits act the units are 0. Add a constant to wake a silent unit.")
    stopped = [name for name, ended in zip(_RUNS, hearing.ended, strict=False) if not ended]
    if stopped:
        which = " and the ".join(stopped) + (" transcripts" if len(stopped) > 1 else " transcript")
        found.append(f"Stopped at the most that is written down, about {TOKENS_A_SECOND} tokens a second: the {which}. The model repeats itself there.")
    return found
