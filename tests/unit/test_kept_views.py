"""Views that are kept: the same as drawn anew, never a visitor's own, never older than the tables, within their room."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from components import TABS
from components.bridge import Context, View, view_of
from components.kept import VIEW_BYTES, Drawing, KeptViews, Shown
from earmark.live.desk import Desk
from earmark.settings import Settings
from earmark.shelf.schema import LABELS
from earmark.shelf.store import Store
from earmark.shelf.tables import files_of
from earmark.units import UnitId
from tests.fixtures.shelf import CORPUS, LABEL, NEURONS, SAE, build_shelf, write_rows

LASTING = (
    f"tab=browse&dictionary={SAE}&page=1", f"tab=feature&dictionary={SAE}&unit=5", f"tab=feature&dictionary={SAE}&unit=5&min=0.5",
    f"tab=health&dictionary={SAE}", f"tab=list&units={SAE}:3", "tab=find&q=money", "tab=about", f"tab=compare&dictionary={SAE}",
)  # fmt: skip
PASSING = ("tab=audio", "tab=text", "tab=lab", f"tab=list&units={SAE}:3,4000")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    build_shelf(tmp_path)
    store = Store(replace(Settings.from_env(), data=tmp_path))
    return Context(store, TABS, Desk(store))


def drawn(context: Context, query: str, seed: int = 0) -> View:
    random.seed(seed)  # a page offers some other pair by chance
    return view_of(context, dict(parse_qsl(query)))


class Counted:
    """A tab that counts how often it is drawn."""

    def __init__(self, tab):
        self.NAME, self.TITLE, self.tab, self.n = tab.NAME, tab.TITLE, tab, 0
        if hasattr(tab, "also"):
            self.also = tab.also

    def show(self, context, link):
        self.n += 1
        return self.tab.show(context, link)


@pytest.fixture
def counted(context: Context) -> Iterator[tuple[Context, dict[str, Counted]]]:
    tabs = {tab.NAME: Counted(tab) for tab in TABS}
    yield replace(context, tabs=tuple(tabs.values())), tabs


@pytest.mark.parametrize("query", LASTING)
def test_the_next_is_shown_what_was_drawn_which_is_what_would_be_drawn(counted: tuple[Context, dict[str, Counted]], query: str) -> None:
    context, tabs = counted
    fresh = drawn(replace(context, views=KeptViews()), query)
    for _ in range(3):  # the first may open tables
        again = drawn(context, query)
    n = tabs[fresh.link.tab].n
    assert drawn(context, query, seed=1) == again == fresh
    assert tabs[fresh.link.tab].n == n < 5


@pytest.mark.parametrize("query", PASSING)
def test_what_is_a_visitors_or_may_change_is_drawn_each_time(counted: tuple[Context, dict[str, Counted]], query: str) -> None:
    context, tabs = counted
    for times in range(1, 4):
        view = drawn(context, query)
        assert tabs[view.link.tab].n == times


def test_new_tables_are_shown_at_once(context: Context, tmp_path: Path) -> None:
    query = f"tab=feature&dictionary={SAE}&unit=5"
    for _ in range(2):
        before = drawn(context, query)
    manifest = tmp_path / SAE / "manifest.json"
    changed = json.loads(manifest.read_text()) | {"revision": "feedc0de"}
    manifest.write_text(json.dumps(changed))
    os.utime(manifest, ns=(1, 1))
    after = drawn(context, query)
    assert "feedc0de" in str(after.values) and "feedc0de" not in str(before.values)


def test_what_was_found_of_a_unit_is_shown_at_once(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [None]
    monkeypatch.setattr(context.desk.editing, "effect", lambda unit: found[0])
    query, seen = f"tab=feature&dictionary={SAE}&unit=5", []
    monkeypatch.setattr("components.feature.effect_view", lambda effect, link: seen.append(effect))
    for effect in (None, None, None, "something", "something", None):
        found[0] = effect
        drawn(context, query)
    assert seen[-1] == "something" and seen.count("something") == 1, "what was kept without it is not shown with it, and the other way round"


@pytest.mark.parametrize("waiting", [False, True])
def test_a_pair_over_a_visitors_own_clip_is_theirs(counted: tuple[Context, dict[str, Counted]], waiting: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.views.pair.PairPage.waiting", waiting)
    context, tabs = counted
    query = f"tab=compare&dictionary={SAE}&unit=5&other={NEURONS}&other_unit=3"
    times = []
    for who in (context, context, replace(context, clip="a token"), replace(context, clip="a token"), context, context):
        drawn(who, query)
        times.append(tabs["compare"].n)
    first = times[1]
    assert times[2:] == ([first + n for n in (1, 2, 3, 4)] if waiting else [first + n for n in (1, 2, 2, 2)]), "nor is it kept while the model is asked"


def test_texts_and_figures_come_back_as_they_were() -> None:
    views = KeptViews()
    shown = Shown(("<p>ʃ \ud800 &amp;</p>", None, Drawing('{"data": []}'), ""), "Title · é", lasts=True)
    views.put("key", shown)
    assert views.get("key") == shown and views.get("another") is None


def test_it_keeps_within_its_room_and_its_age() -> None:
    now, dice = [0.0], random.Random(1)
    views = KeptViews(max_bytes=20_000 + 7 * VIEW_BYTES, max_age_s=10, clock=lambda: now[0])
    pages = {n: Shown(("".join(map(chr, dice.choices(range(32, 127), k=3000))),), "", True) for n in range(20)}
    for n, page in pages.items():
        now[0] = n / 10
        views.put(n, page)
    there = [n for n in pages if views.get(n) is not None]
    assert there == list(range(20 - len(there), 20)) and 5 <= len(there) <= 9, "the oldest leave"
    for _ in range(50):
        views.put(19, pages[19])
    assert [n for n in pages if views.get(n) is not None] == there, "what is drawn again takes no more room"
    now[0] = 11.85
    assert [n for n in pages if views.get(n) is not None] == [19] and len(views) == 1, "what is too old is not held, either"
    for n in range(100):
        views.put(f"{n}", Shown(("",), "", True))
    assert len(views) <= 20_000 / VIEW_BYTES + 7, "an empty one takes room, too"


def test_the_corpus_counts_too(context: Context, tmp_path: Path) -> None:
    drawn(context, LASTING[0])
    before = context.store.state()
    assert context.store.state() == before
    os.utime(tmp_path / CORPUS / "manifest.json", ns=(1, 1))
    assert context.store.state() != before


def test_a_corpus_that_nobody_has_listed_counts_too(context: Context, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.toml"
    head, rest = catalog.read_text().split(f"[corpora.{CORPUS}]")
    catalog.write_text(head + rest[rest.index("[dictionaries") :])
    store = Store(replace(Settings.from_env(), data=tmp_path))
    store.card(UnitId(SAE, 5))
    before = store.state()
    os.utime(tmp_path / CORPUS / "manifest.json", ns=(1, 1))
    assert store.state() != before


def test_labels_that_came_without_a_new_dictionary_are_listed(context: Context, tmp_path: Path) -> None:
    """The revision says which weights they are; tables over them may be built again."""
    query = f"tab=browse&dictionary={SAE}&q=fricative"
    assert "before the word money" not in str(drawn(context, query).values)
    folder = tmp_path / SAE
    told = json.loads((folder / "manifest.json").read_text())
    write_rows(folder, LABELS, [LABEL | {"label": "a fricative at last"}])
    (folder / "manifest.json").write_text(json.dumps(told | {"files": files_of(folder, told["files"])}))
    os.utime(folder / "manifest.json", ns=(1, 1))
    assert "a fricative at last" in str(drawn(context, query).values)
