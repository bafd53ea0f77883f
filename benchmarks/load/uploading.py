"""Visitors who bring sounds, as programs: all of them at once, each another clip, again and again; each checks that the answer is its own clip's.

A process of its own, so that none of its work delays those who browse: `python -m benchmarks.load.uploading PORT FOLDER SECONDS N_VISITORS`.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .clips import KnownClip, read

N_HITS = 20
ROUND_PAUSE_S = 1.0
LIMIT_S = 300.0
PATIENCE_S = 60.0
"""with the machine: how long a client waits for a byte"""
_TOLD = re.compile(r"(?P<n>\d+) (?:is|are) before you, about (?P<count>\d+) (?P<unit>s|min)")


@dataclass(frozen=True)
class Upload:
    """One sound that was brought."""

    clip: str
    at: float
    """when it was sent, on the monotonic clock"""
    seconds: float
    """until the answer"""
    waited_s: float
    """until its turn"""
    told_s: float | None
    """the wait that was stated first; None where none was"""
    places: tuple[int, ...]
    """how many were said to come first, as that changed"""
    problem: str = ""


class Told:
    """What a visitor is told, as it changes."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.first_s: float | None = None
        self.places: list[int] = []
        self.turn: float | None = None

    def hear(self, status: Any) -> None:
        words = " ".join(unit.desc or "" for unit in status.progress_data or ())
        told = _TOLD.search(words)
        if told:
            seconds = int(told["count"]) * (60 if told["unit"] == "min" else 1)
            self.first_s = float(seconds) if self.first_s is None else self.first_s
            if self.places[-1:] != [int(told["n"])]:
                self.places.append(int(told["n"]))
        elif words and self.turn is None:
            self.turn = time.monotonic()


def bring(client: Any, clip: KnownClip) -> Upload:
    from gradio_client import handle_file

    told, at = Told(), time.monotonic()
    job = client.submit(handle_file(clip.path), clip.dictionary, N_HITS, api_name="/analyse_audio")
    while not job.done() and time.monotonic() < at + LIMIT_S:
        told.hear(job.status())
        time.sleep(0.05)
    over = time.monotonic()
    return Upload(clip.name, at, over - at, (told.turn or over) - at, told.first_s, tuple(told.places), _problem(job, clip))


def _problem(job: Any, clip: KnownClip) -> str:
    """What is wrong with an answer; empty where it is the clip's own."""
    if not job.done():
        return f"{clip.name}: no answer in {LIMIT_S:.0f} s"
    error = job.exception()
    if error is not None:
        return f"{clip.name}: {type(error).__name__}: {error}"
    answer = job.result()
    return clip.problem([(int(h["unit"]), float(h["peak"])) for h in answer["hits"]], str(answer["transcript"]))


def visitor(number: int, clients: Sequence[Any], clips: Sequence[KnownClip], end: float, together: threading.Barrier, uploads: list[Upload]) -> None:
    """Rounds in which everybody brings a sound at the same moment; nobody's is another's."""
    turn = 0
    while True:
        together.wait()  # all read the clock between the same two meetings
        over = time.monotonic() > end
        together.wait()
        if over:
            return
        uploads.append(bring(clients[number], clips[(turn * len(clients) + number) % len(clips)]))
        turn += 1
        time.sleep(ROUND_PAUSE_S)


def main(port: int, folder: Path, seconds: float, n: int) -> None:
    from gradio_client import Client

    clients = [Client(f"http://127.0.0.1:{port}", verbose=False, httpx_kwargs={"timeout": PATIENCE_S}) for _ in range(n)]
    uploads: list[Upload] = []
    end, together = time.monotonic() + seconds, threading.Barrier(n)
    threads = [threading.Thread(target=visitor, args=(i, clients, read(folder), end, together, uploads)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps([asdict(upload) for upload in uploads]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
