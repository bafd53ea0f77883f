"""One app process over the synthetic shelf, one browser, and a page that may neither ask another host nor log an error."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.fixtures.shelf import Shelf, build_shelf

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=user-gesture-required",
)  # fmt: skip
START_S = 120


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return build_shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="session")
def base(shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running page."""
    with running(tmp_path_factory.mktemp("log") / "app.log", EARMARK_DATA=str(shelf.folder), EARMARK_OFFLINE="1") as address:
        yield address


@contextmanager
def running(log: Path, **env: str) -> Iterator[str]:
    """app.py as a process with these variables; its address. What it prints goes to `log`, and may hold no traceback."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with log.open("w") as out:
        own = os.environ | env | {"GRADIO_SERVER_PORT": str(port)}
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=own, stdout=out, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + START_S
        while not _answers(address):
            assert process.poll() is None and time.monotonic() < end, f"app.py did not come up:\n{log.read_text()[-3000:]}"
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(10)
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address + "/api/dictionaries", timeout=2) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "The browser tests need Debian's chromium: apt-get install chromium."
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()


class Visitor:
    """A page with what these tests keep doing to it."""

    def __init__(self, page: Page, base: str):
        self.page, self.base = page, base
        self.problems: list[str] = []
        page.on("request", lambda r: self._request(r.url))
        page.on("console", lambda m: self.problems.append(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda e: self.problems.append(f"page error: {e}"))

    def _request(self, url: str) -> None:
        if not url.startswith((self.base, "data:", "blob:")):
            self.problems.append(f"asked another host: {url}")

    def open(self, path: str) -> Page:
        self.page.goto(self.base + path)
        self.page.wait_for_function("window.earmark && window.earmark.views > 0")
        return self.page

    def does(self, action) -> None:
        """Run an action that leads to a new view, and wait for that view."""
        views = self.page.evaluate("window.earmark.views")
        action()
        self.page.wait_for_function("n => window.earmark.views > n", arg=views)

    def query(self) -> dict[str, str]:
        return self.page.evaluate("Object.fromEntries(new URLSearchParams(location.search))")


@pytest.fixture
def visitor(browser: Browser, base: str, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """Options by `@pytest.mark.parametrize("visitor", [{...}], indirect=True)`: those of a browser context."""
    options = {"viewport": {"width": 1200, "height": 900}} | getattr(request, "param", {})
    context = browser.new_context(**options)
    context.set_default_timeout(30_000)
    visitor = Visitor(context.new_page(), base)
    yield visitor
    context.close()
    assert not visitor.problems, visitor.problems
