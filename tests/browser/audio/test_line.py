"""Several visitors at once: each gets what is theirs, in a line for the model; and programs that ask in its place."""

from __future__ import annotations

import json
import threading
import time

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser

from earmark.__main__ import main
from tests.browser.audio.conftest import save
from tests.browser.conftest import Visitor
from tests.browser.inside import Inside
from tests.fixtures.toy import sound


def test_two_visitors_get_their_own_results(browser: Browser, app: Inside, tmp_path):
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


def test_look_ups_do_not_wait_behind_the_model_and_those_who_wait_are_told(browser: Browser, app: Inside, tmp_path, monkeypatch):

    go = threading.Event()
    listen = app.desk._clip
    monkeypatch.setattr(app.desk, "_clip", lambda *args: (go.wait(30), listen(*args))[1])
    first, second = (Visitor(browser.new_context().new_page(), app.base) for _ in range(2))
    try:
        first.open("/?tab=audio&dictionary=toy-sae").locator("[data-try]").first.click()
        first.page.wait_for_selector("#em-audio-answer .progress-level")
        second.open("/?tab=audio&dictionary=toy-sae").locator("[data-try]").nth(1).click()
        second.page.wait_for_function("document.querySelector('#em-audio-answer').innerText.includes('1 is before you, about ')")
        beforehand = "document.querySelector('[data-model-state]').innerText"
        second.page.wait_for_function(f"{beforehand}.includes('2 are at the model or wait for it: what is brought now has its turn in about ')")
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


def test_when_the_line_is_full_a_sentence_says_so_and_the_form_works_on(browser: Browser, app: Inside, monkeypatch):

    go = threading.Event()
    listen = app.desk._clip
    monkeypatch.setattr(app.desk, "_clip", lambda *args: (go.wait(30), listen(*args))[1])
    monkeypatch.setattr(app.desk.turns, "_most", 2)
    visitors = [Visitor(browser.new_context().new_page(), app.base) for _ in range(3)]
    try:
        for visitor, waits in zip(visitors[:2], ("Listening", "1 is before you"), strict=True):
            visitor.open("/?tab=audio&dictionary=toy-sae").locator("[data-try]").first.click()
            visitor.page.wait_for_selector(f"#em-audio-answer .progress-level:has-text('{waits}')")
        late = visitors[2].open("/?tab=audio&dictionary=toy-sae")
        late.locator("[data-try]").first.click()
        assert "2 are waiting for the model, which is all there is room for" in late.wait_for_selector("#em-audio-answer [role=alert]").inner_text()
        go.set()
        visitors[1].page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=30_000)
        late.locator("[data-try]").nth(1).click()
        late.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=30_000)
    finally:
        go.set()
        for visitor in visitors:
            visitor.page.context.close()


def test_programs_are_told_their_place_too_and_who_leaves_is_not_waited_for(browser: Browser, app: Inside, client: Client, tmp_path):
    go, turns = threading.Event(), app.desk.turns
    held = turns.take("sound", lambda: go.wait(30))
    page = browser.new_context().new_page()
    try:
        Visitor(page, app.base).open("/?tab=audio&dictionary=toy-sae").locator("[data-try]").first.click()
        page.wait_for_selector("#em-audio-answer .progress-level:has-text('1 is before you')")
        job = client.submit(handle_file(save(tmp_path, "mine.wav", sound(9, 2.0))), "toy-sae", 5, "peak", api_name="/analyse_audio")
        told = until(lambda: [unit.desc for unit in job.status().progress_data or ()])
        assert told[0].startswith("2 are before you, about ")
        page.context.close()
        assert until(lambda: turns.wait().n_before == 2), "only the program is left"
        go.set()
        assert len(job.result(60)["hits"]) == 5 and held.done.result()
    finally:
        go.set()


def until(found, limit_s: float = 20.0):
    """What `found` gives, as soon as it is something."""
    end = time.monotonic() + limit_s
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return value


@pytest.fixture(scope="module")
def client(app: Inside) -> Client:
    return Client(app.base, verbose=False, analytics_enabled=False)


def test_the_endpoint_says_what_the_command_says(client, house, tmp_path, capsys, monkeypatch):

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
