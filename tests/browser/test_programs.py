"""The named endpoints, as gradio_client calls them."""

from __future__ import annotations

import json
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


def test_an_error_is_a_sentence(client):
    with pytest.raises(AppError, match="units 0 to 39"):
        client.predict(SAE, 400, api_name="/unit")
