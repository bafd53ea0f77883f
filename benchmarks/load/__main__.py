"""Ten minutes of 64 visitors who browse, 8 who bring sounds at the same moments, and 2 in a browser: errors, results, times, memory, waits."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import ROOT, Figure, child_environment, cpu_of, report, tell
from benchmarks.pages import SERVER, Running, asked, running, status

from .browsing import THINK_S, Browsing, Look, by_kind, quantile
from .clips import prepare
from .memory import Memory
from .uploading import Upload

SECONDS_VARIABLE, DEFAULT_S = "EARMARK_LOAD_SECONDS", 600.0
N_BROWSING, N_UPLOADING, N_CLIPS = 64, 8, 48
IDLE_SHARE, WARM_UP_S = 0.1, 120.0
"""of the time nobody brings anything; after so many seconds of the rest memory counts, in a short run after a third of it"""
LOAD_S = 240.0
SLACK_S = 3.0
"""a wait that was stated is kept where it took at most twice as long and so much more"""


def measure() -> Iterator[Figure]:
    total_s = float(os.environ.get(SECONDS_VARIABLE, DEFAULT_S))
    with tempfile.TemporaryDirectory() as folder:
        clips = prepare(Path(folder), N_CLIPS)
        with running(SERVER) as page, Memory(page.pid) as memory:
            asked_for_model(page, clips[0].dictionary)
            yield from load(page, memory, Path(folder), total_s)
            said = page.said()
            tell(f"the server's own log: {len(said.splitlines())} lines")
            yield Figure("load_tracebacks", float(said.count("Traceback")), most=0)
            if "Traceback" in said:
                tell(said[said.index("Traceback") :][:3000])


def asked_for_model(page: Running, dictionary: str) -> None:
    """Opens the tab Audio, upon which the model is loaded, and waits for that."""
    assert status(page.port, f"/?tab=audio&dictionary={dictionary}") == 200
    end = time.monotonic() + LOAD_S
    while asked(page, f"/model/{dictionary}")["state"] != "ready":
        assert time.monotonic() < end, "the model did not come"
        time.sleep(0.5)


def load(page: Running, memory: Memory, folder: Path, total_s: float) -> Iterator[Figure]:
    """Nobody but those who browse at first, then everybody."""
    browsing, begin = Browsing.on(page), time.monotonic()
    busy, end = begin + IDLE_SHARE * total_s, begin + total_s
    asked(page, "/bench/times")

    async def everybody() -> tuple[list[Upload], Any, dict[str, list[float]]]:
        visits = asyncio.create_task(browsing.run(N_BROWSING, end))
        spent, own = cpu_of(page.pid) or 0.0, time.process_time()
        await asyncio.sleep(busy - time.monotonic())
        tell(f"{total_s * IDLE_SHARE:.0f} s of browsing alone are over")
        idle_times = await asyncio.to_thread(asked, page, "/bench/times")
        left = str(end - time.monotonic())
        children = [_child("uploading", page, folder, left, str(N_UPLOADING)), _child("walking", page, folder, left)]
        await visits
        shares = ((cpu_of(page.pid) or 0.0) - spent) / total_s, (time.process_time() - own) / total_s
        tell(f"of one core the server took {shares[0]:.2f}, those who browse {shares[1]:.2f}; load of the machine {os.getloadavg()[1]:.1f}")
        uploads, walked = [await asyncio.to_thread(_told, child) for child in children]
        return [Upload(**u | {"places": tuple(u["places"])}) for u in uploads], walked, {"idle": idle_times, "busy": asked(page, "/bench/times")}

    uploads, walked, served = asyncio.run(everybody())
    first, last = min(u.at for u in uploads), max(u.at + u.seconds for u in uploads)
    warm = first + min(WARM_UP_S, (last - first) / 3)
    yield from of_looks(browsing.looks, first, last, served)
    yield from of_uploads(uploads)
    yield from of_walks(walked)
    least, most, slope = memory.after(warm)
    tell(f"memory from {warm - begin:.0f} s on: {least:.0f} to {most:.0f} MB, {slope:+.1f} MB a minute; {memory.samples[0][1]:.0f} MB at first")
    yield Figure("load_memory_most_over_least", most / least, most=1.1)


def of_looks(looks: Sequence[Look], first: float, last: float, served: dict[str, list[float]]) -> Iterator[Figure]:
    idle, busy = [x for x in looks if x.at < first], [x for x in looks if first <= x.at < last]
    for name, those in (("the model idle", idle), ("the model busy", busy)):
        tell(f"{name}: {len(those)} look-ups of {N_BROWSING} visitors, each {THINK_S[0]:g} to {THINK_S[1]:g} s at a page")
        for line in by_kind(list(those)):
            tell(f"  {line}")
    failed = [x.problem for x in looks if x.problem]
    for problem in failed[:10]:
        tell(problem)
    yield Figure("load_lookups_failed", float(len(failed)), most=0)
    quiet, under = (quantile([x.seconds for x in those], 0.95) for those in (idle, busy))
    tell(f"all look-ups: p50 {quantile([x.seconds for x in busy], 0.5):.0f} ms, p95 {under:.0f} ms while the model is busy; {quiet:.0f} ms while it is idle")
    in_server = {name: quantile(times, 0.95) for name, times in served.items()}
    tell(f"inside the server, from the request's arrival to the last byte: p95 {in_server['idle']:.0f} ms idle, {in_server['busy']:.0f} ms busy")
    yield Figure("load_lookup_p95_while_busy_ms", under, most=100)
    yield Figure("load_lookup_p95_in_server_while_busy_ms", in_server["busy"], most=100)
    yield Figure("load_lookup_p95_busy_over_idle", under / quiet, most=4)


def of_uploads(uploads: Sequence[Upload]) -> Iterator[Figure]:
    seconds = [u.seconds for u in uploads]
    tell(f"{len(uploads)} sounds brought: p50 {quantile(seconds, 0.5) / 1000:.1f} s, longest {max(seconds):.1f} s until the answer")
    wrong = [u.problem for u in uploads if u.problem]
    for problem in wrong[:10]:
        tell(problem)
    yield Figure("load_results_wrong_or_lost", float(len(wrong)), most=0)
    told = [u for u in uploads if u.told_s is not None]
    n_waiting = len(uploads) * (N_UPLOADING - 1) / N_UPLOADING  # of those who bring something at the same moment one finds nobody before
    if told:
        worst = max(told, key=lambda u: u.waited_s)
        places = sorted({place for u in told for place in u.places}, reverse=True)
        tell(f"longest wait {worst.waited_s:.1f} s, of which {worst.told_s:.0f} s were stated beforehand; numbers of those before: {places}")
    yield Figure("load_waits_told_beforehand", len(told) / max(n_waiting, 1), least=1)
    kept = [u for u in told if u.waited_s <= 2 * (u.told_s or 0) + SLACK_S and (u.told_s or 0) <= 2 * u.waited_s + SLACK_S]
    yield Figure("load_waits_about_as_told", len(kept) / max(len(told), 1), least=0.95)


def of_walks(walked: dict[str, Any]) -> Iterator[Figure]:
    tell(f"in the browser: {walked['views']} views, {walked['sounds']} sounds brought; was told {walked['told'][:8]}")
    for problem in walked["problems"][:10]:
        tell(problem)
    yield Figure("load_browser_problems", float(len(walked["problems"])), most=0)
    yield Figure("load_browser_sounds", float(walked["sounds"]), least=1)


def _child(name: str, page: Running, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.load.{name}", str(page.port), str(folder), *more]
    return subprocess.Popen(command, cwd=ROOT, env=child_environment(one_thread=True), stdout=subprocess.PIPE, text=True)


def _told(child: subprocess.Popen[str]) -> Any:
    out, _ = child.communicate()
    assert child.returncode == 0, f"{child.args} ended with {child.returncode}"
    return json.loads(out.splitlines()[-1])


if __name__ == "__main__":
    report(measure())
