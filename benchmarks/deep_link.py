"""From a deep link to the unit's visible card in headless Chromium, against the empty app's page."""

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


def measure() -> Iterator[Figure]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "chromium is not on the PATH: `make test` says how to get it"
    with running(APP) as app, running(EMPTY) as empty, sync_playwright() as playwright:
        links = [f"/?tab=feature&dictionary={slug}&unit={unit}" for slug, unit in alive_units(app, ROUNDS + 1)]
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))

        def card(number: int) -> float:
            return open_s(browser, app.address + links[number % len(links)], "#em-feature .em-ex")

        def nothing(_: int) -> float:
            return open_s(browser, empty.address, "footer")

        card(-1)
        nothing(-1)
        ours, reference = interleaved([card, nothing], ROUNDS)
        browser.close()
    tell(f"visible after: card {statistics.median(ours):.2f} s, empty page {statistics.median(reference):.2f} s")
    yield Figure("deep_link_over_empty_page_wall", median_ratio(ours, reference), most=1.3)


def open_s(browser: Browser, address: str, selector: str) -> float:
    """Seconds until something is visible in a new, empty profile."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    before = time.monotonic()
    page.goto(address, wait_until="commit")
    page.locator(selector).first.wait_for(state="visible")
    taken = time.monotonic() - before
    context.close()
    return taken


if __name__ == "__main__":
    report(measure())
