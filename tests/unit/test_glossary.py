"""What the figures mean is told once, and every figure of the page says what it shows to those who do not see it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from components import glossary
from components.labcharts import heat_figure, losses_figure, means_figure, scatter_figure, weights_figure
from components.plots import density_curves
from components.prose import MIXED, WORDS, Words
from earmark.cards import Histogram, Match, Neighbour, RoundTrip, UnitCard, UnitLabel, UnitStats
from earmark.units import UnitId

TEMPLATES = Path(__file__).resolve().parents[2] / "components" / "templates"


@pytest.mark.parametrize("words", [MIXED, *WORDS.values()], ids=lambda words: words.sample)
@pytest.mark.parametrize("kind", ["", "sae", "neurons", "residual"])
def test_every_term_is_a_sentence_for_all_that_is_shown(words: Words, kind: str) -> None:
    for term in glossary.terms(glossary.TERMS, words, kind):
        assert term.title and term.text.endswith(".") and not re.search(r"[{}]", term.text), term.title
    assert ("length of its direction" in str(glossary.terms(["peak"], words, kind))) == (kind == "sae")
    assert ("sinks" in str(glossary.terms(["density"], words, kind))) == (words is not WORDS["audio"])


def test_what_templates_ask_for_is_told() -> None:
    asked = {
        name
        for path in TEMPLATES.glob("*.html")
        for call in re.findall(r"glossary\.terms\((.*?)\) %}", path.read_text(encoding="utf-8"))
        for name in re.findall(r"'(\w+)'", re.sub(r"prose\.WORDS\[.*?\]|selectattr\(.*?\)|link\.tab == '\w+'", "", call))
    }
    assert len(asked) > 15 and asked <= set(glossary.TERMS)


def test_a_card_tells_of_what_it_shows() -> None:
    stats = UnitStats(0.1, 0.1, 5.0, 0.0, 2.0, {}, 100, 10, False, None, None)
    bare = UnitCard(UnitId("d", 1), stats, Histogram((), ()), ())
    told = glossary.card_terms(bare, WORDS["audio"], "neurons", True, "/all")
    assert [term.title for term in told] == ["Positive in", "Peak", "Mean, median, 90 %", "Active in", "Histogram"]
    label, trip = UnitLabel("word", "money", 0.0, 0.7, 0.1, 5.1, 0.2, 0.8, 9), RoundTrip(0.2, 0.4, 3, 0.01, 0.002)
    full = replace(bare, label=label, trip=trip, match=Match("e", 2, 0.5), neighbours=(Neighbour(3, 0.2),))
    found = {term.title: term for term in glossary.card_terms(full, WORDS["text"], "sae", False, "/all")}
    assert len(found) == 9 and found["Round trip"].all_href == "/all"
    assert "Of this one 0.2 comes back, and the largest of all is 0.4; the mean over all is 0.01, the mean square 0.002." in found["Round trip"].text
    assert "Here: 70 % of its strongest activity, 5.1 times as often as elsewhere, and the area under the curve is 0.80." in found["Label"].text


def test_figures_say_what_they_show() -> None:
    values = np.array([[0, 2], [0.5, 7], [0, 0]], np.float32)
    numbers, shares = np.arange(2), np.array([1 / 3, 2 / 3])
    told = [
        figure.layout.meta["told"]
        for figure in (
            heat_figure(values, [3, 9], ["the", "cat", "sat"], "tokens"),
            losses_figure({"total": np.array([8.0, 4.0, 2.0])}),
            means_figure(np.array([0.1, 0.2, 0.9, 0.3]), [1, 3]),
            scatter_figure(numbers, shares, ("number", "density"), (False, True), numbers),
            weights_figure([np.array([[0.5, -2.0]], np.float32)], [4]),
            density_curves({"SAE features": np.array([0.01, 0.02, 0.5])}),
        )
    ]
    assert told == [
        "Values of 2 latents at 3 tokens: the largest value is 7, of latent 9 at token 1.",
        "Losses over 3 steps: total from 8 to 2.",
        "Mean values of 2 latents: the largest is 0.3, of latent 3.",
        "2 latents: number from 0 to 1; density from 0 % to 67 %.",
        "Encoder weights of 1 latents, a picture each, from −2 to 2.",
        "Share of units by their density, a curve each: SAE features, median 2.0 %.",
    ]
