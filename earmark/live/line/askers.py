"""Who asks for the model, as far as anybody can tell, and how much of a line one of them may fill.

A page gives itself a name, and whoever wants to can have as many names as they like; a network they cannot change as easily, but a whole class may sit behind
one. So a page has a quarter of a line's places at most, and a network half of them: whoever fills what is theirs leaves room for others.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

PAGE_PART, NETWORK_PART = 4, 2
"""of a line's places one page has at most a fourth, one network a half"""


@dataclass(frozen=True)
class Asker:
    """Empty: not known, such as the command line's; of these there may be as many as there are places."""

    page: str = ""
    """the name that a page or a program has given itself"""
    network: str = ""
    """of the open internet"""


NOBODY = Asker()
ASKER: ContextVar[Asker] = ContextVar("asker", default=NOBODY)
"""of the work that goes on here"""


def places(most: int) -> tuple[int, int]:
    """(of one page, of one network): how many of a line's `most` places they are given, of a short line one at least."""
    return max(most // PAGE_PART, 1), max(most // NETWORK_PART, 1)


def crowded(others: Iterable[Asker], most: int) -> str:
    """A sentence for who asks now, where their own work has as much of a line of `most` places as they are given; empty where it has not."""
    asker, others, (a_page, a_network) = ASKER.get(), list(others), places(most)
    if asker.page and sum(other.page == asker.page for other in others) >= a_page:
        return f"{a_page} of what this page asked for wait already, the most that one page may have in the line. Wait for one of them, or stop it."
    if asker.network and sum(other.network == asker.network for other in others) >= a_network:
        return f"{a_network} of the {most} places in the line are taken from your network; the others are left to others. Try once more in a minute."
    return ""
