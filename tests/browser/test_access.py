"""Every tab for those who see little or nothing of it: axe-core finds nothing serious, in both themes, and nothing lies beside the screen."""

from __future__ import annotations

import pytest

from tests.browser.axe import findings
from tests.browser.conftest import Visitor
from tests.fixtures.shelf import DEAD_UNIT, NEURONS, SAE

CARD = f"/?tab=feature&dictionary={SAE}&unit=5"
PATHS = (
    "/",
    f"/?dictionary={SAE}&q=xylophone",
    CARD,
    f"{CARD}&min=0.5",
    f"/?tab=feature&dictionary={SAE}&unit={DEAD_UNIT}",
    f"/?tab=feature&dictionary={SAE}&unit=4000",
    "/?dictionary=tiny-l3-unbuilt",
    f"/?tab=audio&dictionary={SAE}",
    "/?tab=text",
    f"/?tab=compare&dictionary={SAE}",
    f"/?tab=compare&dictionary={SAE}&unit=3&other={NEURONS}&other_unit=5",
    f"/?tab=health&dictionary={SAE}",
    "/?tab=about",
    "/?tab=find&q=money",
    "/?tab=lab",
    f"/?tab=list&units={SAE}:1,2",
)
PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 1, "has_touch": True, "is_mobile": True}
THEMES = [{"color_scheme": "light"}, {"color_scheme": "dark"}]
EVERY_TAB = [THEMES[0], THEMES[1] | PHONE]
ZOOMED = {"width": 640, "height": 450}
"""a screen of 1280 by 900, twice as large"""

DRAWN = "[...document.querySelectorAll('.gradio-container .empty')].every((e) => !e.checkVisibility())"
"""nothing stands where a figure will be: before, Gradio shows an element of its own there, with a label that it may not have"""


@pytest.mark.parametrize("visitor", EVERY_TAB, indirect=True, ids=["light", "dark, on a phone"])
def test_nothing_serious_is_found_on_any_tab_and_none_scrolls_sideways(visitor: Visitor) -> None:
    found: list[str] = []
    page = visitor.page
    whole = page.viewport_size or {}
    for path in PATHS:
        page.set_viewport_size(whole)
        page.goto(visitor.base + path)
        page.wait_for_function("window.earmark && window.earmark.views > 0")
        page.wait_for_function(DRAWN)
        found += [f"{path} {line}" for line in findings(page)]
        for size in (whole, ZOOMED):
            page.set_viewport_size(size)
            wide = page.evaluate("document.documentElement.scrollWidth")
            found += [f"{path} is {wide} pixels wide on a screen of {size['width']}"] if wide > size["width"] else []
    assert not found, "\n".join(found)


@pytest.mark.parametrize("visitor", [{**theme, "bypass_csp": True} for theme in THEMES], indirect=True, ids=lambda theme: theme["color_scheme"])
def test_nor_on_what_opens_over_it(visitor: Visitor) -> None:
    page = visitor.open(CARD)
    page.locator(".em-embedding summary").click()
    assert findings(page) == []
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    assert findings(page) == []
    page.goto(f"{visitor.base}{CARD}&embed=true")
    assert findings(page) == []


def test_what_is_serious_would_be_found(visitor: Visitor) -> None:
    page = visitor.open(CARD)
    page.evaluate("""() => document.querySelector("#em-feature .em-page").insertAdjacentHTML("beforeend",
      "<button></button><p style='color:#bbb;background:#fff'>hardly to be read</p><input>")""")
    assert {line.split()[0] for line in findings(page)} == {"button-name", "color-contrast", "label"}
