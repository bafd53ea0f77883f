"""How the model is kept out of the way of look-ups: its thread gives way to theirs, and Python's collector does not walk through it again and again."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading

NICENESS = 10
"""of the thread that runs the model: beside one that wants its core it gets a tenth"""


def stand_back() -> None:
    """The thread that calls this gives way: whatever else wants a core gets it first. Only Linux knows the priority of a single thread."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def set_aside() -> None:
    """What lives in memory now is left out of collections to come, until this is called again; what of it is garbage by then is collected then.

    A full collection looks at every object and lets nobody else run: 0.4 s with libraries and a model, a few milliseconds without them.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
