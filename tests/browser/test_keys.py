"""The page without a mouse: arrows, space, search, the list of keys; and that none of them acts while something is typed."""

from __future__ import annotations

import pytest

from tests.browser.conftest import Visitor
from tests.fixtures.shelf import NEURONS, SAE

CARD = f"/?tab=feature&dictionary={SAE}&unit=5"
FOCUSED = "[...document.querySelectorAll(SELECTOR)].filter((e) => e.checkVisibility()).indexOf(document.activeElement)"


def focused(visitor: Visitor, selector: str) -> int:
    """The place of the focused one among those of a kind that are shown; -1 for none."""
    return visitor.page.evaluate(FOCUSED.replace("SELECTOR", repr(selector)))


def press(visitor: Visitor, *keys: str) -> None:
    for key in keys:
        visitor.page.keyboard.press(key)


def test_arrows_go_through_examples_and_space_plays_the_one_that_is_chosen(visitor: Visitor) -> None:
    page = visitor.open(CARD)
    press(visitor, "ArrowDown")
    assert focused(visitor, "#em-feature .em-ex") == 0
    press(visitor, "ArrowDown", "ArrowDown", "ArrowUp")
    assert focused(visitor, "#em-feature .em-ex") == 1
    assert page.evaluate("(() => { const b = document.activeElement.getBoundingClientRect(); return b.bottom > 0 && b.top < innerHeight })()")
    press(visitor, " ")
    page.wait_for_function("document.activeElement.matches('.em-ex.playing')")
    press(visitor, "ArrowDown", " ")
    page.wait_for_function("document.activeElement.matches('.em-ex.playing') && document.querySelectorAll('.em-ex.playing').length === 1")
    assert focused(visitor, "#em-feature .em-ex") == 2
    press(visitor, " ")
    page.wait_for_function("!document.querySelector('.em-ex.playing')")


def test_at_the_ends_of_the_examples_the_page_scrolls_on(visitor: Visitor) -> None:
    page = visitor.open(CARD)
    press(visitor, "ArrowUp")
    assert focused(visitor, "#em-feature .em-ex") == -1
    n_shown = page.locator("#em-feature .em-ex:visible").count()
    press(visitor, *["ArrowDown"] * (n_shown + 3))
    assert focused(visitor, "#em-feature .em-ex") == n_shown - 1
    page.wait_for_function("scrollY + innerHeight > document.querySelector('#em-feature .em-legend').getBoundingClientRect().top + scrollY")
    press(visitor, "Escape")
    assert page.evaluate("document.activeElement === document.body")


def test_arrows_go_through_a_list_of_units_and_its_pages(visitor: Visitor) -> None:
    page = visitor.open(f"/?dictionary={SAE}&sort=unit&order=asc")
    names = "#em-browse .em-row:not(.head) .em-name"
    press(visitor, "ArrowDown", "ArrowDown", "ArrowDown")
    assert focused(visitor, names) == 2
    press(visitor, " ")
    page.wait_for_function("document.activeElement.closest('.em-row').querySelector('.em-montage.playing')")
    press(visitor, "ArrowUp")
    number = page.evaluate("document.activeElement.innerText")
    visitor.does(lambda: press(visitor, "Enter"))
    assert visitor.query()["unit"] == number == "1"
    visitor.does(page.go_back)
    visitor.does(lambda: press(visitor, "ArrowRight"))
    assert visitor.query()["page"] == "2"
    visitor.does(lambda: press(visitor, "ArrowLeft"))
    assert visitor.query().get("page", "1") == "1"


@pytest.mark.parametrize("path", ["/", CARD, "/?tab=about"])
def test_slash_searches(visitor: Visitor, path: str) -> None:
    page = visitor.open(path)
    press(visitor, "/")
    assert page.evaluate("document.activeElement.type") == "search"
    press(visitor, "/", "?", " ", "ArrowDown")
    assert page.evaluate("document.activeElement.value") == "/? "
    assert page.locator("#em-keys[open]").count() == 0


def test_a_question_mark_lists_the_keys_and_escape_closes_the_list(visitor: Visitor) -> None:
    page = visitor.open(CARD)
    press(visitor, "?")
    keys = page.get_by_role("dialog", name="Keys")
    assert keys.is_visible()
    told = keys.locator("dl kbd").all_inner_texts()
    assert told == ["↓", "↑", "→", "←", "space", "enter", "/", "?", "esc"]
    press(visitor, "ArrowRight", "ArrowDown", "/")
    assert visitor.query()["unit"] == "5"
    assert keys.is_visible()
    press(visitor, "Escape")
    keys.wait_for(state="hidden")
    page.wait_for_function("!document.activeElement.closest('dialog')")
    visitor.does(lambda: press(visitor, "ArrowRight"))
    assert visitor.query()["unit"] == "6"


def test_the_keys_can_be_turned_off_and_stay_so(visitor: Visitor) -> None:
    page = visitor.open("/?tab=about")
    page.get_by_role("button", name="Show all keys").click()
    page.get_by_label("These keys work").uncheck()
    page.get_by_role("button", name="Close").click()
    visitor.open(CARD)
    press(visitor, "ArrowRight", "ArrowDown", "/")
    page.wait_for_timeout(200)
    assert visitor.query()["unit"] == "5"
    assert page.evaluate("document.activeElement === document.body")
    press(visitor, "?")
    assert not page.get_by_label("These keys work").is_checked()
    page.get_by_label("These keys work").check()
    press(visitor, "Escape")
    page.wait_for_function("!document.querySelector('#em-keys').open && document.activeElement === document.body")
    press(visitor, "/")
    assert page.evaluate("document.activeElement.type") == "search"


def test_what_is_typed_pressed_or_held_with_another_key_does_nothing_here(visitor: Visitor) -> None:
    page = visitor.open(f"/?tab=feature&dictionary={NEURONS}&unit=9")
    page.focus("#em-min")
    press(visitor, "1", "ArrowLeft", "/", "?", " ")
    assert page.input_value("#em-min") == "/? 1"
    page.locator(".em-play").first.focus()
    press(visitor, " ")
    page.wait_for_selector(".em-ex.playing")
    page.evaluate("document.activeElement.blur()")
    press(visitor, "Control+ArrowRight", "Alt+ArrowDown", "Shift+ArrowRight")
    page.wait_for_timeout(200)
    assert visitor.query()["unit"] == "9"
    assert page.evaluate("document.activeElement === document.body")
