"""`python -m tests.fuzz [KIND ...] --cases N --first I --seed S`: cases of every kind, and a line about each; status 1 where anything was found."""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.kinds import KINDS
from tests.fuzz.run import Told, cases


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all where none is named")
    parser.add_argument("--cases", type=int, default=2000, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first case: where a run that was stopped goes on")
    parser.add_argument("--seed", default="0")
    asked = parser.parse_args()
    if unknown := set(asked.kinds) - set(KINDS):
        parser.error(f"no kind {', '.join(unknown)}; there are {', '.join(KINDS)}")
    with tempfile.TemporaryDirectory() as folder:
        found = [_one(kind, asked, Path(folder) / kind) for kind in asked.kinds or KINDS]
    return int(any(found))


def _one(kind: str, asked: argparse.Namespace, folder: Path) -> bool:
    start, told = time.monotonic(), []
    for one in cases(kind, asked.cases, folder, asked.seed, asked.first):
        told.append(one)
        if one.fault:
            print(f"  {kind} case {one.case} (seed {asked.seed}): {one.fault}\n    {one.said}", flush=True)
        if len(told) % 2000 == 0:
            print(f"  {kind}: up to case {one.case}", flush=True)
    print(summary(kind, told, time.monotonic() - start), flush=True)
    return any(one.fault for one in told)


def summary(kind: str, told: list[Told], took_s: float) -> str:
    """How many cases, how they ended, how fast, and which took longest and most."""
    ends = collections.Counter(one.said.split(":")[0] if not one.fault else "FAULT" for one in told)
    slowest = ", ".join(f"{one.case} ({one.s:.2f} s)" for one in sorted(told, key=lambda one: -one.s)[:5])
    most = max(told, key=lambda one: one.mb, default=None)
    memory = f"; most memory {most.case} ({most.mb:.0f} MB)" if most else ""
    inside = sum(one.s for one in told)
    rate = f"{len(told) / inside:.0f} a second of their own" if inside else ""
    return f"{kind}: {len(told)} cases in {took_s:.0f} s, {rate}; {dict(ends.most_common(8))}; slowest {slowest}{memory}"


if __name__ == "__main__":
    sys.exit(main())
