"""What those get who hear the page or go by keys: the focus stays, what is new is said, figures say what they show, and nothing moves for who wants rest."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Visitor
from tests.fixtures.shelf import SAE

CARD = f"/?tab=feature&dictionary={SAE}&unit=5"


def focused(page: Page) -> str:
    return page.evaluate("(a => `${a.tagName} ${a.id || a.textContent.trim()}`)(document.activeElement)")


def said(page: Page, words: str) -> None:
    page.wait_for_function("words => document.querySelector('#em-aloud[role=status]')?.textContent.includes(words)", arg=words)


def test_the_focus_is_where_it_was_or_at_the_heading_of_what_is_new(visitor: Visitor) -> None:
    page = visitor.open(f"/?dictionary={SAE}")
    page.focus("#em-sort")
    visitor.does(lambda: page.select_option("#em-sort", "unit"))
    said(page, "First Feature ")
    assert focused(page) == "SELECT em-sort"
    link = page.locator("#em-browse .em-row .em-name").nth(1)
    unit = link.inner_text()
    link.focus()
    visitor.does(lambda: page.keyboard.press("Enter"))
    page.wait_for_function("document.activeElement.tagName === 'H1'")
    assert focused(page).startswith(f"H1 Feature {unit}")
    visitor.does(lambda: page.keyboard.press("ArrowLeft"))
    page.wait_for_function("unit => document.activeElement.textContent.startsWith(`Feature ${unit}`)", arg=str(int(unit) - 1))
    page.locator("a[rel=prev]").focus()
    visitor.does(lambda: page.keyboard.press("Enter"))
    said(page, f"Feature {int(unit) - 2}")
    assert focused(page).startswith("A "), "the link to the unit before keeps it"


def test_the_first_stop_leads_past_the_bar(visitor: Visitor) -> None:
    page = visitor.open(CARD)
    page.keyboard.press("Tab")
    assert focused(page) == "A Skip to content"
    page.keyboard.press("Enter")
    assert focused(page).startswith("H1 Feature 5")


def test_nobody_is_taken_back_to_what_was_left(visitor: Visitor) -> None:
    page = visitor.open(CARD)
    page.focus("#em-max")
    page.mouse.click(5, 300)
    visitor.does(lambda: page.evaluate("window.earmark.go(window.earmark.query.toString(), 'replace')"))
    page.wait_for_timeout(300)
    assert page.evaluate("document.activeElement === document.body")


def test_figures_say_what_they_show(visitor: Visitor) -> None:
    page = visitor.open(f"/?tab=health&dictionary={SAE}")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot[aria-label]').length >= 2")
    told = page.locator(".js-plotly-plot").evaluate_all("all => all.map((p) => [p.getAttribute('role'), p.getAttribute('aria-label')])")
    assert all(role == "figure" and sentence.endswith(".") for role, sentence in told)
    assert "nearest other direction: median" in str(told)
    assert page.locator(".js-plotly-plot .main-svg:not([aria-hidden=true])").count() == 0


STYLES = "[...document.querySelectorAll('*')].map((e) => getComputedStyle(e))"
MOVES = f"{STYLES}.some((s) => parseFloat(s.transitionDuration) || s.animationName !== 'none')"


@pytest.mark.parametrize(("visitor", "moves"), [({"reduced_motion": "reduce"}, False), ({"reduced_motion": "no-preference"}, True)], indirect=["visitor"])
def test_nothing_moves_for_who_wants_rest(visitor: Visitor, moves: bool) -> None:
    page = visitor.open(f"/?dictionary={SAE}")
    assert page.evaluate(MOVES) is moves
