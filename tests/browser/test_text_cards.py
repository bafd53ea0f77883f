"""Cards, lists and comparisons of a language model's units in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visitor, running
from tests.fixtures.shelf import build_shelf
from tests.fixtures.text_shelf import MONEY, NEURONS, SAE, TEXTS, Texts, add_texts

CARD = f"/?tab=feature&dictionary={SAE}&unit={MONEY}"
HOSTILE_TEXT = "text-02"
PHONE = {"viewport": {"width": 360, "height": 740}}


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    folder = tmp_path_factory.mktemp("texts")
    build_shelf(folder)
    return add_texts(folder)


@pytest.fixture(scope="module")
def base(texts: Texts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("log") / "app.log", EARMARK_DATA=str(texts.folder), EARMARK_OFFLINE="1") as address:
        yield address


def plain(visitor: Visitor, selector: str) -> str:
    """What copying all of an element puts into the clipboard."""
    return visitor.page.evaluate(
        """(selector) => {
            const range = document.createRange();
            range.selectNodeContents(document.querySelector(selector));
            getSelection().removeAllRanges();
            getSelection().addRange(range);
            const event = new ClipboardEvent("copy", { clipboardData: new DataTransfer(), bubbles: true, cancelable: true });
            document.querySelector(selector).dispatchEvent(event);
            getSelection().removeAllRanges();
            return event.clipboardData.getData("text/plain");
        }""",
        selector,
    )


def test_a_card_opens_by_its_link_and_its_looks_are_in_the_address(visitor):
    page = visitor.open(CARD)
    expect(page.locator("#em-feature h1")).to_have_text(f"Feature {MONEY}")
    peaks = page.locator("#em-top .em-t.peak")
    assert {text.strip() for text in peaks.all_inner_texts()} == {"money"}
    assert "token" in (peaks.first.get_attribute("title") or "")
    for look in ("whole", "stack"):
        visitor.does(page.locator(f"#em-feature .em-looks a[href*='view={look}']").first.click)
        assert visitor.query()["view"] == look
        expect(page.locator(f"#em-top .em-passages.{look}")).to_be_visible()
    columns = page.locator("#em-top .em-passage:not([data-sample=text-03]) .em-t.peak:first-child").evaluate_all(
        "all => all.map((el) => el.getBoundingClientRect().x)"
    )
    assert len(columns) > 3 and max(columns) - min(columns) < 1, "the peaks stand in one column"
    visitor.does(page.go_back)
    assert visitor.query()["view"] == "whole"
    visitor.does(lambda: page.keyboard.press("ArrowRight"))
    assert visitor.query()["unit"] == str(MONEY + 1) and visitor.query()["view"] == "whole"


def test_a_filter_and_back(visitor):
    page = visitor.open(CARD)
    page.fill("#em-min", "6.2")
    visitor.does(lambda: page.keyboard.press("Enter"))
    assert visitor.query()["min"] == "6.2"
    values = [float(v) for v in page.locator("[data-group=hits] .em-value").all_inner_texts()]
    assert values and min(values) >= 6.2 and "contexts" in page.locator("[data-group=hits] h2").inner_text()
    visitor.does(page.go_back)
    expect(page.locator("#em-q90")).to_be_visible()


def test_hostile_texts_are_text_and_are_copied_as_they_are(visitor):
    page = visitor.open(f"/?tab=feature&dictionary={NEURONS}&unit=3&view=whole")
    assert page.evaluate("window.hacked") is None
    assert not page.locator(".em-text img, .em-text script, .em-text b").count()
    for sample in (HOSTILE_TEXT, "text-03", "text-05"):
        copied = plain(visitor, f"#em-top [data-sample='{sample}'] .em-text")
        assert copied == TEXTS[int(sample[-2:])]


def test_a_click_shows_all_of_a_snippet(visitor):
    page = visitor.open(CARD)
    long = page.locator(f"#em-top [data-sample='{HOSTILE_TEXT}']")
    expect(long.locator(".far").first).to_be_hidden()
    long.locator("blockquote").click()
    expect(long.locator(".far").first).to_be_visible()
    expect(long.locator(".em-from")).to_contain_text("line 200")


def test_browse_and_compare(visitor):
    page = visitor.open(f"/?tab=browse&dictionary={SAE}")
    expect(page.locator(".em-models a[aria-current]")).to_have_text("Tiny text")
    page.fill("#em-q", "hungary")
    page.wait_for_function("document.querySelector('.em-count').textContent.includes('hungary')")
    assert "Hungary" in page.locator(".em-row .em-line").first.inner_text() or "Hungary" in page.locator(".em-rows").inner_text()
    visitor.open(f"/?tab=compare&dictionary={SAE}&unit=11&other={NEURONS}&other_unit=5")
    expect(page.locator(".em-two .em-b").first).to_be_visible()
    assert "tokens" in page.locator(".em-bonds").inner_text()
    visitor.does(page.locator(".em-clips a[href*='sample=']").last.click)
    assert visitor.query()["sample"].startswith("text-")
    expect(page.locator(".em-clips a").first).to_have_attribute("aria-current", "true")


@pytest.mark.parametrize("visitor", [PHONE, PHONE | {"color_scheme": "dark"}], indirect=True)
def test_nothing_scrolls_sideways_on_a_phone(visitor):
    for path in (CARD, CARD + "&view=stack", f"/?tab=feature&dictionary={NEURONS}&unit=3&view=whole", f"/?tab=browse&dictionary={SAE}",
                 f"/?tab=compare&dictionary={SAE}&unit=11&other={NEURONS}&other_unit=5"):  # fmt: skip
        page = visitor.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


@pytest.mark.parametrize("visitor", [{}, {"color_scheme": "dark"}], indirect=True)
def test_text_stays_readable_on_every_shade(visitor):
    """WCAG contrast of ink over each shade, both signs, in both themes."""
    page = visitor.open(f"/?tab=feature&dictionary={NEURONS}&unit=3&view=whole")
    ratios = page.evaluate(
        """() => {
            const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
            const paint = (...colours) => {
                for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
                return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
            };
            const linear = (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            const light = (rgb) => rgb.reduce((sum, v, i) => sum + linear(v / 255) * [0.2126, 0.7152, 0.0722][i], 0);
            const paper = getComputedStyle(document.body).backgroundColor;
            return [...document.querySelectorAll(".em-t")].map((token) => {
                const style = getComputedStyle(token);
                const [ground, ink] = [light(paint(paper, style.backgroundColor)), light(paint(style.color))];
                return (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
            });
        }"""
    )
    assert len(ratios) > 50 and min(ratios) >= 4.5
