"""Figures and words of the page, against hand-made values."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from components import figures, prose
from earmark.cards import Example, Histogram, UnitLabel


def example(trace: list[float], start_s: float = 1.0, peak_at: int = 2) -> Example:
    values = np.array(trace, dtype=np.float32)
    at_s = start_s + 0.02 * peak_at
    return Example(0, "top", "s", float(values[peak_at]), at_s, start_s, start_s + 0.02 * len(values), values, "", 3.0)


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)]


def test_a_trace_is_drawn_at_its_time_and_height():
    view = figures.trace_view(example([0, 1, 4, 1, 0]), 0, 4)
    drawn = points(view.line)
    apex = min(drawn, key=lambda p: p[1])
    assert apex == (pytest.approx(100 * (1.0 + 0.05)), pytest.approx(4))  # the centre of frame 2; 4 % of the height is left above
    assert drawn[0] == (101.0, 100.0) and view.zero_y == 100


def test_a_flat_stretch_costs_two_points_and_keeps_its_ends():
    trace = [0.0] * 50 + [3.0] + [0.0] * 50
    drawn = points(figures.trace_view(example(trace, peak_at=50), 0, 3).line)
    assert len(drawn) == 5 and drawn[0][0] == 101 and drawn[-1][0] == pytest.approx(100 + 2 * 101 - 1)


def test_signed_traces_have_their_zero_within():
    low, high = figures.group_span([example([-2, 0, 2, 0, 1])])
    view = figures.trace_view(example([-2, 0, 2, 0, 1]), low, high)
    assert (low, high) == (-2, 2) and view.zero_y == pytest.approx(52) and points(view.line)[0][1] == 100


@pytest.mark.parametrize("duration_s", [0.05, 0.3, 0.9, 2.3, 5.0, 11.5, 30.0])
def test_ticks_are_true_seconds_within_the_sample(duration_s):
    ticks = figures.ticks(duration_s)
    assert ticks[0] == (0, "0") and len(ticks) <= 9
    for place, label in ticks:
        assert place == pytest.approx(100 * float(label) / duration_s) and place <= 100


def test_bars_leave_out_empty_ends_only():
    bars = figures.bars(Histogram((1, 2, 4, 8, 16, 32), (0, 4, 0, 16, 0)))
    assert [(b.low, b.high, b.count) for b in bars] == [(2, 4, 4), (4, 8, 0), (8, 16, 16)]
    assert [b.height for b in bars] == [50, 0, 100] and sum(b.width for b in bars) == pytest.approx(100)
    assert figures.bars(Histogram((), ())) == []


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.4912, "49 %"), (0.0421, "4.2 %"), (0.00042, "0.042 %"), (1e-7, "< 0.001 %"), (None, "–"), (float("nan"), "–")],
)
def test_percent(share, text):
    assert prose.percent(share) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (-0.5, "−0.5"), (3.14159, "3.14"), (1234.5, "1,234"), (0.00001, "1.0e−5"), (None, "–")])
def test_short(value, text):
    assert prose.short(value) == text


def test_a_filter_says_when_it_is_exact():
    assert prose.exactness(None, 0.1, 3, 40).startswith("Exact")
    assert prose.exactness(2.0, 2.5, 40, 40) == "The 40 strongest are shown. Exact: every clip's peak of 2 and more is stored."
    assert "some are missing" in prose.exactness(2.0, 1.0, 3, 40) and "some are missing" in prose.exactness(2.0, None, 3, 40)


@pytest.mark.parametrize("n", [1, 5, 799, 801, 3000])
def test_a_whole_clip_keeps_its_peak_at_its_own_time(n):
    values = np.random.default_rng(n).normal(0, 1, n).astype(np.float32)
    at = n // 3
    values[at] = 9
    drawn = points(figures.clip_trace(values, 0.02).line)
    apex = min(drawn, key=lambda p: p[1])
    assert apex == (pytest.approx(100 * (at + 0.5) * 0.02, abs=0.06), pytest.approx(4))
    assert len(drawn) <= 800 and all(0 <= y <= 100 for _, y in drawn)
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)


def test_a_labels_line_is_one_sentence_and_calls_a_class_one():
    stop = UnitLabel("class", "stop", 0.0, 0.721, 0.1, 5.1, 0.17, 0.7, 900)
    assert prose.label_holds(stop) == "a class of sounds, true of 72 % of the frames where it is strongest"
    assert prose.label_holds(stop, prose.WORDS["text"]) == "a kind of token, true of 72 % of the tokens where it is strongest"
    for other in (replace(stop, kind="word"), replace(stop, text="silence"), replace(stop, kind="phone", text="/s/", auroc=None)):
        assert prose.label_holds(other) == "true of 72 % of the frames where it is strongest"
