"""What a text of one's own brings to the page, for those who see little of it."""

from __future__ import annotations

import pytest

from tests.browser.axe import findings
from tests.browser.conftest import Visitor
from tests.browser.test_access import THEMES
from tests.browser.test_text_tab import app, base, bring, house  # noqa: F401


@pytest.mark.parametrize("visitor", THEMES, indirect=True, ids=lambda theme: theme["color_scheme"])
def test_hits_over_a_text(visitor: Visitor) -> None:
    page = visitor.open("/?tab=text")
    bring(page, "Budapest lies on the Danube.")
    page.wait_for_selector("#em-text-hits article.em-hit")
    assert findings(page) == []
