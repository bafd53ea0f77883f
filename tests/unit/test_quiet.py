"""The model keeps out of the way: of its thread's priority and of what a full collection looks at."""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from earmark.live.line.quiet import NICENESS, Aside, set_aside
from earmark.live.line.turns import Turns


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the priority of a single thread")
def test_the_models_thread_gives_way_and_no_other_does() -> None:
    here = niceness()
    assert Turns().take("sound", niceness).done.result(10) == min(max(here, NICENESS), 19)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(niceness).result(10) == here == niceness()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows the priority of a single thread")
def test_what_is_set_aside_is_so_by_a_thread_that_does_not_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    monkeypatch.setattr("earmark.live.line.quiet.set_aside", lambda: found.append(niceness()))
    here, aside = niceness(), Aside()
    Turns().take("load", aside).done.result(10)
    assert found == [here]


class Ring:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.self = self


def test_what_lives_is_set_aside_and_what_is_garbage_by_then_is_collected() -> None:
    living, dead = [Ring() for _ in range(1000)], Ring()
    gone = weakref.ref(dead)
    del dead
    try:
        set_aside()
        assert gone() is None
        assert not {id(one) for one in gc.get_objects()} & {id(one) for one in living}, "a collection does not look at them"
        later = weakref.ref(living[0])
        living.clear()
        gc.collect()
        assert later() is not None
        set_aside()
        assert later() is None, "garbage that was set aside goes the next time"
    finally:
        gc.unfreeze()
