"""The tab Compare in a real browser, on the toy model: two units over one clip, and the address that brings them back."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import Page

from earmark.inputs.audio import decode
from earmark.runtime import Runtime
from earmark.shelf.pairs import compare
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.browser.audio.conftest import PHONE, bring, save
from tests.browser.conftest import Visitor
from tests.fixtures.toy import sound

A, B = UnitId("toy-sae", 3), UnitId("toy-neurons", 11)
LINK = f"/?tab=compare&dictionary={A.dictionary}&unit={A.index}&other={B.dictionary}&other_unit={B.index}"


def drawn(page: Page, which: str) -> np.ndarray:
    """[points, (x, y)] of one of the two lines over the clip."""
    path = page.locator(f"#em-compare .em-plot .line.{which}").get_attribute("d") or ""
    return np.array([(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)])


def both_drawn(page: Page) -> None:
    page.wait_for_selector("#em-compare .em-ex:not([data-hear])", timeout=60_000)


def test_two_units_over_a_clip_of_the_corpus(visitor: Visitor, house):
    store, runtime = Store(house), Runtime(house)
    sample = store.corpus("sounds").ids[5]
    page = visitor.open(f"{LINK}&sample={sample}")
    both_drawn(page)
    assert page.locator("#em-compare h1").inner_text() == "Feature 3 and neuron 11"
    waveform = decode(store.corpus("sounds").audio(sample)[0]).waveform
    scales = []
    for which, unit in (("a", A), ("b", B)):
        opened = runtime.open(unit.dictionary)
        values = opened.dictionary.codes(runtime.capture("toy", waveform, [opened])[opened.hook].values).dense()[:, unit.index]
        share = values / store.card(unit).stats.peak
        points = drawn(page, which)
        times = points[:, 0] / 100  # a point stands at its frame's centre
        seen = np.interp(times, (np.arange(len(share)) + 0.5) * 0.02, share)
        if np.ptp(seen) > 0.01:
            slope, _ = np.polyfit(seen, points[:, 1], 1)
            assert np.corrcoef(seen, points[:, 1])[0, 1] < -0.999
            scales.append(slope)
    assert len(scales) == 2 and scales[0] == pytest.approx(scales[1], rel=0.02), "both lines share one scale"


def test_the_figures_are_those_of_the_tables(visitor: Visitor, house):
    page = visitor.open(LINK)
    pair = compare(Store(house), A, B)
    bonds = page.locator(".em-bonds dd").all_inner_texts()
    assert pair.correlation is not None and bonds[0].startswith(f"{pair.correlation:.2f}".replace("-", "−"))
    assert bonds[1].startswith(str(len(pair.shared)))
    assert page.locator(".em-column").count() == 2
    assert page.locator(".em-held.both").count() == 2 * len(pair.shared)
    page.wait_for_selector("#em-compare-lines .js-plotly-plot .trace")
    shown = page.evaluate("document.querySelector('#em-compare-lines .js-plotly-plot').calcdata.map(line => line.map(p => [p.x, p.y]))")
    lines = [Store(house).timeline(unit) for unit in (A, B)]
    assert [len(s) for s in shown] == [len(lines[0].values)] * 3 + [len(lines[0].starts) - 1]
    for points, line in zip(np.array(shown[:2]), lines, strict=True):
        assert points[:, 1] == pytest.approx(line.values, abs=1e-5)
        assert points[:, 0] == pytest.approx(np.arange(len(line.values)) * 0.02)


def test_the_form_the_swap_and_back(visitor: Visitor):
    page = visitor.open("/?tab=compare&dictionary=toy-sae&unit=3")
    other = visitor.query()["other"], visitor.query()["other_unit"]
    assert other[0] in {"toy-neurons", "toy-residual"}, "the tables propose a partner"
    visitor.does(lambda: (page.fill("#em-pair-b-unit", "11"), page.select_option("#em-pair-b", "toy-neurons"), page.press("#em-pair-b-unit", "Enter")))
    assert (visitor.query()["other"], visitor.query()["other_unit"]) == ("toy-neurons", "11")
    visitor.does(page.get_by_text("Swap", exact=True).click)
    assert page.locator("#em-compare h1").inner_text() == "Neuron 11 and feature 3"
    visitor.does(page.go_back)
    visitor.does(page.go_back)
    assert (visitor.query()["other"], visitor.query()["other_unit"]) == other
    visitor.does(lambda: (page.fill("#em-pair-b-unit", "4000"), page.press("#em-pair-b-unit", "Enter")))
    assert "4000 is none of them" in page.locator("#em-notice").inner_text()


def test_from_a_card_with_ones_own_clip(visitor: Visitor, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    bring(page, save(tmp_path, "mine.wav", sound(3, 1.5)))
    page.evaluate("query => window.earmark.go(query)", "tab=feature&dictionary=toy-sae&unit=3")
    page.wait_for_selector("#em-feature .em-near")
    visitor.does(page.locator("#em-feature a", has_text="compare").click)
    assert "your clip, 1.50 s" in page.locator("#em-compare .em-cap").inner_text()
    assert len(drawn(page, "b")) and visitor.query().get("sample") is None
    visitor.does(page.locator(".em-clips a").nth(1).click)
    both_drawn(page)
    assert visitor.query()["sample"] and "your clip" not in page.locator("#em-compare .em-cap").inner_text()
    visitor.does(page.go_back)
    assert "your clip" in page.locator("#em-compare .em-cap").inner_text()


def test_a_silent_unit_has_no_partner_and_one_can_be_chosen(visitor: Visitor):
    page = visitor.open("/?tab=compare&dictionary=toy-sae&unit=5")
    assert "Choose a unit yourself" in page.locator("#em-compare .em-state").inner_text()
    visitor.does(lambda: (page.fill("#em-pair-b-unit", "2"), page.press("#em-pair-b-unit", "Enter")))
    assert "silent" in page.locator(".em-column").first.inner_text() and page.locator(".em-bonds dd").first.inner_text().startswith("–")


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_nothing_scrolls_sideways_on_a_phone(visitor: Visitor):
    page = visitor.open(LINK)
    page.wait_for_selector("#em-compare-lines .js-plotly-plot .trace")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
