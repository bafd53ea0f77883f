"""What a visitor sees before Gradio's scripts are there, and that nothing of it is lost when they take it over."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Visitor, running
from tests.fixtures.shelf import NEURONS, SAE

CARD = f"/?tab=feature&dictionary={SAE}&unit=5"


def held(visitor: Visitor, path: str) -> Callable[[], None]:
    """Open a page whose scripts of Gradio do not arrive until the result is called."""
    routes = []
    visitor.page.route("**/assets/index-*.js", lambda route: routes.append(route))
    visitor.page.goto(visitor.base + path, wait_until="commit")
    visitor.page.wait_for_selector("#em-first")

    def release() -> None:
        for route in routes:
            route.continue_()
        visitor.page.wait_for_function("window.earmark.views > 0")

    return release


def test_the_card_is_there_plays_and_stays_the_same_when_gradio_takes_it_over(visitor):
    release = held(visitor, CARD + "&min=0.5")
    page = visitor.page
    assert page.locator("#em-feature h1").inner_text() == "Feature 5" and page.locator("#em-feature .em-ex").first.is_visible()
    assert page.title().startswith("Feature 5") and visitor.query()["rev"] == "0badcafe"
    assert page.locator("[data-tab=feature]").get_attribute("aria-current") == "page"
    page.evaluate("""() => {
      window.node = document.querySelector("#em-feature .em-ex");
      window.pauses = 0;
      const audio = window.node.querySelector("audio");
      audio.loop = true;
      audio.addEventListener("pause", () => { window.pauses += 1; });
    }""")
    page.locator("#em-feature .em-play").first.click()
    page.wait_for_function("!node.querySelector('audio').paused && node.querySelector('audio').readyState > 2")
    page.fill("#em-max", "7.5")
    release()
    assert page.evaluate("window.node === document.querySelector('gradio-app #em-feature .em-ex')")
    assert page.evaluate("!node.querySelector('audio').paused && pauses === 0 && node.classList.contains('playing')")
    assert page.input_value("#em-max") == "7.5" and page.evaluate("document.activeElement.id") == "em-max"
    assert page.locator("#em-first").count() == 0 and page.locator("#em-feature h1").count() == 1
    visitor.does(lambda: page.press("#em-max", "Enter"))
    assert visitor.query()["max"] == "7.5" and visitor.query()["min"] == "0.5"


SHOWN = """() => {
  const page = [...document.querySelectorAll(".em-page")].find((e) => e.checkVisibility());
  return {
    text: page.closest(".html-container").textContent + document.querySelector("#em-notice").textContent.trim(),
    places: [...page.querySelectorAll("h1, h2, form, .em-ex, .em-row")].slice(0, 6).map((e) => e.getBoundingClientRect().top),
  };
}"""


@pytest.mark.parametrize("path", [CARD, f"/?tab=feature&dictionary={NEURONS}&unit=3&max=2", "/?q=money", "/?tab=about", "/?dictionary=none<b>"])
def test_it_is_what_gradio_draws(visitor, path):
    release = held(visitor, path)
    first = visitor.page.evaluate(SHOWN)
    release()
    visitor.page.unroute("**/assets/index-*.js")
    visitor.open("/?tab=audio")
    visitor.does(lambda: visitor.page.evaluate("query => window.earmark.go(query)", path[2:].replace("<", "%3C")))
    drawn = visitor.page.evaluate(SHOWN)
    assert drawn["text"] == first["text"] and len(first["text"]) > 500
    assert drawn["places"] == pytest.approx(first["places"], abs=1)


def test_a_link_leads_on_before_gradio_is_there(visitor):
    held(visitor, CARD)
    visitor.page.locator("a[rel=next]").click()
    visitor.page.wait_for_function("document.querySelector('#em-feature h1')?.innerText === 'Feature 6'")
    visitor.page.go_back(wait_until="commit")
    visitor.page.wait_for_function("document.querySelector('#em-feature h1')?.innerText === 'Feature 5'")


def test_what_is_typed_before_gradio_is_there_is_searched_for_then(visitor):
    release = held(visitor, "/")
    visitor.page.locator("#em-q").press_sequentially("pilot")
    visitor.page.wait_for_timeout(400)
    release()
    visitor.page.wait_for_function("new URLSearchParams(location.search).get('q') === 'pilot'")
    visitor.page.wait_for_function("document.querySelector('.em-count').innerText.includes('pilot')")
    assert visitor.page.input_value("#em-q") == "pilot"


@pytest.mark.parametrize("visitor", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_the_card_can_still_be_read(visitor):
    visitor.page.goto(visitor.base + CARD)
    assert visitor.page.locator("#em-feature h1").inner_text() == "Feature 5"
    visitor.page.locator("a[rel=next]").click()
    assert visitor.page.locator("#em-feature h1").inner_text() == "Feature 6"


@pytest.mark.parametrize("value", ["%22%3E%3Cimg%20src=x%20onerror=window.hacked=1%3E", "%3C/div%3E%3Cscript%3Ewindow.hacked=1%3C/script%3E", "%ff%fe%00"])
@pytest.mark.parametrize("name", ["dictionary", "q", "unit", "at", "sample", "tab"])
def test_nothing_in_an_address_runs(visitor, name, value):
    visitor.page.goto(f"{visitor.base}/?{name}={value}")
    assert visitor.page.evaluate("window.hacked") is None and visitor.page.locator("img[src=x]").count() == 0


def test_a_random_unit_is_the_same_before_and_after(visitor):
    release = held(visitor, f"/?tab=feature&dictionary={SAE}")
    title = visitor.page.locator("#em-feature h1").inner_text()
    release()
    assert visitor.page.locator("#em-feature h1").inner_text() == title == f"Feature {visitor.query()['unit']}"
    assert visitor.page.evaluate("document.querySelector('.em-unit').dataset.unit") == visitor.query()["unit"]


def test_a_notice_is_there_at_once_stays_and_leaves_with_the_next_view(visitor):
    release = held(visitor, f"/?dictionary={SAE}&unit=4000")
    assert "4000 is none of them" in visitor.page.locator("#em-notice").inner_text()
    release()
    assert "4000 is none of them" in visitor.page.locator("#em-notice").inner_text()
    visitor.does(visitor.page.locator("a[rel=prev]").click)
    assert visitor.page.locator("#em-notice").inner_text().strip() == ""


@pytest.mark.parametrize(("catalog", "sentence"), [("default = [", "catalog.toml cannot be read"), (None, "There is no catalog.toml")])
def test_without_a_catalog_the_page_says_so(browser: Browser, tmp_path: Path, catalog: str | None, sentence: str) -> None:
    if catalog is not None:
        (tmp_path / "catalog.toml").write_text(catalog)
    with running(tmp_path / "log", EARMARK_DATA=str(tmp_path), EARMARK_OFFLINE="1") as base:
        visitor = Visitor(browser.new_context().new_page(), base)
        visitor.page.goto(base)
        assert sentence in visitor.page.get_by_role("alert").inner_text()
        with pytest.raises(urllib.error.HTTPError) as answer:
            urllib.request.urlopen(base + "/api/unit/d/3")
        assert answer.value.code == 503
        assert sentence in json.load(answer.value)["error"]
        answer.value.close()
        visitor.page.context.close()
    assert visitor.problems == []
    assert sentence in (tmp_path / "log").read_text()


@pytest.mark.parametrize("words", ["page=2", "page=settings&deep_link=x", "deep_link=../x"])
def test_a_word_that_gradio_has_for_itself_is_a_word_like_others(base: str, words: str) -> None:
    address = f"{base}/?dictionary={NEURONS}&{words}"
    with urllib.request.urlopen(address) as answer:
        assert b'id="em-browse"' in answer.read()
    with urllib.request.urlopen(urllib.request.Request(address, method="HEAD")) as answer:
        assert answer.status == 200
