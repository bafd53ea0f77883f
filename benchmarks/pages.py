"""Pages as processes: app.py, an empty Gradio app to compare with, and how long each takes to answer."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .figures import ROOT, child_environment, cpu_of

APP = ("app.py",)
EMPTY = (
    "-c",
    "import gradio as gr\nwith gr.Blocks(title='Empty', analytics_enabled=False) as demo:\n    pass\ndemo.launch(ssr_mode=False, quiet=True)",
)
SERVER = ("-m", "benchmarks.server")
"""app.py's page with two routes of the benchmark beside it"""
START_S = 120


@dataclass(frozen=True)
class Running:
    """A page that answers."""

    port: int
    pid: int
    started_s: float
    """from the start of the process to the first HTTP 200 at /"""
    started_cpu_s: float | None
    """CPU seconds by then; None where nothing says so"""
    said: Callable[[], str]
    """what it has printed so far"""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(arguments: tuple[str, ...]) -> Generator[Running]:
    """Start `python ARGUMENTS` on a free port of this machine, wait for HTTP 200, stop it at the end."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    env = child_environment(one_thread=False, GRADIO_SERVER_PORT=str(port), GRADIO_SERVER_NAME="127.0.0.1", EARMARK_OFFLINE="1")
    with tempfile.TemporaryFile("w+") as log:

        def said() -> str:
            return os.pread(log.fileno(), 1 << 24, 0).decode(errors="replace")  # moves nothing: the page writes where it is

        before = time.monotonic()
        process = subprocess.Popen([sys.executable, "-W", "ignore", *arguments], cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)
        try:
            while status(port, "/") != 200:
                if process.poll() is not None or time.monotonic() > before + START_S:
                    raise RuntimeError(f"python {arguments[0]} did not come up:\n{said()[-3000:]}")
                time.sleep(0.02)
            yield Running(port, process.pid, time.monotonic() - before, cpu_of(process.pid), said)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def status(port: int, path: str) -> int:
    """The status of an answer, read to its end; 0 when nothing answers."""
    try:
        return _answer(port, path)[0]
    except OSError:
        return 0


def asked(page: Running, path: str) -> Any:
    """The JSON that a path answers."""
    code, body = _answer(page.port, path)
    assert code == 200, f"{path} answered {code}"
    return json.loads(body)


def alive_units(page: Running, n: int) -> list[tuple[str, int]]:
    """(dictionary, unit) of n units that have examples, spread over the first dictionary with tables."""
    slugs = [d["slug"] for d in asked(page, "/api/dictionaries") if d["tables"]]
    assert slugs, "no dictionary has tables yet: build them first"
    units = [u["unit"] for u in asked(page, f"/api/units/{slugs[0]}") if not u["dead"]]
    return [(slugs[0], unit) for unit in units[:: max(len(units) // n, 1)][:n]]


def _answer(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
