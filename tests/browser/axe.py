"""axe-core (Deque, MPL-2.0; the copy inside axe-playwright-python) on a page: what it finds serious or worse."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SERIOUS = {"serious", "critical"}
OPTIONS = {"rules": {"target-size": {"enabled": True}}}
"""with WCAG 2.2's rule for what is pressed: 24 pixels, or as much room around it"""
AS_LONG_AS_IT_LASTS = ".em-speech"
"""a word under a spectrogram is as wide as it takes to say; its stretch can be typed, too"""


def findings(page: Page) -> list[str]:
    """Each serious or critical finding as a line: the rule, what it is about, and where."""
    violations = Axe().run(page, options=OPTIONS).response["violations"]
    return [
        f"{v['id']} ({v['impact']}): {v['help']}: {node['target']} {node['html'][:160]}"
        for v in violations
        if v["impact"] in SERIOUS
        for node in v["nodes"]
        if not (v["id"] == "target-size" and AS_LONG_AS_IT_LASTS in str(node["target"]))
    ]
