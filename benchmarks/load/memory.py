"""How much memory a process holds while time goes on."""

from __future__ import annotations

import threading
import time

import numpy as np

from benchmarks.figures import memory_mb

EVERY_S = 2.0


class Memory:
    """Samples of a process's resident memory, taken by a thread."""

    def __init__(self, pid: int):
        self._pid, self._stop = pid, threading.Event()
        self.samples: list[tuple[float, float]] = []
        """(monotonic seconds, MB)"""
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.samples.append((time.monotonic(), memory_mb(pid=self._pid)))

    def after(self, begin: float) -> tuple[float, float, float]:
        """(least MB, most MB, MB a minute along a straight line) from a moment on."""
        samples = np.array([s for s in self.samples if s[0] >= begin], np.float64)
        minutes, values = (samples[:, 0] - samples[0, 0]) / 60, samples[:, 1]
        centred = minutes - minutes.mean()
        return float(values.min()), float(values.max()), float(centred @ values / (centred @ centred)) if len(values) > 2 else 0.0
