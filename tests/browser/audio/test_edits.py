"""Edits on the tab Audio in a real browser, on a toy Whisper: sliders, a stretch, runs, Stop, a link and Back; and on a card what a unit does."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page

from components import prose
from earmark.edits import parse_edits
from earmark.errors import Stopped
from earmark.live.editing import speech
from earmark.live.editing.ablation import effect
from tests.browser.audio.conftest import PHONE, bring, drawn_along, save
from tests.browser.axe import findings
from tests.browser.conftest import Visitor
from tests.browser.inside import Inside
from tests.fixtures.toy import sound

WAIT_MS = 60_000
RUN, STOP, DONE = (f"#em-audio-edits {what}" for what in ("[data-edit-run]", "[data-edit-stop]", "[data-edited]"))


def run(page: Page) -> None:
    page.click(RUN)
    page.wait_for_selector(DONE, timeout=WAIT_MS)


def edits(visitor: Visitor) -> str:
    return visitor.query().get("edits", "")


def corpus_clip(visitor: Visitor, app: Inside, more: str = "") -> tuple[Page, str]:
    """The tab with a clip of the corpus, heard."""
    sample = app.desk.store.corpus("sounds").ids[0]
    page = visitor.open(f"/?tab=audio&dictionary=toy-sae&sample={sample}{more}")
    page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=WAIT_MS)
    return page, sample


def test_slide_run_hear_share_and_back(visitor: Visitor, app: Inside, browser: Browser):
    page, sample = corpus_clip(visitor, app)
    hit = page.locator("#em-audio-hits article.em-hit").first
    unit = hit.get_attribute("data-unit")
    visitor.does(lambda: hit.locator("[data-edit-unit]").click())
    slider = page.locator("#em-audio-edits [data-slide]")
    page.wait_for_function("document.activeElement.matches('[data-slide]')")
    visitor.does(lambda: page.keyboard.press("End"))
    assert edits(visitor) == f"{unit}=5"
    run(page)
    desk = app.desk
    heard, _ = desk.decode(desk.sample("toy-sae", sample))
    expected = speech.edit_speech(desk.runtime(), desk.store, parse_edits(edits(visitor), "toy-sae"), heard)
    for name, found in (("plain", expected.plain), ("spliced", expected.spliced), ("edited", expected.edited)):
        shown = page.locator(f"[data-transcript={name}]")
        assert shown.locator("q").text_content() == (found.text or "no words")
        assert shown.locator("mark").all_text_contents() == [found.text[slice(*span)] for span in found.differs]
    words = page.locator(".em-wordbars li")
    assert words.locator("b").all_text_contents() == [c.word for c in expected.changes]
    told = [f"{c.word}: {prose.percent(c.p_plain)} plainly, {prose.percent(c.p_edited)} edited" for c in expected.changes]
    assert [word.get_attribute("title") for word in words.all()] == told

    fresh = browser.new_context()
    there = Visitor(fresh.new_page(), app.base)
    second = there.open(page.url.removeprefix(app.base))
    assert second.locator("#em-audio-edits [data-slide]").input_value() == "5" and second.locator(DONE).is_visible()
    fresh.close()
    visitor.does(page.go_back)
    assert edits(visitor) == f"{unit}=1" and slider.input_value() == "1" and page.locator("[data-nothing]").is_visible()


def test_a_clip_of_ones_own_a_stretch_of_it_and_what_changes_nothing(visitor: Visitor, app: Inside, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae&edits=3%3D1")
    assert "Bring a sound to run them on it" in page.locator("#em-audio-edits").inner_text()
    bring(page, save(tmp_path, "mine.wav", sound(3, 2.0)))
    assert edits(visitor) == "3=1"
    run(page)
    assert page.locator("[data-same]").is_visible()
    visitor.does(lambda: drawn_along(page, page.locator("#em-audio-clip .em-plot"), 0.25, 0.5))
    at, to = (f"{float(visitor.query()[name]):g}" for name in ("at", "to"))
    visitor.does(lambda: page.locator("[data-where]").select_option(f"{at}..{to}"))
    assert edits(visitor) == f"3=1@{at}..{to}"
    page.fill("#em-audio-edits [data-added]", "4")
    visitor.does(lambda: page.press("#em-audio-edits [data-added]", "Enter"))
    run(page)
    token = page.evaluate("window.earmark.clip")
    found = parse_edits(edits(visitor), "toy-sae")
    assert app.desk.editing.heard("toy-sae", found, token, None) is not None
    page.get_by_role("button", name="Forget").click()
    page.wait_for_selector("text=Nothing yet")
    assert app.desk.editing.heard("toy-sae", found, token, None) is None, "what was found on a clip is forgotten with it"


def until_stopped(*_: object, stop: Callable[[], bool], **__: object) -> None:
    while not stop():
        time.sleep(0.02)
    raise Stopped("stopped")


def test_a_run_is_stopped_while_others_look_up(visitor: Visitor, app: Inside, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speech, "edit_speech", until_stopped)
    page, _ = corpus_clip(visitor, app, "&edits=3%3D0.5")
    page.click(RUN)
    page.wait_for_selector(f"{STOP}:visible")
    visitor.does(lambda: page.select_option("#em-heard-sort", "peak"))
    assert page.locator(STOP).is_visible(), "a view drawn meanwhile knows of the run"
    page.click(STOP)
    page.wait_for_selector("#em-audio-edits-answer [data-stopped]")
    assert page.locator(RUN).is_enabled() and page.locator(STOP).is_hidden()


def test_a_card_leads_on_to_a_clip_and_tells_what_its_unit_does(visitor: Visitor, app: Inside):
    page = visitor.open("/?tab=feature&dictionary=toy-sae&unit=3")
    page.click("#em-feature [data-edit-run]")
    page.wait_for_selector("#em-feature-edits-answer [role=alert], #em-feature .em-how", timeout=WAIT_MS)
    visitor.does(lambda: page.click("#em-feature [data-off]"))
    visitor.does(lambda: page.locator("#em-feature [data-edit-go]").first.click())
    assert visitor.query()["tab"] == "audio" and visitor.query()["sample"] and edits(visitor) == "3=0"
    page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=WAIT_MS)
    run(page)


def test_measuring_what_a_unit_does_is_stopped(visitor: Visitor, app: Inside, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(effect, "unit_effect", until_stopped)
    units = app.desk.store.units_frame("toy-sae")
    unit = units["unit"][~units["dead"] & (units["unit"] != 3)].iloc[0]
    page = visitor.open(f"/?tab=feature&dictionary=toy-sae&unit={unit}")
    page.click("#em-feature [data-edit-run]")
    page.click("#em-feature [data-edit-stop]:visible")
    page.wait_for_selector("#em-feature-edits-answer [data-stopped]")


@pytest.mark.parametrize("visitor", [PHONE, PHONE | {"color_scheme": "dark"}], indirect=True, ids=["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_page_and_all_can_be_read(visitor: Visitor, app: Inside):
    page, _ = corpus_clip(visitor, app, "&edits=3%3D1%2B20%2Ctoy-neurons%3A4%3D2%400.1..0.5")
    run(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360 and findings(page) == []
