"""Work over a corpus by several processes, one thread each: on busy cores that beats one process with several threads.

A worker takes every n-th row group of the samples table, in order, so that a worker that is killed and started again goes on
where it was. Workers are spawned, report finished samples through a queue, and pass on the sentence of what stopped them.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from ..errors import BadInput, EarmarkError
from ..machine import told


@dataclass(frozen=True)
class Share:
    """The part of a job that one worker does."""

    worker: int
    n_workers: int
    report: Callable[[int], None]
    """called with the number of samples that were finished"""


def default_workers() -> int:
    return max(1, min(os.cpu_count() or 1, 8))


def run(job: Callable[..., None], args: tuple[Any, ...], n_workers: int, total: int, done: int, title: str) -> None:
    """Run `job(share, *args)` in n_workers processes with a progress bar. Raises BadInput with the sentence of the first failure."""
    context = mp.get_context("spawn")
    reports: Any = context.Queue()
    processes = [context.Process(target=_work, args=(job, w, n_workers, reports, args), daemon=True) for w in range(n_workers)]
    for process in processes:
        process.start()
    try:
        with tqdm(total=total, initial=done, desc=title, unit="sample", mininterval=1.0, smoothing=0.02) as bar:
            running = set(range(n_workers))
            while running:
                try:
                    worker, n, failure = reports.get(timeout=2.0)
                except queue.Empty:
                    lost = [w for w in running if not processes[w].is_alive() and processes[w].exitcode != 0]
                    if lost:
                        raise BadInput(f"{title}: a worker {_ended(processes[lost[0]].exitcode)}. Run the same command again: it goes on from there.") from None
                    continue
                if failure:
                    raise BadInput(f"{title} stopped: {failure}")
                if n < 0:
                    running.discard(worker)
                else:
                    bar.update(n)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
            process.join()


def _ended(status: int | None) -> str:
    killed = " (it was killed, as a machine does that runs out of memory: fewer --workers need less)" if status == -signal.SIGKILL else ""
    return f"ended with status {status}{killed}"


def _work(job: Callable[..., None], worker: int, n_workers: int, reports: Any, args: tuple[Any, ...]) -> None:
    import torch

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(1)
    try:
        with told():
            job(Share(worker, n_workers, lambda n: reports.put((worker, n, None))), *args)
        reports.put((worker, -1, None))
    except EarmarkError as error:
        reports.put((worker, 0, str(error)))


def _end_with(parent: int) -> None:
    """A worker whose parent was killed ends too, and leaves what the next run goes on with."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def alone(cache: Path, name: str) -> Generator[None]:
    """One run at a time at one piece of work. Raises BadInput when another is at it."""
    lock = FileLock(work_folder(cache, "locks") / f"{name}.lock")
    try:
        lock.acquire(timeout=3)
    except Timeout:
        raise BadInput("Another run is at the same work. Wait for it, or end it.") from None
    try:
        yield
    finally:
        lock.release()


def work_folder(cache: Path, *parts: str) -> Path:
    """A folder below the cache for one job's unfinished work."""
    folder = cache.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
