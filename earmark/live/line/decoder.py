"""Visitors' sound files, decoded in processes of their own: a decoder that hangs, dies or eats memory takes nobody along.

What goes astray inside a C library can be stopped by nothing but the end of its process. Such a process lives on from file to file, and a
new one takes the place of one that had to be ended. Requests and answers are a line of JSON and plain bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from typing import IO, Any, TypeVar

import numpy as np

from ...errors import BadInput
from ...inputs.audio import Limits, Sound, decode
from ...machine import told
from ...settings import ROOT
from ...units import Waveform
from .quiet import stand_back

T = TypeVar("T")
CODE = f"from {__name__} import serve; serve()"
START_S = 60.0
"""how long a process may take until it is ready, which on a busy machine is some seconds"""
SPARE_S = 3.0
"""beyond the time that reading may take, which `decode` itself keeps as long as it gets to look at a clock"""
MOST_BYTES = 4 << 30
"""of addresses in such a process"""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


class Decoders:
    """At most so many processes, each started when it is first needed."""

    def __init__(self, n: int, code: str = CODE):
        self._code, self._free = code, threading.BoundedSemaphore(n)
        self._idle: list[_Decoder] = []

    def warm(self) -> None:
        """Let one get ready, if there is none yet."""
        if not self._idle and self._free.acquire(blocking=False):
            self._idle.append(_Decoder(self._code))
            self._free.release()

    def decode(self, data: bytes, limits: Limits) -> Sound:
        """As `earmark.inputs.audio.decode`, which raises BadInput; so does a decoder that hangs or dies."""
        with self._free:
            try:
                decoder = self._idle.pop()
            except IndexError:
                decoder = _Decoder(self._code)
            answer = decoder.ask(data, limits)
            if answer is not None:
                self._idle.append(decoder)
        if answer is None and decoder.late:
            raise BadInput(f"Reading the file took longer than {limits.max_decode_s:.0f} s and was given up. Cut it, or save it as wav.")
        if answer is None:
            raise BadInput("The file broke the program that reads sounds, and was given up. Save it as wav and bring it once more.")
        if isinstance(answer, str):
            raise BadInput(answer)
        return answer


class _Decoder:
    """One process."""

    def __init__(self, code: str):
        environment, pipe, nowhere = {**os.environ, **ENVIRONMENT}, subprocess.PIPE, subprocess.DEVNULL
        with told():
            self._process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, stderr=nowhere)
        weakref.finalize(self, _let_go, self._process, os.getpid())  # when nobody holds it any more, and when this process ends
        self._ready = False
        self.late = False
        """whether it had to be ended because its time was over"""

    def ask(self, data: bytes, limits: Limits) -> Sound | str | None:
        """The sound, a sentence, or None where the process is no more."""
        assert self._process.stdin and self._process.stdout
        try:
            if not self._ready:
                self._ready = _within(START_S, self._end, self._process.stdout.readline) == b"ready\n"
            return _within(limits.max_decode_s + SPARE_S, self._end, lambda: self._answer(data, limits))
        except (OSError, ValueError, KeyError, TypeError):
            _close(self._process)
            return None

    def _end(self) -> None:
        self.late = True
        self._process.kill()

    def _answer(self, data: bytes, limits: Limits) -> Sound | str:
        assert self._process.stdin and self._process.stdout
        _send(self._process.stdin, {"limits": asdict(limits)}, data)
        head, body = _receive(self._process.stdout)
        if "problem" in head:
            return str(head["problem"])
        return Sound(Waveform(np.frombuffer(body, np.float32).copy(), int(head["rate_hz"])), tuple(map(str, head["notices"])))


def _let_go(process: subprocess.Popen[bytes], owner: int) -> None:
    """A fork of the owner has no part in it, though it has a copy of everything."""
    if os.getpid() == owner:
        _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with suppress(OSError, ValueError):  # what was still to be written to it
        process.communicate()


def _within(limit_s: float, end: Callable[[], object], work: Callable[[], T]) -> T:
    """What `work` gives; `end` is called when it takes too long, which lets it fail."""
    watchdog = threading.Timer(limit_s, end)
    watchdog.daemon = True
    watchdog.start()
    try:
        return work()
    finally:
        watchdog.cancel()


def _send(pipe: IO[bytes], head: dict[str, object], body: bytes) -> None:
    pipe.write(json.dumps({**head, "n_bytes": len(body)}).encode() + b"\n")
    pipe.write(body)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Raises ValueError where the other side is no more."""
    head = json.loads(pipe.readline())
    body = pipe.read(head["n_bytes"])
    if len(body) != head["n_bytes"]:
        raise ValueError("half an answer")
    return head, body


# -- in the process --------------------------------------------------------------------------------------------------------


def serve() -> None:
    """Decode what comes in on standard input, until it ends. What libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _bound_memory()
    stand_back()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    import_module("soxr")  # so that no visitor waits for it

    answers.write(b"ready\n")
    answers.flush()
    while True:
        try:
            head, data = _receive(sys.stdin.buffer)
        except ValueError:  # nobody asks any more
            return
        try:
            sound = decode(data, Limits(**head["limits"]))
        except BadInput as error:
            _send(answers, {"problem": str(error)}, b"")
        except MemoryError:
            _send(answers, {"problem": "Reading the file takes more memory than a file is given here. Cut it, or save it as wav."}, b"")
        else:
            samples = np.ascontiguousarray(sound.waveform.samples, np.float32)
            _send(answers, {"rate_hz": sound.waveform.rate_hz, "notices": sound.notices}, samples.tobytes())


def _end_with(parent: int) -> None:
    """A process that hangs sees no end of its input; it ends all the same when its parent was killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _bound_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    except (ImportError, OSError, ValueError):
        return  # a system without such limits, or a lower one that is in force
