"""Named lists of units: whatever is collected comes back from its address, and what programs get of it."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import replace
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from components.views.collected import list_page
from earmark.api import routes
from earmark.links import Link
from earmark.lists import MAX_NAME, MAX_UNITS, UnitList, parse_list, parse_units
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.fixtures.shelf import N_UNITS, NEURONS, SAE, build_shelf

SLUGS = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
UNITS = st.lists(st.builds(UnitId, SLUGS, st.integers(0, 999_999_999)), max_size=MAX_UNITS, unique=True)


@given(UNITS)
def test_whatever_is_collected_comes_back_in_its_order(units: list[UnitId]) -> None:
    assert parse_units(str(UnitList(units=tuple(units)))) == (tuple(units), ())


@given(st.text(max_size=300))
def test_no_text_is_refused(text: str) -> None:
    units, notices = parse_units(text)
    assert len(units) <= MAX_UNITS
    assert parse_units(str(UnitList(units=units))) == (units, ())
    assert all(len(notice) < 300 for notice in notices)


def test_what_names_no_units_is_told_and_the_rest_is_kept() -> None:
    units, notices = parse_units("d:3,x;e:4;;f;:5;g:-1;d:3,8,")
    assert units == (UnitId("d", 3), UnitId("e", 4), UnitId("d", 8))
    assert [notice.split("'")[1] for notice in notices] == ["d:3,x", "f", ":5", "g:-1"]


def test_limits_are_told() -> None:
    units, notices = parse_units("d:" + ",".join(str(n) for n in range(MAX_UNITS + 7)))
    assert units == tuple(UnitId("d", n) for n in range(MAX_UNITS))
    assert "the 7 behind them were left out" in notices[0]
    assert parse_list({"name": "  a \n b\t" + "x" * 200})[0].name == ("a b " + "x" * 200)[:MAX_NAME]
    assert parse_list({"name": "a\ud800"})[0].name == "a?"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(replace(Settings.from_env({}), data=build_shelf(tmp_path_factory.mktemp("lists") / "shelf").folder))


@pytest.fixture(scope="module")
def client(store: Store) -> TestClient:
    return TestClient(Starlette(routes=routes(store)))


def test_programs_get_the_rows_that_the_whole_tables_have(client: TestClient) -> None:
    picked = [(slug, unit) for slug in (SAE, NEURONS) for unit in range(0, N_UNITS, 7)]
    random.Random(3).shuffle(picked)
    units = str(UnitList(units=tuple(UnitId(*p) for p in picked)))
    whole = {slug: client.get(f"/api/units/{slug}").json() for slug in (SAE, NEURONS)}
    found = client.get("/api/list", params={"name": "Ends", "units": units}).json()
    assert found["name"] == "Ends"
    assert found["units"] == [{"dictionary": slug, **whole[slug][unit]} for slug, unit in picked]
    table = list(csv.DictReader(io.StringIO(client.get(f"/api/list?format=csv&units={quote(units)}").text)))
    assert [(row["dictionary"], int(row["unit"])) for row in table] == picked
    assert [float(row["peak"]) for row in table] == pytest.approx([whole[slug][unit]["peak"] for slug, unit in picked])


@pytest.mark.parametrize(
    ("units", "status", "sentence"),
    [
        (f"{SAE}:{N_UNITS}", 404, f"units 0 to {N_UNITS - 1}; {N_UNITS} is none of them"),
        ("nowhere:3", 404, "nowhere"),
        ("tiny-l3-unbuilt:3", 422, "tiny-l3-unbuilt"),
        ("../../etc:3", 422, "names no units"),
    ],
)
def test_errors_are_sentences(client: TestClient, units: str, status: int, sentence: str) -> None:
    answer = client.get("/api/list", params={"units": units})
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_an_empty_list_is_one(client: TestClient) -> None:
    assert client.get("/api/list").json() == {"name": "", "units": []}
    assert client.get("/api/list?format=csv").text == "dictionary,unit\n"


def test_the_page_shows_what_is_here_and_says_what_is_not(store: Store) -> None:
    link = Link("list", collected=UnitList("Ends", (UnitId(SAE, 3), UnitId("gone", 1), UnitId(NEURONS, 5), UnitId(SAE, 4000))))
    page = list_page(store, link)
    assert [(c.row.dictionary, c.row.unit) for c in page.found] == [(SAE, 3), (NEURONS, 5)]
    assert len(page.missing) == 2
    assert page.missing[0].startswith("gone:1 is not here.")
    rest, notices = Link.parse(dict(parse_qsl(page.found[0].without.removeprefix("/?"))))
    assert notices == ()
    assert rest.collected == UnitList("Ends", link.collected.units[1:])
