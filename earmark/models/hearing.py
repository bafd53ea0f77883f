"""A sound heard in several ways, the first of them plainly; and how probable the words of one transcript are in each.

A word of an autoregressive transcript has the product of its tokens' probabilities, each given those before it. A word spelled by CTC has the product of
its letters': the transcript is aligned with the plain run's posteriors (the likeliest of all paths that spell it, by Viterbi), and a letter has its
largest posterior between the letters before and behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..speech import Speech
from .capture import Replace

Ways = Callable[[int], Sequence[Replace]]
"""number of the first position of a window -> what is changed in it in each way; the first way changes nothing"""
SAME = 1e-5
"""a way that moves what the head reads by no more says what the plain one says"""
_WORD = re.compile(r"\S+")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_NEVER = -np.inf


@dataclass(frozen=True, eq=False)
class Judged:
    """How probable the words of a transcript are in several ways of hearing a sound."""

    text: str
    words: tuple[tuple[int, int], ...]
    """(first, past the last) character of each word in the text; words that a model cannot spell are left out"""
    log_p: NDArray[np.float64]
    """[n_ways, n_words], nats"""


@dataclass(frozen=True, eq=False)
class Hearing:
    """What a model hears in a sound in several ways, the first of them plainly."""

    texts: tuple[str, ...]
    judged: Judged
    """of the plain transcript"""
    moved: NDArray[np.float64]
    """[n_ways]: |y - y_plain| / |y_plain| of what the head reads, Whisper's decoder or the letters' layer, over the whole sound; the largest of its windows"""
    ended: tuple[bool, ...]
    """whether each came to its end, and was not stopped where it had become too long"""
    letters: tuple[Speech | None, ...] = ()
    """a CTC model's own in each way"""


def word_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Words are what stands between spaces, with their punctuation."""
    return tuple(found.span() for found in _WORD.finditer(text))


def token_places(decode: Callable[[list[int]], str], ids: Sequence[int]) -> list[int]:
    """The character of the stripped text that each token writes last; a token that writes none, the next (bytes of a character that others complete)."""
    ends = [len(decode(list(ids[: n + 1])).rstrip(_REPLACEMENT)) for n in range(len(ids))]
    whole = decode(list(ids))
    lead = len(whole) - len(whole.lstrip())
    return [(end - 1 if end > before else end) - lead for before, end in zip([0, *ends[:-1]], ends, strict=True)]


def summed(words: Sequence[tuple[int, int]], places: Sequence[int], log_p: NDArray[np.floating]) -> NDArray[np.float64]:
    """[n_ways, n_tokens] -> [n_ways, n_words]: the sum over the tokens that stand in each word."""
    owner = np.array([next((w for w, (start, end) in enumerate(words) if start <= place < end), -1) for place in places], int)
    found = np.zeros((len(log_p), len(words)))
    for word in range(len(words)):
        found[:, word] = log_p[:, owner == word].astype(float).sum(axis=1)
    return found


def joined(parts: Sequence[Hearing]) -> Hearing:
    """Windows of one sound, one after the other; texts with a space between them."""
    n_ways = len(parts[0].texts)
    texts = tuple(" ".join(filter(None, (part.texts[way] for part in parts))) for way in range(n_ways))
    words: list[tuple[int, int]] = []
    at = 0
    for part in parts:
        words += [(start + at, end + at) for start, end in part.judged.words]
        at += len(part.texts[0]) + 1 if part.texts[0] else 0
    judged = Judged(texts[0], tuple(words), np.concatenate([part.judged.log_p for part in parts], axis=1))
    ended = tuple(all(part.ended[way] for part in parts) for way in range(n_ways))
    return Hearing(texts, judged, np.max([part.moved for part in parts], axis=0), ended)


def distances(heads: NDArray[np.floating]) -> NDArray[np.float64]:
    """[n_ways, ...] -> |y - y_0| / |y_0| of each."""
    flat = heads.reshape(len(heads), -1)
    return np.linalg.norm(flat - flat[0], axis=1).astype(float) / max(float(np.linalg.norm(flat[0])), 1e-12)


# -- letters -----------------------------------------------------------------------------------------------------------------


def letter_log_p(log_p: NDArray[np.floating], letters: Sequence[int], blank: int) -> NDArray[np.float64]:
    """[n_ways, n_frames, n_letters of the model] -> [n_ways, len(letters)], as the module says. Raises BadInput for too many letters."""
    if not letters:
        return np.zeros((len(log_p), 0))
    runs = ctc_runs(log_p[0], letters, blank)
    starts = [0, *(end + 1 for _, end in runs[:-1])]
    ends = [*(start for start, _ in runs[1:]), log_p.shape[1]]
    rows = zip(letters, starts, ends, strict=True)
    return np.stack([log_p[:, start:end, letter].max(axis=1).astype(float) for letter, start, end in rows], axis=1)


def ctc_runs(log_p: NDArray[np.floating], letters: Sequence[int], blank: int) -> list[tuple[int, int]]:
    """(first, last) frame of each letter on the likeliest path that spells `letters` (Graves et al. 2006, with max for sum); at least one of them.

    log_p [n_frames, n_letters of the model]. Raises BadInput for more letters than the frames have room for.
    """
    spelled = np.full(2 * len(letters) + 1, blank)
    spelled[1::2] = letters
    skips = np.zeros(len(spelled), bool)  # over the blank between two letters, unless they are the same
    skips[3::2] = spelled[3::2] != spelled[1:-2:2]
    best = np.full(len(spelled), _NEVER)
    best[:2] = log_p[0, spelled[:2]]
    back = np.zeros((len(log_p), len(spelled)), np.int8)
    for t in range(1, len(log_p)):
        ways = np.full((3, len(spelled)), _NEVER)
        ways[0], ways[1, 1:] = best, best[:-1]
        ways[2, 2:] = np.where(skips[2:], best[:-2], _NEVER)
        back[t] = ways.argmax(axis=0)
        best = ways.max(axis=0) + log_p[t, spelled]
    at = len(spelled) - 1 if best[-1] > best[-2] else len(spelled) - 2
    if not np.isfinite(best[at]):
        raise BadInput(f"The transcript has {len(letters)} letters, too many for {len(log_p)} frames of sound. Bring the sound's own transcript.")
    runs: dict[int, tuple[int, int]] = {}
    for t in range(len(log_p) - 1, -1, -1):
        if at % 2:
            runs[at // 2] = (t, runs.get(at // 2, (t, t))[1])
        at -= int(back[t, at])
    return [runs[n] for n in range(len(letters))]
