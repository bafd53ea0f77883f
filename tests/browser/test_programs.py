"""The named endpoints, as gradio_client calls them."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.fixtures.shelf import NEURONS, SAE


@pytest.fixture(scope="module")
def client(base: str) -> Client:
    return Client(base, verbose=False, analytics_enabled=False)


def test_only_the_named_endpoints_are_public(client):
    names = {"/unit", "/search", "/compare", "/find_units", "/analyse_audio", "/analyse_text", "/edit"}
    assert set(client.view_api(return_format="dict")["named_endpoints"]) == names


def test_they_say_what_the_routes_say(client, base):
    def ask(path: str):
        with urllib.request.urlopen(base + path) as answer:
            return json.load(answer)

    assert client.predict(SAE, 3, api_name="/unit") == ask(f"/api/unit/{SAE}/3")
    found = client.predict(NEURONS, 3, 1.0, None, True, 5, api_name="/search")
    assert found == ask(f"/api/search/{NEURONS}/3?min=1&absolute=true&n=5")
    assert client.predict(f"{SAE}:3", f"{NEURONS}:5", api_name="/compare") == ask(f"/api/compare/{SAE}:3/{NEURONS}:5")


@pytest.mark.parametrize(
    ("endpoint", "given", "sentence"),
    [
        ("/unit", (SAE, 400), "units 0 to 39"),
        ("/unit", (SAE, "three"), "'index' is 'three', but must be a whole number"),
        ("/unit", (SAE, 1.5), "'index' is 1.5, but must be a whole number"),
        ("/unit", (SAE, {"a": 1}), "'index' is a dict, but must be a whole number"),
        ("/unit", (SAE, True), "must be a whole number"),
        ("/unit", (5, 3), "'dictionary' is 5, but must be a text"),
        ("/search", (SAE, 3, "low", None, False, 5), "'min' is 'low', but must be a finite number, or empty"),
        ("/search", (SAE, 3, None, None, "perhaps", 5), "'absolute' is 'perhaps', but must be true or false"),
        ("/search", (SAE, 3, None, None, False, 10**30), "'n' is 1000000000000000000000000000000, but must be a whole number"),
        ("/compare", ("x", [1]), "'b' is a list, but must be a text"),
        ("/find_units", (None, 5), "'text' is a NoneType, but must be a text"),
        ("/edit", ("x", None, "a text", 5, 0), "x"),
        ("/edit", (f"{SAE}:3=0", None, "a text", [], 0), "'tokens' is a list"),
    ],
)  # fmt: skip
def test_an_error_is_a_sentence(client, endpoint: str, given: tuple, sentence: str):
    with pytest.raises(AppError, match=re.escape(sentence)):
        client.predict(*given, api_name=endpoint)


def test_what_is_left_empty_is_as_usual(client):
    assert client.predict(SAE, 3, None, "", None, None, api_name="/search") == client.predict(SAE, 3, api_name="/search")
    assert client.predict(SAE, 3.0, api_name="/unit") == client.predict(SAE, "3", api_name="/unit")
