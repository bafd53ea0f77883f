"""Trainings that the Lab proposes, each with a text written for it; and what the Lab shows, as an address has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import BadInput
from .experiments import NAMES, ORDERS, Experiment, Size

MAX_LAB_TEXT = 500
"""characters of a text of one's own that an address carries"""
MAX_LAB_WORDS = 1_000


@dataclass(frozen=True)
class Preset:
    """A training that the page proposes, with a text."""

    title: str
    after: str
    """what it follows, in a sentence"""
    experiment: Experiment
    text: str
    words: str
    """that its latents are asked for"""


PRESETS: dict[str, Preset] = {
    "hungary": Preset(
        "Geography, k-sparse",
        "After a course notebook: one paragraph, the middle layer's pre-activations, tied weights, twice as wide, k a third of the width by threshold, L1 "
        "and a covariance penalty, 100 steps.",
        Experiment(),
        "Hungary lies in the middle of Europe, in the basin that the Carpathians enclose. Seven countries border it: Slovakia in the north, Ukraine in the "
        "northeast, Romania in the east, Serbia and Croatia in the south, Slovenia in the southwest, and Austria in the west. Two rivers divide the land from "
        "north to south. West of the Danube are the hills of Transdanubia and Lake Balaton, warm and shallow, the largest lake of Central Europe; beyond the "
        "Tisza the Great Plain stretches as far as Romania, flat, dry, and planted with wheat, maize and sunflowers. In the northwest a smaller plain reaches "
        "towards Vienna and Bratislava. The highest mountain, in the Mátra, is lower than many a village in Austria or Slovakia. Budapest, the capital, stands "
        "on both banks of the Danube: Buda on its hills, Pest on the plain. One Hungarian in five lives there. Debrecen, Szeged, Miskolc and Pécs come next, "
        "none of them a tenth of its size. Because Hungary has no coast, its people call Balaton the Hungarian sea, and in summer they crowd its shores.",
        "Hungary, Slovakia, Ukraine, Romania, Serbia, Croatia, Slovenia, Austria",
    ),
    "sentence": Preset(
        "One sentence, 16 latents",
        "After a tutorial: a layer's hidden states of one sentence, a ReLU autoencoder of 16 latents with L1, 500 steps.",
        Experiment(site="residual", kind="l1", n_units=Size(16), k=Size(4), l1=0.05, n_steps=500),
        "The keeper of the old lighthouse counted the ships that came in before the storm, and wrote the name of each into a book.",
        "ships, lighthouse, storm, book",
    ),
}
DEFAULT_PRESET = "hungary"


@dataclass(frozen=True)
class LabView:
    """What the Lab shows: a preset, what differs from it, and how the latents are looked at."""

    preset: str = DEFAULT_PRESET
    experiment: Experiment = PRESETS[DEFAULT_PRESET].experiment
    text: str | None = None
    """of one's own, while it is short; None: the preset's"""
    own: bool = False
    """what is trained on is in no address: a longer text, or a sound of one's own"""
    words: str | None = None
    """that latents are asked for; None: the preset's, where the text is its own"""
    order: str = ORDERS[0]
    by: str = "ratio"
    """order of the latents that tell the words apart: ratio or auroc"""

    @classmethod
    def parse(cls, query: Mapping[str, str], notices: list[str]) -> LabView:
        """Never raises: what cannot be used is told in a notice, and the preset's takes its place."""
        preset = query.get("preset", DEFAULT_PRESET)
        if preset not in PRESETS:
            notices.append(f"There is no preset '{preset[:40]}'; this is {DEFAULT_PRESET}.")
            preset = DEFAULT_PRESET
        experiment = PRESETS[preset].experiment
        for name in NAMES.values():
            try:
                experiment = Experiment.read({name: query.get(name, "")}, experiment)
            except BadInput as error:
                notices.append(f"{error} The preset's is used.")
        text, words = (query[n].encode("utf-8", "replace").decode() if n in query else None for n in ("text", "words"))
        if text is not None and len(text) > MAX_LAB_TEXT:
            notices.append(
                f"An address carries a text of at most {MAX_LAB_TEXT} characters; the {len(text):,} of this one were cut. Paste the whole text below."
            )
        order, by = query.get("sort", ORDERS[0]), query.get("by", "ratio")
        return cls(
            preset,
            experiment,
            text[:MAX_LAB_TEXT] if text and text != PRESETS[preset].text else None,
            query.get("own") == "1",
            None if words is None else words[:MAX_LAB_WORDS],
            order if order in ORDERS else ORDERS[0],
            by if by in {"ratio", "auroc"} else "ratio",
        )

    def parts(self) -> dict[str, str | None]:
        """What the address tells, defaults left out."""
        return {
            "preset": None if self.preset == DEFAULT_PRESET else self.preset,
            **self.experiment.changes(PRESETS[self.preset].experiment),
            "sort": None if self.order == ORDERS[0] else self.order,
            "words": self.words,
            "by": None if self.by == "ratio" else self.by,
            "own": "1" if self.own else None,
            "text": None if self.own else self.text,
        }

    @property
    def source_text(self) -> str:
        """What is trained on, where it is a text that the address tells."""
        return PRESETS[self.preset].text if self.text is None else self.text

    @property
    def asked_words(self) -> str:
        """The words that latents are asked for; the preset's belong to its text."""
        return self.words if self.words is not None else PRESETS[self.preset].words if self.text is None else ""
