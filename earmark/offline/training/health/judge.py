"""What a model still does with something else in place of its activations: one sample in every way, and the sums over samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....dictionaries.base import SparseAutoencoder
from ....measure.recovered import WordErrors, recovered, word_errors
from ....models.capture import Change, sparing
from ....runtime import Opened
from ....units import TokenSample, Waveform
from ...passes import Place, take

ALL = "_all"
"""ends the names of the ways in which sinks, and what stands in front of a text, are replaced too"""
OF_TEXT, OF_SOUND = "the next token of a text", "the corpus's transcript, token by token (Whisper's decoder) or letter by letter (CTC)"


@dataclass(frozen=True)
class Judge:
    """A model, and what is put in place of the activations at a dictionary's hook."""

    model: Any
    opened: Opened
    sae: SparseAutoencoder
    mean: Tensor
    """[width]: mean held-out activation"""

    def ways(self, left_out: NDArray[np.bool_] | None) -> dict[str, Change]:
        """What passes the hook instead, by name; positions of `left_out` pass as they are, but for the names that end in _all."""
        plain: dict[str, Change] = {"spliced": self.sae.reconstruct, "zero": torch.zeros_like, "mean": self.mean.expand_as}
        if left_out is None:
            return plain
        return {name: sparing(left_out, change) for name, change in plain.items()} | {name + ALL: change for name, change in plain.items()}

    def left_out(self, sample: Waveform | TokenSample) -> NDArray[np.bool_] | None:
        """[n_tokens]: what stands in front of a text, and its sinks; None for a sound."""
        if isinstance(sample, Waveform):
            return None
        place = place_of(self.opened)
        sinks = take(self.model, sample, [place])[place].sinks
        assert sinks is not None, "texts have sinks"
        return np.concatenate([np.ones(sample.n_before, bool), sinks])

    def row(self, sample: Waveform | TokenSample, transcript: str) -> dict[str, Any]:
        """{n_tokens, clean, spliced, zero, mean: sums of cross-entropies in nats; of sounds n_words, and of them wrong ones plain and spliced}."""
        said = (transcript,) if isinstance(sample, Waveform) else ()
        ways = {name: {self.opened.hook: change} for name, change in self.ways(self.left_out(sample)).items()}
        losses = {name: self.model.cross_entropy(sample, *said, replace=way) for name, way in {"clean": None, **ways}.items()}
        row: dict[str, Any] = {name: float(values.sum(dtype=np.float64)) for name, values in losses.items()} | {"n_tokens": len(losses["clean"])}
        if said:
            plain, spliced = (word_errors(transcript, self.model.read(sample, replace=way)).bounded for way in (None, ways["spliced"]))
            row |= {"n_errors": plain.n_errors, "n_errors_spliced": spliced.n_errors, "n_words": plain.n_words}
        return row


def place_of(opened: Opened) -> Place:
    """Where a dictionary reads."""
    return Place(opened.entry.site, opened.entry.layer, opened.hook)


def summed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rows of all samples as the figures of `earmark.health.BEHAVIOUR`: means over tokens, shares recovered, word error rates."""
    sums = {name: sum(row.get(name, 0) for row in rows) for name in dict.fromkeys(name for row in rows for name in row)}
    n_tokens = sums["n_tokens"]
    ce = {name: sums[name] / n_tokens for name in sums if name.removesuffix(ALL) in ("clean", "spliced", "zero", "mean")}
    found: dict[str, Any] = {f"ce_{name}": value for name, value in ce.items()}
    for end in ("", ALL):
        if "zero" + end in ce:
            found["ce_recovered" + end] = recovered(ce["zero" + end], ce["spliced" + end], ce["clean"])
            found["ce_recovered_mean" + end] = recovered(ce["mean" + end], ce["spliced" + end], ce["clean"])
    found |= {"n_ce_samples": len(rows), "n_ce_tokens": n_tokens, "ce_of": OF_SOUND if "n_words" in sums else OF_TEXT}
    if "n_words" in sums:
        plain, spliced = (WordErrors(sums[name], sums["n_words"]) for name in ("n_errors", "n_errors_spliced"))
        found |= {"wer": plain.rate, "wer_spliced": spliced.rate, "n_wer_words": sums["n_words"]}
    return found
