"""Words of the page: numbers as people read them, titles, notes. No gradio."""

from __future__ import annotations

import math

from earmark.cards import UnitLabel
from earmark.units import KIND_NOUNS

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
QUANTILE_NOTE = (
    "True quantiles of a deterministic sample of 200 of this unit's non-zero peaks (one peak a clip): the clips whose ids hash lowest. Not bins of equal width."
)
GROUP_NOTES = {"top": "The clips with the largest values, one entry a clip.", "bottom": "The clips with the smallest values, one entry a clip."}
HEARD_SORTS = {"relative": "Share of its largest", "peak": "Peak", "mean": "Mean", "rarity": "Rarity", "moment": "At a moment", "region": "In a stretch"}
HEARD_NOTES = {
    "relative": "Sorted by the peak here over the unit's own largest value in the corpus, so that units that are always a little active do not fill the list.",
    "peak": "Sorted by the peak in this clip.",
    "mean": "Sorted by the mean over the whole clip.",
    "rarity": "Sorted by density: units that the corpus hardly ever makes fire come first.",
    "region": "Sorted by what is specific to the stretch that you dragged over: the mean there above the mean of the rest, over the unit's largest value.",
    "moment": "Sorted by the value in the frame of 20 ms at the moment that you clicked on the spectrogram.",
}
NEED_TABLES = {"relative", "rarity"}
"""orders by what the tables say of a unit"""
SORTS = {"words": "Shared words", "label": "Label", "peak": "Peak", "density": "Density", "unit": "Number", "match": "Match"}
# units whose strongest clips say one of these don't lead the list that a visitor sees first; every other order has them in place
NOT_IN_FRONT = {
    *("bachelor", "balls", "blonde", "blondes", "breast", "breasts", "butt", "cannibal", "cannibals", "damn", "damned", "drunk", "fat", "hell"),
    *("kill", "killed", "killer", "killing", "mating", "naked", "native", "natives", "nazi", "nazis", "pygmies", "pygmy", "sex", "sexy", "stupid"),
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


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def count(value: int) -> str:
    return f"{value:,}"


def noun(kind: str, plural: bool = False) -> str:
    word = KIND_NOUNS[kind]
    return word if not plural else {"residual axis": "residual axes"}.get(word, word + "s")


def unit_name(kind: str, index: int) -> str:
    return f"{noun(kind)} {index}".capitalize()


def label_figures(label: UnitLabel) -> str:
    """How well a label holds, on the half of the corpus that did not choose it."""
    area = "" if label.auroc is None else f", AUROC {label.auroc:.2f}"
    return f"{percent(label.precision)} of its strongest activity, {short(label.lift)} times as often as elsewhere{area}; on clips that did not choose it"


def exactness(floor: float | None, low: float | None, n_shown: int, n: int) -> str:
    """What a filtered list leaves out: it is exact at or above the floor."""
    limit = f"The {n} strongest are shown. " if n_shown >= n else ""
    if floor is None:
        return limit + "Exact: every clip's peak is stored."
    if low is not None and low >= floor:
        return limit + f"Exact: every clip's peak of {short(floor)} and more is stored."
    return limit + f"Exact for values of {short(floor)} and more; below that only some clips' peaks are stored, and some are missing here."
