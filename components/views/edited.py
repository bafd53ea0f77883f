"""What edits have changed: of speech the transcripts and each word's probability, of a text what is expected after each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from earmark.speech import Speech

from .. import prose
from ..tokens import Piece, pieces
from .beside import one
from .said import SaidRows, said_rows

if TYPE_CHECKING:
    from earmark.live.editing.speech import EditedSpeech, Heard, WordChange
    from earmark.live.editing.text import EditedText, NextChange

N_STEPS = 100
"""positions of a text of which it is listed what is expected there: those that change most"""


@dataclass(frozen=True)
class Run:
    """A stretch of a transcript that differs from the plain one, or that does not."""

    text: str
    differs: bool


@dataclass(frozen=True)
class Transcript:
    """One of the runs over a sound."""

    name: str
    title: str
    note: str
    runs: tuple[Run, ...]
    wer: float | None
    """words that differ, for each word of the plain transcript"""
    letters: SaidRows = SaidRows()
    """of a model that spells: its letters in their places"""


@dataclass(frozen=True)
class WordRow:
    """A word of the plain transcript, and how probable it is without and with the edits."""

    text: str
    plain: float
    """in percent"""
    edited: float
    title: str

    @property
    def moved(self) -> str:
        """up, down, or nothing where it hardly changes."""
        change = self.edited - self.plain
        return "" if abs(change) < 5 else "up" if change > 0 else "down"


@dataclass(frozen=True)
class SpeechResult:
    """What edits change of a sound."""

    transcripts: tuple[Transcript, ...]
    words: tuple[WordRow, ...]
    same: bool
    """the same words with the same probabilities"""
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Expects:
    """A token that is expected next, and how probable it is without and with the edits."""

    token: Piece
    plain: str
    edited: str


@dataclass(frozen=True)
class Step:
    """What is expected after one token."""

    at: int
    token: Piece
    kl: str
    gained: tuple[Expects, ...]
    lost: tuple[Expects, ...]
    follows: Expects | None
    """the token that does come next"""


@dataclass(frozen=True)
class TextResult:
    """What edits change of a text."""

    figures: tuple[tuple[str, str, str], ...]
    """(name, value, note)"""
    pieces: tuple[Piece, ...]
    """shaded by KL"""
    high: float
    """the largest"""
    most: int
    """the token after which most changes"""
    steps: tuple[Step, ...]
    n_positions: int
    same: bool
    notices: tuple[str, ...]


def speech_result(found: EditedSpeech, duration_s: float) -> SpeechResult:
    """The transcripts of all runs, and the words of the plain one."""
    plain_letters, edited_letters = found.letters if found.letters else (None, None)
    shown = [_transcript("plain", found.plain, None, plain_letters, duration_s)]
    if found.spliced is not None:
        shown.append(_transcript("spliced", found.spliced, found.wer_spliced, None, duration_s))
    shown.append(_transcript("edited", found.edited, found.wer, edited_letters, duration_s))
    words = tuple(_word(change) for change in found.changes)
    same = found.plain.text == found.edited.text and all(c.p_plain == c.p_edited for c in found.changes)
    return SpeechResult(tuple(shown), words, same, found.notices)


def _transcript(name: str, heard: Heard, wer: float | None, letters: Speech | None, duration_s: float) -> Transcript:
    title, note = prose.EDIT_RUNS[name]
    return Transcript(name, title, note, runs_of(heard.text, heard.differs), wer, said_rows(letters, duration_s))


def runs_of(text: str, spans: Sequence[tuple[int, int]]) -> tuple[Run, ...]:
    """A text cut at the edges of spans [start, end) of it; put together the runs are the text."""
    found: list[Run] = []
    at = 0
    for start, end in sorted(spans):
        found += [Run(text[at:start], False), Run(text[start:end], True)]
        at = max(at, end)
    return tuple(run for run in (*found, Run(text[at:], False)) if run.text)


def _word(change: WordChange) -> WordRow:
    title = f"{change.word}: {prose.percent(change.p_plain)} plainly, {prose.percent(change.p_edited)} edited"
    return WordRow(change.word, 100 * change.p_plain, 100 * change.p_edited, title)


def text_result(found: EditedText) -> TextResult:
    """The text shaded by what changes, and the lists of the positions where most does."""
    kl = np.array([position.kl for position in found.positions])
    shown = pieces(found.tokens, kl, sinks=found.sinks, each=True)
    strongest = {piece.start: piece.start + int(kl[piece.start : piece.end].argmax()) for piece in shown}
    listed = sorted(shown, key=lambda piece: -kl[strongest[piece.start]])[:N_STEPS]
    steps = tuple(_step(found, piece, strongest[piece.start]) for piece in sorted(listed, key=lambda piece: piece.start))
    ces = (("plain", found.ce_plain), ("spliced", found.ce_spliced), ("edited", found.ce_edited))
    figures = [(f"CE {prose.lowered(prose.EDIT_RUNS[name][0])}", prose.short(ce), prose.EDIT_RUNS[name][1]) for name, ce in ces if ce is not None]
    figures.append(("Mean KL", prose.short(found.kl), "of what is expected after each token, edited from plain, in nats"))
    return TextResult(tuple(figures), shown, float(kl.max(initial=0.0)), listed[0].start, steps, len(found.tokens), not kl.any(), found.notices)


def _step(found: EditedText, piece: Piece, at: int) -> Step:
    position = found.positions[at]
    follows = None
    if position.p_plain is not None and position.p_edited is not None and at + 1 < len(found.tokens) and found.tokens[at + 1]:
        follows = Expects(one(found.tokens[at + 1]), prose.percent(position.p_plain), prose.percent(position.p_edited))
    return Step(piece.start, one(piece.text), prose.short(position.kl), expects(position.gained), expects(position.lost), follows)


def expects(changes: tuple[NextChange, ...]) -> tuple[Expects, ...]:
    """Tokens that the model expects, as they are shown."""
    return tuple(Expects(one(c.token), prose.percent(c.p_plain), prose.percent(c.p_edited)) for c in changes)
