"""The figures of a dictionary's health: each one's name in JSON, its title, and what it is, in one line. The page, the commands and the manifest use these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Figure:
    """One figure."""

    name: str
    """in JSON and in the manifest"""
    title: str
    help: str
    """what it is, in one line"""
    shown: Literal["number", "share", "rate", "count"] = "number"
    computed: bool = True
    """`health --recompute --save` puts it into the manifest; the others come with the tables"""


RECONSTRUCTION = (
    Figure("l0", "L0", "Units that are not 0 at a position, mean over the held-out positions."),
    Figure("fvu", "FVU", "Share of the variance that the reconstruction misses: E|x − x̂|² / (E|x|² − |E x|²), over the held-out positions."),
    Figure("dead", "Silent in the corpus", "Units that are 0 at every position of the whole corpus.", "share", computed=False),
    Figure("dead_held_out", "Silent on held-out samples", "Units that are 0 at every held-out position.", "share", computed=False),
    Figure("density", "Mean density", "Share of held-out positions where a unit is above 0, mean over all units.", "share"),
    Figure("n_positions", "Held-out positions", "Positions that count, of the samples that training never saw.", "count", computed=False),
    Figure("n_sinks", "Sinks left out", "Held-out positions whose residual stream has a norm above 4 times the sample's median.", "count"),
)
BEHAVIOUR = (
    Figure("ce_clean", "CE, as it is", "Cross-entropy of the model as it is, in nats a token."),
    Figure("ce_spliced", "CE, SAE spliced in", "The same with the reconstruction in place of the activations."),
    Figure("ce_zero", "CE, ablated to zero", "The same with 0 in place of the activations."),
    Figure("ce_mean", "CE, ablated to the mean", "The same with the mean of the held-out activations in their place."),
    Figure("ce_recovered", "CE recovered", "(CE ablated to zero − CE spliced) / (CE ablated to zero − CE as it is).", "rate"),
    Figure("ce_recovered_mean", "CE recovered, against the mean", "The same against ablation to the mean, which is the harder test.", "rate"),
    Figure("ce_spliced_all", "CE spliced, sinks too", "Cross-entropy with every position replaced, sinks and the token in front of the text too."),
    Figure("ce_zero_all", "CE zero, sinks too", "Cross-entropy with 0 at every position."),
    Figure("ce_mean_all", "CE mean, sinks too", "Cross-entropy with the mean at every position."),
    Figure("ce_recovered_all", "CE recovered, sinks too", "CE recovered against zero where every position is replaced.", "rate"),
    Figure("ce_recovered_mean_all", "CE recovered against the mean, sinks too", "CE recovered against the mean where every position is replaced.", "rate"),
    Figure(
        "wer",
        "WER, as it is",
        "Wrong words of greedy transcripts over the corpus's words, without case and punctuation; each clip's errors are counted up to its number of words.",
        "rate",
    ),
    Figure("wer_spliced", "WER, SAE spliced in", "The same with the reconstruction in place of the activations.", "rate"),
    Figure("n_ce_samples", "Samples", "Held-out samples that the model was run over in every way.", "count"),
    Figure("n_ce_tokens", "Tokens", "Tokens predicted in them.", "count"),
    Figure("n_wer_words", "Words", "Words of the corpus's transcripts that the model's were compared with.", "count"),
)
QUALITY = (*(f.name for f in (*RECONSTRUCTION, *BEHAVIOUR) if f.computed), "ce_of", "transcripts")
"""what the manifest's `quality` may hold, besides dead and n_positions; ce_of says what is predicted, transcripts by whom they are"""


def spread(values: NDArray[np.floating]) -> dict[str, float] | None:
    """{median, q90, largest} of values [n]; None of none."""
    if not len(values):
        return None
    middle, high, top = (float(v) for v in np.quantile(values, (0.5, 0.9, 1.0)))
    return {"median": middle, "q90": high, "largest": top}


def round_trip(trips: Mapping[str, np.ndarray] | None) -> dict[str, Any] | None:
    """{n_units, first, nothing, ratio}: of the units those whose own value is the largest that comes back, and those of which nothing does;
    the median of own over largest. None where the trips are not known."""
    if trips is None:
        return None
    own, largest = trips["own"].astype(np.float64), trips["largest"].astype(np.float64)
    ratio = np.divide(own, largest, out=np.zeros_like(own), where=largest > 0)
    first = (trips["largest_unit"] == trips["unit"]) & (own > 0)
    return {"n_units": len(own), "first": float(first.mean()), "nothing": float((own <= 0).mean()), "ratio": float(np.median(ratio))}
