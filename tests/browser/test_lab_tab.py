"""The Lab in a real browser, on a toy Llama: a preset is trained while its losses move, its figures are the engine's, its download opens, Stop stops."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from earmark.dictionaries import open_checkpoint
from earmark.experiments import GUEST
from earmark.live.lab import fit
from tests.browser.axe import findings
from tests.browser.conftest import Visitor
from tests.fixtures.text_house import make_text_house
from tests.fixtures.text_shelf import SAE

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 1, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
MOVED = "n => document.querySelector('.em-curves polyline.total')?.getAttribute('points').split(' ').length > n"
PLOT = "document.querySelector('#em-lab-{} .js-plotly-plot')._fullData"
DRAWN = "id => document.querySelector(`#${id} .js-plotly-plot`)?.data?.length > 0"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """The page in this process, where a step takes at least 10 ms, so that there is something to watch: `base`, `desk`."""
    from app import create_page, launch_options
    from earmark.live.desk import Desk
    from earmark.shelf.store import Store

    patch = pytest.MonkeyPatch()
    real = fit.fit
    slow = lambda x, experiment, tell, stop, limit_s: real(x, experiment, lambda point: (tell(point), time.sleep(0.01)), stop, limit_s)  # noqa: E731
    patch.setattr(fit, "fit", slow)
    patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
    store = Store(make_text_house(tmp_path_factory.mktemp("lab")))
    desk = Desk(store)
    demo, page = create_page(store, desk)
    _, url, _ = demo.launch(prevent_thread_lock=True, server_name="127.0.0.1", **launch_options(store, desk, page))
    yield SimpleNamespace(base=url.rstrip("/"), desk=desk)
    demo.close()
    patch.undo()
    for slug in list(store.catalog.guests):
        desk.runtime().take_back(slug)


@pytest.fixture
def base(app) -> str:
    """In place of the session's page, for `visitor`."""
    return app.base


def train(page: Page) -> None:
    page.click("form[data-lab] button[type=submit]")


def ready(page: Page) -> str:
    """The token of what was trained, once all of it is drawn."""
    page.wait_for_selector("#em-lab-losses [data-token]", timeout=60_000)
    for name in ("losses-0", "heat-0", "scatters-2", "weights-0", "means-0"):
        page.wait_for_function(DRAWN, arg=f"em-lab-{name}", timeout=60_000)
    return str(page.get_attribute("#em-lab-losses [data-token]", "data-token"))


def test_train_is_heard_before_the_page_has_been_taken_over(visitor: Visitor, app):
    page, waiting = visitor.page, []
    page.route("**/assets/index-*.js", lambda route: waiting.append(route))
    page.goto(visitor.base + "/?tab=lab&steps=7", wait_until="commit")
    train(page)
    page.wait_for_function("document.querySelector('form[data-lab] ~ [data-say], [data-say]').textContent.includes('begins as soon as')")
    for route in waiting:
        route.continue_()
    assert app.desk.lab.kept.get(ready(page)).fitted.n_steps == 7


def test_a_preset_is_trained_shown_downloaded_and_used(visitor: Visitor, app, browser: Browser, tmp_path: Path):
    page = visitor.open("/?tab=lab&steps=400")
    assert page.input_value("#em-lab-text").startswith("Hungary lies in the middle of Europe")
    assert (page.input_value("#em-lab-latents-in"), page.input_value("#em-lab-k-in")) == ("2x", "d/3")
    train(page)
    page.wait_for_function(MOVED, arg=3, timeout=60_000)
    page.wait_for_function("document.querySelector('[data-told]').textContent.includes('of 400')")
    n = page.evaluate("document.querySelector('.em-curves polyline.total').getAttribute('points').split(' ').length")
    page.wait_for_function(MOVED, arg=n)
    assert page.locator(".em-curves polyline").count() == 4
    token = ready(page)
    run = app.desk.lab.kept.get(token)
    assert visitor.query() == {"tab": "lab", "steps": "400"} and run.fitted.n_steps == 400

    told = page.evaluate("address => fetch(address).then((r) => r.json())", f"/lab/{token}/run.json")
    line = "Array.from(t.z, (r) => Array.from(r)), Array.from(t.y)"
    heat = page.evaluate(f"(() => {{ const t = {PLOT.format('heat-0')}[0]; return [{line}]; }})()")
    for line, name in zip(*heat, strict=True):
        unit = name.removeprefix("latent ")
        assert line == pytest.approx(told["values"][unit], rel=1e-5, abs=1e-6), "the heatmap shows the values of the JSON"
        assert line == pytest.approx(run.values[:, int(unit)].tolist(), rel=1e-5, abs=1e-6), "and of the engine"
    drawn = page.evaluate(f"{PLOT.format('losses-0')}.map((t) => [t.name, Array.from(t.y).at(-1)])")
    assert dict(drawn)["total"] == pytest.approx(told["losses"]["total"][-1], rel=1e-4)
    shares = page.evaluate(f"Array.from({PLOT.format('scatters-0')}[0].y)")
    assert shares == pytest.approx(run.latents.density.tolist())

    with page.expect_download() as download:
        page.click("#em-lab-losses a[download]")
    zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())).extractall(tmp_path)
    found = open_checkpoint(tmp_path / "earmark-lab").dictionary
    np.testing.assert_allclose(found.W_enc, run.sae.W_enc, atol=1e-2)
    assert json.loads((tmp_path / "earmark-lab" / "cfg.json").read_text())["metadata"]["earmark"]["experiment"]["n_steps"] == 400

    fresh = browser.new_context()
    other = Visitor(fresh.new_page(), app.base)
    there = other.open("/?tab=lab&steps=400&unit=5")
    assert ready(there) == token and there.inner_text("#em-lab-run h2") == "Your text, shaded by latent 5"
    assert not other.problems
    fresh.close()

    visitor.does(lambda: page.click("#em-lab-losses a:has-text('Use it on another text')"))
    assert visitor.query() == {"tab": "text", "dictionary": GUEST + token}
    page.fill("#em-text-in", "the cat sat in Hungary")
    page.click("form[data-read] button[type=submit]")
    page.wait_for_selector("#em-text-hits article.em-hit", timeout=60_000)
    names = page.locator("#em-text-hits .em-picker b").all_inner_texts()
    assert names[0] == "Trained in the Lab" and len(names) == len(app.desk.store.catalog.siblings(SAE)) + 1


def test_latents_are_chosen_ordered_and_found_by_words(visitor: Visitor, app):
    page = visitor.open("/?tab=lab&preset=sentence&steps=30")
    train(page)
    run = app.desk.lab.kept.get(ready(page))
    rows = "#em-lab-run article.em-latent"
    units = [int(u) for u in page.locator(rows).evaluate_all("rows => rows.map((r) => r.dataset.unit)")]
    assert units == run.strongest("activity")[:40].tolist()
    page.evaluate("document.querySelector('#em-lab-heat-0 .js-plotly-plot').marked = true")
    visitor.does(lambda: page.locator("#em-lab-run .em-mini").nth(1).click(force=True))
    assert page.evaluate("document.querySelector('#em-lab-heat-0 .js-plotly-plot').marked"), "another latent shades; no figure is drawn again"
    assert visitor.query()["unit"] == str(units[1])
    values = run.values[:, units[1]]
    for at, value in enumerate(values):
        piece = page.locator(f"#em-lab-run .em-reader [data-at='{at}']")
        if piece.count() and value > 0.02 * values.max():
            assert float(piece.get_attribute("title").split(" · ")[0].replace("−", "-").replace(",", "")) == pytest.approx(float(value), rel=6e-3)
    visitor.does(lambda: page.click("#em-lab-run .em-lab-orders a:has-text('Density')"))
    assert visitor.query()["sort"] == "density"
    first = str(run.strongest("density")[0])
    page.wait_for_function("unit => document.querySelector('#em-lab-run article.em-latent').dataset.unit === unit", arg=first)
    page.wait_for_function(f"unit => {PLOT.format('heat-0')}?.[0].y[0] === `latent ${{unit}}`", arg=first)
    assert findings(page) == []
    page.fill("#em-lab-words-in", "ships, zebra")
    visitor.does(lambda: page.keyboard.press("Enter"))
    assert visitor.query()["words"] == "ships, zebra" and "Not found: zebra" in page.inner_text("#em-lab-words")
    page.fill("#em-lab-words-in", "zebra")
    visitor.does(lambda: page.keyboard.press("Enter"))
    assert "has none of these words: zebra" in page.inner_text("#em-lab-words")
    page.click("[data-forget-run]")
    page.wait_for_function("!document.querySelector('#em-lab-losses .em-lab-part')")
    assert app.desk.lab.kept.get(run.token) is None


def test_stop_and_what_cannot_be_trained(visitor: Visitor, app):
    page = visitor.open("/?tab=lab&steps=2000&seed=3")
    train(page)
    page.wait_for_function(MOVED, arg=1, timeout=60_000)
    page.click("[data-stop]")
    token = ready(page)
    assert "It was stopped after" in page.inner_text("#em-lab-losses")
    assert app.desk.lab.kept.get(token).fitted.n_steps < 2000
    for field, value, words in (("latents", "2y", "The number of latents is '2y'"), ("k", "900", "k is 900"), ("layer", "77", "There is no layer 77 of")):
        page.fill(f"#em-lab-{field}-in", value)
        train(page)
        page.wait_for_function(
            "words => (document.querySelector('#em-lab-answer').innerText + document.querySelector('#em-lab-form [data-say]').innerText).includes(words)",
            arg=words, timeout=60_000,
        )  # fmt: skip
        page.fill(f"#em-lab-{field}-in", {"latents": "2x", "k": "d/3", "layer": ""}[field])
    page.fill("#em-lab-text", "  ")
    train(page)
    assert page.inner_text("#em-lab-form [data-say]") == "Type or paste a text first."


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_a_long_text_of_ones_own_on_a_phone(visitor: Visitor, app):
    page = visitor.open("/?tab=lab&steps=10&latents=24")
    long = "<b>the cat</b> sat on the mat & the dog sat on the log. " * 12
    page.fill("#em-lab-text", long)
    page.select_option("#em-lab-kind", "topk")
    assert page.is_hidden("#em-lab-cov-in") and page.is_hidden("#em-lab-l1-in") and page.is_visible("#em-lab-k-in")
    page.fill("#em-lab-k-in", "4")
    train(page)
    token = ready(page)
    assert visitor.query() == {"tab": "lab", "kind": "topk", "latents": "24", "k": "4", "steps": "10", "own": "1"}
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing reaches out sideways"
    assert findings(page) == []
    page.reload()
    assert ready(page) == token and page.input_value("#em-lab-text") == long
    app.desk.lab.kept.drop(token)
    page.reload()
    page.wait_for_function("window.earmark && window.earmark.views > 0")
    assert "no longer kept" in page.inner_text("#em-lab-form") and page.input_value("#em-lab-text") == ""
