"""The tab Audio in a real browser, on the toy model: bring, see, go on to a card and back, all with one run of the model."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser

from earmark.models.whisper import Whisper
from earmark.offline.tables.build import build
from tests.browser.conftest import FLAGS, Visitor
from tests.fixtures.hostile import hostile
from tests.fixtures.toy import make_house, sound

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 1, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory):
    settings = make_house(tmp_path_factory.mktemp("heard"), n_samples=24)
    build(settings, "toy-sae", None, n_workers=1)
    return settings


@pytest.fixture(scope="module")
def app(house, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The page in this process, with a count of the model's runs: `base`, `desk`, `runs`, `uploads`."""
    from app import create_page, launch_options
    from earmark.live.desk import Desk
    from earmark.shelf.store import Store

    patch = pytest.MonkeyPatch()
    uploads = tmp_path_factory.mktemp("uploads")
    patch.setenv("GRADIO_TEMP_DIR", str(uploads))
    runs: list[float] = []
    capture = Whisper.capture
    patch.setattr(Whisper, "capture", lambda self, sample, hooks: (runs.append(sample.duration_s), capture(self, sample, hooks))[1])
    store = Store(house)
    desk = Desk(store)
    demo, page = create_page(store, desk)
    _, url, _ = demo.launch(prevent_thread_lock=True, server_name="127.0.0.1", **launch_options(store, desk, page))
    yield SimpleNamespace(base=url.rstrip("/"), desk=desk, runs=runs, uploads=uploads, queue=demo._queue)
    demo.close()
    patch.undo()


@pytest.fixture
def base(app) -> str:
    """In place of the session's page, for `visitor`."""
    return app.base


def save(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def bring(page, path: str) -> None:
    """Choose a file, and wait until its result is there."""
    before = page.evaluate("window.earmark.clip")
    page.set_input_files("[data-file]", path)
    page.wait_for_function("before => window.earmark.clip && window.earmark.clip !== before", arg=before, timeout=60_000)
    page.wait_for_function("document.querySelector('#em-audio-clip [data-token]')?.dataset.token === window.earmark.clip")
    page.wait_for_selector("#em-audio-hits article.em-hit.drawn")


def test_a_file_its_hits_a_card_and_back_with_one_run(visitor: Visitor, app, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    assert "Nothing yet" in page.locator("#em-audio-clip").inner_text()
    assert "deleted" in page.locator(".em-private").inner_text()
    n_runs = len(app.runs)
    bring(page, save(tmp_path, "mine.wav", sound(3, 2.5)))
    assert len(app.runs) == n_runs + 1 and app.runs[-1] == pytest.approx(2.5)
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


def test_a_stretch_that_is_dragged_over_lists_what_is_specific_to_it(visitor: Visitor, app, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    bring(page, save(tmp_path, "mine.wav", sound(3, 2.0)))
    box = page.locator("#em-audio-clip .em-plot").bounding_box()
    assert box

    def drag() -> None:
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40, steps=4)
        page.mouse.up()

    visitor.does(drag)
    query = visitor.query()
    assert query["sort"] == "region" and (float(query["at"]), float(query["to"])) == pytest.approx((0.5, 1.0), abs=0.01)
    clip = app.desk.kept.get(page.evaluate("window.earmark.clip"))
    values, largest = clip.codes["toy-sae"].dense(), app.desk.store.units_frame("toy-sae")["peak"].to_numpy()
    inside = [clip.grid.frame_at(float(query["at"])) <= t <= clip.grid.frame_at(float(query["to"])) for t in range(len(values))]
    outside = [not i for i in inside]
    score = {u: (values[inside, u].mean() - values[outside, u].mean()) / largest[u] for u in range(values.shape[1]) if largest[u] > 0}
    expected = [str(u) for u, s in sorted(score.items(), key=lambda p: -p[1]) if s > 0]
    assert page.locator("#em-audio-hits .em-name").all_inner_texts() == expected
    assert not page.evaluate("document.querySelector('#em-audio-clip .em-ex').classList.contains('playing')"), "a drag does not play"
    visitor.does(page.go_back)
    assert "sort" not in visitor.query()


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


def test_hostile_files_through_the_page(visitor, app, tmp_path):
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


def test_two_visitors_get_their_own_results(browser: Browser, app, tmp_path):
    visitors = []
    for seed, length in ((1, 1.3), (2, 2.1)):
        context = browser.new_context(viewport={"width": 1200, "height": 900})
        visitor = Visitor(context.new_page(), app.base)
        visitor.open("/?tab=audio&dictionary=toy-neurons").set_input_files("[data-file]", save(tmp_path, f"{seed}.wav", sound(seed, length)))
        visitors.append((visitor, length))
    shown = []
    for visitor, length in visitors:
        visitor.page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=60_000)
        assert f"{length:.2f} s" in visitor.page.locator("#em-audio-clip .em-cap small").inner_text()
        shown.append((visitor.page.evaluate("window.earmark.clip"), visitor.page.locator(".em-when b").all_inner_texts()))
        assert visitor.query() == {"tab": "audio", "dictionary": "toy-neurons"}
    assert shown[0][0] != shown[1][0] and shown[0][1] != shown[1][1]
    for visitor, _ in visitors:
        visitor.page.context.close()
        assert not visitor.problems


def test_look_ups_do_not_wait_behind_the_model_and_those_who_wait_are_told(browser: Browser, app, tmp_path, monkeypatch):
    import threading
    import time

    go = threading.Event()
    listen = app.desk._clip
    monkeypatch.setattr(app.desk, "_clip", lambda *args: (go.wait(30), listen(*args))[1])
    first, second = (Visitor(browser.new_context().new_page(), app.base) for _ in range(2))
    try:
        first.open("/?tab=audio&dictionary=toy-sae").locator("[data-try]").first.click()
        first.page.wait_for_selector("#em-audio-answer .progress-level")
        second.open("/?tab=audio&dictionary=toy-sae").locator("[data-try]").nth(1).click()
        second.page.wait_for_function("document.querySelector('#em-audio-answer').innerText.includes('queue: 1/')")
        begun = time.monotonic()
        second.open("/?tab=feature&dictionary=toy-sae&unit=3")
        assert second.page.locator("#em-feature h1").inner_text() == "Feature 3" and time.monotonic() - begun < 10
        assert not go.is_set()
        go.set()
        first.page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=30_000)
    finally:
        go.set()
        for visitor in (first, second):
            visitor.page.context.close()


def test_when_the_line_is_full_a_sentence_says_so_and_the_form_works_on(browser: Browser, app, monkeypatch):
    import threading

    go = threading.Event()
    listen = app.desk._clip
    monkeypatch.setattr(app.desk, "_clip", lambda *args: (go.wait(30), listen(*args))[1])
    monkeypatch.setattr(app.queue, "max_size", 1)
    visitors = [Visitor(browser.new_context().new_page(), app.base) for _ in range(3)]
    try:
        for visitor, waits in zip(visitors[:2], (".progress-level", ".progress-text:has-text('queue')"), strict=True):
            visitor.open("/?tab=audio&dictionary=toy-sae").locator("[data-try]").first.click()
            visitor.page.wait_for_selector(f"#em-audio-answer {waits}")
        late = visitors[2].open("/?tab=audio&dictionary=toy-sae")
        late.locator("[data-try]").first.click()
        late.wait_for_function("document.querySelector('[data-say]').innerText.includes('line')")
        go.set()
        visitors[1].page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=30_000)
        late.locator("[data-try]").nth(1).click()
        late.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=30_000)
    finally:
        go.set()
        for visitor in visitors:
            visitor.page.context.close()


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


def test_an_example_is_one_click(visitor, app):
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


def test_the_microphone(app, request):
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


@pytest.fixture(scope="module")
def client(app) -> Client:
    return Client(app.base, verbose=False, analytics_enabled=False)


def test_the_endpoint_says_what_the_command_says(client, house, tmp_path, capsys, monkeypatch):
    import json

    from earmark.__main__ import main

    path = save(tmp_path, "mine.wav", sound(9, 2.0))
    monkeypatch.setenv("EARMARK_DATA", str(house.data))
    assert main(["analyse", "toy-sae", "--json", "--audio", path, "--top", "5", "--order", "peak"]) == 0
    expected = json.loads(capsys.readouterr().out)
    found = client.predict(handle_file(path), "toy-sae", 5, "peak", api_name="/analyse_audio")
    assert found == expected and len(found["hits"]) == 5


@pytest.mark.parametrize(("order", "data", "words"), [("loudest", None, "no order 'loudest'"), ("peak", b"text", "cannot be read as sound")])
def test_errors_of_the_endpoint_are_sentences(client, tmp_path, order, data, words):
    path = save(tmp_path, "mine.wav", data or sound(9, 1.0))
    with pytest.raises(AppError, match=words):
        client.predict(handle_file(path), "toy-sae", 5, order, api_name="/analyse_audio")


def test_no_other_file_can_be_named(client, house):
    with pytest.raises(AppError):
        client.predict(
            {"path": str(house.data / "catalog.toml"), "meta": {"_type": "gradio.FileData"}, "orig_name": "x.wav"},
            "toy-sae",
            5,
            "peak",
            api_name="/analyse_audio",
        )
    assert (house.data / "catalog.toml").is_file()


def drawn_along(page, plot, start: float, end: float) -> None:
    """Press on a picture at one share of its width, and let go at another."""
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + start * box["width"], box["y"] + 30)
    page.mouse.down()
    for share in np.linspace(start, end, 6):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 30)
    page.mouse.up()


def test_a_stretch_of_a_cards_example_lists_what_is_specific_to_it(visitor: Visitor, app):
    page = visitor.open("/?tab=feature&dictionary=toy-sae&unit=3")
    figure = page.locator("#em-feature .em-ex").nth(1)
    sample, duration = figure.get_attribute("data-sample"), float(figure.get_attribute("data-duration"))
    visitor.does(lambda: drawn_along(page, figure.locator(".em-plot"), 0.3, 0.6))
    query = visitor.query()
    assert (query["tab"], query["sample"], query["sort"]) == ("audio", sample, "region")
    assert (float(query["at"]), float(query["to"])) == pytest.approx((0.3 * duration, 0.6 * duration), abs=0.02)
    page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=60_000)
    assert "playing" not in (figure.get_attribute("class") or ""), "a drag is no click"

    clip = app.desk.heard("toy-sae", sample)
    units, values = clip.codes["toy-sae"].active()
    first, last = (clip.grid.frame_at(float(query[name])) for name in ("at", "to"))
    inside = [first <= t <= last for t in range(len(values))]
    largest = app.desk.store.units_frame("toy-sae")["peak"].to_numpy()[units]
    gain = (values[inside].mean(axis=0) - values[[not i for i in inside]].mean(axis=0)) / largest
    shown = [int(t) for t in page.locator("#em-audio-hits .em-name").all_inner_texts()]
    assert shown == [int(units[i]) for i in np.argsort(-gain, kind="stable") if gain[i] > 0][: len(shown)] and shown

    n_runs = len(app.runs)
    visitor.does(lambda: page.fill("#em-heard-to", f"{0.9 * duration:.2f}"))
    assert float(visitor.query()["to"]) == pytest.approx(0.9 * duration, abs=0.01) and visitor.query()["sample"] == sample
    assert page.locator("#em-audio-clip .em-moment.stretch").is_visible()
    visitor.does(page.get_by_role("link", name="Your own sound").click)
    assert visitor.query() == {"tab": "audio", "dictionary": "toy-sae"} and len(app.runs) == n_runs


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_a_finger_draws_a_stretch(visitor: Visitor):
    page = visitor.open("/?tab=feature&dictionary=toy-sae&unit=3")
    plot = page.locator("#em-feature .em-plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    finger = page.context.new_cdp_session(page)

    def draw() -> None:
        for kind, share in (("touchStart", 0.2), ("touchMove", 0.3), ("touchMove", 0.5), ("touchMove", 0.7), ("touchEnd", None)):
            points = [] if share is None else [{"x": box["x"] + share * box["width"], "y": box["y"] + 30}]
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    visitor.does(draw)
    assert visitor.query()["sort"] == "region" and visitor.query()["tab"] == "audio"
    page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_link_to_a_clip_that_is_not_there_says_so(visitor: Visitor):
    page = visitor.open("/?tab=audio&dictionary=toy-sae&sample=nowhere&sort=region&at=0.1&to=0.4")
    assert "has no sample 'nowhere'" in page.locator("#em-notice").inner_text() and "Nothing yet" in page.locator("#em-audio-clip").inner_text()
