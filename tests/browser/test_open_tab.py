"""Dictionaries that lie on the Hub, in a real browser: fetched and opened, refused with sentences, tables read from a data set, the owner's form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Visitor, running
from tests.fixtures.far import Far, far_shelf, wave_sae
from tests.fixtures.shelf import NEURONS, SAE
from tests.fixtures.toy import sound

OPENED_MS = 120_000
"""torch and transformers load on the first opening, and tests may share their cores"""
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with far_shelf(tmp_path_factory.mktemp("far")) as made:
        yield made


@pytest.fixture(scope="module")
def base(far: Far, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """In place of the session's page, for `visitor`: the owner's, over the local Hub."""
    with running(tmp_path_factory.mktemp("log") / "app.log", EARMARK_OWNER="1", **far.env) as address:
        yield address


def press_open(page: Page) -> str:
    """Press the button, and wait for what is said in the end."""
    page.click("[data-open]")
    page.wait_for_function("() => { const b = document.querySelector('[data-open]'); return !b || !b.disabled; }", timeout=OPENED_MS)
    return page.inner_text("[data-open-say]") if page.query_selector("[data-open]") else ""


def test_fetched_opened_and_heard(visitor: Visitor, far: Far, tmp_path: Path) -> None:
    page = visitor.open("/?tab=browse&dictionary=wave-sae")
    assert "Opening it fetches facebook/small and somebody/wave-sae" in page.inner_text(".em-bare")
    assert not any("wave-sae" in line for line in far.asked), "looking fetches nothing"
    assert "Press play" not in page.inner_text("#em-browse"), "there is nothing to play"
    page.evaluate("() => { const press = () => document.querySelector('[data-open]').click(); press(); press(); }")
    page.wait_for_function("() => /Hub|Opening|loading/.test(document.querySelector('[data-open-say]')?.textContent)")
    page.wait_for_selector(".em-bare dl", timeout=OPENED_MS)
    assert sum(line.startswith("GET") and line.endswith("sae.pt") for line in far.asked) == 1, "pressed twice, fetched once"
    facts = page.inner_text(".em-bare")
    assert re.search(r"Units\s+40\s+over 16", facts) and re.search(r"FVU\s+0\.\d", facts)
    assert re.search(r"Self-check: .* is used, .* gives FVU 0\.\d", facts), "what was tried is told"
    visitor.does(lambda: page.click(".em-hints a >> nth=0"))
    assert visitor.query()["unit"] == "23" and "sk" in page.inner_text("#em-feature h1 ~ p")
    near = [int(text.split()[0]) for text in page.locator("#em-feature .em-bare .em-hints a").all_inner_texts()]
    W = wave_sae()["encoder.weight"].numpy()
    assert len(near) == 10 and near[0] == int(np.argmax(W @ W[23] - 9 * (np.arange(len(W)) == 23)))
    visitor.does(lambda: page.click("#em-feature a:has-text('Bring a sound')"))
    (tmp_path / "mine.wav").write_bytes(sound(5, 1.0))
    page.set_input_files("#em-audio-form [data-file]", tmp_path / "mine.wav")
    page.wait_for_selector("#em-audio-hits article", timeout=OPENED_MS)
    hits = page.inner_text("#em-audio-hits")
    assert "has no tables" in hits and "silent over the whole corpus" not in hits, "nothing is claimed of a corpus that was never heard"
    assert page.locator("#em-heard-sort option").all_inner_texts() == ["Peak", "Mean", "At a moment", "In a stretch"]


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_on_a_phone(visitor: Visitor) -> None:
    page = visitor.open("/?tab=browse&dictionary=wave-sae")
    if page.query_selector("[data-open]"):
        press_open(page)
    page.wait_for_selector(".em-bare dl", timeout=OPENED_MS)
    for path in ("/?tab=feature&dictionary=wave-sae&unit=3", "/?tab=feature&dictionary=wave-sae&unit=99", "/?tab=browse&dictionary=gated-sae", "/?tab=about"):
        visitor.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


FAULTS = {
    "missing-sae": "no repository o/none",
    "gated-sae": "o/gated is gated",
    "broken-sae": "could not answer for o/broken (status 500)",
    "wide-sae": "reads activations of width 19; the hook gives 16",
}


def test_faults_are_sentences_and_the_rest_works_on(visitor: Visitor) -> None:
    for slug, part in FAULTS.items():
        page = visitor.open(f"/?tab=browse&dictionary={slug}")
        assert part in press_open(page)
        assert page.query_selector("[data-open-say].bad")
        visitor.open(f"/?tab=browse&dictionary={slug}")
        assert part in page.inner_text("[data-open-say]"), "who comes later reads it, too"
    visitor.does(lambda: (page.click(".em-others summary"), page.click(f".em-others a[href*='{SAE}']")))
    assert page.locator("#em-browse article").count()


def test_tables_in_a_data_set(visitor: Visitor, far: Far) -> None:
    page = visitor.open("/?tab=about")
    assert "tables on the Hub, not fetched yet" in page.inner_text("#em-about")
    assert not any("datasets" in line for line in far.asked), "figures of all dictionaries fetch none"
    visitor.open("/")
    link = page.locator(f".em-picker a[href*='{NEURONS}']")
    assert "tables on the Hub" in link.inner_text() and "bad" not in (link.get_attribute("class") or "")
    visitor.does(link.click)
    assert page.locator("#em-browse article").count() == 24 and not any("peaks" in line for line in far.asked)
    visitor.does(lambda: page.fill("#em-q", "11"))
    visitor.does(lambda: page.click("#em-browse article a.em-name >> nth=0"))
    assert visitor.query()["unit"] == "11" and page.locator("#em-feature .em-ex").count()
    page.fill("#em-min", "0.5")
    visitor.does(lambda: page.click("#em-feature button:has-text('Find')"))
    assert page.locator("[data-group=hits] .em-ex").count() and sum("GET" in line and "peaks" in line for line in far.asked) == 1


NAMES = {
    "somebody/wave-sae": 'hub = { repo = "somebody/wave-sae"',
    "/etc/passwd": "is no Hub repository",
    "../x": "is no Hub repository",
    "file:///etc/passwd": "is no Hub repository",
    "https://127.0.0.1/a/b": "is no Hub repository",
    "o/<img src=x onerror=alert(1)>": "is no Hub repository",
    "o/gated": "o/gated is gated",
}


def test_the_owners_form(visitor: Visitor) -> None:
    page = visitor.open("/?tab=about")
    for name, part in NAMES.items():
        page.fill("#em-open textarea, #em-open input", name)
        before = page.inner_html("#em-open-answer")
        page.click("#em-open button")
        page.wait_for_function("b => document.querySelector('#em-open-answer').innerHTML !== b", arg=before)
        page.wait_for_function("p => document.querySelector('#em-open-answer').innerText.includes(p)", arg=part)
        assert page.query_selector("#em-open-answer img") is None


def test_nobody_else_has_the_form_and_a_dead_hub_is_a_sentence(browser: Browser, far: Far, tmp_path: Path) -> None:
    own = {**far.env, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hf"), "EARMARK_CACHE": str(tmp_path / "cache"), "EARMARK_OWNER": ""}
    with running(tmp_path / "app.log", **own) as address:
        context = browser.new_context()
        visitor = Visitor(context.new_page(), address)
        page = visitor.open("/?tab=about")
        assert page.query_selector("#em-open") is None
        assert "did not answer" in press_open(visitor.open("/?tab=browse&dictionary=wave-sae"))
        assert "did not answer" in visitor.open(f"/?tab=browse&dictionary={NEURONS}").inner_text("#em-browse [role=alert]")
        assert visitor.open(f"/?tab=browse&dictionary={SAE}").locator("#em-browse article").count()
        context.close()
        assert not visitor.problems
