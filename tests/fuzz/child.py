"""The process in which cases run: `python -m tests.fuzz.child KIND SEED FIRST N FOLDER`. One JSON line before each case, and one behind it."""

from __future__ import annotations

import faulthandler
import gc
import json
import random
import re
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path

from earmark.errors import EarmarkError
from tests.fixtures.hostile import tone, written
from tests.fuzz.kinds import GUARD, KINDS, Case, Kind
from tests.fuzz.watch import Watch

HARD_MB = 6_000
"""beyond what a kind may take there is a wall, for the machine's sake"""
SENTENCE = re.compile(r".{10,900}[.?!)]", re.DOTALL)


def memory_mb(field: str) -> float:
    """VmHWM (the most since it was reset), VmRSS or VmSize."""
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)) / 1024


def judged(kind: Kind, name: str, watch: Watch, case: Case) -> dict[str, object]:
    """What one case did: {said, fault, s, mb}."""
    said, fault = "", ""
    work = case(random.Random(name))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before, start = memory_mb("VmRSS"), time.process_time()
    try:
        with watch:
            said = work()
    except EarmarkError as error:
        said = f"{type(error).__name__}: {error}"
        if not SENTENCE.fullmatch(str(error)):
            fault = f"no sentence: {str(error)!r:.300}"
    except BaseException as error:  # noqa: BLE001 whatever else comes is what is looked for
        fault = f"{type(error).__name__}: {error!s:.200}\n{''.join(traceback.format_tb(error.__traceback__)[-4:])}"
    took, grown = time.process_time() - start, memory_mb("VmHWM") - before
    if watch.seen:
        fault = "; ".join(watch.seen)
    elif not fault and took > kind.limit_s:
        fault = f"took {took:.1f} s"
    elif not fault and grown > kind.memory_mb:
        fault = f"took {grown:.0f} MB"
    return {"said": said[:160], "fault": fault, "s": round(took, 4), "mb": round(grown, 1)}


def main(name: str, seed: str, first: int, n: int, folder: Path) -> None:
    warnings.simplefilter("ignore")
    faulthandler.enable()
    kind, own = (KINDS | GUARD)[name], folder / "work"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    watch = Watch(own, written(tone(3.0)))
    case = kind.prepare(name, own, watch)
    gc.collect()
    gc.freeze()  # what is there now stays: looking through it before each case would cost more than the cases
    limit = int((memory_mb("VmSize") + HARD_MB) * 1024 * 1024)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for number in range(first, first + n):
        print(json.dumps({"case": number}), flush=True)
        print(json.dumps({"case": number, **judged(kind, f"{seed}/{name}/{number}", watch, case)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
