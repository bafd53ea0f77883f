"""Worked examples: units that the catalog names, on the first page, as text whatever the catalog says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.card import render
from components.views.listing import browse_page
from components.views.unit import feature_page
from components.views.worked import worked_examples
from earmark.errors import BadInput
from earmark.links import BrowseView, Link
from earmark.settings import Settings
from earmark.shelf.catalog import Suggestion, read_catalog
from earmark.shelf.store import Store
from tests.fixtures import text_shelf
from tests.fixtures.shelf import N_UNITS, SAE, build_shelf

PICKED = f"""suggested = "Picked by hand & ear."
suggestions = [
    {{ unit = 3, note = "Before <b>money</b>." }},
    {{ unit = 12, note = "Nobody knows.", unclear = true }},
    {{ unit = {N_UNITS}, note = "There is no such unit." }},
]
"""


def write_after(folder: Path, after: str, more: str) -> None:
    path = folder / "catalog.toml"
    text = path.read_text(encoding="utf-8")
    assert text.count(after) == 1
    path.write_text(text.replace(after, after + more), encoding="utf-8")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    build_shelf(tmp_path)
    text_shelf.add_texts(tmp_path)
    write_after(tmp_path, f'folder = "{text_shelf.SAE}"\n', f'suggestions = [{{ unit = {text_shelf.MONEY}, note = "Money." }}]\n')
    write_after(tmp_path, f'folder = "{SAE}"\n', PICKED)
    return Store(replace(Settings.from_env({}), data=tmp_path))


def test_the_first_page_shows_them(store: Store) -> None:
    found = worked_examples(store, Link("browse", SAE))
    assert [(w.row.unit, w.note, w.unclear) for w in found] == [(3, "Before <b>money</b>.", False), (12, "Nobody knows.", True)]
    assert found[0].row.label == "before the word “money”"
    for link in (Link("browse", SAE, browse=BrowseView("money")), Link("browse", SAE, browse=BrowseView(page=2)), Link("browse", "tiny-l2-neurons")):
        assert worked_examples(store, link) == ()


def test_what_the_catalog_says_shows_as_text(store: Store) -> None:
    link = Link("browse", SAE)
    html = render("browse.html", page=replace(browse_page(store, link), worked=worked_examples(store, link)))
    assert "Before &lt;b&gt;money&lt;/b&gt;." in html and "<b>money</b>" not in html and "Picked by hand &amp; ear." in html
    assert 'class="em-label none">unclear<' in html and f'href="{Link("feature", SAE, 12).href()}"'.replace("&", "&amp;") in html
    card = render("feature.html", page=feature_page(store, Link("feature", SAE, 12)))
    assert "Nobody knows." in card and "Nobody knows." not in render("feature.html", page=feature_page(store, Link("feature", SAE, 13)))


def test_a_text_units_example_shows_what_it_reads(store: Store) -> None:
    link = Link("browse", text_shelf.SAE)
    (found,) = worked_examples(store, link)
    assert found.row.is_text and found.row.lines
    assert "Money." in render("browse.html", page=replace(browse_page(store, link), worked=(found,)))


def test_a_suggestion_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    build_shelf(tmp_path)
    path = tmp_path / "catalog.toml"
    path.write_text(path.read_text() + '[dictionaries.x]\nmodel = "tiny"\nkind = "neurons"\nsite = "neurons"\nlayer = 2\nsuggestions = [{ number = 3 }]\n')
    with pytest.raises(BadInput, match=r"suggestions of dictionaries\.x must be a list of \{ unit, note, unclear \}"):
        read_catalog(tmp_path).dictionary("x")
    assert Suggestion(3).unclear is False
