"""The page over the toy model that hears, for all tests of this folder, and what they do with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from earmark.models.whisper import Whisper
from earmark.offline.tables.build import build
from earmark.settings import Settings
from tests.browser.inside import Inside, page_inside
from tests.fixtures.toy import make_house

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 1, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = make_house(tmp_path_factory.mktemp("heard"), n_samples=24)
    build(settings, "toy-sae", None, n_workers=1)
    return settings


@pytest.fixture(scope="package")
def app(house: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with page_inside(house, tmp_path_factory.mktemp("uploads"), Whisper) as inside:
        yield inside


@pytest.fixture
def base(app: Inside) -> str:
    """In place of the session's page, for `visitor`."""
    return app.base


def save(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return str(folder / name)


def bring(page: Page, path: str) -> None:
    """Choose a file, and wait until its result is there."""
    before = page.evaluate("window.earmark.clip")
    page.set_input_files("[data-file]", path)
    page.wait_for_function("before => window.earmark.clip && window.earmark.clip !== before", arg=before, timeout=60_000)
    page.wait_for_function("document.querySelector('#em-audio-clip [data-token]')?.dataset.token === window.earmark.clip")
    page.wait_for_selector("#em-audio-hits article.em-hit.drawn")


def drawn_along(page: Page, plot, start: float, end: float) -> None:
    """Press on a picture at one share of its width, and let go at another."""
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + start * box["width"], box["y"] + 30)
    page.mouse.down()
    for n in range(6):
        page.mouse.move(box["x"] + (start + n * (end - start) / 5) * box["width"], box["y"] + 30)
    page.mouse.up()
