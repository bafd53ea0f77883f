"""A named list: collected card by card, kept in an address, shared, taken over by somebody else, and downloaded."""

from __future__ import annotations

import csv
import io

import pytest
from playwright.sync_api import Browser

from tests.browser.axe import findings
from tests.browser.conftest import Visitor
from tests.fixtures.shelf import NEURONS, SAE


def card(dictionary: str, unit: int) -> str:
    return f"/?tab=feature&dictionary={dictionary}&unit={unit}"


def collect(visitor: Visitor, dictionary: str, unit: int) -> None:
    visitor.open(card(dictionary, unit)).get_by_role("button", name="Add to list").click()


def rows(page) -> list[str]:
    return page.locator("#em-list .em-name").evaluate_all("names => names.map((a) => a.getAttribute('aria-label'))")


def test_collected_named_shared_and_taken_over(visitor: Visitor, browser: Browser) -> None:
    for dictionary, unit in ((SAE, 3), (NEURONS, 5), (SAE, 7)):
        collect(visitor, dictionary, unit)
    page = visitor.page
    assert page.get_by_role("button", name="In the list").get_attribute("aria-pressed") == "true"
    visitor.does(page.get_by_role("link", name="List 3").click)
    assert visitor.query() == {"tab": "list", "units": f"{SAE}:3;{NEURONS}:5;{SAE}:7"}
    assert [name.split(",")[0] for name in rows(page)] == ["Feature 3", "Neuron 5", "Feature 7"]
    page.get_by_label("Name").fill("Ends & <b>")
    visitor.does(lambda: page.get_by_role("button", name="Rename").click())
    assert page.locator("#em-list h1").inner_text() == "Ends & <b>"
    assert page.title() == "Ends & <b> · Earmark"
    visitor.does(page.get_by_label("Take neuron 5 out of the list").click)
    assert visitor.query()["units"] == f"{SAE}:3,7"
    assert page.get_by_role("link", name="List 2").get_attribute("aria-current") == "page"
    collect(visitor, NEURONS, 9)
    visitor.does(page.get_by_role("link", name="List 3").click)
    assert visitor.query() == {"tab": "list", "name": "Ends & <b>", "units": f"{SAE}:3,7;{NEURONS}:9"}

    with page.expect_download() as started:
        page.get_by_role("link", name="CSV").click()
    table = list(csv.DictReader(io.StringIO(started.value.path().read_text())))
    assert [(row["dictionary"], row["unit"]) for row in table] == [(SAE, "3"), (SAE, "7"), (NEURONS, "9")]

    friend = Visitor(browser.new_context(viewport={"width": 1200, "height": 900}).new_page(), visitor.base)
    shared = friend.open(page.url.removeprefix(visitor.base))
    assert len(rows(shared)) == 3
    assert not shared.get_by_role("link", name="List 3").is_visible(), "looking at a list makes it nobody's own"
    shared.get_by_role("button", name="Go on collecting in this list").click()
    collect(friend, SAE, 11)
    friend.does(shared.get_by_role("link", name="List 4").click)
    assert friend.query()["units"] == f"{SAE}:3,7;{NEURONS}:9;{SAE}:11"
    assert friend.problems == []
    shared.context.close()


def test_a_list_that_is_looked_at_leaves_ones_own_alone(visitor: Visitor) -> None:
    collect(visitor, SAE, 3)
    page = visitor.open(f"/?tab=list&name=Theirs&units={SAE}:1,2;gone:4")
    assert "gone:4 is not here" in page.locator("#em-list").inner_text()
    visitor.does(page.get_by_label("Take feature 1 out of the list").click)
    assert visitor.query()["units"] == f"{SAE}:2;gone:4"
    visitor.does(page.get_by_role("link", name="List 1").click)
    assert visitor.query() == {"tab": "list", "units": f"{SAE}:3"}
    visitor.does(page.get_by_label("Take feature 3 out of the list").click)
    assert "Nothing has been collected yet" in page.locator("#em-list").inner_text()
    assert not page.locator("[data-list]").is_visible()


@pytest.mark.parametrize("visitor", [{"viewport": {"width": 360, "height": 740}, "color_scheme": scheme} for scheme in ("light", "dark")], indirect=True)
def test_on_a_phone_and_for_those_who_see_little(visitor: Visitor) -> None:
    collect(visitor, SAE, 3)
    page = visitor.open(f"/?tab=list&name=Theirs&units={SAE}:1,2;{NEURONS}:4")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert findings(page) == []
    visitor.open(card(SAE, 3))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert findings(page) == []
