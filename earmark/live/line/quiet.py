"""How the model is kept out of the way of look-ups: its thread gives way to theirs, and Python's collector does not walk through it again and again."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

NICENESS = 4
"""of a thread that runs a model: beside one that wants its core it gets 0.4 of what that one gets; less of it would hold up all others at each step
of Python's, which one thread takes at a time"""


def stand_back() -> None:
    """The thread that calls this gives way: whatever else wants a core gets it first. Only Linux knows the priority of a single thread."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


class Aside:
    """Sets aside, on a thread that does not give way: nobody else runs meanwhile, so that it must not wait for a core."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "aside")
        self._thread.submit(lambda: None)  # it begins now, for it would take over that its beginner gives way

    def __call__(self) -> None:
        self._thread.submit(set_aside).result()


def set_aside() -> None:
    """What lives in memory now is left out of collections to come, until this is called again; what of it is garbage by then is collected then.

    A full collection looks at every object and lets nobody else run: 0.4 s with libraries and a model, a few milliseconds without them.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
