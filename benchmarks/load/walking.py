"""Two visitors in a browser: one walks through the tabs, the other brings sounds on the page and checks what it lists.

A process of its own: `python -m benchmarks.load.walking PORT FOLDER SECONDS`. What goes wrong, and whatever the console says, is printed.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from .clips import KnownClip, read

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update")
LOOK_S = 5.0
"""how long each looks at a view"""
N_TOP = 5
LIMIT_MS = 60_000
TABS = ("Browse", "Audio", "Text", "Compare", "Health", "Lab", "About")


class Walker:
    """One visitor's page."""

    def __init__(self, browser: Browser, address: str):
        self.page = browser.new_context(viewport={"width": 1200, "height": 900}).new_page()
        self.page.set_default_timeout(LIMIT_MS)
        self.problems: list[str] = []
        self.told: list[str] = []
        self.n_views = self.n_sounds = 0
        self.page.on("console", lambda m: self.problems.append(f"console: {m.text}") if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.problems.append(f"page error: {e}"))
        self.page.goto(f"{address}/")
        self.page.wait_for_function("window.earmark && window.earmark.views > 0")

    def step(self, tab: str) -> None:
        """To a tab, and on Browse to a unit's card."""
        self._views(lambda: self.page.get_by_role("link", name=tab, exact=True).first.click())
        if tab == "Browse":
            self._views(lambda: self.page.locator("#em-browse .em-name:visible").nth(self.n_views % 10).click())

    def _views(self, action: Any) -> None:
        before = self.page.evaluate("window.earmark.views")
        action()
        self.page.wait_for_function("n => window.earmark.views > n", arg=before)
        self.n_views += 1

    def bring(self, clip: KnownClip) -> None:
        """A sound, through the file dialogue of the tab Audio."""
        if self.page.evaluate("window.earmark.tab") != "audio":
            self.step("Audio")
        before = self.page.evaluate("window.earmark.clip")
        self.page.locator("[data-file]").set_input_files(clip.path)
        end = time.monotonic() + LIMIT_MS / 1000
        while self.page.evaluate("window.earmark.clip") in (before, ""):
            words = self.page.locator("#em-audio-answer .progress-text, #em-audio-form [data-say]").all_inner_texts()
            self.told += [w for w in words if w.strip() and w not in self.told[-3:]]
            if time.monotonic() > end:
                raise TimeoutError(f"{clip.name}: nothing came of it")
            self.page.wait_for_timeout(100)
        self.page.wait_for_function("document.querySelector('#em-audio-clip').innerHTML.includes(window.earmark.clip)")  # until then it shows the one before
        self.page.wait_for_selector("#em-audio-hits article.em-hit")
        self.page.wait_for_timeout(300)
        units = {int(u) for u in self.page.locator("#em-audio-hits article.em-hit").evaluate_all("rows => rows.map((row) => row.dataset.unit)")}
        lacking = {unit for unit, _ in clip.hits[:N_TOP]} - units  # those of silence stand folded behind the others
        if lacking:
            self.problems.append(f"{clip.name}: the page lists {sorted(units)}, without {sorted(lacking)}")
        self.n_sounds += 1


def main(port: int, folder: Path, seconds: float) -> None:
    from playwright.sync_api import Error, sync_playwright

    end, clips, tabs = time.monotonic() + seconds, cycle(read(folder)), cycle(TABS)
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        walks, brings = (Walker(browser, f"http://127.0.0.1:{port}") for _ in range(2))
        while time.monotonic() < end:
            for walker, step in ((walks, lambda: walks.step(next(tabs))), (brings, lambda: brings.bring(next(clips)))):
                try:
                    step()
                except (Error, TimeoutError) as error:  # this visitor is stuck: that is what is to be found out
                    walker.problems.append(f"{type(error).__name__}: {error}")
                walker.page.wait_for_timeout(LOOK_S * 1000 / 2)
        browser.close()
    print(json.dumps({"problems": walks.problems + brings.problems, "told": brings.told, "views": walks.n_views, "sounds": brings.n_sounds}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
