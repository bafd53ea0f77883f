"""What a benchmark gives: figures with their goals as JSON lines, and how times and memory are taken."""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONG_VARIABLE = "EARMARK_BENCH_LONG"


def long_or(many: int, few: int) -> int:
    """How many clips: many in `make bench-long`, few in `make bench`."""
    return many if os.environ.get(LONG_VARIABLE) == "1" else few


@dataclass(frozen=True)
class Figure:
    """One line of the output."""

    name: str
    value: float
    most: float | None = None
    """the goal is at most this"""
    least: float | None = None
    """the goal is at least this"""

    @property
    def goal(self) -> str:
        return f"<= {self.most:g}" if self.most is not None else f">= {self.least:g}"

    @property
    def met(self) -> bool:
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    def line(self) -> str:
        return json.dumps({"name": self.name, "value": float(f"{self.value:.4g}"), "goal": self.goal, "met": self.met})


def report(figures: Iterable[Figure]) -> None:
    """Print figures as they come."""
    for figure in figures:
        print(figure.line(), flush=True)


def tell(text: str) -> None:
    """The times behind a ratio, for people, on stderr."""
    print(f"  {text}", file=sys.stderr, flush=True)


def cpu_s(action: Callable[[], object]) -> float:
    """CPU seconds of this process (user and system) that an action takes: on a busy machine steadier than wall time."""
    before = time.process_time()
    action()
    return time.process_time() - before


def wall_ms(action: Callable[[], object]) -> float:
    before = time.perf_counter()
    action()
    return (time.perf_counter() - before) * 1000


def interleaved(measures: Sequence[Callable[[int], float]], rounds: int) -> list[list[float]]:
    """Each measure once a round, whose number it is given; every second round in reverse order. One list of values a measure."""
    values: list[list[float]] = [[] for _ in measures]
    for number in range(rounds):
        order = range(len(measures)) if number % 2 == 0 else reversed(range(len(measures)))
        for i in order:
            values[i].append(measures[i](number))
    return values


def median_ratio(values: Sequence[float], reference: Sequence[float]) -> float:
    """The median over the rounds of what was measured against the reference of the same round."""
    return statistics.median(a / b for a, b in zip(values, reference, strict=True))


# -- memory --------------------------------------------------------------------------------------------------------------


def memory_mb(field: str = "VmRSS", pid: int | str = "self") -> float:
    """VmRSS (resident now) or VmHWM (the most so far) of a process, in MB of 2^20 bytes.

    ru_maxrss of a child begins at what its parent held, which /proc's counter does not; where there is no /proc, it is the best there is.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def forget_peak() -> None:
    """Let VmHWM start again at what is resident now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        tell("the peak of memory could not be reset: it includes what loading took")


def cpu_of(pid: int) -> float | None:
    """CPU seconds (user and system) of another process so far; None where there is no /proc to say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- other processes -----------------------------------------------------------------------------------------------------


def child_environment(one_thread: bool, **more: str) -> dict[str, str]:
    """The environment of a process that is measured: nothing is fetched or sent, bytecode is kept, as it is for everybody."""
    env = {k: v for k, v in os.environ.items() if k not in {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH"}}
    env |= {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    if one_thread:
        env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return env | more
