"""What a model still does when something else stands in place of its activations: cross-entropies, the share recovered, errors of words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def recovered(ablated: float, spliced: float, clean: float) -> float | None:
    """(CE_ablated - CE_spliced) / (CE_ablated - CE_clean); None where ablation costs nothing, so that there is nothing to recover."""
    return (ablated - spliced) / (ablated - clean) if ablated > clean else None


@dataclass(frozen=True)
class WordErrors:
    """Errors of transcripts, summed over samples."""

    n_errors: int = 0
    """substitutions, insertions and deletions of the shortest way from the transcripts to the references"""
    n_words: int = 0
    """words of the references"""

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(self.n_errors + other.n_errors, self.n_words + other.n_words)

    @property
    def bounded(self) -> WordErrors:
        """Counted up to the number of words. A model that repeats itself in one sample makes a hundred errors over four words; bounded, no sample
        weighs more than one in which every word is wrong, and a WER over many samples says how often words are wrong."""
        return replace(self, n_errors=min(self.n_errors, self.n_words))

    @property
    def rate(self) -> float | None:
        """WER; None without words."""
        return self.n_errors / self.n_words if self.n_words else None


def word_errors(reference: str, heard: str) -> WordErrors:
    """Of one transcript; case and punctuation do not count."""
    words = words_of(reference)
    return WordErrors(edits(words, words_of(heard)), len(words))


def words_of(text: str) -> list[str]:
    return _WORD.findall(text.casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def edits(a: Sequence[str], b: Sequence[str]) -> int:
    """Levenshtein distance: the fewest substitutions, insertions and deletions that make b of a."""
    row = np.arange(len(b) + 1)
    steps = np.arange(len(b) + 1)
    for i, word in enumerate(a, 1):
        unlike = np.fromiter((word != other for other in b), np.int64, len(b))
        fresh = np.concatenate([[i], np.minimum(row[1:] + 1, row[:-1] + unlike)])
        row = np.minimum.accumulate(fresh - steps) + steps  # insertions, all at once
    return int(row[-1])
