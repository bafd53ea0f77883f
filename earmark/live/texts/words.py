"""The units that tell the tokens of given words apart from all others: in a text that has been read, or in the corpus, from its tables.

Two scores: the ratio of the mean of a unit's values above 0 on the words to that mean elsewhere (after a course notebook on a k-sparse
autoencoder that finds Hungarian geography), and the area under the ROC curve. In a text they are taken over all tokens but sinks. Of the corpus the
tables hold each sample's peak and its place, not every value: there the ratio is of peaks that stand on the words to the other
peaks, and the area is of a sample's peak for whether the sample has any of the words. Where only a unit's largest peaks are stored, samples below
count as equal. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ...measure.areas import areas, areas_of_peaks
from ...shelf.folders import Corpus, Dictionary
from ...shelf.store import Store
from ...units import TokenGrid
from .passage import Passage

MAX_WORDS, MAX_LETTERS = 60, 60
WORD_ORDERS = ("auroc", "ratio")
MIN_SHARE = 0.2
"""units that are above 0 on a smaller share of the words' tokens in a text are left out: one lucky token would lead the list"""
MIN_WINDOWS = 5
"""in the corpus, those that peak on the words in fewer samples, where as many have one"""
_NO_SPACES = 0x2E80
"""from here on scripts part no words by spaces: a word is looked for anywhere"""


@dataclass(frozen=True)
class Separation:
    """How well a unit tells the words apart."""

    unit: int
    ratio: float | None
    """mean value above 0 on the words over that elsewhere; None where it is above 0 on the words alone"""
    auroc: float | None
    n_on: int
    """tokens of the words on which it is above 0; in the corpus, samples in which it peaks on one"""
    mean_on: float
    mean_elsewhere: float | None


@dataclass(frozen=True)
class WordScores:
    """What the units say of a list of words."""

    words: tuple[str, ...]
    missing: tuple[str, ...]
    """of these, the ones that are nowhere there"""
    where: str
    """text or corpus"""
    n_on: int
    """tokens of the words; in the corpus, samples that have one"""
    n_elsewhere: int
    units: tuple[Separation, ...]
    cut: bool = False
    """the tables hold only the largest peaks of some units"""

    @property
    def what(self) -> str:
        """What was compared, as a sentence."""
        if self.where == "text":
            tokens = f"{self.n_on:,} tokens of the text print these words, {self.n_elsewhere:,} do not; sinks are left out"
            return f"{tokens}, and units that are above 0 at less than a fifth of the words' tokens."
        return (
            f"{self.n_on:,} of the corpus's {self.n_on + self.n_elsewhere:,} windows have one of these words. Compared are a unit's peaks, one a window: those "
            "that stand on the words with those that do not, and the peaks of windows with the words with those of windows without; units that peak on "
            f"the words in fewer than {MIN_WINDOWS} windows are left out."
        ) + (" Of most units only the largest peaks are stored; windows below them count as equal." if self.cut else "")


def parse_words(text: str) -> tuple[str, ...]:
    """Words between commas, semicolons or line ends, each once. Raises BadInput for none, too many, or one that is too long."""
    found: dict[str, str] = {}
    for part in re.split(r"[,;\n]", text):
        word = " ".join(part.split()).strip("\"'“”‘’")
        found.setdefault(word.casefold(), word)
    words = tuple(word for word in found.values() if word)
    if not words:
        raise BadInput("There are no words to look for. Give some, with commas between them: Hungary, Austria, Greece.")
    if len(words) > MAX_WORDS:
        raise BadInput(f"These are {len(words)} words; at most {MAX_WORDS} are taken.")
    if any(len(word) > MAX_LETTERS for word in words):
        raise BadInput(f"'{max(words, key=len)[:40]} ...' is longer than {MAX_LETTERS} letters. Put commas between the words.")
    return words


def word_tokens(tokens: Sequence[str], words: Sequence[str]) -> tuple[NDArray[np.bool_], frozenset[str]]:
    """([n_positions]: the token prints a part of one of the words, the words that are there); whole words, in any case of letters."""
    text = "".join(tokens)
    spans = TokenGrid(tuple(tokens)).spans()
    starts = np.cumsum([0, *(len(shown) for _, _, shown in spans)])
    mask = np.zeros(len(tokens), bool)
    there: set[str] = set()
    for word in words:
        for match in re.finditer(_pattern(word), text, re.IGNORECASE):
            there.add(word)
            for first, end, _ in spans[starts.searchsorted(match.start(), "right") - 1 : starts.searchsorted(match.end(), "left")]:
                mask[first:end] = True
    return mask, frozenset(there)


def _pattern(word: str) -> str:
    before, after = (r"(?<!\w)" if _parted(word[0]) else "", r"(?!\w)" if _parted(word[-1]) else "")
    return before + r"\s+".join(map(re.escape, word.split())) + after


def _parted(letter: str) -> bool:
    return letter.isalnum() and ord(letter) < _NO_SPACES


def words_in_text(passage: Passage, slug: str, words: Sequence[str], order: str = "auroc", n: int = 20) -> WordScores:
    """The n units of a dictionary that part the words' tokens best from the text's others. Raises BadInput where the text has none of them."""
    mask, there = word_tokens(passage.tokens, words)
    counted = ~passage.sinks
    on = mask[counted]
    if not on.any() or on.all():
        raise BadInput(f"The text {'has nothing but' if on.any() else 'has none of'} these words: {', '.join(words)[:120]}.")
    units, values = passage.codes[slug].active()
    values = values[counted]
    above = np.maximum(values, 0)
    n_on, n_off = (np.count_nonzero(above[part], axis=0) for part in (on, ~on))
    means = [above[part].sum(axis=0) / np.maximum(count, 1) for part, count in ((on, n_on), (~on, n_off))]
    by_unit = areas(values, on)
    enough = n_on >= max(1, MIN_SHARE * on.sum())
    scores = _scores(units[enough], n_on[enough], n_off[enough], means[0][enough], means[1][enough], by_unit[enough])
    return WordScores(tuple(words), _missing(words, there), "text", int(on.sum()), int((~on).sum()), _sorted(scores, order, n))


def words_in_corpus(store: Store, slug: str, words: Sequence[str], order: str = "auroc", n: int = 20) -> WordScores:
    """The same over the corpus, from the stored peaks. Raises BadInput where the corpus is no text, or has none of the words."""
    dictionary = store.dictionary(slug)
    corpus = store.corpus(dictionary.corpus)
    if not corpus.is_text:
        raise BadInput(f"The corpus of {slug} is sound; words are looked for in texts. Choose a dictionary of a language model, or search --label.")
    scores, there, n_on, cut = _corpus_scores(dictionary, corpus, tuple(words))
    if not there:
        raise BadInput(f"The corpus has none of these words: {', '.join(words)[:120]}.")
    return WordScores(tuple(words), _missing(words, there), "corpus", n_on, len(corpus.ids) - n_on, _sorted(scores, order, n), cut)


@lru_cache(maxsize=16)
def _corpus_scores(dictionary: Dictionary, corpus: Corpus, words: tuple[str, ...]) -> tuple[tuple[Separation, ...], frozenset[str], int, bool]:
    """(scores of the units, words that are there, samples that have one, whether some peaks are not stored)."""
    lengths = np.array(corpus.durations_s, np.int64)  # of texts in tokens
    starts = np.concatenate([[0], np.cumsum(lengths)])
    on, having = np.zeros(starts[-1], bool), np.zeros(len(lengths), bool)
    there: set[str] = set()
    any_word = re.compile("|".join(map(_pattern, words)), re.IGNORECASE)
    for row in (row for row, text in enumerate(corpus.transcripts) if any_word.search(text)):
        mask, found = word_tokens(corpus.tokens_in(row) or (), words)
        on[starts[row] : starts[row + 1]], having[row] = mask, True
        there |= found
    peaks = dictionary.table("peaks").all(["unit", "tail", "sample", "peak", "at"])
    unit, tail, sample, peak, at = (peaks.column(name).to_numpy() for name in ("unit", "tail", "sample", "peak", "at"))
    kept = (tail == 1) & (peak > 0)
    unit, sample, peak, at = unit[kept], sample[kept], peak[kept].astype(np.float64), at[kept]
    hit, n = on[starts[sample] + at], dictionary.n_units
    n_on, n_off = (np.bincount(unit[part], minlength=n) for part in (hit, ~hit))
    means = [np.bincount(unit[part], peak[part], minlength=n) / np.maximum(count, 1) for part, count in ((hit, n_on), (~hit, n_off))]
    n_having = int(having.sum())
    by_unit = areas_of_peaks(unit, peak, having[sample], n_having, len(lengths), n)
    enough = np.flatnonzero(n_on >= max(1, min(MIN_WINDOWS, n_having)))
    cut = dictionary.table("units").all(["floor"]).column("floor").null_count < n
    return _scores(enough, n_on[enough], n_off[enough], means[0][enough], means[1][enough], by_unit[enough]), frozenset(there), n_having, cut


def _scores(
    units: NDArray[np.int64],
    n_on: NDArray[np.int64],
    n_off: NDArray[np.int64],
    mean_on: NDArray[np.floating],
    mean_off: NDArray[np.floating],
    area_of: NDArray[np.float64],
) -> tuple[Separation, ...]:
    found: list[Separation] = []
    for i, unit in enumerate(units):
        alone = n_off[i] == 0
        area = None if np.isnan(area_of[i]) else float(area_of[i])
        ratio = None if alone else float(mean_on[i] / mean_off[i])
        found.append(Separation(int(unit), ratio, area, int(n_on[i]), float(mean_on[i]), None if alone else float(mean_off[i])))
    return tuple(found)


def _sorted(scores: Sequence[Separation], order: str, n: int) -> tuple[Separation, ...]:
    """By the area or the ratio, both from high to low; what fires on the words alone comes before every ratio."""
    if order not in WORD_ORDERS:
        raise BadInput(f"There is no order '{order[:40]}'; valid: {', '.join(WORD_ORDERS)}.")
    if not 1 <= n <= 500:
        raise BadInput(f"n is {n}; 1 to 500 units can be listed.")

    def key(s: Separation) -> tuple[float, float, float, int]:
        area, ratio = -1.0 if s.auroc is None else s.auroc, float("inf") if s.ratio is None else s.ratio
        return (-area, -ratio, -s.mean_on, s.unit) if order == "auroc" else (-ratio, -s.n_on, -s.mean_on, s.unit)

    return tuple(sorted(scores, key=key)[:n])


def _missing(words: Sequence[str], there: frozenset[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in there)
