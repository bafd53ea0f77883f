"""Searching everywhere, against plain loops over labels and transcripts: the library, its JSON and the command line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from components.views.finding import find_page
from earmark.__main__ import main
from earmark.api import routes
from earmark.errors import BadInput
from earmark.links import BrowseView, Link
from earmark.settings import Settings
from earmark.shelf.schema import LABELS
from earmark.shelf.store import Store
from earmark.shelf.tables import put_table
from earmark.web.search.find import clips_saying, find, found_json, label_fits
from tests.fixtures import text_shelf
from tests.fixtures.shelf import HOSTILE, LABEL, N_UNITS, NEURONS, RESIDUAL, SAE, TRANSCRIPTS, Shelf, break_table, build_shelf, copy_shelf

SK = LABEL | {"unit": 5, "kind": "phone", "label": "/s k/", "precision": 0.61}
SKY = LABEL | {"unit": 6, "kind": "word", "label": "sky", "precision": 0.93}
SHIP = LABEL | {"unit": 9, "kind": "context", "label": "after /sh/", "precision": 0.99}
SH = LABEL | {"unit": 10, "kind": "phone", "label": "/sh/", "precision": 0.55}
COMMA = LABEL | {"unit": 8, "kind": "token", "label": "“,”", "precision": 0.72}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    made = build_shelf(tmp_path_factory.mktemp("shelf"))
    put_table(made.folder / NEURONS, LABELS, [SK, SKY, COMMA, SHIP, SH], {"labels": {}})
    return made


@pytest.fixture(scope="module")
def store(shelf: Shelf) -> Store:
    return Store(replace(Settings.from_env({}), data=shelf.folder))


def naive_times(shelf: Shelf, slug: str, unit: int, word: str) -> int:
    """How many of a unit's five strongest samples have a word that begins like `word`."""
    order = sorted(range(len(shelf.ids)), key=lambda s: (-float(shelf.traces[slug][s][unit].max()), s))[:5]
    if not shelf.traces[slug][order[0]][unit].any():
        return 0
    return sum(any(w.startswith(word.casefold()) for w in re.findall(r"\w+", TRANSCRIPTS[s].casefold())) for s in order if shelf.traces[slug][s][unit].any())


@pytest.mark.parametrize("word", ["money", "pilot", "größer", "oney", "tone"])
def test_words_find_the_units_whose_strongest_samples_say_them(shelf: Shelf, store: Store, word: str) -> None:
    expected = {(slug, u): naive_times(shelf, slug, u, word) for slug in (SAE, NEURONS, RESIDUAL) for u in range(N_UNITS)}
    found = {(f.dictionary, f.unit): f.times for f in find(store, word) if f.times}
    assert found == {k: n for k, n in expected.items() if n}


def test_labels_come_first_exact_ones_before_all_others(store: Store) -> None:
    found = find(store, "sk")
    assert [(f.dictionary, f.unit) for f in found[:2]] == [(NEURONS, 5), (NEURONS, 6)]
    assert found[0].why == "label: phone /s k/, 61% of its strongest activity"
    first = find(store, "money")[0]
    assert (first.dictionary, first.unit) == (SAE, LABEL["unit"]) and first.why.startswith("label: context before the word “money”, 80%")
    assert first.times == 0 or first.why.endswith(f" · heard in {first.times} of 5")


@pytest.mark.parametrize("text", ["/sh/", "/ʃ/", "ʃ", "SH", "/SH/", "[ʃ]", "/ˈʃː/", "units that like /ʃ/"])
def test_a_sound_is_found_in_labels_alone_itself_before_what_stands_beside_it(store: Store, text: str) -> None:
    found = find(store, text)
    assert [(f.dictionary, f.unit, f.exact, f.times) for f in found] == [(NEURONS, 10, True, 0), (NEURONS, 9, False, 0)]
    assert found[0].why == "label: phone /sh/ (ʃ), 55% of its strongest activity" and found_json(found)[0]["label"] == "/sh/"
    page = find_page(store, Link("find", browse=BrowseView(text)))
    assert page.said == "2 units by label" and not page.n_clips and [p.n_found for p in page.places] == [2]


def test_letters_in_slashes_are_no_letters_of_any_text(store: Store) -> None:
    assert len(find(store, "t")) > 20 and not find(store, "/t/") and not find(store, "/money/") and not clips_saying(store, SAE, "/t/")
    page = find_page(store, Link("find", browse=BrowseView("/t/")))
    assert page.nothing == "No unit's label has /t/. What stands in slashes is looked for in labels alone." and not page.phones
    page = find_page(store, Link("find", browse=BrowseView("/xyz/")))
    assert page.nothing.startswith("“xyz” is no phone. ") and len(page.phones) == 39
    assert ("sh", "ʃ", Link("find", browse=BrowseView("/sh/")).href()) in page.phones


def test_a_number_finds_its_unit_in_every_dictionary(store: Store) -> None:
    found = find(store, "#12")
    assert {(f.dictionary, f.unit) for f in found if f.by_number} == {(slug, 12) for slug in (SAE, NEURONS, RESIDUAL)}
    assert all(f.by_number for f in found[:3]) and found[0].why.startswith("its number")
    assert not [f for f in find(store, str(N_UNITS)) if f.by_number]


def test_a_mark_finds_its_token(store: Store) -> None:
    assert [(f.dictionary, f.unit) for f in find(store, ",")] == [(NEURONS, 8)]
    assert label_fits("the", "“ the”") and label_fits(",", "“,”") and not label_fits(",", "/s k/") and not label_fits("he", "“ the”")


@pytest.mark.parametrize(("text", "n"), [("", 5), ("  ", 5), ("money", 0), ("money", 501)])
def test_what_cannot_be_searched_is_a_sentence(store: Store, text: str, n: int) -> None:
    with pytest.raises(BadInput):
        find(store, text, n)


def test_damaged_tables_leave_the_others_searched(shelf: Shelf, tmp_path: Path) -> None:
    broken = copy_shelf(shelf, tmp_path / "broken")
    break_table(broken.folder, NEURONS)
    found = find(Store(replace(Settings.from_env({}), data=broken.folder)), "money")
    assert {f.dictionary for f in found} == {SAE, RESIDUAL}


def test_the_route_the_command_and_the_library_agree(shelf: Shelf, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EARMARK_DATA", str(shelf.folder))
    expected = found_json(find(store, "money", 7))
    assert {tuple(f) for f in expected} == {("dictionary", "unit", "label", "score", "why")} and len(expected) == 7
    client = TestClient(Starlette(routes=routes(store)))
    assert client.get("/api/find", params={"q": "money", "n": 7}).json() == expected
    assert client.get("/api/find").status_code == 422
    assert main(["search", "money", "--n", "7", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert main(["search", "--label", "sk", "--json"]) == 0
    assert [(f["dictionary"], f["unit"]) for f in json.loads(capsys.readouterr().out)] == [(NEURONS, 6), (NEURONS, 5)]
    assert main(["search"]) == 1


def test_the_page_shows_each_way_apart_and_leads_to_the_rest(store: Store) -> None:
    page = find_page(store, Link("find", browse=BrowseView("money")))
    assert [s.title for s in page.sections] == ["Their label", "Their strongest samples"]
    assert sum(s.n_found for s in page.sections) == page.n_found == sum(p.n_found for p in page.places) == len(find(store, "money"))
    assert page.places[0].href == Link("browse", SAE, browse=BrowseView("money")).href()
    said = [i for i, line in enumerate(TRANSCRIPTS) if any(w.startswith("money") for w in re.findall(r"\w+", line.casefold()))]
    assert page.n_clips == len(said) and {c.transcript for c in page.clips} == {TRANSCRIPTS[i] for i in said}
    assert page.clips[0].href == Link("audio", SAE, sample=f"clip-{min(said, key=lambda i: len(TRANSCRIPTS[i])):02d}").href()
    assert find_page(store, Link("find")).n_found == 0 and find_page(store, Link("find", browse=BrowseView(HOSTILE))).text == HOSTILE


def test_of_texts_the_words_around_the_peak_are_searched(tmp_path: Path) -> None:
    build_shelf(tmp_path)
    texts = text_shelf.add_texts(tmp_path)
    store = Store(replace(Settings.from_env({}), data=tmp_path))
    corpus = store.corpus(text_shelf.CORPUS)
    found = {f.unit: f.times for f in find(store, "money") if f.dictionary == text_shelf.SAE}
    for unit in range(N_UNITS):
        traces = [t[unit] for t in texts.traces[text_shelf.SAE]]
        order = sorted((s for s, t in enumerate(traces) if t.any()), key=lambda s: (-float(traces[s].max()), s))[:5]
        times = 0
        for s in order:
            tokens, at = texts.tokens[s], int(traces[s].argmax())
            near = range(sum(map(len, tokens[:at])) - 60, sum(map(len, tokens[: at + 1])) + 30)
            whole = [m for m in re.finditer(r"\bmoney\b", "".join(tokens)) if m.start() in near and m.end() in near]
            times += bool(whole)
            assert "".join(tokens)[near.start + 60 : near.stop - 30].strip() in corpus.near(s, at)
        assert abs(found.get(unit, 0) - times) <= 1  # a word that is cut at the edge may count or not
    why = {f.unit: f.why for f in find(store, "money") if f.dictionary == text_shelf.SAE}
    assert why[text_shelf.MONEY].endswith(f" · read in {found[text_shelf.MONEY]} of 5") and found[text_shelf.MONEY] >= 4


def test_a_word_said_often_is_looked_for_once_and_a_flood_not_at_all(store: Store) -> None:
    assert find(store, "sk " * 60) == find(store, "sk sk") and find(store, "sk sk")
    with pytest.raises(BadInput, match="has 201 characters; at most 200"):
        find(store, "a" * 201)
