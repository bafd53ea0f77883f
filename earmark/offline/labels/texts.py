"""What stands at each position of a text, as channels of labels: tokens, words, kinds of tokens, what comes before and after.

The model is causal, so that a unit knows its own token and what came before; what stands a token away is a channel of its own ("after",
"before"), whose distance is told as the label's lag. Lists of function words are English; without their words they label nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...measure.labels import MIN_ACTIVE
from .channels import NONE, Channel

MARKS = {
    ",": "comma", ".": "full stop", "?": "question mark", "!": "exclamation mark", ";": "semicolon", ":": "colon", "-": "hyphen or dash",
    "\u2013": "hyphen or dash", "\u2014": "hyphen or dash", "(": "bracket", ")": "bracket", "[": "bracket", "]": "bracket", '"': "quotation mark",
    "\u201c": "quotation mark", "\u201d": "quotation mark", "'": "apostrophe", "\u2018": "apostrophe", "\u2019": "apostrophe",
}  # fmt: skip
ENDS = ("full stop", "question mark", "exclamation mark")
CLASSES = {
    "article": "a an the",
    "pronoun": "i me my mine myself you your yours he him his himself she her hers herself it its itself we us our ours they them their theirs thou thee thy",
    "preposition": "of in to for with on at by from into upon over under between among through during against within without about after before behind",
    "conjunction": "and or but nor so yet because although though while if unless until than whether",
    "auxiliary verb": "is are was were be been being am have has had do does did will would shall should can could may might must",
    "negation": "not no never none nothing neither nor cannot",
    "question word": "who whom whose which what when where why how",
    "demonstrative": "this that these those",
    "number word": "one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million first second third",
    "month": "january february march april june july august september october november december",
}
FEW = 4
"""tokens at a window's beginning"""
N_END, N_BEGIN = (2, 3), 3
"""letters of a word's ending and beginning; words are at least two letters longer"""
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_CLASS_OF = {word: name for name, words in CLASSES.items() for word in words.split()}


@dataclass(frozen=True)
class Token:
    """One position with what it is a part of."""

    text: str
    """what it prints; empty where its bytes are shown with a position before it"""
    word: str
    """the word that it prints, or prints a part of, in small letters; empty for none"""
    opens: bool
    """the word begins here"""
    ends: bool
    """the word ends here"""

    @property
    def mark(self) -> str:
        """What kind of mark it begins with, a line break included; empty for none."""
        if self.text and not self.text.strip():
            return "line break" if "\n" in self.text else ""
        return MARKS.get(self.text.strip()[:1], "")

    @property
    def shown(self) -> str:
        """As a label shows it."""
        plain = self.text if self.text.strip() else self.text.replace(" ", "\u2423")
        return "“" + plain.replace("\n", "\u21b5").replace("\t", "\u21e5") + "”" if plain else ""


def tokens_of(printed: Sequence[str]) -> list[Token]:
    """The positions of one text, by what each prints."""
    text = "".join(printed)
    starts = np.concatenate([[0], np.cumsum([len(p) for p in printed])]).tolist()
    word_at: dict[int, tuple[int, int]] = {}
    for found in _WORD.finditer(text):
        word_at |= dict.fromkeys(range(*found.span()), found.span())
    tokens: list[Token] = []
    for piece, start in zip(printed, starts, strict=False):
        first = start + len(piece) - len(piece.lstrip())
        span = word_at.get(first) if piece.strip() else None
        if span is None:
            tokens.append(Token(piece, "", False, False))
        else:
            tokens.append(Token(piece, text[slice(*span)].casefold(), span[0] >= start, span[1] <= start + len(piece)))
    return tokens


Told = Iterator[str | None]
"""a label, or None, for each position of one text"""


def _shape(tokens: Sequence[Token]) -> Told:
    for t in tokens:
        bare = t.text.strip()
        if not bare:
            yield "line break" if "\n" in t.text else "space" if t.text else None
        elif bare[0].isdigit():
            yield "number"
        elif not t.word:
            yield "punctuation" if t.mark else "other sign"
        elif not t.opens:
            yield "inside or end of a word"
        else:
            yield "capital letters" if bare.isupper() and len(bare) > 1 else "capitalised word" if bare[0].isupper() else None


def _endings(n: int) -> Callable[[Sequence[Token]], Told]:
    return lambda tokens: (f"word ending in -{t.word[-n:]}" if t.ends and len(t.word) >= n + 2 else None for t in tokens)


def _beginnings(tokens: Sequence[Token]) -> Told:
    return (f"word beginning with {t.word[:N_BEGIN]}-" if t.opens and len(t.word) >= N_BEGIN + 2 else None for t in tokens)


def _beside(step: int, words: str, name: Callable[[Token], str]) -> Callable[[Sequence[Token]], Told]:
    """Each position labelled by another one: `step` further on."""

    def told(tokens: Sequence[Token]) -> Told:
        for i in range(len(tokens)):
            other = name(tokens[i + step]) if 0 <= i + step < len(tokens) else ""
            yield f"{words} {other}" if other else None

    return told


def _word_before(tokens: Sequence[Token]) -> Told:
    before = current = ""
    for t in tokens:
        if t.opens:
            before, current = current, t.word
        elif not t.word and t.text:
            before, current = current, ""
        yield f"after the word {before}" if before else None


def _place_in_sentence(tokens: Sequence[Token]) -> Told:
    ended, opened = False, False
    for i, t in enumerate(tokens):
        opened = (t.opens and ended) or (opened and not t.opens and bool(t.word))
        behind = tokens[i + 1].mark if i + 1 < len(tokens) else ""
        if opened:
            yield "first word of a sentence"
        else:
            yield "last word of a sentence" if t.word and behind in ENDS else None
        ended = t.mark in ENDS or (ended and not t.word)


def _place_in_line(tokens: Sequence[Token]) -> Told:
    for i, t in enumerate(tokens):
        if i < FEW:
            yield "beginning of the window"
        else:
            yield "beginning of a line" if t.text.strip() and "\n" in tokens[i - 1].text else None


def _within(tokens: Sequence[Token]) -> Told:
    depth = 0
    for t in tokens:
        depth = max(0, depth + sum(t.text.count(c) for c in "([") - sum(t.text.count(c) for c in ")]"))
        yield "within brackets" if depth else None


def _shown(token: Token) -> str:
    return token.shown


def _marked(token: Token) -> str:
    return f"{'an' if token.mark[0] in 'ae' else 'a'} {token.mark}" if token.mark else ""


# name, kind, distance in tokens, and the label of each position
TEXT: tuple[tuple[str, str, int, Callable[[Sequence[Token]], Told]], ...] = (
    ("token", "token", 0, lambda tokens: (t.shown or None for t in tokens)),
    ("word", "word", 0, lambda tokens: (t.word or None for t in tokens)),
    ("mark", "class", 0, lambda tokens: (t.mark or None for t in tokens)),
    ("shape", "class", 0, _shape),
    ("function", "class", 0, lambda tokens: (_CLASS_OF.get(t.word) for t in tokens)),
    ("ending of 2", "class", 0, _endings(N_END[0])),
    ("ending of 3", "class", 0, _endings(N_END[1])),
    ("beginning", "class", 0, _beginnings),
    ("token before", "context", 1, _beside(-1, "after", _shown)),
    ("token two before", "context", 2, _beside(-2, "two after", _shown)),
    ("token after", "context", -1, _beside(1, "before", _shown)),
    ("word before", "context", 0, _word_before),
    ("mark before", "context", 1, _beside(-1, "after", _marked)),
    ("mark after", "context", -1, _beside(1, "before", _marked)),
    ("place in sentence", "context", 0, _place_in_sentence),
    ("place in line", "context", 0, _place_in_line),
    ("within", "context", 0, _within),
)


def text_channels(texts: Sequence[Sequence[str]], sides: NDArray[np.int8]) -> tuple[Channel, ...]:
    """Channels over the positions of all texts in a row, each by what it prints; sides [n_positions] as in `Ground`.

    Labels too rare on the half that chooses to be chosen by any unit are left out: what is counted stays the same.
    """
    numbers: list[dict[str, int]] = [{} for _ in TEXT]
    codes = np.full((len(TEXT), len(sides)), NONE, np.int32)
    start = 0
    for printed in texts:
        tokens = tokens_of(printed)
        for number, row, (_, _, _, told) in zip(numbers, codes, TEXT, strict=True):
            row[start : start + len(tokens)] = [NONE if label is None else number.setdefault(label, len(number)) for label in told(tokens)]
        start += len(tokens)
    return tuple(
        _frequent(Channel(name, kind, tuple(number), row, distance), sides) for (name, kind, distance, _), number, row in zip(TEXT, numbers, codes, strict=True)
    )


def _frequent(channel: Channel, sides: NDArray[np.int8]) -> Channel:
    """The same channel without the labels that the choosing half has too seldom."""
    there = np.bincount(channel.codes[(sides == 0) & (channel.codes >= 0)], minlength=len(channel.labels))
    kept = np.flatnonzero(there >= MIN_ACTIVE)
    place = np.full(len(channel.labels) + 1, NONE, np.int32)
    place[kept] = np.arange(len(kept))
    return Channel(channel.name, channel.kind, tuple(channel.labels[i] for i in kept), place[channel.codes], channel.distance)


def balanced_halves(names: Sequence[str], sizes: Sequence[int]) -> NDArray[np.int8]:
    """[n_samples] 0 or 1, the same for all samples of a name, so that both halves hold about as many positions: large names first."""
    total: dict[str, int] = {}
    for name, size in zip(names, sizes, strict=True):
        total[name] = total.get(name, 0) + size
    side: dict[str, int] = {}
    held = [0, 0]
    for name in sorted(total, key=lambda n: (-total[n], n)):
        side[name] = int(held[1] < held[0])
        held[side[name]] += total[name]
    return np.array([side[name] for name in names], np.int8)
