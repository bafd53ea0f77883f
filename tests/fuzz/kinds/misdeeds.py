"""No input: each case does one of the things that the guard must catch."""

from __future__ import annotations

import ctypes
import os
import pickle
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from earmark.errors import BadInput
from tests.fuzz.kinds import Case
from tests.fuzz.watch import Watch

CAUGHT = {
    "fine": "",
    "sentence": "",
    "raises": "ZeroDivisionError",
    "mumbles": "no sentence",
    "crashes": "ended the process with -11",
    "hangs": "hung",
    "is slow": "took 0.7",
    "eats": "took 2",
    "runs": "subprocess.Popen",
    "unpickles": "pickle.find_class",
    "calls": "socket.",
    "reads elsewhere": "/etc/passwd",
    "writes elsewhere": "opened",
    "removes": "os.remove",
    "reads the canary": "opened a file that its bytes named",
}
"""what the case of that number does -> what is said of it"""


def prepare(folder: Path, watch: Watch) -> Case:
    elsewhere = folder.parent / "elsewhere.txt"
    elsewhere.write_text("x")

    def sentence(words: str) -> str:
        raise BadInput(words)

    def busy(seconds: float) -> None:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    deeds: dict[str, Callable[[], object]] = {
        "fine": lambda: (folder / "own.txt").write_text("x"),
        "sentence": lambda: sentence("The file is no good. Bring another."),
        "raises": lambda: 1 / 0,
        "mumbles": lambda: sentence("no"),
        "crashes": lambda: ctypes.string_at(0),
        "hangs": lambda: time.sleep(60),
        "is slow": lambda: busy(0.7),
        "eats": lambda: len(b"\1" * 250_000_000),
        "runs": lambda: subprocess.run([sys.executable, "-c", ""], check=False),
        "unpickles": lambda: pickle.loads(b"\x80\x04\x8c\x02os\x8c\x06system\x93."),
        "calls": lambda: socket.create_connection(("127.0.0.1", 9)),
        "reads elsewhere": lambda: Path("/etc/passwd").read_text(),
        "writes elsewhere": lambda: elsewhere.write_text("y"),
        "removes": lambda: elsewhere.unlink(),
        "reads the canary": lambda: ctypes.CDLL(None).open(os.fsencode(watch.canary), 0),
    }
    order = iter([deeds[name] for name in CAUGHT][int(sys.argv[3]) :])

    def case(chance: random.Random) -> Callable[[], str]:
        deed = next(order)
        return lambda: str(deed())

    return case
