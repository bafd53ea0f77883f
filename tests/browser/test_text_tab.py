"""The tab Text in a real browser, on a toy Llama: type, see, choose tokens, share, go back; hostile texts show as texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Browser, Page

from earmark.models.llama import Llama
from earmark.web.records import text_analysis_json
from tests.browser.axe import findings
from tests.browser.conftest import Visitor
from tests.browser.inside import Inside, page_inside
from tests.fixtures.shelf import HOSTILE
from tests.fixtures.text_house import SINK, make_text_house
from tests.fixtures.text_shelf import MONEY, NEURONS, SAE

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 1, "has_touch": True, "is_mobile": True}
SENTENCE = f"the cat sat on {SINK} the mat, naïve café: no money\n\tin Hungary 🎧"
NASTY = (
    HOSTILE + "<script>window.hacked = 1</script>&amp;<!-- --></textarea></form>\n\r\t"
    "שלום עולם مرحبا \u202egnp.exe\u202c \u200bzero\u200d width\ufeff 👨‍👩‍👧 e\u0301"
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory):
    return make_text_house(tmp_path_factory.mktemp("read"))


@pytest.fixture(scope="module")
def app(house, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with page_inside(house, tmp_path_factory.mktemp("uploads"), Llama) as inside:
        yield inside


@pytest.fixture
def base(app) -> str:
    """In place of the session's page, for `visitor`."""
    return app.base


def bring(page: Page, text: str) -> None:
    """Type a text, and wait until it is there, read."""
    page.fill("#em-text-in", text)
    page.click("form[data-read] button[type=submit]")
    shown(page, text)


def shown(page: Page, text: str) -> None:
    there = "text => { const p = document.querySelector('.em-reader .em-text'); return p && window.earmark.plainText(p.cloneNode(true)) === text; }"
    page.wait_for_function(there, arg=text, timeout=60_000)
    page.wait_for_selector(".em-reader [tabindex='0']")


def units(page: Page) -> list[int]:
    return [int(unit) for unit in page.locator("#em-text-hits article.em-hit").evaluate_all("rows => rows.map((r) => r.dataset.unit)")]


def token(page: Page, at: int):
    return page.locator(f".em-reader [data-at='{at}']")


# -- a journey -------------------------------------------------------------------------------------------------------------


def test_type_choose_share_and_back(visitor: Visitor, app, browser: Browser):
    page = visitor.open("/?tab=text")
    bring(page, SENTENCE)
    found = text_analysis_json(app.desk.texts.analyse(SAE, SENTENCE, 40, "relative"))
    assert visitor.query() == {"tab": "text", "dictionary": SAE, "text": SENTENCE}
    assert units(page) == [h["unit"] for h in found["hits"]]
    first = found["hits"][0]
    for at, value in enumerate(first["values"]):
        if found["tokens"][at] and abs(value) >= 0.02 * first["peak"] and at not in found["left_out"]:
            told = float(token(page, at).get_attribute("title").split(" · ")[0].replace("−", "-"))
            assert told == pytest.approx(value, rel=6e-3), "hovering tells the value that the JSON gives"
    assert "attention sink" in token(page, found["left_out"][0]).get_attribute("title")

    passes = len(app.runs)
    visitor.does(lambda: token(page, 2).click())
    values = app.desk.texts.find(SAE, SENTENCE).codes[SAE].dense()[2]
    assert visitor.query()["sort"] == "moment" and visitor.query()["at"] == "2"
    assert sorted(units(page)) == sorted(u for u in range(len(values)) if values[u] > 0)
    assert page.locator(".em-reader .chosen").count() == 1
    visitor.does(lambda: page.locator("#em-text-hits .em-mini").nth(1).click())
    shading = page.locator("#em-text-hits article.drawn").get_attribute("data-unit")
    assert visitor.query()["unit"] == shading
    address = page.url

    fresh = browser.new_context()
    other = Visitor(fresh.new_page(), app.base)
    there = other.open(address.removeprefix(app.base))
    shown(there, SENTENCE)
    assert units(there) == units(page) and there.locator("#em-text-hits article.drawn").get_attribute("data-unit") == shading
    fresh.close()
    assert len(app.runs) == passes, "all of it with the one run"

    visitor.does(page.go_back)
    assert "unit" not in visitor.query()
    visitor.does(page.go_back)
    assert visitor.query() == {"tab": "text", "dictionary": SAE, "text": SENTENCE}
    assert units(page) == [h["unit"] for h in found["hits"]]
    visitor.does(lambda: page.locator("#em-text-hits .em-name").first.click())
    assert visitor.query()["tab"] == "feature" and visitor.query()["unit"] == str(first["unit"])
    visitor.does(page.go_back)
    shown(page, SENTENCE)


def test_a_link_is_read_when_it_is_opened(visitor: Visitor, app):
    page = visitor.open(f"/?tab=text&dictionary={NEURONS}&text=the+dog+sat%0Aon+a+log&sort=region&at=1&to=3&unit=5")
    shown(page, "the dog sat\non a log")
    assert visitor.query() == {"tab": "text", "dictionary": NEURONS, "text": "the dog sat\non a log", "sort": "region", "at": "1", "to": "3", "unit": "5"}
    assert page.locator("#em-text-hits article.em-hit").count() and page.locator(".em-shaded").first.inner_text().startswith("Shaded by Neuron 5")
    assert page.locator(".em-reader .em-t.n").count() and page.locator(".em-reader .em-t:not(.n)[style]").count(), "both signs have their colour"
    assert page.locator(".em-scale.both").count() == 1
    n = len(app.runs)
    visitor.does(lambda: page.locator("#em-text-hits .em-picker a", has_text="SAE").click())
    assert visitor.query()["dictionary"] == SAE and "unit" not in visitor.query() and len(app.runs) == n


def test_keys_choose_a_token_and_a_stretch(visitor: Visitor):
    page = visitor.open("/?tab=text")
    bring(page, SENTENCE)
    assert page.locator(".em-reader [tabindex='0']").count() == 1, "one stop of the Tab key"
    page.locator(".em-reader [tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    assert page.inner_text("[data-readout]").endswith(token(page, 1).get_attribute("title"))
    visitor.does(lambda: page.keyboard.press("Enter"))
    assert (visitor.query()["sort"], visitor.query()["at"]) == ("moment", "1")
    assert page.evaluate("document.activeElement.dataset.at") == "1", "the focus stays"
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    visitor.does(lambda: page.keyboard.press("Shift+Enter"))
    assert (visitor.query()["sort"], visitor.query()["at"], visitor.query()["to"]) == ("region", "1", "3")
    assert page.locator(".em-reader .chosen").evaluate_all("all => all.map((t) => t.dataset.at)") == ["1", "2", "3"]


def test_dragging_and_shift_clicking_choose_a_stretch(visitor: Visitor):
    page = visitor.open("/?tab=text")
    bring(page, SENTENCE)
    boxes = [token(page, at).bounding_box() for at in (1, 3)]
    page.mouse.move(boxes[0]["x"] + 2, boxes[0]["y"] + 8)
    page.mouse.down()
    page.mouse.move(boxes[1]["x"] + 2, boxes[1]["y"] + 8, steps=5)
    visitor.does(page.mouse.up)
    assert (visitor.query()["sort"], visitor.query()["at"], visitor.query()["to"]) == ("region", "1", "3")
    visitor.does(lambda: token(page, 0).click())
    assert visitor.query()["sort"] == "moment"
    visitor.does(lambda: token(page, 4).click(modifiers=["Shift"]))
    assert (visitor.query()["sort"], visitor.query()["at"], visitor.query()["to"]) == ("region", "0", "4")


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_on_a_phone_the_answer_comes_into_sight(visitor: Visitor):
    page = visitor.open("/?tab=text")
    bring(page, "the cat sat on the mat. " * 16)
    page.wait_for_function(
        "(() => { const box = document.querySelector('.em-reader').getBoundingClientRect(); return box.top >= 0 && box.top < innerHeight - 80; })()"
    )


def test_long_texts_are_in_no_address_and_can_be_forgotten(visitor: Visitor, app):
    page = visitor.open("/?tab=text")
    long = "the dog and the cat sat. " * 24 + "the end"
    bring(page, long)
    assert "text" not in visitor.query()
    page.reload()
    shown(page, long)
    name = app.desk.texts.name(SAE, long)
    assert page.evaluate("window.earmark.passage") == name
    visitor.does(lambda: page.click("[data-forget-text]"))
    page.wait_for_function("!window.earmark.passage && document.querySelector('#em-text-passage').innerText.startsWith('Nothing yet')")
    assert app.desk.texts.kept.get(name) is None


def test_with_and_without_the_sae_and_words(visitor: Visitor, app):
    page = visitor.open("/?tab=text")
    bring(page, SENTENCE)
    page.click("[data-splice]")
    page.wait_for_selector(".em-step[data-step]", timeout=60_000)
    found = app.desk.texts.spliced(SAE, SENTENCE)
    assert page.locator(".em-step[data-step]").count() == len(found.tokens)
    assert page.locator(".em-step.changed").count() == sum(a[0].token != b[0].token for a, b in zip(found.plain.expected, found.spliced.expected, strict=True))
    assert page.locator(".em-step[data-step='0'] .em-nexts").first.locator("li").count() == 5
    page.fill("#em-words-in", "money, zebra")
    visitor.does(lambda: page.keyboard.press("Enter"))
    assert visitor.query()["words"] == "money, zebra" and "Not found: zebra" in page.inner_text("#em-text-words")
    visitor.does(lambda: page.locator("#em-text-words .em-heard").first.click())
    assert page.locator("#em-text-words article.drawn").count() == 1 and visitor.query()["words"] == "money, zebra"
    page.select_option("#em-words-where", "corpus")
    visitor.does(lambda: page.click("#em-text-words button[type=submit]"))
    assert page.locator("#em-text-words article").first.get_attribute("data-unit") == str(MONEY)
    assert findings(page) == []


# -- files, and what cannot be read ----------------------------------------------------------------------------------------


def test_files_of_every_encoding(visitor: Visitor, app, tmp_path: Path):
    page = visitor.open("/?tab=text")
    for name, data, text in (
        ("utf16.txt", "naïve café\r\nin 日本".encode("utf-16"), "naïve café\r\nin 日本"),
        ("latin1.txt", "Größe, naïve".encode("latin-1"), "Größe, naïve"),
    ):
        (tmp_path / name).write_bytes(data)
        page.set_input_files("[data-text-file]", str(tmp_path / name))
        shown(page, text)
    assert "read as Latin-1" in page.inner_text("#em-text-answer")
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(400))
    page.set_input_files("[data-text-file]", str(tmp_path / "picture.txt"))
    page.wait_for_selector("#em-text-answer [role=alert]")
    assert "The file is no text" in page.inner_text("#em-text-answer")
    shown(page, "Größe, naïve")
    assert not [p for p in app.uploads.rglob("*.txt") if p.stat().st_size == len(data)], "what was uploaded is deleted"


def test_what_cannot_be_read_is_told(visitor: Visitor):
    page = visitor.open("/?tab=text")
    page.click("form[data-read] button[type=submit]")
    assert page.inner_text("[data-say]") == "Type or paste a text first."
    page.evaluate("document.querySelector('#em-text-in').value = 'x'.repeat(200001)")
    page.click("form[data-read] button[type=submit]")
    assert page.inner_text("[data-say]").startswith("The text has 200,001 characters; at most 200,000 are taken")


@pytest.mark.parametrize("visitor", [{}, PHONE], indirect=True, ids=["desk", "phone"])
def test_hostile_text_shows_as_text(visitor: Visitor, app):
    page = visitor.open("/?tab=text")
    page.wait_for_selector("#em-text-in")
    page.evaluate("text => { document.querySelector('#em-text-in').value = text; }", NASTY)
    page.click("form[data-read] button[type=submit]")
    written = NASTY.replace("\r", "\n").replace("\x00", "\ufffd")
    page.wait_for_function("document.querySelector('.em-reader [tabindex]')", timeout=60_000)
    passage = app.desk.texts.find(SAE, visitor.query()["text"])
    assert passage is not None and passage.text == visitor.query()["text"]
    shown(page, "".join(passage.tokens))
    assert "".join(passage.tokens) in (written, NASTY)
    assert page.evaluate("window.hacked") is None and page.locator("#em-text-passage script, #em-text-passage img").count() == 0
    if page.locator(".em-step[data-step]").count() == 0:  # nobody has asked for this text yet
        page.click("[data-splice]")
    page.wait_for_selector(".em-step[data-step]", timeout=60_000)
    assert "\ufffd" not in page.inner_text("body")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing reaches out sideways"


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_one_line_of_100_kb_on_a_phone(visitor: Visitor):
    page = visitor.open("/?tab=text")
    page.locator("#em-text-in").evaluate("field => field.value = 'hungary'.repeat(14300)")
    page.click("form[data-read] button[type=submit]")
    page.wait_for_selector(".em-reader [tabindex='0']", timeout=60_000)
    assert "tokens; the first 1,024 are read." in page.inner_text("#em-text-passage .em-note")
    assert "text" not in visitor.query()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".em-reader [data-at]").count() <= 1024


# -- programs --------------------------------------------------------------------------------------------------------------


def test_the_endpoint_says_what_the_command_says(app, house, capsys, monkeypatch):
    from earmark.__main__ import main

    client = Client(app.base, verbose=False, analytics_enabled=False)
    monkeypatch.setenv("EARMARK_DATA", str(house.data))
    assert main(["analyse", SAE, "--text", SENTENCE, "--top", "5", "--order", "peak", "--json"]) == 0
    assert client.predict(SENTENCE, SAE, 5, "peak", api_name="/analyse_text") == json.loads(capsys.readouterr().out)
    for text, order, words in ((" ", "peak", "The text is empty"), ("x", "luck", "no order 'luck'")):
        with pytest.raises(AppError, match=words):
            client.predict(text, SAE, 5, order, api_name="/analyse_text")
