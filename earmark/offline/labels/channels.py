"""What is said at each position, as channels of labels: phones, classes of phones, words and pieces of words, what comes before and after.

A channel gives every position one of its labels, none (-1), or unknown (-2: the sample is not aligned, or the lag leads out of it).
Phones are ARPAbet without stress, as the CMU Pronouncing Dictionary writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...speech import Span, Speech

NONE, UNKNOWN = -1, -2
SILENCE = "SIL"
EDGE_S = 0.06
"""how long the onset after a silence, or the offset before one, is taken to last"""

VOWELS = {
    "front vowel": "IY IH EH AE",
    "central vowel": "AH ER",
    "back vowel": "UW UH AO AA",
    "diphthong": "EY AY OW AW OY",
}
MANNERS = {
    "vowel": " ".join(VOWELS.values()),
    "stop": "P B T D K G",
    "sibilant": "S Z SH ZH CH JH",
    "soft fricative": "F V TH DH HH",
    "nasal": "M N NG",
    "liquid": "L R",
    "glide": "W Y",
    "silence": SILENCE,
}
PLACES = {"labial": "P B M F V W", "dental": "TH DH", "alveolar": "T D S Z N L", "palatal": "SH ZH CH JH Y R", "velar": "K G NG", "glottal": "HH"}
VOICES = {"voiceless consonant": "P T K F TH S SH CH HH", "voiced consonant": "B D G V DH Z ZH JH M N NG L R W Y"}
PHONES = frozenset(" ".join([*VOWELS.values(), *VOICES.values()]).split())
"""39 of them"""


@dataclass(frozen=True)
class Channel:
    """One way of labelling positions."""

    name: str
    kind: str
    """phone (of texts token), word, class or context"""
    labels: tuple[str, ...]
    """as people read them"""
    codes: NDArray[np.int32]
    """[n_positions]: a label's place in `labels`, NONE or UNKNOWN"""
    distance: int = 0
    """positions from what the label names to where it is given"""


Mark = Sequence[tuple[float, float, str]]
"""(start_s, end_s, label) of one sample"""


def _spoken(said: Speech) -> tuple[Span, ...]:
    """Its phones; the letters of a CTC model are none, although they are written alike."""
    return () if said.how == "ctc" else said.phones


def _phones(said: Speech) -> Mark:
    return [(p.start_s, p.end_s, f"/{p.text.lower()}/") for p in _spoken(said) if p.text in PHONES]


def _letters(said: Speech) -> Mark:
    return [(p.start_s, p.end_s, f"letter {p.text.lower()}") for p in said.phones] if said.how == "ctc" else []


def _classes(table: dict[str, str]) -> Callable[[Speech], Mark]:
    of = {phone: name for name, phones in table.items() for phone in phones.split()}
    return lambda said: [(p.start_s, p.end_s, of[p.text]) for p in _spoken(said) if p.text in of]


def _edges(said: Speech) -> Mark:
    found: list[tuple[float, float, str]] = []
    phones = _spoken(said)
    for before, p, after in zip([None, *phones], phones, [*phones[1:], None], strict=False):
        if p.text == SILENCE:
            continue
        if before is None or before.text == SILENCE:
            found.append((p.start_s, min(p.end_s, p.start_s + EDGE_S), "onset after silence"))
        elif after is None or after.text == SILENCE:
            found.append((max(p.start_s, p.end_s - EDGE_S), p.end_s, "offset before silence"))
    return found


def _words(said: Speech) -> Mark:
    return [(w.start_s, w.end_s, w.word) for w in said.words if w.word]


def _pieces(said: Speech) -> Mark:
    """Two phones in a row, over both."""
    pairs = zip(_spoken(said), _spoken(said)[1:], strict=False)
    return [(p.start_s, (q.start_s + q.end_s) / 2, f"/{p.text.lower()} {q.text.lower()}/") for p, q in pairs if p.text in PHONES and q.text in PHONES]


def _beside(step: int, words: str, spans: Callable[[Speech], Sequence[Span]], shown: Callable[[Span], str]) -> Callable[[Speech], Mark]:
    """Each span labelled by its neighbour: the one before (step -1) or after it (step 1)."""

    def marks(said: Speech) -> Mark:
        row = spans(said)
        return [(s.start_s, s.end_s, f"{words} {shown(row[i + step])}") for i, s in enumerate(row) if 0 <= i + step < len(row) and shown(row[i + step])]

    return marks


def _pauses(said: Speech) -> Mark:
    """Silences by the punctuation of the word before them, and the silence before the first word."""
    found: list[tuple[float, float, str]] = []
    names = {",": "pause at a comma", ".": "pause at a full stop", "!": "pause at an exclamation mark", "?": "pause at a question mark"}
    for p in _spoken(said):
        if p.text != SILENCE:
            continue
        before = [w for w in said.words if w.end_s <= p.start_s + 0.011]
        label = names.get(_mark(before[-1])) if before else "silence before speech"
        if label:
            found.append((p.start_s, p.end_s, label))
    return found


def _mark(word: Span) -> str:
    """The punctuation that ends a word, without quotes around it."""
    return word.after.strip("\"'")[-1:]


def _places(said: Speech) -> Mark:
    """Where in its sentence a word stands."""
    found: list[tuple[float, float, str]] = []
    for i, w in enumerate(said.words):
        if i == 0 or _mark(said.words[i - 1]) in {".", "!", "?"}:
            found.append((w.start_s, w.end_s, "first word of a sentence"))
        elif _mark(w) in {",", ".", "!", "?"}:
            found.append((w.start_s, w.end_s, "word before a comma" if _mark(w) == "," else "last word of a sentence"))
    return found


def _phone_name(span: Span) -> str:
    return "silence" if span.text == SILENCE else f"/{span.text.lower()}/" if span.text in PHONES else ""


def _word_name(span: Span) -> str:
    return span.word


SPEECH: tuple[tuple[str, str, Callable[[Speech], Mark]], ...] = (
    ("phone", "phone", _phones),
    ("letter", "phone", _letters),
    ("word", "word", _words),
    ("piece", "word", _pieces),
    ("manner", "class", _classes(MANNERS)),
    ("vowel", "class", _classes(VOWELS)),
    ("place", "class", _classes(PLACES)),
    ("voice", "class", _classes(VOICES)),
    ("edge", "class", _edges),
    ("phone before", "context", _beside(-1, "after", _spoken, _phone_name)),
    ("phone after", "context", _beside(1, "before", _spoken, _phone_name)),
    ("word before", "context", _beside(-1, "after the word", lambda s: s.words, _word_name)),
    ("word after", "context", _beside(1, "before the word", lambda s: s.words, _word_name)),
    ("pause", "context", _pauses),
    ("place in sentence", "context", _places),
)
"""name, kind, and what it marks in a sample"""


def speech_channels(said: Sequence[Speech | None], n_positions: Sequence[int], hop_s: float, offset_s: float) -> tuple[Channel, ...]:
    """Channels over the positions of all samples in a row; a position is labelled by what is said at its middle."""
    starts = np.concatenate([[0], np.cumsum(n_positions)])
    found: list[Channel] = []
    for name, kind, mark in SPEECH:
        number: dict[str, int] = {}
        codes = np.full(starts[-1], UNKNOWN, np.int32)
        for i, sample in enumerate(said):
            if sample is None:
                continue
            part = codes[starts[i] : starts[i + 1]]
            part[:] = NONE
            for start_s, end_s, label in mark(sample):
                first, last = (int(np.ceil((t - offset_s) / hop_s - 0.5 - 1e-6)) for t in (start_s, end_s))
                part[max(first, 0) : max(last, 0)] = number.setdefault(label, len(number))
        found.append(Channel(name, kind, tuple(number), codes))
    return tuple(found)
