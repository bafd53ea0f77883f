"""`python -m benchmarks`: every benchmark in a process of its own, one JSON line {"name", "value", "goal", "met"} a figure."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

from .figures import LONG_VARIABLE, ROOT, child_environment, tell


@dataclass(frozen=True)
class Benchmark:
    """One module of this folder."""

    name: str
    limit_s: int
    """after so long it is stopped"""
    one_thread: bool = False


BENCHMARKS = (
    Benchmark("build_time", 400, one_thread=True),
    Benchmark("build_text", 400, one_thread=True),
    Benchmark("build_memory", 400, one_thread=True),
    Benchmark("analysis", 120, one_thread=True),
    Benchmark("analysis_text", 240, one_thread=True),
    Benchmark("editing", 400, one_thread=True),
    Benchmark("start", 180),
    Benchmark("deep_link", 180),
    Benchmark("serving", 120),
    Benchmark("reads", 120),
    Benchmark("notebook", 400, one_thread=True),
    Benchmark("training", 400, one_thread=True),
)

LONG = (
    Benchmark("build_time", 3600, one_thread=True),
    Benchmark("build_text", 3600, one_thread=True),
    Benchmark("build_memory", 1800, one_thread=True),
    Benchmark("notebook", 3600, one_thread=True),
    Benchmark("training", 900, one_thread=True),
    Benchmark("whole_size", 3600),
    Benchmark("dashboard", 3600, one_thread=True),
    Benchmark("load", 1800),
)
"""what `make bench-long` runs: some of the above on more samples, models of true size, and another tool in an environment of its own"""


def main() -> int:
    names = [b.name for b in BENCHMARKS]
    longer = [b.name for b in LONG if b.name not in names]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Prints one JSON line a figure; times behind them go to stderr.")
    parser.add_argument("--only", metavar="NAME", action="append", choices=[*names, *longer], help=f"one of them, may be repeated: {', '.join(names)}")
    parser.add_argument("--long", action="store_true", help=f"longer work instead, an hour or more: {', '.join(b.name for b in LONG)}")
    asked = parser.parse_args()
    if asked.long:
        os.environ[LONG_VARIABLE] = "1"
    broken = [b.name for b in (LONG if asked.long else BENCHMARKS) if (not asked.only or b.name in asked.only) and not run(b)]
    return 1 if broken else 0


def run(benchmark: Benchmark) -> bool:
    """Run one; a benchmark that breaks or takes too long leaves a line that says so."""
    tell(f"{benchmark.name} ...")
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{benchmark.name}"]
    process = subprocess.Popen(command, cwd=ROOT, env=child_environment(benchmark.one_thread), start_new_session=True)
    try:
        status: int | str = process.wait(benchmark.limit_s)
    except subprocess.TimeoutExpired:
        status = f"more than {benchmark.limit_s} s"
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # whatever it left running
        except ProcessLookupError:
            pass
        process.wait()
    if status != 0:
        print(json.dumps({"name": benchmark.name, "value": None, "goal": "runs", "met": False, "error": f"ended with {status}"}), flush=True)
    return status == 0


if __name__ == "__main__":
    sys.exit(main())
