"""What the figures of the page mean: each is told in one place, wherever it is shown. No gradio."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from earmark.cards import UnitCard

from .prose import MIXED, WORDS, Words, percent, short

TERMS: dict[str, tuple[str, str]] = {
    "density": ("Density", "The share of all {positions} of the corpus in which the value is above 0{sinks}."),
    "positive_in": ("Positive in", "The share of all {positions} of the corpus in which the value is above 0{sinks}."),
    "peak": ("Peak", "The largest value anywhere in the corpus.{feature}"),
    "peak_and_low": ("Peak", "The largest value anywhere in the corpus; below it the smallest."),
    "low": ("Lowest", "The smallest value anywhere in the corpus."),
    "mean": ("Mean, median, 90 %", "Of the values that are not 0, over all {positions}; 90 % of them lie below the last."),
    "mean_alone": ("Mean", "Of the values that are not 0, over all {positions} of the corpus."),
    "active": ("Active in", "How many {samples} have at least one value that is not 0."),
    "trip": (
        "Round trip",
        "The feature alone, at the mean of its values, is decoded and encoded again: 1 where it comes back strongest, less where another does.",
    ),
    "label": (
        "Label",
        "What its activity predicts best, chosen on one half of the {samples} and judged on the other: the share of its strongest activity where the label is "
        "true, how many times as often that is as elsewhere, and the area under the ROC curve of its peak in a {sample} for whether the {sample} has it.",
    ),
    "named": ("Label", "What the unit's activity predicts best, chosen on one half of the {samples} and shown where it holds on the other."),
    "histogram": ("Histogram", "How many of the values that are not 0 lie in each bin; a bin leads to the {samples} whose peak lies there."),
    "match": (
        "Best-correlated elsewhere",
        "The unit of another dictionary over the same layer whose values rise and fall most like this one's; r is the correlation over all {positions} of the "
        "corpus.",
    ),
    "neighbours": (
        "Nearest directions",
        "The units of this dictionary that write in the most similar direction into the stream; the number is the cosine between the two.",
    ),
    "relative": ("Of its largest", "The unit's peak here over its own largest value in the corpus."),
    "peak_here": ("Peak here", "The unit's largest value in this {sample}, and where it is.{feature}"),
    "correlation": ("Correlation", "Pearson's r of the two units' values, {position} by {position}: 1 where they rise and fall together, 0 where they do not."),
    "shared": ("In common", "How many of the {samples} on which the one is strongest are among those on which the other is."),
    "positive": ("Values above 0", "The share of all values of a dictionary, over all its units and {positions}, that are above 0."),
    "middle": ("Median density", "Half of the dictionary's units have a higher density (share of {positions} above 0), half a lower one."),
    "precision": ("Precision", "The share of a unit's active {positions} at which its label is true, on the {samples} that did not choose it."),
    "auroc": ("AUROC", "The chance that the unit is higher at a place with the words than at one without: 1 always, 0.5 no better than a coin."),
    "ratio": ("Ratio", "The unit's mean value above 0 on the words over that elsewhere; in the corpus, of the peaks that stand there."),
    "on": ("On", "At how many of the places with the words the unit is above 0."),
    "ce": ("CE", "Cross-entropy: the mean of −log p of the token that does come next, in nats. Less is better."),
    "kl": (
        "KL",
        "How far what is expected next with the edits, q, is from what is expected plainly, p: Σ p log(p / q) over all tokens, in nats.",
    ),
    "wer": ("WER", "Words substituted, left out or put in, over the words of the plain transcript. Capitals and marks do not count, nor are they marked."),
    "p_word": ("Probability of a word", "The product over its tokens (of a CTC model, its letters), each given what comes before it in the plain transcript."),
    "active_here": ("Latents", "How many there are, and how many of them are above 0 at a {position}, on average."),
    "dead_here": ("Dead", "The share of the latents that are 0 at every {position} here."),
    "fvu_here": ("FVU, here", "E|x − x̂|² / E|x − E x|²: the share of the variance that is not reconstructed, of what it was trained on and of nothing else."),
    "losses": (
        "Losses",
        "Reconstruction: the mean of |x − x̂|², x scaled so that the mean of |x − E x|² is its width; of TopK the one over the other. L1: its weight times the "
        "sum of a {position}'s values. Covariance: its weight times the squared covariances of all pairs of latents, over their number. Total: their sum.",
    ),
    "density_here": ("Density", "The share of the {positions} here at which the latent is above 0{sinks}."),
    "mean_here": ("Mean, mean above 0", "Of the latent's values over all {positions} here; and over those alone at which it is above 0."),
    "weights": ("What they read", "The row of the encoder that belongs to a latent, one square a dimension of the activations, in order."),
}
"""name -> (title, what it is); in braces what depends on the units that are shown"""


@dataclass(frozen=True)
class Shown:
    """The units whose figures a page shows."""

    words: Words = MIXED
    kind: str = ""
    """of all of them, where they are of one"""

    @property
    def fills(self) -> dict[str, str]:
        """What stands in the braces."""
        w = self.words
        feature = " A feature's value is its activation times the length of its direction: how far it moves the stream." if self.kind == "sae" else ""
        sinks = "; attention sinks are left out" if w is not WORDS["audio"] else ""
        return {"sample": w.sample, "samples": w.samples, "position": w.position, "positions": w.positions, "feature": feature, "sinks": sinks}


@dataclass(frozen=True)
class Term:
    """A figure, and what it is."""

    title: str
    text: str
    all_href: str = ""
    """where the same is told of all units"""


def terms(names: Iterable[str], words: Words = MIXED, kind: str = "") -> tuple[Term, ...]:
    """Of each of the figures that are named. Raises KeyError for one that is told nowhere."""
    fills = Shown(words, kind).fills
    return tuple(Term(title, text.format(**fills)) for title, text in (TERMS[name] for name in names))


def card_terms(card: UnitCard, words: Words, kind: str, signed: bool, all_trips: str) -> tuple[Term, ...]:
    """Of a unit's card, which has some of its figures for some units alone; two of them with this one's own numbers. all_trips: an address."""
    names = ["positive_in" if signed else "density", "peak_and_low" if signed else "peak", "mean", "active"]
    some = {"trip": card.trip, "label": card.label, "histogram": True, "match": card.match, "neighbours": card.neighbours}
    names += [name for name, there in some.items() if there]
    found = dict(zip(names, terms(names, words, kind), strict=True))
    if card.trip:
        own, largest, mean, square = (short(value) for value in (card.trip.own, card.trip.largest, card.trip.mean, card.trip.square))
        numbers = f"Of this one {own} comes back, and the largest of all is {largest}; the mean over all is {mean}, the mean square {square}."
        found["trip"] = replace(found["trip"], text=f"{found['trip'].text} {numbers}", all_href=all_trips)
    if card.label:
        area = "" if card.label.auroc is None else f", and the area under the curve is {card.label.auroc:.2f}"
        numbers = f"Here: {percent(card.label.precision)} of its strongest activity, {short(card.label.lift)} times as often as elsewhere{area}."
        found["label"] = replace(found["label"], text=f"{found['label'].text} {numbers}")
    return tuple(found.values())
