"""Runs cases of a kind in a process of its own, and goes on behind a case that crashed or hung."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.fuzz.kinds import GUARD, KINDS

ROOT = Path(__file__).resolve().parents[2]
START_S = 180
"""for a process to import what a kind needs and to make its files"""
GRACE_S = 20
MOST_FAULTS = 25
"""a kind that has so many is stopped"""


@dataclass(frozen=True)
class Told:
    """What a case came to."""

    case: int
    said: str
    """the sentence that it got, or what its input was read as"""
    fault: str
    """what it must not have done; empty where all is well"""
    s: float
    mb: float


def cases(kind: str, n: int, folder: Path, seed: str = "0", first: int = 0) -> Iterator[Told]:
    """Cases `first` to `first + n`. The same seed and number make the same case."""
    at, end, n_faults = first, first + n, 0
    while at < end and n_faults < MOST_FAULTS:
        for told in _until_it_ends(kind, end - at, folder, seed, at):
            n_faults += bool(told.fault)
            at = told.case + 1
            yield told
            if n_faults >= MOST_FAULTS:
                return


def _until_it_ends(kind: str, n: int, folder: Path, seed: str, first: int) -> Iterator[Told]:
    """One process: up to its end, or up to the case in which it came to one."""
    command = [sys.executable, "-m", "tests.fuzz.child", kind, seed, str(first), str(n), str(folder)]
    env = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "work" / "hub"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(folder / "work" / "taken"),
    }
    errors = folder / "errors.txt"
    folder.mkdir(parents=True, exist_ok=True)
    with errors.open("wb") as log, subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=log, text=True) as child:
        assert child.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True).start()
        running: int | None = None
        try:
            while True:
                line = lines.get(timeout=START_S if running is None else (KINDS | GUARD)[kind].limit_s + GRACE_S)
                if line is None:
                    break
                found = json.loads(line)
                running = None if "fault" in found else found["case"]
                if running is None:
                    yield Told(**found)
            if child.wait() != 0 and running is None:
                raise RuntimeError(f"the process of {kind} ended with {child.returncode} outside any case: {_end_of(errors)}")
            if running is not None:
                yield Told(running, "", f"ended the process with {child.returncode}: {_end_of(errors)}", 0.0, 0.0)
        except queue.Empty:
            if running is None:
                raise RuntimeError(f"{kind} did not start within {START_S} s: {_end_of(errors)}") from None
            yield Told(running, "", "hung", (KINDS | GUARD)[kind].limit_s + GRACE_S, 0.0)
        finally:
            child.kill()


def _pump(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        if line.startswith('{"case"'):
            lines.put(line)
    lines.put(None)


def _end_of(path: Path) -> str:
    return path.read_text(errors="replace")[-1500:]
