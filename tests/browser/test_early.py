"""What is pressed before Gradio has taken a tab over: it waits, says so, and is carried out then."""

from __future__ import annotations

from tests.browser.conftest import Visitor
from tests.browser.test_first_view import held
from tests.browser.test_text_tab import app, base, house  # noqa: F401
from tests.fixtures.text_shelf import SAE

WAITS = "this begins as soon as it is ready"


def test_a_text_is_read_and_its_edits_are_run(visitor: Visitor) -> None:
    page = visitor.page
    release = held(visitor, "/?tab=text")
    page.fill("#em-text-in", "the cat sat in Hungary")
    page.click("form[data-read] button[type=submit]")
    assert WAITS in page.inner_text("#em-text-form [data-say]")
    release()
    page.wait_for_selector("#em-text-hits article.em-hit")
    assert page.inner_text("#em-text-form [data-say]") == ""

    release = held(visitor, f"/?tab=text&dictionary={SAE}&text=the+cat+sat+in+Hungary&edits=5%3D3")
    page.click("#em-first [data-edit-run]")
    assert WAITS in page.inner_text("#em-first [data-edit-say]")
    release()
    page.wait_for_selector("#em-text-edits [data-edited]")
    assert visitor.query()["edits"] == "5=3" and not page.locator("[data-edit-run]").is_disabled()
