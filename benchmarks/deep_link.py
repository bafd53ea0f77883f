"""From a deep link to the unit's visible card in headless Chromium, and until Gradio has taken the page over, against the empty app's page."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

from .figures import Figure, interleaved, median_ratio, report, tell
from .pages import APP, EMPTY, alive_units, running

ROUNDS = 9
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

SEEN = """(...all) => all.every((e) => {
  const box = e?.getBoundingClientRect();
  return box?.width && box.height && e.checkVisibility({ visibilityProperty: true });
})"""
CARD = f"""() => {{
  const [title, example] = ["h1", ".em-ex"].map((s) => document.querySelector("#em-feature " + s));
  const picture = example?.querySelector("img");
  return ({SEEN})(title, example) && picture.complete && picture.naturalWidth > 0;
}}"""
"""the unit's name and its first example are in sight, the example with its spectrogram"""
ALIVE = "window.earmark?.views > 0"
"""what waits for Gradio works, too"""
EMPTY_PAGE = f"({SEEN})(document.querySelector('footer'))"


def measure() -> Iterator[Figure]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "chromium is not on the PATH: `make test` says how to get it"
    with running(APP) as app, running(EMPTY) as empty, sync_playwright() as playwright:
        links = [f"/?tab=feature&dictionary={slug}&unit={unit}" for slug, unit in alive_units(app, ROUNDS + 1)]
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))

        alive: list[float] = []

        def card(number: int) -> float:
            seen, taken_over = open_s(browser, app.address + links[number % len(links)], CARD, ALIVE)
            alive.append(taken_over)
            return seen

        def nothing(_: int) -> float:
            return open_s(browser, empty.address, EMPTY_PAGE)[0]

        card(-1)
        nothing(-1)
        alive.clear()
        ours, reference = interleaved([card, nothing], ROUNDS)
        browser.close()
    tell(f"card seen after {statistics.median(ours):.2f} s, taken over after {statistics.median(alive):.2f} s; empty page {statistics.median(reference):.2f} s")
    yield Figure("deep_link_over_empty_page_wall", median_ratio(ours, reference), most=1.3)
    yield Figure("deep_link_taken_over_by_gradio_over_empty_page_wall", median_ratio(alive, reference), most=3)


def open_s(browser: Browser, address: str, *conditions: str) -> list[float]:
    """Seconds until each condition holds, one after the other, in a new, empty profile."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    before = time.monotonic()
    page.goto(address, wait_until="commit")
    times: list[float] = []
    for condition in conditions:
        page.wait_for_function(condition)
        times.append(time.monotonic() - before)
    context.close()
    return times


if __name__ == "__main__":
    report(measure())
