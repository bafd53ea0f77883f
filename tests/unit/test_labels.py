"""Planted units get their label with the right figures, random ones none; and the whole journey over the toy model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from earmark.cards import UnitLabel
from earmark.measure.labels import auroc
from earmark.offline.labels.channels import NONE, UNKNOWN, Channel, speech_channels
from earmark.offline.labels.check import judged_plainly
from earmark.offline.labels.choose import Ground, Label, ground, labels_of
from earmark.offline.labels.firing import Block, Firing, count_nonzero, firing_of
from earmark.offline.labels.label import name_units
from earmark.speech import Span, Speech
from earmark.web.records import label_lines
from earmark.web.search.find import label_fits

WORDS = {
    "money": "M AH N IY", "sky": "S K AY", "boat": "B OW T", "mask": "M AE S K", "no": "N OW", "see": "S IY", "the": "DH AH", "go": "G OW", "tree": "T R IY",
}  # fmt: skip
HOP_S = 0.02
N_SAMPLES, N_UNITS = 400, 30
PLANTED = (
    ("phone", "/s/", 1, 0.004),
    ("word", "money", 0, 0.0),
    ("piece", "/s k/", 2, 0.001),
    ("pause", "pause at a comma", 0, 0.0),
    ("manner", "nasal", 1, 0.01),
)
"""channel, label, lag in positions, share of other positions at which the unit fires too"""


def sentence(random: np.random.Generator) -> Speech:
    """Eight words with a pause after commas, silence around them."""
    now, phones, words = 0.1, [Span("SIL", 0.0, 0.1)], []
    for word in random.choice(list(WORDS), 8):
        begun = now
        for phone in WORDS[word].split():
            length = float(random.uniform(0.05, 0.15))
            phones.append(Span(phone, now, now + length))
            now += length
        comma = random.random() < 0.2
        words.append(Span(word + ("," if comma else ""), begun, now))
        if comma:
            phones.append(Span("SIL", now, now + 0.2))
            now += 0.2
    return Speech(tuple(words), (*phones, Span("SIL", now, now + 0.1)), "aligned")


class World:
    """A corpus of sentences, planted units, and units that mean nothing."""

    sparse = False
    """how blocks hold their values"""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.said: list[Speech | None] = [None if i % 20 == 7 else sentence(random) for i in range(N_SAMPLES)]
        self.n_positions = [round(s.phones[-1].end_s / HOP_S) if s else 60 for s in self.said]
        self.rows = np.repeat(np.arange(N_SAMPLES), self.n_positions).astype(np.int32)
        self.half = np.array([-1 if s is None else i % 2 for i, s in enumerate(self.said)], np.int8)
        self.channels = speech_channels(self.said, self.n_positions, HOP_S, 0.0)
        self.values = np.maximum(random.normal(0, 1, (len(self.rows), N_UNITS)) - 1.5, 0).astype(np.float32)
        by_name = {c.name: c for c in self.channels}
        for unit, (channel, label, lag, noise) in enumerate(PLANTED):
            there = np.roll(by_name[channel].codes == by_name[channel].labels.index(label), lag)
            fires = there | (random.random(len(self.rows)) < noise)
            self.values[:, unit] = np.where(fires, random.uniform(1, 3, len(self.rows)), 0)

    def blocks(self) -> Iterator[Block]:
        """In pieces of some samples and some units, as stored activations come."""
        for samples in np.array_split(np.arange(N_SAMPLES), 7):
            chosen = np.flatnonzero(np.isin(self.rows, samples))
            if self.sparse:
                yield Block(int(chosen[0]), self.rows[chosen], 0, csr_matrix(self.values[chosen]))
            else:
                for first in range(0, N_UNITS, 11):
                    yield Block(int(chosen[0]), self.rows[chosen], first, self.values[chosen, first : first + 11])

    def firing(self) -> Firing:
        return firing_of(self.blocks(), -(-count_nonzero(self.blocks(), N_UNITS, self.half) // 5), self.half)

    def ground(self) -> Ground:
        return ground(self.channels, self.rows, self.half, HOP_S)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def found(world: World) -> dict[int, Label]:
    return {label.unit: label for label in labels_of(world.firing(), world.ground())}


@pytest.mark.parametrize("unit", range(len(PLANTED)))
def test_a_planted_unit_gets_its_label_and_lag(found: dict[int, Label], unit: int) -> None:
    _, text, lag, _ = PLANTED[unit]
    assert found[unit].text == text and found[unit].holds
    assert found[unit].lag_s == pytest.approx(lag * HOP_S, abs=HOP_S / 2)


def test_the_precision_is_that_of_the_noise(world: World, found: dict[int, Label]) -> None:
    for unit, (channel, text, _, noise) in enumerate(PLANTED):
        codes = next(c for c in world.channels if c.name == channel)
        share = (codes.codes == codes.labels.index(text)).mean()
        expected = share / (share + noise * (1 - share))  # the top fifth is as mixed as the whole: strength says nothing here
        assert found[unit].judged.precision == pytest.approx(expected, abs=0.06)


def test_units_that_mean_nothing_get_no_label(found: dict[int, Label]) -> None:
    assert not [label for unit, label in found.items() if unit >= len(PLANTED) and label.holds]


def test_shifted_labels_name_nothing(world: World) -> None:
    named = name_units(world.firing(), world.ground())
    assert sum(named.held.values()) == len(PLANTED) and sum(named.shuffled.values()) == 0
    assert named.held == {"phone": 1, "word": 2, "class": 1, "context": 1} and named.n_eligible == N_UNITS


def test_figures_equal_plain_loops(world: World, found: dict[int, Label]) -> None:
    starts = np.concatenate([[0], np.cumsum(world.n_positions)])
    for unit in range(len(PLANTED)):
        label = found[unit]
        stored = UnitLabel(label.kind, label.text, label.lag_s, label.judged.precision, label.judged.recall, label.judged.lift, 0.0, None, 0)
        values = [world.values[a:b, unit] for a, b in pairwise(starts)]
        precision, recall = judged_plainly(values, world.said, world.half.tolist(), stored, None, HOP_S, 0.0)
        assert (label.judged.precision, label.judged.recall) == pytest.approx((precision, recall), abs=2e-3)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_highest_positions_are_those_of_a_full_sort(world: World, monkeypatch: pytest.MonkeyPatch, sparse: bool) -> None:
    monkeypatch.setattr("earmark.offline.labels.firing.PRUNE_ROWS", 1)
    monkeypatch.setattr(world, "sparse", sparse)
    firing = world.firing()
    known = world.half[world.rows] >= 0
    for unit in range(N_UNITS):
        values = np.where(known, world.values[:, unit], 0)
        n = -(-np.count_nonzero(values) // 5)
        mine = firing.positions[firing.units == unit]
        assert len(mine) == n and np.array_equal(np.sort(values[mine]), np.sort(values)[::-1][:n][::-1])
        peaks = [values[world.rows == row].max() for row in range(N_SAMPLES)]
        assert firing.peaks[unit].astype(np.float32) == pytest.approx(np.array(peaks), rel=1e-3)
        for side in (0, 1):
            active = sum(bool((values[world.rows == row] != 0).any()) for row in range(N_SAMPLES) if world.half[row] == side)
            assert firing.n_samples_active[unit, side] == active


def test_auroc_equals_scikit_learns() -> None:
    random = np.random.default_rng(1)
    scores, truth = random.integers(0, 9, 300).astype(np.float32), random.random(300) < 0.3
    assert auroc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))
    assert auroc(scores, np.ones(300, bool)) is auroc(scores, np.zeros(300, bool)) is None


def test_positions_are_labelled_at_their_middle() -> None:
    said = Speech(
        (Span("Sky,", 0.10, 0.25),), (Span("SIL", 0, 0.1), Span("S", 0.1, 0.15), Span("K", 0.15, 0.2), Span("AY", 0.2, 0.25), Span("SIL", 0.25, 0.4)), "aligned"
    )
    channels = {c.name: c for c in speech_channels([said, None], [20, 3], HOP_S, 0.0)}

    def told(name: str) -> list[str | None]:
        channel: Channel = channels[name]
        return [None if code == NONE else "?" if code == UNKNOWN else channel.labels[code] for code in channel.codes]

    assert told("phone")[:13] == [None] * 5 + ["/s/"] * 2 + ["/k/"] * 3 + ["/ay/"] * 2 + [None]  # 0.15 s lies before the middle of frame 7
    assert told("phone")[20:] == ["?"] * 3
    assert told("word")[5:12] == ["sky"] * 7 and told("word")[12] is None
    assert told("manner")[4] == "silence" and told("manner")[5] == "sibilant"
    assert told("pause")[2] == "silence before speech" and told("pause")[14] == "pause at a comma"
    assert told("phone before")[8] == "after /s/" and told("phone after")[6] == "before /k/" and told("phone after")[11] == "before silence"
    assert told("edge")[5] == "onset after silence" and told("edge")[11] == "offset before silence"


@pytest.mark.parametrize(
    ("query", "label", "fits"),
    [
        ("sk", "/s k/", True), ("/sk/", "/s k/", True), ("s k", "/s k/", True), ("/s/", "/s/", True), ("s", "/s/", True), ("/s/", "/s k/", False),
        ("mountain", "mountain", True), ("mount", "mountain", True), ("nasal", "nasal", True), ("comma", "pause at a comma", True),
        ("silence", "onset after silence", True), ("k", "before /k/", True), ("money", "before the word money", True),
        ("oney", "money", False), ("", "money", False),
    ],
)  # fmt: skip
def test_what_people_type_finds_labels(query: str, label: str, fits: bool) -> None:
    assert label_fits(query, label) is fits


def test_what_names_a_unit_is_told_apart_from_what_random_directions_hold() -> None:
    held = {"phone": 30, "word": 5, "class": 40, "context": 5}
    summary = {"n_units": 120, "n_eligible": 100, "held": held, "shuffled": dict.fromkeys(held, 0), "n_active": 9}
    lines = label_lines("toy", summary | {"random": {"phone": 2, "word": 0, "class": 30, "context": 8}, "n_random": 200})
    told = {line[:18].strip(): line[18:].split() for line in lines if "%" in line}
    assert told["phone or word"] == ["35", "35.0%", "2", "1.0%", "0", "0.0%"]
    assert told["class or context"] == ["45", "45.0%", "38", "19.0%", "0", "0.0%"]
    assert list(told) == ["phone", "word", "phone or word", "class", "context", "class or context"]
    assert "100 of 120 units" in lines[0]
    older = label_lines("toy", summary | {"random": None})
    assert sum("not looked for" in line for line in older) == 6
