"""The lock file: it fits requirements.txt on every Python, knows the hash of each file, and what an audit of it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import audit, lock, setup

ROOT = Path(__file__).resolve().parents[2]
LOCK = lock.LOCK.read_text(encoding="utf-8")
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64", "platform_system": "Linux", "os_name": "posix", "implementation_name": "cpython"}
PYTHONS = ("3.11", "3.12", "3.13")


def pinned(python: str) -> dict[str, str]:
    """{package: version} for Linux, read by packaging, not by the scripts."""
    found: dict[str, str] = {}
    for line in LOCK.splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            entry = Requirement(line.removesuffix("\\"))
            if entry.marker is None or entry.marker.evaluate({**LINUX, "python_version": python, "python_full_version": f"{python}.4"}):
                assert entry.name not in found, f"{entry.name} has two versions on Python {python}"
                found[canonicalize_name(entry.name)] = str(entry.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_locked_within_its_bounds(python: str) -> None:
    versions = pinned(python)
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for wanted in (Requirement(line) for line in lines if line and not line.startswith("#")):
        assert wanted.specifier.contains(versions[canonicalize_name(wanted.name)]), f"requirements.lock is behind requirements.txt ({wanted}): run `make lock`"


def test_every_entry_has_hashes() -> None:
    found = lock.entries(LOCK)
    assert len(found) > 90
    assert [name for name, _, n_hashes in found if not n_hashes] == []
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", LOCK)) == sum(n for _, _, n in found)


def test_a_cpu_build_of_torch_needs_none_of_the_cuda_packages() -> None:
    left = {name for name, _, _ in lock.entries(setup.without_cuda(LOCK))}
    gone = {name for name, _, _ in lock.entries(LOCK)} - left
    assert {"torch", "triton", "nvidia-cublas", "cuda-toolkit"} <= gone
    assert all(name == "torch" or name == "triton" or name.startswith(("nvidia-", "cuda-")) for name in gone)
    assert {"torchvision", "gradio", "numpy", "sympy", "networkx"} & left == {"gradio", "numpy", "sympy", "networkx"}


def test_what_torch_asks_for_on_any_machine_stays() -> None:
    """By the metadata of the torch that is installed here, whichever build it is."""
    from importlib.metadata import requires

    left = {canonicalize_name(name) for name, _, _ in lock.entries(setup.without_cuda(LOCK))}
    asked = [Requirement(text) for text in requires("torch") or []]
    needed = {canonicalize_name(r.name) for r in asked if r.marker is None or (r.marker.evaluate({"extra": ""}) and not setup.CUDA.fullmatch(r.name))}
    assert {"sympy", "networkx", "jinja2"} <= needed <= left | {"setuptools"}


def test_the_file_says_for_which_markers_a_version_is() -> None:
    versions = [re.search(r"; (.*?) \\?$", line) for line in LOCK.splitlines() if line.startswith("numpy==")]
    assert all(marker and Marker(marker[1]) for marker in versions) or len(versions) == 1


def test_changes_are_told_a_line_a_package() -> None:
    def written(*entries: str) -> str:
        return "# a comment\n" + "".join(f"{entry} \\\n    --hash=sha256:0\n    # via d\n" for entry in entries)

    before = written("a==1.0", "b==2.0 ; python_full_version < '3.12'", "b==3.0 ; python_full_version >= '3.12'")
    after = written("a==1.0", "b==3.0", "c==1")
    assert lock.changes(before, after) == ["b: 2.0, 3.0 -> 3.0", "c: new -> 1"]
    assert lock.changes(before, before) == []


def report(**packages: object) -> str:
    return json.dumps({"dependencies": [{"name": name, **value} for name, value in packages.items()], "fixes": []})  # type: ignore[dict-item]


CLEAN = {"version": "1.0", "vulns": []}
BAD = {"version": "2.0", "vulns": [{"id": "PYSEC-2024-1", "fix_versions": ["2.1"], "aliases": [], "description": "x"}]}
SKIPPED = {"skip_reason": "Dependency not found on PyPI and could not be audited: c (1.0)"}


@pytest.mark.parametrize(
    ("said", "complaint", "status", "sentence"),
    [
        (report(a=CLEAN), "", 0, "No known vulnerability in any of 1 packages."),
        (report(a=CLEAN, b=BAD), "Found 1 known vulnerability in 1 package", 1, "b 2.0: PYSEC-2024-1, mended in 2.1"),
        (report(a=CLEAN, b=BAD, c=SKIPPED), "", 1, "No audit of 1 of 3 packages: the index gave no answer about c."),
        (report(c=SKIPPED), "No known vulnerabilities found", 3, "No audit of 1 of 1 packages"),
        (
            "",
            "ERROR:pip_audit._cli:Connection refused",
            3,
            "No audit: nobody could be asked about known vulnerabilities. ERROR:pip_audit._cli:Connection refused",
        ),
        ("", "", 3, "pip-audit said nothing"),
    ],
)
def test_an_audit_that_could_not_ask_is_no_clean_one(said: str, complaint: str, status: int, sentence: str) -> None:
    found = audit.verdict(said, complaint)
    assert found.status == status
    assert sentence in found.text
