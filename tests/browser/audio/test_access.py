"""What a sound of one's own brings to the page, for those who see little of it."""

from __future__ import annotations

import pytest

from tests.browser.audio.conftest import bring, save
from tests.browser.axe import findings
from tests.browser.conftest import Visitor
from tests.browser.test_access import THEMES
from tests.fixtures.toy import sound


@pytest.mark.parametrize("visitor", THEMES, indirect=True, ids=lambda theme: theme["color_scheme"])
def test_hits_over_a_clip(visitor: Visitor, tmp_path) -> None:
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    bring(page, save(tmp_path, "tone.wav", sound(3, 2.0)))
    assert page.locator("#em-audio-hits article.em-hit").count() > 2
    assert findings(page) == []
