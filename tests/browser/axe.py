"""axe-core (Deque, MPL-2.0; the copy inside axe-playwright-python) on a page: what it finds serious or worse."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SERIOUS = {"serious", "critical"}


def findings(page: Page) -> list[str]:
    """Each serious or critical finding as a line: the rule, what it is about, and where."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{v['id']} ({v['impact']}): {v['help']}: {node['target']} {node['html'][:160]}" for v in violations if v["impact"] in SERIOUS for node in v["nodes"]
    ]
