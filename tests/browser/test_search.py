"""The search box in the header: from every tab to units of all dictionaries, each with why it was found."""

from __future__ import annotations

import pytest

from tests.fixtures.shelf import HOSTILE, LABEL, NEURONS, SAE


@pytest.mark.parametrize("tab", ["browse", f"feature&dictionary={NEURONS}&unit=3", "audio", "about"])
def test_every_tab_searches(visitor, tab):
    page = visitor.open(f"/?tab={tab}")
    page.fill("#em-find", "money")
    visitor.does(lambda: page.press("#em-find", "Enter"))
    assert visitor.query() == {"tab": "find", "q": "money"}
    first = page.locator("#em-found .em-row").first
    assert first.locator(".em-label").inner_text() == "before the word “money”"
    assert "label: context before the word “money”, 80% of its strongest activity" in first.locator(".em-why").inner_text()
    assert page.locator("#em-found .em-why", has_text="heard in").count() > 3
    visitor.does(first.locator(".em-name").click)
    assert visitor.query()["unit"] == str(LABEL["unit"]) and visitor.query()["dictionary"] == SAE
    visitor.does(page.go_back)
    assert page.input_value("#em-find") == "money" and page.locator("#em-found h1").inner_text() == "“money”"
    visitor.does(page.go_back)
    assert visitor.query()["tab"] == tab.split("&")[0] and page.input_value("#em-find") == ""


def test_the_slash_reaches_the_box_and_nothing_found_is_a_sentence(visitor):
    page = visitor.open("/?tab=about")
    page.keyboard.press("/")
    page.keyboard.type(HOSTILE)
    visitor.does(lambda: page.keyboard.press("Enter"))
    assert page.locator("#em-found h1").inner_text() == f"“{HOSTILE}”" and page.evaluate("window.hacked") is None
    visitor.open("/?tab=find&q=xyzzy")
    assert "Nothing answers to “xyzzy”" in page.locator("#em-found .em-state").inner_text()


@pytest.mark.parametrize("visitor", [{"viewport": {"width": 360, "height": 720}}], indirect=True)
def test_on_a_phone_the_box_opens_over_the_bar(visitor):
    page = visitor.open("/?tab=about")
    page.click("#em-find")
    assert page.locator("#em-find").bounding_box()["width"] > 300
    page.fill("#em-find", "12")
    visitor.does(lambda: page.press("#em-find", "Enter"))
    assert page.locator("#em-found .em-name").first.inner_text() == "12"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_list_keeps_units_named_by_phone_or_word(visitor):
    page = visitor.open(f"/?tab=browse&dictionary={SAE}")
    visitor.does(lambda: page.select_option("#em-named", "1"))
    assert page.locator("#em-browse .em-row:not(.head)").count() == 1
    visitor.does(lambda: page.select_option("#em-named", "word"))
    assert visitor.query()["named"] == "word" and page.locator("#em-browse .em-row:not(.head)").count() == 0
