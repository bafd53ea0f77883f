"""Renews requirements.lock: the versions that requirements.txt comes to today, for every platform and Python, each with its hashes (`make lock`)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".venv" / "tools"
LOCK = ROOT / "requirements.lock"
OLDEST_PYTHON = "3.11"
HEADER = f"""\
# Made by `make lock` of requirements.txt; installed by `make setup-locked`.
# One version of each package for every platform and Python from {OLDEST_PYTHON}, with the hashes of its files.
"""
PREFIX = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)


def entries(text: str) -> list[tuple[str, str, int]]:
    """(name, version, number of hashes) of each entry; a package may have several, for different Pythons."""
    found: list[tuple[str, str, int]] = []
    for part in PREFIX.split(text)[1:]:
        name, _, rest = part.partition("==")
        found.append((name.strip(), rest.split()[0], part.count("--hash=sha256:")))
    return found


def changes(before: str, after: str) -> list[str]:
    """What a renewal changes, a line a package."""
    old: dict[str, list[str]] = {}
    new: dict[str, list[str]] = {}
    for text, known in ((before, old), (after, new)):
        for name, version, _ in entries(text):
            known.setdefault(name, []).append(version)
    lines: list[str] = []
    for name in sorted({*old, *new}):
        was, now = (", ".join(known.get(name, [])) for known in (old, new))
        if was != now:
            lines.append(f"{name}: {was or 'new'} -> {now or 'gone'}")
    return lines


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the tools' folder, which `python scripts/setup.py --tools` fills."""
    env = os.environ | {"PYTHONPATH": str(TOOLS)}
    return subprocess.run([sys.executable, "-m", name, *arguments], cwd=ROOT, env=env, capture_output=True, text=True)


def main() -> int:
    resolve = ("pip", "compile", "--quiet", "--universal", "--upgrade", "--generate-hashes", "--no-header", "--python-version", OLDEST_PYTHON)
    done = tool("uv", *resolve, "requirements.txt")
    if done.returncode:
        print(f"requirements.lock was not renewed: {done.stderr.strip()}", file=sys.stderr)
        return 1
    before, after = LOCK.read_text(encoding="utf-8") if LOCK.exists() else "", HEADER + done.stdout
    LOCK.write_text(after, encoding="utf-8")
    changed = changes(before, after)
    print("\n".join(changed) if changed else "Nothing has changed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
