"""Words of the page: numbers as people read them, titles, notes. No gradio."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from earmark.cards import UnitLabel
from earmark.edits import Edit
from earmark.experiments import KINDS
from earmark.units import KIND_NOUNS, SINK_NORM, UnitId

TAGLINE = "Hear and read what the features inside a model respond to."
KIND_TITLES = {"sae": "SAE features", "neurons": "FFN neurons", "residual": "Residual axes"}
KIND_HELP = {
    "sae": "directions that a sparse autoencoder found; only a few are active at a time",
    "neurons": "single values between the two halves of the feed-forward block, after its activation function",
    "residual": "the stream's own coordinates, a baseline that nobody chose for its meaning",
}
SITE_WORDS = {
    "residual": "output of the layer",
    "neurons": "input of the feed-forward block's second half",
    "preactivation": "output of the feed-forward block's first half",
}

GROUP_TITLES = {
    "top": "Strongest",
    "q90": "90th percentile",
    "q75": "75th percentile",
    "q50": "Median",
    "q25": "25th percentile",
    "q00": "Weakest",
    "bottom": "Most negative",
}


@dataclass(frozen=True)
class Words:
    """How samples and positions of one modality are spoken of."""

    sample: str
    samples: str
    position: str
    positions: str
    perceive: str
    """what a person does with a sample"""
    kind: str
    """what labels of the kind class name"""


WORDS = {
    "audio": Words("clip", "clips", "frame", "frames", "hear", "a class of sounds"),
    "text": Words("context", "contexts", "token", "tokens", "read", "a kind of token"),
}
MIXED = Words("sample", "samples", "position", "positions", "look at", "a class")
"""of both, beside each other"""
MODALITIES = {"audio": "Speech and sound", "text": "Text"}
"""what models take, and how a list of them is headed"""
LOOKS = {"stack": "Stacked", "snippet": "Snippets", "whole": "Whole contexts"}
LOOK_NOTES = {
    "stack": "a few tokens on either side, the peaks in one column",
    "snippet": "a line or two around the peak; click one to see all of it",
    "whole": "every token that the model was given",
}
SINKS_NOTE = (
    f"Attention sinks, tokens whose norm in the residual stream of that layer is more than {SINK_NORM:g} times the median of their context, are left out of "
    "everything, and so is the token that the model is given in front of each context: they count as 0."
)
TOKENS_LEGEND = (
    "Each token is shaded by its value, in one colour above 0 and another below; point at one to read it. "
    f"{SINKS_NOTE} \u21b5 is a line end, \u00b7 a space at a token's edge."
)
CLEAR_KURTOSIS = 1.0
"""lists of tokens whose effect has a smaller excess kurtosis over the vocabulary are no more than the ends of noise"""
HEARD_SORTS = {"relative": "Share of its largest", "peak": "Peak", "mean": "Mean", "rarity": "Rarity", "moment": "At a moment", "region": "In a stretch"}
HEARD_NOTES = {
    "relative": "Sorted by the peak here over the unit's own largest value in the corpus, so that units that are always a little active do not fill the list.",
    "peak": "Sorted by the peak in this clip.",
    "mean": "Sorted by the mean over the whole clip.",
    "rarity": "Sorted by density: units that the corpus hardly ever makes fire come first.",
    "region": "Sorted by what is specific to a stretch: the mean there above the mean of the rest, over the unit's largest value. "
    "Drag over the spectrogram, choose a word below it, or type both ends.",
    "moment": "Sorted by the value in the frame of 20 ms at the moment that you clicked on the spectrogram.",
}
READ_SORTS = {**HEARD_SORTS, "moment": "At a token"}
READ_NOTES = {
    **HEARD_NOTES,
    "peak": "Sorted by the peak in this text.",
    "mean": "Sorted by the mean over the whole text.",
    "region": "Sorted by what is specific to the stretch that you chose: the mean there above the mean of the rest, over the unit's largest value.",
    "moment": "Sorted by the value at the token that you chose.",
}
SINK_RULE = "Attention sinks are left out of every number: tokens whose norm in the residual stream exceeds 4 times the text's median norm."
FRONT_RULE = "The model is given a token in front of every text, which takes the first sink and is not shown."
SPLICE_RULE = (
    "In place of the layer's activations stands what the SAE reconstructs of them, at all tokens but attention sinks, which pass as they are. "
    "The error is |x − x̂|² / |x|². −log p is that of the token that does come next, in nats, CE its mean; recovered is the share of what "
    "zeros in place of x lose."
)
EDIT_RULE = (
    "At each position of the stretch the layer's activation x becomes x + (new value − value) · direction: the unit's value times the factor, plus the "
    "constant, written in the unit's own direction. Whatever the SAE does not explain of x stays as it is, so that × 1 is exactly the plain run. "
    "Neurons and residual axes are changed in their own place. All edits act at once."
)
EDIT_RUNS = {
    "plain": ("Plain", "the model as it is"),
    "spliced": ("Through the SAE alone", "a run of its own, without any edit: what the SAE reconstructs stands in place of the layer"),
    "edited": ("Edited", "what the SAE does not explain is kept"),
}
"""the runs that an edit is shown by: (title, note)"""
WORD_SORTS = {"auroc": "AUROC", "ratio": "Ratio"}
WORD_NOTES = {
    "auroc": "The chance that the unit is higher at a place with the words than at one without.",
    "ratio": "The unit's mean value above 0 on the words over that elsewhere.",
}
LAB_SITES = {"preactivation": "pre-activations", "neurons": "FFN neurons", "residual": "residual stream"}
LAB_KINDS = {"ksparse": "k-sparse, tied weights", "l1": "ReLU with L1", "topk": "TopK"}
LAB_HAS = json.dumps(KINDS)
"""for the form: which settings each kind has"""
LAB_ORDERS = {"activity": "Activity", "density": "Density", "number": "Number"}
TEXTS = {
    "Hungary": (
        "Hungary is a landlocked country in Central Europe. It borders Slovakia to the north, Ukraine to the northeast, Romania to the east, Serbia to the "
        "south, and Austria to the west. Budapest, the capital, lies on the Danube; in 1873 three towns, Buda, Pest and Óbuda, became one."
    ),
    "Lincoln": (
        "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, and dedicated to the proposition "
        "that all men are created equal."
    ),
    "A letter": "Dear Mrs. Hale,\n\nThe money arrived on Tuesday; I counted it twice. I shall not ask who sent it.\n\nYours truly,\nE. M. Wood",
    "Some code": "def mean(values):\n    total = 0\n    for value in values:\n        total += value\n    return total / len(values)",
    "Déjà vu": 'Il était une fois, dans un café de 東京, une naïve 🎧 … "Déjà vu?" – und dann: Größe, Straße, שלום.',
}
"""texts to try at once, each short enough for an address"""
NEED_TABLES = {"relative", "rarity"}
"""orders by what the tables say of a unit"""
SORTS = {"words": "Shared words", "label": "Label", "peak": "Peak", "density": "Density", "unit": "Number", "match": "Match"}
# units whose strongest samples say one of these don't lead the list that a visitor sees first; every other order has them in place
NOT_IN_FRONT = {
    *("bachelor", "balls", "blonde", "blondes", "breast", "breasts", "butt", "cannibal", "cannibals", "damn", "damned", "drunk", "fat", "hell"),
    *("kill", "killed", "killer", "killing", "mating", "naked", "native", "natives", "nazi", "nazis", "pygmies", "pygmy", "sex", "sexy", "stupid"),
    *("negro", "negroes", "nigger", "niggers", "rape", "savage", "savages", "slave", "slaves", "suicide", "whore", "whores"),
    *("ugly", "underwear", "virgin", "virgins"),
}
DENSITY_STEPS = (0.00001, 0.0001, 0.001, 0.01, 0.1, 0.5)


def short(value: float | None) -> str:
    """Three significant digits, a true minus sign; a dash for what does not apply."""
    if value is None or not math.isfinite(value):
        return "–"
    if value != 0 and (abs(value) >= 1e5 or abs(value) < 1e-3):
        text = f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    else:
        text = f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace("-", "−")


def percent(share: float | None) -> str:
    """A share of 0..1 in percent, as many digits as it needs."""
    if share is None or not math.isfinite(share):
        return "–"
    value = 100 * share
    if value < 0:
        return "−" + percent(-share)
    if value == 0 or value == 100:
        return f"{value:.0f} %"
    if value < 0.001:
        return "< 0.001 %"
    return f"{value:.{max(0, min(3, 1 - math.floor(math.log10(value))))}f} %"


def rate(share: float) -> str:
    """A share in percent with one decimal, for shares that are near each other."""
    return f"{100 * share:.1f} %".replace("-", "−")


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def count(value: int) -> str:
    return f"{value:,}"


def noun(kind: str, plural: bool = False) -> str:
    word = KIND_NOUNS[kind]
    return word if not plural else {"residual axis": "residual axes"}.get(word, word + "s")


def unit_name(kind: str, index: int) -> str:
    return f"{noun(kind)} {index}".capitalize()


def lowered(words: str) -> str:
    """For the inside of a sentence."""
    return words[:1].lower() + words[1:]


def amount(edit: Edit) -> str:
    """How much of a unit is left: `off`, `× 2.5`, `× 1 + 3`."""
    added = "" if edit.added == 0 else f" {'+' if edit.added > 0 else '−'} {short(abs(edit.added))}"
    return "off" if edit.factor == 0 and not added else f"× {short(edit.factor)}{added}"


def amount_in(edits: Sequence[Edit], dictionary: str, unit: int) -> str:
    """The same of a unit among some edits; empty where it is not edited."""
    return next((amount(edit) for edit in edits if edit.unit == UnitId(dictionary, unit)), "")


def label_holds(label: UnitLabel, words: Words = WORDS["audio"]) -> str:
    """How well a label holds, in one plain sentence; a class, which could be read as a word, is called one."""
    what = f"{words.kind}, " if label.kind == "class" and "silence" not in label.text else ""
    return f"{what}true of {percent(label.precision)} of the {words.positions} where it is strongest"


def quantile_note(words: Words) -> str:
    return (
        f"True quantiles of a deterministic sample of 200 of this unit's non-zero peaks (one peak a {words.sample}): the {words.samples} whose ids hash "
        "lowest. Not bins of equal width."
    )


def group_note(group: str, words: Words) -> str:
    extremes = {"top": "largest", "bottom": "smallest"}
    return f"The {words.samples} with the {extremes[group]} values, one entry a {words.sample}." if group in extremes else quantile_note(words)


def effects_note(kurtosis: float | None) -> str:
    """What a unit's lists of tokens are worth."""
    if kurtosis is None or not math.isfinite(kurtosis):
        return "How far its effect is from noise is not known."
    if kurtosis < CLEAR_KURTOSIS:
        return (
            f"Excess kurtosis over the vocabulary {short(kurtosis)}, below {CLEAR_KURTOSIS:g}: its effect is spread over all tokens as noise would be, "
            "and these are only its ends. They say little."
        )
    return f"Excess kurtosis over the vocabulary {short(kurtosis)}: its effect stands out on a few tokens; noise has 0."


def exactness(floor: float | None, low: float | None, n_shown: int, n: int, words: Words = WORDS["audio"]) -> str:
    """What a filtered list leaves out: it is exact at or above the floor."""
    limit = f"The {n} strongest are shown. " if n_shown >= n else ""
    if floor is None:
        return limit + f"Exact: every {words.sample}'s peak is stored."
    if low is not None and low >= floor:
        return limit + f"Exact: every {words.sample}'s peak of {short(floor)} and more is stored."
    return limit + f"Exact for values of {short(floor)} and more; below that only some {words.samples}' peaks are stored, and some are missing here."
