"""Somebody who comes for the first time: three steps that are ticked or dismissed, and units that explain themselves when they are pointed at."""

from __future__ import annotations

from tests.browser.axe import findings
from tests.browser.conftest import Visitor
from tests.fixtures.shelf import NEURONS, SAE


def ticked(visitor: Visitor) -> list[str]:
    return visitor.page.locator(".em-tour li.done").evaluate_all("all => all.map((li) => li.dataset.step)")


def test_three_steps_are_ticked_as_they_are_taken(visitor: Visitor) -> None:
    page = visitor.open(f"/?dictionary={SAE}")
    steps = page.get_by_label("Three steps to begin with")
    assert steps.is_visible()
    assert ticked(visitor) == []
    page.locator(".em-try .em-montage").click()
    assert ticked(visitor) == ["hear"]
    visitor.does(steps.get_by_role("link", name="Open its card.").click)
    assert page.locator("#em-feature h1").inner_text().startswith("Feature")
    visitor.does(page.go_back)
    assert ticked(visitor) == ["hear", "card"]
    visitor.does(steps.get_by_role("link", name="a sound").click)
    assert visitor.query()["tab"] == "audio"
    visitor.open(f"/?dictionary={SAE}")
    assert not page.locator(".em-tour").is_visible(), "all three were taken"


def test_the_steps_can_be_dismissed_for_good(visitor: Visitor) -> None:
    page = visitor.open("/")
    page.get_by_role("button", name="Dismiss").click()
    assert not page.locator(".em-tour").is_visible()
    visitor.open("/")
    assert not page.locator(".em-tour").is_visible()
    assert page.locator(".em-hero h1").is_visible()


def test_a_unit_that_is_pointed_at_shows_its_preview(visitor: Visitor, base: str) -> None:
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit=5")
    link = page.locator(".em-near a[href*='tab=feature']").first
    link.hover()
    box = page.locator("#em-hover")
    box.wait_for(state="visible")
    picture = box.locator("img").get_attribute("src") or ""
    assert picture.startswith(f"/media/unit/{NEURONS}/")
    assert picture.endswith(f"{link.get_attribute('href').split('unit=')[1].split('&')[0]}.png")
    assert box.locator("img").evaluate("image => image.naturalWidth") == 1200
    place = box.bounding_box()
    assert place["x"] >= 0 and place["x"] + place["width"] <= 1200 and place["y"] >= 0
    box.hover()
    page.wait_for_timeout(300)
    assert box.is_visible(), "one may point at the preview itself"
    page.keyboard.press("Escape")
    assert not box.is_visible()


def test_a_preview_is_there_for_the_keyboard_and_leaves_with_the_focus(visitor: Visitor) -> None:
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit=5")
    page.locator(".em-near a[href*='tab=feature']").first.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    page.locator("#em-hover").wait_for(state="visible")
    page.locator(".em-turn a").first.focus()
    page.wait_for_timeout(500)
    assert not page.locator("#em-hover").is_visible(), "the next unit's link is no explanation of another"


def test_every_figure_of_a_card_has_its_definition(visitor: Visitor) -> None:
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit=5")
    shown = [name.replace("Mean", "Mean, median, 90 %") for name in page.locator(".em-facts dt").all_inner_texts() if name != "Median"]
    page.locator(".em-told summary").click()
    told = page.locator(".em-told dt").all_inner_texts()
    assert set(shown) <= set(told)
    assert {"Histogram", "Best-correlated elsewhere", "Nearest directions"} <= set(told)
    assert ("Label" in told) is (page.locator(".em-title .em-label:not(.none)").count() > 0)
    assert findings(page) == []
