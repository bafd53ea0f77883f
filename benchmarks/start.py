"""A cold start of app.py up to HTTP 200, by the clock and in CPU seconds, and the memory it then holds, against an empty Gradio app."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from .figures import Figure, interleaved, median_ratio, memory_mb, report, tell
from .pages import APP, EMPTY, running

ROUNDS = 5
SETTLE_S = 1.5


def measure() -> Iterator[Figure]:
    memories: dict[tuple[str, ...], list[float]] = {APP: [], EMPTY: []}
    spent: dict[tuple[str, ...], list[float]] = {APP: [], EMPTY: []}

    def start(arguments: tuple[str, ...]) -> float:
        with running(arguments) as page:
            time.sleep(SETTLE_S)
            memories[arguments].append(memory_mb("VmRSS", page.pid))
            spent[arguments] += [] if page.started_cpu_s is None else [page.started_cpu_s]
            return page.started_s

    for arguments in memories:
        start(arguments)  # the files are then in memory and compiled
    for values in (*memories.values(), *spent.values()):
        values.clear()
    ours, empty = interleaved([lambda _: start(APP), lambda _: start(EMPTY)], ROUNDS)
    tell(f"HTTP 200 after: app.py {statistics.median(ours):.2f} s, empty app {statistics.median(empty):.2f} s")
    yield Figure("cold_start_over_empty_app_wall", median_ratio(ours, empty), most=1.3)
    if spent[APP]:
        tell(f"CPU s by then: app.py {statistics.median(spent[APP]):.2f}, empty app {statistics.median(spent[EMPTY]):.2f}")
        yield Figure("cold_start_over_empty_app_cpu", median_ratio(spent[APP], spent[EMPTY]), most=1.3)
    tell(f"idle memory: app.py {statistics.median(memories[APP]):.0f} MB, empty app {statistics.median(memories[EMPTY]):.0f} MB")
    yield Figure("idle_memory_over_empty_app", statistics.median(memories[APP]) / statistics.median(memories[EMPTY]), most=1.6)


if __name__ == "__main__":
    report(measure())
