"""The health of a dictionary: its figures with what each of them is, what they say, and the runs that it was chosen from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earmark.errors import EarmarkError
from earmark.health import BEHAVIOUR, RECONSTRUCTION, Figure
from earmark.links import Link
from earmark.shelf.catalog import DictionaryEntry
from earmark.shelf.store import Store
from earmark.swept import SweptRun
from earmark.web.media import place_of

from .. import prose
from .bare import BareView
from .listing import with_tables
from .swept import sweep_words

FIRST = ("l0", "fvu", "dead", "ce_recovered", "wer_spliced")
"""figures that stand large at the top"""
BY = {
    "source": " The transcripts that it is judged by came with the sounds.",
    "model": " The transcripts that it is judged by are a model's own: where that is this one, its WER as it is says nothing.",
}
NEAR = 0.9
"""cosine from which two directions are called near copies of each other"""


@dataclass(frozen=True)
class Cell:
    """A figure in words."""

    name: str
    title: str
    value: str
    help: str


@dataclass(frozen=True)
class HealthPage:
    """Everything that the page of a dictionary's health shows."""

    link: Link
    entry: DictionaryEntry
    place: str
    dictionaries: tuple[tuple[str, str], ...]
    first: tuple[Cell, ...] = ()
    reconstruction: tuple[Cell, ...] = ()
    behaviour: tuple[Cell, ...] = ()
    over: str = ""
    """what the figures were computed over"""
    spliced_words: str = ""
    """what was predicted, and from what, while something else stood in place of the activations"""
    problem: str | None = None
    densities: NDArray[np.floating] | None = None
    """[n_units]"""
    cosines: NDArray[np.floating] | None = None
    """[n_units] with the nearest other direction; None for axes"""
    cosine_words: str = ""
    trips: Mapping[str, NDArray[Any]] | None = None
    trip_words: str = ""
    sweep: tuple[SweptRun, ...] = ()
    sweep_words: str = ""
    features: str | None = None
    """of neurons and axes: an SAE over the same layer"""
    bare: BareView | None = None

    @property
    def title(self) -> str:
        return f"Health of {prose.KIND_TITLES[self.entry.kind]}" if self.entry.kind != "sae" else "Health of the SAE"

    @property
    def command(self) -> str:
        """That computes what is missing."""
        return f"python -m earmark health {self.entry.slug} --recompute --save"


def health_page(store: Store, link: Link) -> HealthPage:
    """Everything that the page of a settled link's dictionary shows."""
    entry = store.catalog.dictionary(link.dictionary)
    page = HealthPage(link, entry, place_of(store, entry.slug), with_tables(store, entry.slug))
    try:
        known = store.health(entry.slug)
        d = store.dictionary(entry.slug)
        corpus = store.catalog.corpus(d.corpus)
        density = d.table("units").all(["density"]).column("density").to_numpy()
        nearest, trips, runs = d.nearest, d.trips, store.sweep(entry.slug)
    except EarmarkError as error:
        return replace(page, problem=str(error))
    cells = {f.name: _cell(f, known[f.name]) for f in (*RECONSTRUCTION, *BEHAVIOUR) if known[f.name] is not None}
    text = store.catalog.model(entry.model).modality == "text"
    return replace(
        page,
        first=tuple(cells[name] for name in FIRST if name in cells),
        reconstruction=tuple(cells[f.name] for f in RECONSTRUCTION if f.name in cells and (f.name != "n_sinks" or text)),
        behaviour=tuple(cells[f.name] for f in BEHAVIOUR if f.name in cells),
        over=_over(known, corpus.title or corpus.slug, text),
        spliced_words=_spliced_words(known, text),
        densities=density,
        cosines=nearest if len(nearest) else None,
        cosine_words=_cosine_words(known["decoder_cosine"], nearest, entry.kind),
        trips=trips,
        trip_words=_trip_words(known["round_trip"]),
        sweep=runs,
        sweep_words=sweep_words(runs, "token or word" if text else "phone or word"),
        features=next((e.slug for e in store.catalog.siblings(entry.slug) if e.kind == "sae" and entry.kind != "sae" and store.has_tables(e.slug)), None),
    )


def _cell(figure: Figure, value: float) -> Cell:
    words = prose.count(int(value)) if figure.shown == "count" else {"number": prose.short, "share": prose.percent, "rate": prose.rate}[figure.shown](value)
    return Cell(figure.name, figure.title, words, figure.help)


def _over(known: Mapping[str, Any], corpus: str, text: bool) -> str:
    positions = "tokens" if text else "frames"
    n = known["n_corpus_positions"]
    said = [f"Corpus: {corpus}, {prose.count(n)} {positions}" if n else f"Corpus: {corpus}"]
    if known["fvu"] is not None:
        said.append(f"held out from training: {prose.count(known['n_positions'])}")
    if known["n_sinks"]:
        said.append(f"and {prose.count(known['n_sinks'])} sinks, which no figure counts unless it says so")
    return ", ".join(said) + "."


def _spliced_words(known: Mapping[str, Any], text: bool) -> str:
    if known["ce_of"] is None:
        return ""
    where = "the token in front of a text and the sinks pass through, unless it says otherwise" if text else "padding passes through"
    return f"What is predicted: {known['ce_of']}. Replaced are the activations that the dictionary reads; {where}.{BY.get(known['transcripts'], '')}"


def _cosine_words(spread: Mapping[str, float] | None, nearest: NDArray[np.floating], kind: str) -> str:
    if spread is None:
        return "The axes of the stream stand at right angles to each other."
    n = int((nearest > NEAR).sum())
    copies = f"{prose.count(n)} of {prose.count(len(nearest))} have" if n else "None has"
    what = "a feature's decoder direction" if kind == "sae" else "what a neuron writes"
    median, most = f"{spread['median']:.2f}", f"{spread['largest']:.2f}"
    return f"The cosine of {what} with the nearest other one: {median} in the median, {most} at most. {copies} one nearer than {NEAR}."


def _trip_words(trip: Mapping[str, Any] | None) -> str:
    if trip is None:
        return ""
    return (
        f"One feature alone, at the mean of its values, is decoded and the result encoded again. For {prose.rate(trip['first'])} of the "
        f"{prose.count(trip['n_units'])} features the feature itself comes back strongest; for {prose.rate(trip['nothing'])} it does not come back at all. "
        f"The median of its own value over the largest is {trip['ratio']:.2f}."
    )
