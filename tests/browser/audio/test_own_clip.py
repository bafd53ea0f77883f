"""The tab Audio in a real browser, on the toy model: bring, see, go on to a card and back, all with one run of the model."""

from __future__ import annotations

import io
import re
import shutil

import numpy as np
import pytest
import soundfile as sf

from tests.browser.audio.conftest import PHONE, bring, save
from tests.browser.conftest import FLAGS, Visitor
from tests.browser.inside import Inside
from tests.fixtures.hostile import hostile
from tests.fixtures.toy import sound


def test_a_file_its_hits_a_card_and_back_with_one_run(visitor: Visitor, app: Inside, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    assert "Nothing yet" in page.locator("#em-audio-clip").inner_text()
    assert "deleted" in page.locator(".em-private").inner_text()
    n_runs = len(app.runs)
    bring(page, save(tmp_path, "mine.wav", sound(3, 2.5)))
    assert len(app.runs) == n_runs + 1 and app.runs[-1].duration_s == pytest.approx(2.5)
    assert page.locator("#em-audio-clip .em-cap small").inner_text() == "what the model heard in 2.50 s"
    assert visitor.query() == {"tab": "audio", "dictionary": "toy-sae"}
    units = page.locator("#em-audio-hits .em-name").all_inner_texts()
    line = page.locator("#em-audio-clip svg .line")
    first = line.get_attribute("d")
    page.locator("[data-draw]").nth(1).click()
    assert line.get_attribute("d") not in (first, "") and units[1] in page.locator("[data-drawn]").inner_text()

    visitor.does(page.locator("#em-audio-hits .em-name").nth(1).click)
    assert page.locator("#em-feature h1").inner_text() == f"Feature {units[1]}"
    visitor.does(page.go_back)
    assert page.locator("#em-audio-hits .em-name").all_inner_texts() == units
    assert page.locator(".em-hit.drawn .em-name").inner_text() == units[1]

    visitor.does(lambda: page.select_option("#em-heard-sort", "peak"))
    peaks = [float(t.replace(",", "")) for t in page.locator(".em-when b").all_inner_texts()]
    assert peaks == sorted(peaks, reverse=True) and visitor.query()["sort"] == "peak"
    visitor.does(page.locator("#em-audio-hits .em-picker a").nth(1).click)
    assert visitor.query()["dictionary"] == "toy-neurons" and page.locator("article.em-hit").count() > 5
    visitor.does(lambda: page.locator("#em-audio-clip .em-plot").click(position={"x": 300, "y": 40}))
    box = page.locator("#em-audio-clip .em-plot").bounding_box()
    assert box and float(visitor.query()["at"]) == pytest.approx(2.5 * 300 / box["width"], abs=0.01)
    assert page.locator(".em-when small").first.inner_text().startswith("then")
    page.reload()
    page.wait_for_selector("#em-audio-hits article.em-hit.drawn")
    assert len(app.runs) == n_runs + 1, "everything after the first answer is read from what is kept"
    assert not [p for p in app.uploads.rglob("*") if p.is_file()], "the file is deleted once it has been read"


def test_the_clip_plays_from_where_it_is_clicked_and_on_while_the_list_changes(visitor, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    bring(page, save(tmp_path, "mine.wav", sound(4, 8.0)))
    visitor.does(lambda: page.locator("#em-audio-clip .em-plot").click(position={"x": 200, "y": 40}))
    page.wait_for_function("() => { const a = document.querySelector('figure.own audio'); return !a.paused && a.readyState > 2 }")
    at = float(visitor.query()["at"])
    assert at - 0.05 <= page.locator("figure.own audio").evaluate("a => a.currentTime") <= at + 2
    visitor.does(lambda: page.select_option("#em-heard-sort", "rarity"))
    assert not page.locator("figure.own audio").evaluate("a => a.paused")
    visitor.does(page.get_by_role("link", name="Browse", exact=True).click)
    assert page.locator("figure.own audio").evaluate("a => a.paused")


def test_what_is_no_sound_gets_a_sentence_and_the_tab_works_on(visitor, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    page.set_input_files("[data-file]", save(tmp_path, "text.wav", b"this is text that somebody named .wav"))
    page.wait_for_selector("#em-audio-answer [role=alert]")
    assert "cannot be read as sound" in page.locator("#em-audio-answer").inner_text()
    page.set_input_files("[data-file]", save(tmp_path, "empty.wav", b""))
    page.wait_for_function("document.querySelector('[data-say]').innerText.includes('empty')")
    bring(page, save(tmp_path, "good.wav", sound(5, 1.0)))
    assert page.locator("#em-audio-answer [role=alert]").count() == 0


def test_hostile_files_through_the_page(visitor, app: Inside, tmp_path):
    canary = tmp_path / "canary.wav"
    canary.write_bytes(sound(7, 3.0))
    files = hostile(canary, int(app.base.rsplit(":", 1)[1]), 25 * 60)
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    said = "() => document.querySelector('#em-audio-answer [role=alert]')?.dataset.once || ''"
    for name in set(files) - {"bomb.ogg", "bomb.opus", "bomb.mp3", "endless.webm"}:  # slow to make
        make, words = files[name]
        before = page.evaluate(said)
        page.set_input_files("[data-file]", save(tmp_path, name, make()))
        page.wait_for_function(f"before => {{ const now = ({said})(); return now && now !== before }}", arg=before, timeout=30_000)
        assert re.search(words, page.locator("#em-audio-answer").inner_text()), name
    bring(page, save(tmp_path, "good.wav", sound(5, 1.0)))
    assert "1.00 s" in page.locator("#em-audio-clip .em-cap small").inner_text()
    assert not [p for p in app.uploads.rglob("*") if p.is_file()]


def test_a_file_that_is_too_large_is_not_sent(visitor, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    page.set_input_files("[data-file]", save(tmp_path, "large.wav", bytes(25_100_000)))
    page.wait_for_function("document.querySelector('[data-say]').innerText.includes('at most 25 MB')")


def test_a_long_clip_of_8_khz_in_stereo(visitor, tmp_path):
    file = io.BytesIO()
    t = np.arange(45 * 8000) / 8000
    tone = np.where((t % 15 > 4) & (t % 15 < 5), 0.4 * np.sin(2 * np.pi * 700 * t), 0)
    sf.write(file, np.stack([tone, 0.5 * tone], axis=1), 8000, format="WAV")
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    bring(page, save(tmp_path, "long.wav", file.getvalue()))
    assert page.locator("figure.own").get_attribute("data-duration") == "45.000"
    assert page.locator("figure.own .em-axis span").last.inner_text() == "40 s"


def test_a_clip_of_more_than_a_minute_is_cut_with_a_notice(visitor, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    bring(page, save(tmp_path, "long.wav", sound(6, 63.0, 8000)))
    assert "first 60 s are used" in page.locator("#em-audio-clip .em-note").inner_text()


def test_an_example_is_one_click(visitor, app: Inside):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    assert page.locator("[data-try]").count() == 4
    page.locator("[data-try]").nth(2).click()
    page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=60_000)
    page.get_by_role("button", name="Forget").click()
    page.wait_for_selector("text=Nothing yet")
    assert page.evaluate("window.earmark.clip") == ""


def test_what_is_pressed_before_gradio_is_there_is_not_lost(visitor, tmp_path):
    page, held = visitor.page, []
    page.route("**/assets/index-*.js", lambda route: held.append(route))
    for press in (
        lambda: page.locator("#em-first [data-try]").nth(1).click(),
        lambda: page.set_input_files("#em-first [data-file]", save(tmp_path, "early.wav", sound(8, 1.7))),
    ):
        held.clear()
        page.goto(visitor.base + "/?tab=audio&dictionary=toy-sae", wait_until="commit")
        press()
        assert page.locator("#em-audio-hits article").count() == 0
        for route in held:
            route.continue_()
        page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=60_000)
        page.evaluate("sessionStorage.clear()")
    assert "1.70 s" in page.locator("#em-audio-clip .em-cap small").inner_text()


def test_opening_the_tab_says_that_the_model_is_there(visitor):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    page.wait_for_selector("[data-model-state][data-state=ready]", timeout=60_000)
    assert page.locator("[data-model-state]").inner_text() == "The model is ready."


def test_the_microphone(app: Inside, request):
    """With Chromium's fake device, which beeps once a second."""

    playwright_browser = request.getfixturevalue("browser").browser_type.launch(
        executable_path=shutil.which("chromium") or shutil.which("chromium-browser"),
        args=[*FLAGS, "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
    )
    try:
        context = playwright_browser.new_context(permissions=["microphone"])
        visitor = Visitor(context.new_page(), app.base)
        page = visitor.open("/?tab=audio&dictionary=toy-sae")
        page.get_by_role("button", name="Record").click()
        page.wait_for_selector("[data-record][aria-pressed=true]")
        page.wait_for_timeout(2200)
        page.get_by_role("button", name="Stop").click()
        page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=60_000)
        assert 1.5 < float(page.locator("figure.own").get_attribute("data-duration") or 0) < 6
        assert not visitor.problems
    finally:
        playwright_browser.close()


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_nothing_scrolls_sideways_on_a_phone(visitor, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    bring(page, save(tmp_path, "mine.wav", sound(3, 12.0)))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(
        "[...document.querySelectorAll('.em-page, .em-page button, .em-page label, .em-page p')].every(e => e.getBoundingClientRect().right <= 360)"
    )
