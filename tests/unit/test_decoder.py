"""Decoders that hang in C code, die, or eat memory: whoever brought the file reads a sentence, and the next file is read as ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earmark.errors import BadInput
from earmark.inputs.audio import Limits, decode
from earmark.live.desk import Desk
from earmark.live.line.decoder import Decoders
from earmark.settings import ROOT, Settings
from earmark.shelf.store import Store
from tests.fixtures.hostile import HARM, tone, written
from tests.fixtures.shelf import SAE, Shelf, build_shelf

FINE = written(tone(0.5, 44_100), 44_100)
LIMITS = Limits(max_decode_s=0.5)


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    found = Decoders(3, HARM)
    found.decode(FINE, LIMITS)
    yield found


def test_it_decodes_as_this_process_does(decoders: Decoders) -> None:
    here, there = decode(FINE), decoders.decode(FINE, LIMITS)
    assert np.array_equal(here.waveform.samples, there.waveform.samples) and there.waveform.rate_hz == 16_000 and there.notices == ()
    cut = decoders.decode(written(tone(2.0)), replace(LIMITS, max_used_s=1.0))
    assert cut.waveform.duration_s == 1.0 and cut.notices == ("The sound lasts 2.0 s; the first 1 s are used.",)
    cut.waveform.samples[0] = 0.5  # its own memory, as torch wants it
    for data in (b"", b"noise" * 100, FINE[:50]):
        with pytest.raises(BadInput) as in_process:
            decode(data)
        with pytest.raises(BadInput) as beside:
            decoders.decode(data, LIMITS)
        assert str(in_process.value) == str(beside.value)


@pytest.mark.parametrize(("harm", "said"), [("hang", "took longer than 0 s and was given up"), ("die", "broke the program that reads"), ("eat", "more memory")])
def test_harm_is_a_sentence_and_the_next_file_is_read(decoders: Decoders, harm: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(BadInput, match=said):
        decoders.decode(harm.encode(), LIMITS)
    assert time.monotonic() - began < 30
    assert decoders.decode(FINE, LIMITS).waveform.duration_s == pytest.approx(0.5)


def test_visitors_whose_files_hang_hold_up_nobody_else(tmp_path: Path) -> None:
    shelf: Shelf = build_shelf(tmp_path)
    desk = Desk(Store(replace(Settings.from_env({}), data=shelf.folder, offline=True)), decode_s=0.5)
    desk._decoders = Decoders(3, HARM)
    with ThreadPoolExecutor(4) as visitors:
        assert all("was given up" in said for said in visitors.map(lambda _: problem_of(desk), range(4)))
        assert desk.decode(FINE)[0].duration_s == pytest.approx(0.5)
        assert desk.warm(SAE).name in {"idle", "loading", "failed"}


def problem_of(desk: Desk) -> str:
    with pytest.raises(BadInput) as found:
        desk.bring(b"hang")
    return str(found.value)


def test_processes_end_with_the_one_that_started_them() -> None:
    code = f"""
import contextlib, threading, time
from earmark.errors import BadInput
from earmark.inputs.audio import Limits
from earmark.live.line.decoder import Decoders
found = Decoders(1, {HARM!r})
with contextlib.suppress(BadInput):
    found.decode(b"no sound", Limits())  # it is ready then
threading.Thread(target=found.decode, args=(b"hang", Limits()), daemon=True).start()
time.sleep(0.5)
print(found._idle or "at work", flush=True)
time.sleep(60)
"""
    # its own code would hang with the interpreter's lock held: one that only waits sees that its parent is gone
    code = code.replace("ctypes.PyDLL", "ctypes.CDLL")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "at work\n"
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False).stdout.split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 20
    while time.monotonic() < until and any(_runs(int(child)) for child in children):
        time.sleep(0.1)
    assert children and not any(_runs(int(child)) for child in children)


def _runs(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text() if Path(f"/proc/{number}").exists() else False


def test_a_fork_that_forgets_a_decoder_leaves_it_to_its_owner() -> None:
    found = Decoders(1)
    found.decode(FINE, LIMITS)
    process = found._idle[0]._process
    time.sleep(0.3)  # for the watchdog's thread, which still holds it, to end
    child = os.fork()
    if not child:
        signal.alarm(10)
        found._idle.clear()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "it did not wait for what is not its own"
    assert process.poll() is None and len(found.decode(FINE, LIMITS).waveform.samples)
