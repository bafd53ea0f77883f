"""What was said, and when: words and phones with their places in a sample, in seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass

_AROUND = re.compile(r"^[^\w]+|[^\w]+$")
_BEHIND = re.compile(r"[^\w]+$")


@dataclass(frozen=True)
class Span:
    """A word or a phone with its place in a sample."""

    text: str
    """a word as the transcript writes it, with the punctuation around it; a phone as ARPAbet without stress, such as AH; SIL for silence"""
    start_s: float
    end_s: float

    @property
    def word(self) -> str:
        """The word alone, in small letters: `well` of `"Well,`."""
        return _AROUND.sub("", self.text.lower().replace("\u2019", "'"))

    @property
    def after(self) -> str:
        """Punctuation that follows the word: `,` of `"Well,`; empty for none."""
        found = _BEHIND.search(self.text)
        return found.group().strip() if found else ""


@dataclass(frozen=True)
class Speech:
    """Words and phones of a sample. Spans are in order, and lie within the sample."""

    words: tuple[Span, ...]
    phones: tuple[Span, ...]
    """ARPAbet from the sample's beginning to its end when `how` is aligned; the source's own names, or a model's letters, otherwise"""
    how: str
    """aligned (the transcript, by an acoustic model), source (given with the sound) or ctc (a model's own letters)"""
    score: float | None = None
    """aligned: mean over the phones of their log score a frame, 0 at best; wrong text lies below -40"""

    def within(self, start_s: float, end_s: float) -> Speech:
        """The part whose spans have their middle in [start_s, end_s), with times counted from start_s."""

        def cut(spans: tuple[Span, ...]) -> tuple[Span, ...]:
            chosen = [s for s in spans if start_s <= (s.start_s + s.end_s) / 2 < end_s]
            return tuple(Span(s.text, max(s.start_s - start_s, 0.0), min(s.end_s, end_s) - start_s) for s in chosen)

        return Speech(cut(self.words), cut(self.phones), self.how, self.score)
