"""Several processes behind one address serve the same links, whichever of them is asked."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Visitor, running
from tests.browser.proxy import in_turns
from tests.fixtures.shelf import CORPUS, NEURONS, SAE, Shelf

LINKS = (
    f"/?dictionary={SAE}&sort=unit&order=asc", f"/?tab=feature&dictionary={SAE}&unit=5", f"/?tab=feature&dictionary={SAE}&unit=5&embed=true",
    f"/?tab=compare&dictionary={SAE}&unit=3", f"/?tab=health&dictionary={SAE}", "/?tab=find&q=money", f"/?tab=list&units={SAE}:1,2",
    f"/f/{SAE}/5", f"/api/unit/{SAE}/5", f"/api/units/{NEURONS}?format=csv", f"/api/search/{SAE}/5?min=1", "/api/find?q=money",
    f"/media/{CORPUS}/clip-02/audio", f"/media/{CORPUS}/clip-02/mel.png", f"/media/unit/{SAE}/5.png",
)  # fmt: skip


@pytest.fixture(scope="module")
def pair(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("pair")
    with (
        running(folder / "a.log", EARMARK_DATA=str(shelf.folder), EARMARK_OFFLINE="1") as a,
        running(folder / "b.log", EARMARK_DATA=str(shelf.folder), EARMARK_OFFLINE="1") as b,
    ):
        yield a, b


def served(address: str) -> tuple[bytes, str | None]:
    """What a link shows, and its ETag: of a page the first view, without the nonce, the address of this one process, and the link to a random unit."""
    with urllib.request.urlopen(address) as answer:
        body, etag = answer.read(), answer.headers["ETag"]
    body = body.replace(f"{urlsplit(address).scheme}://{urlsplit(address).netloc}".encode(), b"")
    if b'<div id="em-first"' in body:
        body = body.split(b'<div id="em-first"')[1].split(b"window.earmark.begin()")[0]
    return re.sub(rb'nonce="[^"]*"|<a [^>]*data-surprise>', b"", body), etag


@pytest.mark.parametrize("link", LINKS)
def test_both_serve_the_same(pair: tuple[str, str], link: str) -> None:
    first, second = (served(address + link) for address in pair)
    assert first == second
    assert len(first[0]) > 100


def test_a_visit_that_every_request_of_goes_to_the_other(pair: tuple[str, str], browser: Browser) -> None:
    ports = tuple(int(address.rsplit(":", 1)[1]) for address in pair)
    with in_turns(ports) as (address, taken):
        visitor = Visitor(browser.new_context(viewport={"width": 1200, "height": 900}).new_page(), address)
        page = visitor.open(f"/?dictionary={SAE}&sort=unit&order=asc")
        visitor.does(page.locator(".em-row:not(.head) .em-name").nth(5).click)
        assert page.locator("#em-feature h1").inner_text() == "Feature 5"
        visitor.does(page.locator("#em-feature a[rel=next]").click)
        visitor.does(page.get_by_role("link", name="Compare", exact=True).click)
        visitor.does(page.go_back)
        assert page.locator("#em-feature h1").inner_text() == "Feature 6"
        page.locator(".em-play").first.click()
        page.wait_for_selector(".em-ex.playing")
        page.context.close()
        assert visitor.problems == []
        assert min(taken.count(0), taken.count(1)) > 10
