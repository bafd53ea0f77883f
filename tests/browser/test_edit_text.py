"""Edits on the tab Text in a real browser, on a toy Llama: sliders, stretches, runs, what comes next, going on, Stop, links and Back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from components import prose
from earmark.edits import parse_edits
from earmark.errors import Stopped
from earmark.live.editing import continuation, text
from earmark.models.llama import Llama
from tests.browser.axe import findings
from tests.browser.conftest import Visitor
from tests.browser.inside import Inside, page_inside
from tests.fixtures.text_house import SINK, make_text_house
from tests.fixtures.text_shelf import NEURONS, SAE

SENTENCE = f"the cat sat on {SINK} the mat: no money"
ADDRESS = "/?tab=text&dictionary=" + SAE + "&text=the+cat+sat+on+X+the+mat%3A+no+money"
WAIT_MS = 60_000
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 1, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    folder = tmp_path_factory.mktemp("edit-text")
    with page_inside(make_text_house(folder / "house"), folder / "uploads", Llama) as inside:
        yield inside


@pytest.fixture
def base(app) -> str:
    """In place of the session's page, for `visitor`."""
    return app.base


def opened(visitor: Visitor, more: str = "") -> Page:
    """The tab with the sentence, read."""
    page = visitor.open(ADDRESS + more)
    page.wait_for_selector("#em-text-hits article.em-hit", timeout=WAIT_MS)
    page.wait_for_selector(".em-reader [tabindex='0']")
    return page


def edits(visitor: Visitor) -> str:
    return visitor.query().get("edits", "")


def run(page: Page) -> None:
    page.click("#em-text-edits [data-edit-run]")
    page.wait_for_selector("#em-text-edits [data-edited]", timeout=WAIT_MS)


def found(app: Inside, written: str) -> dict[str, Any]:
    """What the engine gives by itself."""
    return text.edit_text(app.desk.runtime(), app.desk.store, parse_edits(written, SAE), SENTENCE).json()


# -- the list ---------------------------------------------------------------------------------------------------------------


def test_slide_run_read_share_and_back(visitor: Visitor, app, browser: Browser):
    page = opened(visitor)
    hit = page.locator("#em-text-hits article.em-hit").first
    unit = hit.get_attribute("data-unit")
    visitor.does(lambda: hit.locator("[data-edit-unit]").click())
    assert edits(visitor) == f"{unit}=1"
    slider = page.locator("[data-edit] [data-slide]")
    page.wait_for_function("document.activeElement.matches('[data-slide]')")
    assert page.locator("[data-nothing]").is_visible()
    visitor.does(lambda: page.keyboard.press("End"))
    assert edits(visitor) == f"{unit}=5" and page.locator("[data-edit] [data-factor]").input_value() == "5"
    visitor.does(lambda: page.keyboard.press("ArrowLeft"))
    assert edits(visitor) == f"{unit}=4.95" and not page.locator("[data-nothing]").count()
    assert hit.locator("[data-edit-unit]").inner_text() == "× 4.95"
    run(page)
    result = found(app, edits(visitor))
    ces = page.locator("#em-text-edits .em-ces dd").all_inner_texts()
    assert ces == [*(prose.short(result["ce"][name]) for name in ("plain", "spliced", "edited")), prose.short(result["kl"])]
    most = max(range(len(result["positions"])), key=lambda at: result["positions"][at]["kl"])
    step = page.locator("[data-step]:visible")
    assert step.get_attribute("data-step") == str(most)
    for column, name in ((0, "gained"), (1, "lost")):
        told = step.locator(".em-gains > div").nth(column).locator("li small").all_inner_texts()
        assert told == [f"{prose.percent(c['p_plain'])} → {prose.percent(c['p_edited'])}" for c in result["positions"][most][name]]
    other = next(at for at in range(len(result["positions"])) if at != most and page.locator(f"[data-step='{at}']").count())
    page.locator(f".em-kl [data-at='{other}']").hover()
    assert page.locator("[data-step]:visible").get_attribute("data-step") == str(other)

    fresh = browser.new_context()
    there = Visitor(fresh.new_page(), app.base)
    second = opened(there, f"&edits={edits(visitor).replace('=', '%3D')}")
    assert second.locator("[data-edit] [data-slide]").input_value() == slider.input_value() == "4.95"
    assert second.locator("#em-text-edits .em-ces dd").all_inner_texts() == ces
    fresh.close()

    visitor.does(page.go_back)
    assert edits(visitor) == f"{unit}=1" and slider.input_value() == "1", "one step back for all that the slider did"
    visitor.does(page.go_back)
    assert not edits(visitor) and not page.locator("[data-edit]").count()


def test_off_constant_number_and_remove(visitor: Visitor):
    page = opened(visitor)
    page.fill("[data-edit-unit-in]", "5")
    visitor.does(lambda: page.press("[data-edit-unit-in]", "Enter"))
    visitor.does(lambda: page.click("[data-edit] [data-off]"))
    assert edits(visitor) == "5=0" and page.locator("[data-off]").get_attribute("aria-pressed") == "true"
    page.fill("[data-edit] [data-added]", "2,5")
    visitor.does(lambda: page.press("[data-edit] [data-added]", "Enter"))
    assert edits(visitor) == "5=0+2.5"
    page.fill("[data-edit] [data-factor]", "99")
    page.press("[data-edit] [data-factor]", "Tab")
    assert "from −20 to 20" in page.locator("[data-edit-say]").inner_text() and page.locator("[data-factor]").get_attribute("aria-invalid") == "true"
    assert edits(visitor) == "5=0+2.5", "what cannot be is not written"
    page.fill("[data-edit] [data-factor]", "-3")
    visitor.does(lambda: page.press("[data-edit] [data-factor]", "Tab"))
    assert edits(visitor) == "5=-3+2.5" and page.locator("[data-edit] [data-slide]").input_value() == "0"
    page.fill("[data-edit-unit-in]", "seven")
    page.press("[data-edit-unit-in]", "Enter")
    assert "is no unit" in page.locator("[data-edit-say]").inner_text()
    visitor.does(lambda: page.get_by_role("link", name="Remove the edit of Feature 5").click())
    assert not edits(visitor)


def test_a_stretch_that_is_selected_can_be_edited_alone(visitor: Visitor):
    page = opened(visitor, f"&edits=3%3D0%2C{NEURONS}%3A4%3D2")
    assert [row.get_attribute("data-edit") for row in page.locator("[data-edit]").all()] == ["3", f"{NEURONS}:4"]
    visitor.does(lambda: page.locator(".em-reader [data-at='2']").click())
    visitor.does(lambda: page.locator(".em-reader [data-at='4']").click(modifiers=["Shift"]))
    assert edits(visitor) == f"3=0,{NEURONS}:4=2", "choosing tokens leaves the edits as they are"
    visitor.does(lambda: page.locator("[data-where]").first.select_option("2..4"))
    assert edits(visitor) == f"3=0@2..4,{NEURONS}:4=2"
    visitor.does(lambda: page.select_option("#em-read-sort", "peak"))
    assert edits(visitor) == f"3=0@2..4,{NEURONS}:4=2" and page.locator("[data-where]").first.input_value() == "2..4"


def test_an_edit_that_changes_nothing_says_so(visitor: Visitor):
    page = opened(visitor, "&edits=3%3D1")
    run(page)
    assert page.locator("[data-same]").is_visible() and not page.locator("[data-changes]").count()


# -- runs -------------------------------------------------------------------------------------------------------------------


def until_stopped(*_: object, stop: Callable[[], bool], **__: object) -> None:
    while not stop():
        time.sleep(0.02)
    raise Stopped("stopped")


def test_a_run_is_stopped(visitor: Visitor, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(text, "edit_text", until_stopped)
    page = opened(visitor, "&edits=3%3D0.5")
    page.click("#em-text-edits [data-edit-run]")
    page.wait_for_selector("#em-text-edits [data-edit-stop]:visible")
    assert page.locator("#em-text-edits [data-edit-run]").is_disabled()
    page.click("#em-text-edits [data-edit-stop]")
    page.wait_for_selector("#em-text-edits-answer [data-stopped]")
    assert page.locator("#em-text-edits [data-edit-stop]").is_hidden() and page.locator("#em-text-edits [data-edit-run]").is_enabled()
    monkeypatch.undo()
    run(page)


def test_a_text_goes_on_twice_as_the_engine_does(visitor: Visitor, app):
    page = opened(visitor, "&edits=3%3D1%2B9")
    page.select_option("[data-n]", "20")
    page.fill("[data-seed]", "4")
    page.click("[data-go-run]")
    page.wait_for_selector("[data-continued][data-done] .em-goes", timeout=WAIT_MS)
    *_, end = continuation.continue_text(app.desk.runtime(), app.desk.store, parse_edits("3=1+9", SAE), SENTENCE, n_tokens=20, seed=4)
    said = "s => window.earmark.plainText(document.querySelector(s).cloneNode(true))"
    assert [page.evaluate(said, f".em-goes .{way} .em-text") for way in ("plain", "edited")] == [end.plain, end.edited]
    visitor.does(lambda: page.select_option("#em-read-sort", "peak"))
    assert page.locator(".em-goes").is_visible(), "it stays while the text and the edits do"
    visitor.does(lambda: page.click("[data-edit] [data-off]"))
    assert not page.locator(".em-goes").count()


def test_a_continuation_is_seen_growing_and_stopped(visitor: Visitor, monkeypatch: pytest.MonkeyPatch):
    real = continuation.continue_text

    def slow(*args: Any, **more: Any) -> Iterator[continuation.Continuation]:
        for grown in real(*args, **more):
            time.sleep(0.15)
            yield grown

    monkeypatch.setattr(continuation, "continue_text", slow)
    page = opened(visitor, "&edits=3%3D1%2B8")
    page.select_option("[data-n]", "60")
    page.click("[data-go-run]")
    page.wait_for_function("/\\b[1-9] of 60 tokens …/.test(document.querySelector('.em-continued').innerText)", timeout=WAIT_MS)
    page.click("[data-go-stop]")
    page.wait_for_function("/ of 60 tokens, stopped/.test(document.querySelector('.em-continued').innerText)")
    assert page.locator(".em-goes .plain .em-text").inner_text().strip() and page.locator("[data-go-run]").is_enabled()


# -- cards, phones ------------------------------------------------------------------------------------------------------------


def test_a_card_sets_an_edit_and_leads_on_to_a_text(visitor: Visitor):
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit=3")
    page.locator("[data-slide]").focus()
    visitor.does(lambda: page.keyboard.press("Home"))
    assert edits(visitor) == "3=0"
    visitor.does(lambda: page.locator("[data-edit-go]").first.click())
    assert visitor.query()["tab"] == "text" and visitor.query()["text"] and edits(visitor) == "3=0"
    page.wait_for_selector("#em-text-hits article.em-hit", timeout=WAIT_MS)
    run(page)
    visitor.does(page.go_back)
    assert visitor.query()["tab"] == "feature" and page.locator("#em-feature [data-slide]").input_value() == "0"


@pytest.mark.parametrize("visitor", [PHONE, PHONE | {"color_scheme": "dark"}], indirect=True, ids=["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_page_and_all_can_be_read(visitor: Visitor):
    page = opened(visitor, f"&edits=3%3D2%2C{NEURONS}%3A4%3D0%401..3")
    run(page)
    page.locator(".em-kl [data-at]").first.tap()
    page.click("[data-go-run]")
    page.wait_for_selector("[data-continued][data-done] .em-goes", timeout=WAIT_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360 and findings(page) == []


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_nor_is_a_card(visitor: Visitor):
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit=3&edits=3%3D2.5%2B1%402..4%2C{NEURONS}%3A4%3D0")
    assert page.locator("[data-slide]").count() == 2 and page.evaluate("document.documentElement.scrollWidth") <= 360
    assert findings(page) == []
