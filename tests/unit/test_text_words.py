"""The units that tell words apart, in a text and in the corpus, against brute force; the command, and the page."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.views.beside import words_view
from earmark.__main__ import main
from earmark.errors import BadInput
from earmark.links import Link, ReadView
from earmark.live.desk import Desk
from earmark.live.texts.words import parse_words, word_tokens, words_in_corpus, words_in_text
from earmark.measure.areas import areas_of_peaks
from earmark.shelf.store import Store
from tests.fixtures.shelf import N_UNITS
from tests.fixtures.text_house import SENTENCE, make_text_house, read
from tests.fixtures.text_shelf import MONEY, NEURONS, SAE, TEXTS


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(Store(make_text_house(tmp_path_factory.mktemp("texts"))))


@pytest.mark.parametrize(
    ("tokens", "words", "expected"),
    [
        (("In", " Hung", "ary", ", hung"), ("Hungary",), [0, 1, 1, 0]),
        (("hun", "gary", " Hungarys"), ("HUNGARY",), [1, 1, 0]),
        (("New", " ", "\n", "York", " New"), ("new york",), [1, 1, 1, 1, 0]),
        (("a", "日", "", "本", "語"), ("日本",), [0, 1, 1, 1, 0]),
        (("x.y", " xzy"), ("x.y",), [1, 0]),
    ],
)
def test_tokens_of_words(tokens: tuple[str, ...], words: tuple[str, ...], expected: list[int]) -> None:
    mask, there = word_tokens(tokens, words)
    assert mask.astype(int).tolist() == expected
    assert there == set(words)


def brute(values: np.ndarray, on: np.ndarray) -> tuple[float | None, float]:
    """(ratio of the means above 0, chance that a value on the words is the higher one)"""
    means = [[v for v in values[part] if v > 0] for part in (on, ~on)]
    wins = sum((a > b) + 0.5 * (a == b) for a in values[on] for b in values[~on])
    return (np.mean(means[0]) / np.mean(means[1]) if all(means) else None), wins / (on.sum() * (~on).sum())


def test_words_in_a_text_against_brute_force(desk: Desk) -> None:
    passage, words = read(desk, SENTENCE), ("money", "cat", "zebra")
    scores = words_in_text(passage, SAE, words, n=500)
    on, values = word_tokens(passage.tokens, words)[0], passage.codes[SAE].dense()
    on, values = on[~passage.sinks], values[~passage.sinks]
    assert (scores.missing, scores.n_on, scores.n_elsewhere) == (("zebra",), int(on.sum()), int((~on).sum()))
    enough = [u for u in range(N_UNITS) if (values[on, u] > 0).sum() >= max(1, 0.2 * on.sum())]
    assert {s.unit for s in scores.units} == set(enough)
    for s in scores.units:
        ratio, area = brute(values[:, s.unit], on)
        assert s.auroc == pytest.approx(area)
        assert s.ratio == (None if ratio is None else pytest.approx(ratio, rel=1e-4))
    ratios = [math.inf if s.ratio is None else s.ratio for s in words_in_text(passage, SAE, words, "ratio", 500).units]
    assert ratios == sorted(ratios, reverse=True)
    with pytest.raises(BadInput, match="has none of these words: zebra"):
        words_in_text(passage, SAE, ("zebra",))


@pytest.mark.parametrize("slug", [SAE, NEURONS])
def test_words_in_the_corpus_against_a_loop(desk: Desk, slug: str) -> None:
    """The fixture's unit for money leads; every figure from the peaks that a loop over the tables' rows finds, 0 where none is stored."""
    scores = words_in_corpus(desk.store, slug, ("money",), n=500)
    assert slug != SAE or (scores.units[0].unit == MONEY and scores.units[0].ratio is None)
    assert scores.cut == (slug == NEURONS) == ("only the largest peaks are stored" in scores.what)
    corpus, rows = desk.store.corpus("tiny-texts"), desk.store.dictionary(slug).table("peaks").all().to_pylist()
    having = np.array(["money" in text.casefold().replace(".", " ").replace(":", " ").split() or " money" in text for text in TEXTS])
    assert (scores.n_on, scores.n_elsewhere) == (int(having.sum()), int((~having).sum()))
    for s in scores.units:
        peaks, on, off = np.zeros(len(corpus.ids)), [], []
        for r in rows:
            if r["unit"] == s.unit and r["tail"] == 1 and r["peak"] > 0:
                peaks[r["sample"]] = r["peak"]
                (on if word_tokens(corpus.tokens_in(r["sample"]) or (), ("money",))[0][r["at"]] else off).append(r["peak"])
        assert s.n_on == len(on) >= min(5, having.sum())
        assert s.auroc == pytest.approx(brute(peaks, having)[1])
        assert s.ratio == (None if not off else pytest.approx(np.mean(on) / np.mean(off), rel=1e-3))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 4)), unique_by=lambda r: r[:2], max_size=20), st.sets(st.integers(0, 5)))
def test_areas_of_peaks_equal_counting(rows: list[tuple[int, int, int]], true: set[int]) -> None:
    dense = np.zeros((4, 6))
    for unit, sample, peak in rows:
        dense[unit, sample] = peak
    truth = np.isin(np.arange(6), list(true))
    unit, sample, peak = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0, int),) * 3
    found = areas_of_peaks(unit, peak.astype(float), truth[sample], len(true), 6, 4)
    if not rows or len(true) in (0, 6):
        assert np.isnan(found).all()
        return
    np.testing.assert_allclose(found, [brute(row, truth)[1] for row in dense])


def test_lists_of_words() -> None:
    assert parse_words(' Hungary, "Austria";hungary\nNew  York ,,') == ("Hungary", "Austria", "New York")
    for text, reason in ((" , ;", "no words"), ("a," * 3 + ",".join(map(str, range(61))), "62 words"), ("x" * 61, "longer than 60")):
        with pytest.raises(BadInput, match=reason):
            parse_words(text)


def test_the_command_words(desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("EARMARK_DATA", str(desk.store.settings.data))
    assert main(["words", SAE, "--words", "money, zebra", "--n", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["where"], found["units"][0]["unit"], found["missing"], len(found["units"])) == ("corpus", MONEY, ["zebra"], 1)
    (tmp_path / "t.txt").write_text(SENTENCE, encoding="utf-16")
    assert main(["words", SAE, "--words", "money", "--file", str(tmp_path / "t.txt")]) == 0
    assert "tokens of the text print these words" in capsys.readouterr().out
    assert main(["words", SAE, "--words", "zebra", "--text", "the cat"]) == 1
    assert "none of these words" in capsys.readouterr().err
    assert main(["analyse", SAE]) == 1
    assert "needs --audio FILE, --text TEXT or --file FILE" in capsys.readouterr().err


def test_words_on_the_page(desk: Desk) -> None:
    passage = read(desk, SENTENCE)
    link = Link("text", SAE, read=ReadView(SENTENCE, "money", "corpus"))
    assert words_view(desk.store, link, passage).rows[0].found.unit == MONEY
    nobody = words_view(desk.store, Link("text", SAE, read=ReadView(words="zebra")), None)
    assert nobody.problem and "corpus has none" in nobody.problem and not nobody.rows
    blank = words_view(desk.store, Link("text", SAE, read=ReadView(words=" ")), None)
    assert (blank.problem, blank.rows, blank.has_text, blank.has_corpus) == (None, (), False, True)
