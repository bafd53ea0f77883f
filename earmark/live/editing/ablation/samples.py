"""One of a unit's strongest samples without the unit: the words or tokens around its peak, in the plain run, without the unit, and in the control."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....cards import Example
from ....dictionaries.base import Dictionary, SparseAutoencoder
from ....edits import Edit
from ....errors import BadInput
from ....inputs.audio import decode
from ....models.base import AudioModel, TextModel
from ....models.capture import Change
from ....models.hearing import word_spans
from ....runtime import Opened, Runtime
from ....shelf.folders import Corpus
from ....shelf.store import Store
from ....tensors import as_floats
from ....units import FrameGrid, UnitId
from ..apply import replacing_edits
from ..passing import TextEdits

N_NEXT_TOKENS = 3
"""measured behind a peak: what a late layer does to the stream is said by the next token, and hardly by those after it"""
NEAR_S = (-0.1, 0.5)
"""a word that is said between these times, counted from the peak, is measured"""


@dataclass(frozen=True, eq=False)
class Ran:
    """What one sample gave."""

    words: tuple[str, ...]
    """what the corpus has around the peak: words, or tokens"""
    changes: NDArray[np.float64]
    """[n_words]: log-probability without the unit, less that of the plain run; nats"""
    controls: NDArray[np.float64]
    """the same for the control"""
    kl: tuple[float, float] | None = None
    """KL(plain || without the unit) and (plain || control) of the token after the peak; None for sounds"""
    expected: tuple[Tensor, Tensor] | None = None
    """probabilities [vocabulary] of that token in the plain run, and without the unit"""

    @property
    def means(self) -> tuple[float, float]:
        return float(self.changes.mean()), float(self.controls.mean())


def run_text(runtime: Runtime, store: Store, opened: Opened, unit: UnitId, other: int, example: Example) -> Ran | None:
    """None where the peak stands on the last token. The sample is read as far as it is measured."""
    corpus, at = _corpus(store, unit), example.at
    ids = corpus.table.row(corpus.row(example.sample), ["tokens"])["tokens"][: at + N_NEXT_TOKENS + 1]
    if len(ids) < at + 2:
        return None

    def work(model: TextModel) -> tuple[Tensor, tuple[str, ...]]:
        sample = model.window(ids)
        here = TextEdits(model, [opened], [Edit(unit, 0.0)], sample)
        plain = model.logits(sample, here.noting())
        (change,) = here.on_text().values()
        ways = [{opened.hook: change}, {opened.hook: instead(change, opened.dictionary, unit.index, other)}]
        logits = torch.stack([plain, *model.logits_in(sample, ways)])
        return logits[:, at:-1].double().log_softmax(dim=2), model.tokens_of(ids[at + 1 :])

    logs, tokens = runtime.run(opened.entry.model, work)
    of_true = logs[:, torch.arange(len(tokens)), ids[at + 1 :]].numpy()
    p = logs[:2, 0].exp()
    kls = as_floats((p[0] * (logs[0, 0] - logs[1:, 0])).sum(dim=1).clamp_min(0))
    return Ran(tokens, of_true[1] - of_true[0], of_true[2] - of_true[0], (kls[0], kls[1]), (p[0], p[1]))


def run_sound(runtime: Runtime, store: Store, opened: Opened, unit: UnitId, other: int, example: Example) -> Ran | None:
    """None where no word is said around the peak or it is not known when, where the model does not write the transcript's words as they stand there,
    and for a sound that is too long to be judged."""
    corpus = _corpus(store, unit)
    times = corpus.words(example.sample)
    near = {i for i, span in enumerate(times) if span.end_s > example.at_s + NEAR_S[0] and span.start_s < example.at_s + NEAR_S[1]}
    if not near:
        return None
    sound = decode(corpus.audio(example.sample)[0]).waveform

    def work(model: AudioModel) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        (change,) = replacing_edits([opened], [Edit(unit, 0.0)], FrameGrid(*model.grid, 0)).values()
        ways = [{}, {opened.hook: change}, {opened.hook: instead(change, opened.dictionary, unit.index, other)}]
        judged = model.judge(sound, example.transcript, ways)
        spans = word_spans(judged.text)
        chosen = [n for n, span in enumerate(judged.words) if spans.index(span) in near] if len(spans) == len(times) else []
        return tuple(judged.text[slice(*judged.words[n])] for n in chosen), judged.log_p[:, chosen]

    try:
        words, log_p = runtime.run(opened.entry.model, work)
    except BadInput:
        return None
    return Ran(words, log_p[1] - log_p[0], log_p[2] - log_p[0]) if words else None


def _corpus(store: Store, unit: UnitId) -> Corpus:
    return store.corpus(store.dictionary(unit.dictionary).corpus)


def instead(change: Change, dictionary: Dictionary, own: int, other: int) -> Change:
    """What takes the same length, with the same sign, out along the direction of another unit; `change` acts along the unit's own."""
    here, there = (_direction(dictionary, unit) for unit in (own, other))
    return lambda x: x + ((change(x) - x).float() @ here)[:, None] * there


def _direction(dictionary: Dictionary, unit: int) -> Tensor:
    """[width], of length 1, at the hook itself: the row of an SAE's decoder, or the value's own place."""
    if isinstance(dictionary, SparseAutoencoder):
        return dictionary.W_dec[unit] / dictionary.norms[unit].clamp_min(1e-12)
    return torch.eye(dictionary.width)[unit]
