"""The page of a dictionary's health, and the whole picture that Compare opens with, in a real browser."""

from __future__ import annotations

import json
import urllib.request

import pytest

from earmark.settings import Settings
from earmark.shelf.store import Store
from tests.browser.conftest import Visitor
from tests.fixtures.shelf import NEURONS, SAE, Shelf

PHONE = {"viewport": {"width": 360, "height": 740}}


@pytest.fixture
def store(shelf: Shelf) -> Store:
    return Store(Settings.from_env({"EARMARK_DATA": str(shelf.folder)}))


def test_health_says_what_its_route_says(visitor: Visitor):
    page = visitor.open("/?tab=browse&dictionary=" + SAE)
    visitor.does(page.get_by_text("How good is this dictionary?").click)
    with urllib.request.urlopen(f"{visitor.base}/api/health/{SAE}") as answer:
        known = json.load(answer)
    shown = dict(page.eval_on_selector_all("#em-health [data-figure]", "all => all.map(b => [b.dataset.figure, b.textContent])"))
    assert shown["l0"] == "4" and shown["fvu"] == "0.2" and shown["n_positions"] == f"{known['n_positions']:,}"
    assert f"python -m earmark health {SAE} --recompute --save" in page.locator("#em-health pre").inner_text()
    page.wait_for_selector("#em-health-cosines-plot .js-plotly-plot .trace")
    assert not page.locator("#em-health-trips-plot").is_visible(), "nothing was computed, so there is no figure"
    assert visitor.query() == {"tab": "health", "dictionary": SAE, "rev": known["revision"]}
    visitor.does(lambda: page.select_option("#em-health-of", NEURONS))
    assert "belong to an SAE" in page.locator("#em-health").inner_text() and visitor.query()["dictionary"] == NEURONS
    visitor.does(page.go_back)
    assert page.locator("#em-health h1").inner_text() == "Health of the SAE"


def test_compare_opens_with_the_whole_picture(visitor: Visitor, store: Store):
    page = visitor.open(f"/?tab=compare&dictionary={SAE}")
    page.wait_for_selector("#em-whole-2 .js-plotly-plot .trace")
    shares = page.evaluate("document.querySelector('#em-whole-2 .js-plotly-plot').calcdata[0].map(p => p.x)")
    densities = [store.units_frame(slug)["density"].mean() for slug in ("tiny-l2-residual", NEURONS, SAE)]
    assert shares == pytest.approx(densities, rel=1e-4)
    assert page.eval_on_selector(".em-whole .em-scroll", "e => e.scrollWidth <= e.clientWidth"), "the table fits at this width"
    assert page.locator(".em-numbers tbody tr").count() == 3 and "share of all values" in page.locator(".em-findings").inner_text()
    assert not page.locator("#em-compare-lines").is_visible()
    visitor.does(lambda: (page.fill("#em-whole-unit", "3"), page.press("#em-whole-unit", "Enter")))
    assert page.locator("#em-compare h1").inner_text().startswith("Feature 3 and") and not page.locator("#em-whole-plots").is_visible()
    visitor.does(page.get_by_text("The whole picture", exact=True).click)
    assert page.locator("#em-compare h1").inner_text() == "Features, neurons and axes of Tiny, layer 2"
    visitor.does(page.get_by_text("Some pair", exact=True).click)
    assert visitor.query()["unit"].isdigit() and visitor.query()["other"]


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
@pytest.mark.parametrize("tab", ["health", "compare"])
def test_nothing_scrolls_sideways_on_a_phone_and_the_bar_shows_where_one_is(visitor: Visitor, tab: str):
    page = visitor.open(f"/?tab={tab}&dictionary={SAE}")
    page.wait_for_selector("#em-health-cosines-plot .trace, #em-whole-1 .js-plotly-plot, #em-whole-2 .trace")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    inside = "a => { const [r, n] = [a, a.closest('nav')].map(e => e.getBoundingClientRect()); return r.left >= n.left - 1 && r.right <= n.right + 1; }"
    assert page.eval_on_selector("#em-header nav a[aria-current]", inside)
