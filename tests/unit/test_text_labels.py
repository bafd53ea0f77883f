"""Labels for units of language models: what stands at each position, planted units against it, sinks left out, halves by author."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark.__main__ import main
from earmark.cards import UnitLabel
from earmark.errors import BadInput
from earmark.offline.labels.check import check_labels, judged_in_texts
from earmark.offline.labels.choose import Ground, Label, ground, labels_of
from earmark.offline.labels.firing import Block, Firing, count_nonzero, firing_of
from earmark.offline.labels.label import KINDS, name_units
from earmark.offline.labels.label import label as label_layer
from earmark.offline.labels.texts import TEXT, balanced_halves, text_channels, tokens_of
from earmark.settings import Settings
from earmark.shelf.schema import LABELS
from earmark.shelf.store import Store
from earmark.shelf.tables import put_table
from earmark.web.search.find import find_labels
from tests.fixtures import text_toy

PIECES = {
    "the": (" the",), "of": (" of",), "Hungary": (" Hung", "ary"), "river": (" river",),
    "walking": (" walk", "ing"), "singing": (" singing",), "1848": (" 18", "48"),
    "7": (" 7",), "money": (" money",), "not": (" not",), "contract": (" contract",), "concern": (" concern",), "very": (" very",), "old": (" old",),
}  # fmt: skip
N_TEXTS, N_TOKENS, N_UNITS = 260, 60, 26
PLANTED = (("token", "“ the”", 0.004), ("word", "hungary", 0.0), ("shape", "number", 0.003), ("token before", "after “ of”", 0.001), ("beginning", "con", 0.0))
"""channel, label, share of other positions at which the unit fires too"""


def sentence(random: np.random.Generator) -> list[str]:
    tokens: list[str] = []
    while len(tokens) < N_TOKENS:
        tokens += PIECES[random.choice(list(PIECES))]
        if random.random() < 0.12:
            tokens.append(random.choice([",", ".", "\n"]))
    return tokens[:N_TOKENS]


class Library:
    """A corpus of texts with sinks, planted units, and units that mean nothing."""

    def __init__(self) -> None:
        random = np.random.default_rng(3)
        self.texts = [sentence(random) for _ in range(N_TEXTS)]
        self.rows = np.repeat(np.arange(N_TEXTS), N_TOKENS).astype(np.int32)
        self.half = (np.arange(N_TEXTS) % 2).astype(np.int8)
        self.sinks = (np.arange(len(self.rows)) % N_TOKENS == 0) & (random.random(len(self.rows)) < 0.5)
        self.sides = np.where(self.sinks, np.int8(-1), self.half[self.rows])
        self.channels = text_channels(self.texts, self.sides)
        self.values = np.maximum(random.normal(0, 1, (len(self.rows), N_UNITS)) - 1.2, 0).astype(np.float32)
        tokens = [t for text in self.texts for t in tokens_of(text)]
        for unit, (channel, label, noise) in enumerate(PLANTED):
            told = next(mark for name, _, _, mark in TEXT if name == channel)
            there = np.array([x for text in self.texts for x in (label in (y or "").split("-")[0] for y in told(tokens_of(text)))])
            fires = there | (random.random(len(tokens)) < noise)
            self.values[:, unit] = np.where(fires, random.uniform(1, 3, len(tokens)), 0)
        self.values[self.sinks] = 0

    def blocks(self) -> list[Block]:
        cut = 100 * N_TOKENS
        return [Block(0, self.rows[:cut], 0, self.values[:cut]), Block(cut, self.rows[cut:], 0, self.values[cut:])]

    def firing(self) -> Firing:
        return firing_of(self.blocks(), -(-count_nonzero(self.blocks(), N_UNITS, self.half) // 5), self.half)

    def ground(self) -> Ground:
        return ground(self.channels, self.rows, self.half, 1.0, self.sides)


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


@pytest.fixture(scope="module")
def found(library: Library) -> dict[int, Label]:
    return {label.unit: label for label in labels_of(library.firing(), library.ground())}


def test_planted_units_get_their_label_with_the_precision_of_their_noise(library: Library, found: dict[int, Label]) -> None:
    expected = ["“ the”", "hungary", "number", "after “ of”", "word beginning with con-"]
    assert [found[unit].text for unit in range(len(PLANTED))] == expected
    assert [found[unit].kind for unit in range(len(PLANTED))] == ["token", "word", "class", "context", "class"]
    assert [found[unit].lag_s for unit in range(len(PLANTED))] == [0, 0, 0, 1, 0], "in tokens"
    for unit, (_, _, noise) in enumerate(PLANTED):
        there = float((library.values[:, unit][~library.sinks] > 0).mean()) - noise
        assert found[unit].holds and found[unit].judged.precision == pytest.approx(there / (there + noise * (1 - there)), abs=0.06)


def test_units_that_mean_nothing_and_shifted_labels_get_none(library: Library, found: dict[int, Label]) -> None:
    assert not [label for unit, label in found.items() if unit >= len(PLANTED) and label.holds]
    named = name_units(library.firing(), library.ground(), KINDS["text"])
    assert named.held == {"token": 1, "word": 1, "class": 2, "context": 1} and sum(named.shuffled.values()) == 0


def test_figures_equal_plain_loops_and_sinks_count_nowhere(library: Library, found: dict[int, Label]) -> None:
    labels = {unit: UnitLabel(found[unit].kind, found[unit].text, found[unit].lag_s, *(0.0,) * 4, None, 0) for unit in range(len(PLANTED))}
    split = [[library.values[i * N_TOKENS : (i + 1) * N_TOKENS, unit] for i in range(N_TEXTS)] for unit in range(N_UNITS)]
    sinks = [library.sinks[i * N_TOKENS : (i + 1) * N_TOKENS] for i in range(N_TEXTS)]
    true = judged_in_texts(dict(enumerate(split)), library.texts, sinks, library.half.tolist(), labels, None)
    for unit in labels:
        assert (found[unit].judged.precision, found[unit].judged.recall) == pytest.approx(true[unit], abs=1e-9)
    firing = library.firing()
    assert library.sinks.any() and not library.sinks[firing.positions].any()


def told(name: str, printed: list[str]) -> list[str | None]:
    return list(next(mark for n, _, _, mark in TEXT if n == name)(tokens_of(printed)))


def test_what_stands_at_each_position() -> None:
    printed = ["In", " 18", "47", ",", " Hung", "ary", "\u2019", "s", " cont", "ract", ".", "\n", " The", " (", "old", ")", " \U0001f600", "", " end", "!"]
    words = [t.word for t in tokens_of(printed)]
    assert words == ["in", "1847", "1847", "", *["hungary\u2019s"] * 4, "contract", "contract", "", "", "the", "", "old", "", "", "", "end", ""]
    assert told("token", printed)[:5] == ["“In”", "“ 18”", "“47”", "“,”", "“ Hung”"] and told("token", printed)[11] == "“\u21b5”"
    assert told("token", printed)[16:18] == ["“ \U0001f600”", None]
    assert told("mark", printed)[3] == "comma" and told("mark", printed)[10:12] == ["full stop", "line break"] and told("mark", printed)[0] is None
    shape = told("shape", printed)
    assert shape[:6] == ["capitalised word", "number", "number", "punctuation", "capitalised word", "inside or end of a word"] and shape[8] is None
    assert told("function", printed)[0] == "preposition" and told("function", printed)[12] == "article"
    assert told("ending of 3", printed)[9] == "word ending in -act" and told("ending of 3", printed)[8] is None
    assert told("beginning", printed)[8] == "word beginning with con-" and told("beginning", printed)[9] is None
    assert told("token before", printed)[:2] == [None, "after “In”"]
    assert told("token after", printed)[2] == "before “,”" and told("token after", printed)[-1] is None
    assert told("token two before", printed)[3] == "two after “ 18”" and told("mark before", printed)[4] == "after a comma"
    assert told("word before", printed)[8] == "after the word hungary\u2019s" and told("word before", printed)[4] is None
    place = told("place in sentence", printed)
    assert place[12] == "first word of a sentence" and place[9] == "last word of a sentence" and place[18] == "last word of a sentence" and place[8] is None
    assert told("place in line", printed)[:5] == ["beginning of the window"] * 4 + [None] and told("place in line", printed)[12] == "beginning of a line"
    assert told("within", printed)[12:16] == [None, "within brackets", "within brackets", None]


def test_rare_labels_are_left_out_and_nothing_else_changes(library: Library) -> None:
    by_name = {c.name: c for c in library.channels}
    for name, _, _, mark in TEXT:
        labels = [label for text in library.texts for label in mark(tokens_of(text))]
        first = [label for label, side in zip(labels, library.sides, strict=True) if side == 0 and label]
        channel = by_name[name]
        assert set(channel.labels) == {label for label in set(first) if first.count(label) >= 20}
        read = [channel.labels[code] if code >= 0 else None for code in channel.codes]
        assert read == [label if label in channel.labels else None for label in labels]


def test_halves_keep_authors_whole_and_are_about_as_large() -> None:
    random = np.random.default_rng(0)
    names = random.choice([f"author {i}" for i in range(23)], 500, p=np.arange(1, 24) / np.arange(1, 24).sum()).tolist()
    half = balanced_halves(names, [128] * 500)
    assert all(len({int(h) for h, n in zip(half, names, strict=True) if n == name}) == 1 for name in names)
    assert abs(int((half == 0).sum()) - 250) < 30


# -- the whole way, over a toy model with sinks ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A toy Llama whose corpus holds sinks, with the tables of three dictionaries and their labels."""
    settings = text_toy.make_text_shelf(tmp_path_factory.mktemp("labelled"), n_texts=80)
    found = label_layer(settings, text_toy.SAE, 1)
    assert list(found) == list(text_toy.SLUGS)
    return settings


def test_a_corpus_too_small_to_judge_on_is_told_before_the_model_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = text_toy.make_text_shelf(tmp_path, n_texts=12)
    monkeypatch.setattr("earmark.offline.labels.label.harvest", None)
    with pytest.raises(BadInput, match=r"halves have 11 and 12 that can be judged"):
        label_layer(settings, text_toy.SAE, 1)


def test_labels_are_summed_up_by_token_word_class_and_context(shelf: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARMARK_DATA", str(shelf.data))
    held = 0
    for slug in text_toy.SLUGS:
        assert main(["labels", slug, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        labels = Store(shelf).dictionary(slug).labels
        for name in ("held", "shuffled", "random"):
            assert list(told[name]) == ["token", "word", "class", "context"]
        assert told["held"] == {kind: sum(found.kind == kind for found in labels.values()) for kind in told["held"]}
        assert 0 < told["n_eligible"] <= told["n_units"] and sum(told["shuffled"].values()) <= 1
        assert all(0.5 < found.precision <= 1 and found.lift >= 3 for found in labels.values())
        held += len(labels)
    assert held > 5


def test_the_check_agrees_and_names_what_is_wrong(shelf: Settings, tmp_path: Path) -> None:
    for slug in text_toy.SLUGS:
        n, wrong = check_labels(shelf, slug, 0, 1)
        assert n == min(24, len(Store(shelf).dictionary(slug).labels)) and not wrong
    copied = replace(shelf, data=tmp_path / "data")
    shutil.copytree(shelf.data, copied.data)
    d = Store(copied).dictionary(text_toy.SAE)
    rows = d.table("labels").all().to_pylist()
    rows[0]["recall"] = rows[0]["recall"] / 2 + 0.4
    put_table(copied.data / text_toy.SAE, LABELS, rows, {})
    n, wrong = check_labels(copied, text_toy.SAE, 0, 1)
    assert len(wrong) == 1 and wrong[0].startswith(f"unit {rows[0]['unit']}, {rows[0]['label']}: precision and recall are")


def test_labels_are_found_by_what_a_person_types(shelf: Settings) -> None:
    store = Store(shelf)
    unit, named = next((u, x) for u, x in store.dictionary(text_toy.SAE).labels.items() if x.kind in {"token", "word"})
    found = find_labels(store, named.text.strip("“” "))
    assert (text_toy.SAE, unit) in {(f.dictionary, f.unit) for f in found} and found[0].why.startswith("label: ")
