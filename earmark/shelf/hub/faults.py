"""Faults of the Hub and of the way there: found within 15 seconds, told as sentences."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ...errors import MissingWeights

STALL_S = 12.0
"""without a new byte for so long, the Hub is taken to have stopped; with what follows every fault ends within 15 s"""
T = TypeVar("T")


class Unreachable(MissingWeights):
    """The Hub gave no answer: what is on this machine may serve."""


class Clock:
    """When the last new byte came."""

    def __init__(self, tell: Callable[[int, int], object], total: int = 0):
        self.total, self._tell = total, tell
        self._now = self._most = 0
        self.moved_at = time.monotonic()

    def add(self, n: float) -> None:
        """n is negative where the client starts a file again."""
        self._now += int(n)
        if self._now > self._most:
            self._most, self.moved_at = self._now, time.monotonic()
            self._tell(self._most, max(self.total, self._most))

    def touch(self) -> None:
        self.moved_at = time.monotonic()


def watched(work: Callable[[], T], clock: Clock, repo: str) -> T:
    """What `work` gives, on a thread of its own; left behind when the clock stands still. Raises MissingWeights."""
    import httpx2

    box: dict[str, Any] = {}
    finished = threading.Event()

    def run() -> None:
        try:
            box["value"] = work()
        except (OSError, ValueError, httpx2.HTTPError, MissingWeights) as error:
            box["error"] = error
        finally:
            finished.set()

    threading.Thread(target=run, name="hub", daemon=True).start()
    while not finished.wait(0.1):
        if time.monotonic() - clock.moved_at > STALL_S:
            raise Unreachable(f"the Hub gave nothing of {repo} for {STALL_S:.0f} s")
    if isinstance(box.get("error"), MissingWeights):
        raise box["error"]
    if "error" in box:
        raise said(box["error"], repo) from None
    if "value" not in box:
        raise MissingWeights(f"fetching {repo} failed")
    return box["value"]


def said(error: Exception, repo: str) -> MissingWeights:
    """What a failure of the client means, as the part of a sentence."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", 0)
    if isinstance(error, errors.GatedRepoError):
        return MissingWeights(f"{repo} is gated: accept its terms on the Hub, then log in here (`hf auth login`, or the secret HF_TOKEN)")
    if isinstance(error, errors.RepositoryNotFoundError) or status in {401, 403}:
        return MissingWeights(f"the Hub has no repository {repo}, or it is private and this machine is not logged in")
    if isinstance(error, errors.RevisionNotFoundError):
        return MissingWeights(f"{repo} has no such revision")
    if isinstance(error, errors.RemoteEntryNotFoundError):
        url = str(getattr(error.response, "url", ""))
        return MissingWeights(f"{repo} has no file {url.split('/resolve/')[-1].partition('/')[2] or 'of that name'}")
    if status >= 500 or status == 429:
        return Unreachable(f"the Hub could not answer for {repo} (status {status}). Try again later")
    if isinstance(error, errors.HFValidationError):
        return MissingWeights(f"'{repo[:100]}' is no name of a Hub repository")
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        return MissingWeights(f"{repo} could not be written to this machine ({error.strerror}). What came is kept: make room, and it goes on from there")
    if "Consistency check" in str(error) or type(error).__name__ in {"RemoteProtocolError", "ReadError"}:
        return Unreachable(f"the Hub broke off while sending {repo}. Try again")
    return Unreachable(f"the Hub did not answer for {repo} ({type(error).__name__})")
