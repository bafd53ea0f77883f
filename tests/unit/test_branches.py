"""What `make coverage` counts: branches that were taken, against a program whose ways are known, and its verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from scripts import branches

PROGRAM = """\
def sign(x):
    if x < 0:
        return -1
    while x > 9:
        x -= 9
    return 1

sign(3)
sign(12)
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Of a program with two conditions, so four ways; it is never given a number below 0."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "toy.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "plain.py").write_text("x = 1\n", encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    for command in (("run", "--branch", "--source=.", "toy.py"), ("json", "-o", "report.json")):
        subprocess.run([sys.executable, "-m", "coverage", *command], cwd=folder, env=env, check=True, capture_output=True)
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def test_ways_are_counted_apart_from_lines(report: dict[str, object]) -> None:
    whole, files = branches.read(report)
    assert (whole.taken, whole.of, whole.percent) == (3, 4, 75.0)
    assert files["toy.py"].missing == ((2, 3),) and files["toy.py"].percent == 75.0
    assert (files["plain.py"].of, files["plain.py"].percent) == (0, 100.0), "a file without a condition lacks none"


def test_what_is_left_is_named(report: dict[str, object]) -> None:
    lines = branches.told(*branches.read(report))
    assert lines[0] == "toy.py  3 of 4, not taken: 2->3"
    assert lines[-1] == "3 of 4 branches of earmark/ are taken by a test: 75.0 %, at least 90 % are asked for" and len(lines) == 2
    many = {f"{n:02d}.py": branches.Taken(0, 2 + n // 27, ((1, -1),)) for n in range(28)}
    lines = branches.told(branches.Taken(0, 57), many)
    assert lines[0].startswith("27.py  0 of 3, not taken: 1->end") and lines[-2] == "and 3 files with fewer"


@pytest.mark.parametrize(("taken", "status"), [(89, 1), (90, 0)])
def test_too_few_fail(taken: int, status: int) -> None:
    assert branches.verdict(branches.Taken(taken, 100)) == status
