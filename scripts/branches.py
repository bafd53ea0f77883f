"""Which branches of earmark/ the tests take, what `make coverage` fails by: those taken over all, apart from lines.

A branch is a way out of a condition: into it, past it, out of a loop. Reads what `coverage run` left, xdist's workers and the processes that
tests start among it (`[tool.coverage]` in pyproject.toml), and names the files with most that are left, and where.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
from coverage.exceptions import CoverageException

ROOT = Path(__file__).resolve().parent.parent
LEAST_PERCENT = 90.0
N_FILES = 25


@dataclass(frozen=True)
class Taken:
    """Branches of one file or of all."""

    taken: int
    of: int
    missing: tuple[tuple[int, int], ...] = ()
    """(line, the line after it that was never next); below 0 the end of what begins at that line"""

    @property
    def percent(self) -> float:
        """0 to 100; 100 where there is no condition."""
        return 100 * self.taken / self.of if self.of else 100.0


def read(report: dict[str, Any]) -> tuple[Taken, dict[str, Taken]]:
    """Of coverage.py's JSON: all branches, and each file's."""
    files = {name: _taken(f["summary"], f["missing_branches"]) for name, f in report["files"].items()}
    return _taken(report["totals"], []), files


def told(whole: Taken, files: dict[str, Taken]) -> list[str]:
    """A line a file, most left first, and a last one with the share of all."""
    left = sorted((name for name, f in files.items() if f.taken < f.of), key=lambda name: (files[name].taken - files[name].of, name))
    lines = [f"{name}  {files[name].taken} of {files[name].of}, not taken: {_ways(files[name].missing)}" for name in left[:N_FILES]]
    if left[N_FILES:]:
        lines.append(f"and {len(left) - N_FILES} files with fewer")
    return [*lines, f"{whole.taken} of {whole.of} branches of earmark/ are taken by a test: {whole.percent:.1f} %, at least {LEAST_PERCENT:g} % are asked for"]


def verdict(whole: Taken) -> int:
    """0 where enough are taken, else 1."""
    return int(whole.percent < LEAST_PERCENT)


def _taken(summary: dict[str, Any], missing: list[list[int]]) -> Taken:
    return Taken(summary["covered_branches"], summary["num_branches"], tuple((a, b) for a, b in missing))


def _ways(missing: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{a}->{b}" if b > 0 else f"{a}->end" for a, b in missing)


def main() -> int:
    measured = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    try:
        measured.combine()
        measured.save()
        path = Path(measured.config.data_file).with_name("branches.json")
        measured.json_report(outfile=str(path))
    except CoverageException as error:
        print(f"Nothing was measured: {error}. `make coverage` runs the tests and then this.", file=sys.stderr)
        return 1
    whole, files = read(json.loads(path.read_text(encoding="utf-8")))
    print("\n".join(told(whole, files)))
    return verdict(whole)


if __name__ == "__main__":
    sys.exit(main())
