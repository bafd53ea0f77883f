"""Whatever an address or a request says: every tab answers, nothing of it runs as markup, and no file but the shelf's is served."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from components import TABS
from components.bridge import Context, View, view_of
from earmark import links
from earmark.api import routes
from earmark.live.desk import Desk
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.web.own import own_routes
from tests.fixtures.shelf import CORPUS, NEURONS, RESIDUAL, SAE, build_shelf

N_EXAMPLES = int(os.environ.get("EARMARK_FUZZ", "300"))
"""of each property; `make fuzz` runs many more"""
MARK = "<script>window.hacked=1</script>"
NAMES = (
    "tab", "dictionary", "unit", "other", "other_unit", "min", "max", "absolute", "q", "sort", "order", "dmin", "dmax", "dead", "named", "page", "sample",
    "rev", "at", "to", "view", "text", "words", "in", "by", "edits", "name", "units", "__theme", "embed", "n", "format", "download", "lab", "run",
)  # fmt: skip
NASTY = (
    "", " ", "0", "-1", "5", "39", "40", "1e400", "nan", "inf", "-inf", "9" * 5000, "0x10", "١٢", "1_000", "%00", "\0", "../../etc/passwd", "..%2f..",
    "a" * 20_000, "\ud800", "\u202e", "'\"><img src=x onerror=1>", MARK, "{{ 7*7 }}", "${7*7}", "%s%n", "clip-02", f"{SAE}:3", f"{SAE}:3,7;{NEURONS}:5",
    "3=0,4=2@1..3", "region", "moment", "true", "json", "csv", "asc", "only", "stack", SAE, NEURONS, RESIDUAL, "tiny-l3-unbuilt", CORPUS, *links.TABS,
)  # fmt: skip
VALUES = st.one_of(st.sampled_from(NASTY), st.text(max_size=60), st.integers().map(str), st.floats().map(str))
QUERIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)
WITHIN = settings(max_examples=N_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(replace(Settings.from_env({}), data=build_shelf(tmp_path_factory.mktemp("hostile") / "shelf").folder, offline=True))


@pytest.fixture(scope="module")
def context(store: Store) -> Context:
    return Context(store, TABS, Desk(store))


@pytest.fixture(scope="module")
def client(store: Store) -> TestClient:
    return TestClient(Starlette(routes=[*own_routes(Desk(store)), *routes(store)]))


def html_of(view: View) -> str:
    return view.problem + view.notices + "".join(value for value in view.values if isinstance(value, str))


@WITHIN
@given(query=QUERIES)
def test_every_address_shows_something(context: Context, query: dict[str, str]) -> None:
    view = view_of(context, query)
    shown = html_of(view)
    assert view.title
    assert MARK not in shown
    assert "onerror=1>" not in shown
    answer = json.loads(view.answer(0))
    again, notices = links.Link.parse(dict(parse_qsl(answer["query"], keep_blank_values=True)))
    assert (again.query(), notices) == (answer["query"], ()), "the address that is written back is understood as it was meant"


@WITHIN
@given(parts=st.lists(VALUES, min_size=1, max_size=4), query=QUERIES, room=st.sampled_from(("api/unit", "api/search", "api/units", "api/compare", "api/montage",
       "api/health", "api/words", "api/find", "api/list", "api", "media", "media/unit", f"media/{CORPUS}", "f", "own", "model")))  # fmt: skip
def test_every_route_answers_in_a_sentence(client: TestClient, parts: list[str], query: dict[str, str], room: str) -> None:
    clean = [part.encode("utf-8", "replace").decode()[:2000] for part in parts]
    path = "/".join(("", room, *(quote(part, safe="") for part in clean)))
    answer = client.get(path, params={k: v.encode("utf-8", "replace").decode()[:2000] for k, v in query.items()})
    assert answer.status_code in {200, 304, 404, 416, 422}
    if answer.headers["content-type"].startswith("application/json") and answer.status_code != 200:
        assert len(answer.json()["error"]) > 10
    assert b"root:" not in answer.content
