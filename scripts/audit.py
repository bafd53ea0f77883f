"""Known vulnerabilities of what requirements.lock names (`make audit`): status 0 when there are none, 1 when there are some, 3 when nobody could be asked.

pip-audit passes over what its index does not answer for and then says that it found nothing; here that is no answer.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.lock import LOCK, tool  # noqa: E402

FOUND, NOT_ASKED = 1, 3


@dataclass(frozen=True)
class Verdict:
    """What an audit came to."""

    status: int
    text: str


def verdict(report: str, complaint: str) -> Verdict:
    """`report`: pip-audit's JSON, or nothing; `complaint`: its standard error."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        why = complaint.strip().splitlines()
        return Verdict(NOT_ASKED, f"No audit: nobody could be asked about known vulnerabilities. {why[-1] if why else 'pip-audit said nothing.'}")
    asked = {p["name"]: p for p in packages if "vulns" in p}
    bad = {name: p for name, p in asked.items() if p["vulns"]}
    skipped = sorted(p["name"] for p in packages if "vulns" not in p)
    lines = [
        f"{name} {p['version']}: {v['id']}{', mended in ' + ', '.join(v['fix_versions']) if v['fix_versions'] else ''}"
        for name, p in sorted(bad.items())
        for v in p["vulns"]
    ]
    if skipped:
        named = ", ".join(skipped[:5]) + (" and others" if len(skipped) > 5 else "")
        lines.append(
            f"No audit of {len(skipped)} of {len(packages)} packages: the index gave no answer about {named}. Ask again from a machine that reaches it."
        )
    if not lines:
        lines = [f"No known vulnerability in any of {len(asked)} packages."]
    return Verdict(FOUND if bad else NOT_ASKED if skipped else 0, "\n".join(lines))


def main() -> int:
    done = tool("pip_audit", "--requirement", str(LOCK), "--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off")
    found = verdict(done.stdout, done.stderr)
    print(found.text, file=sys.stderr if found.status else sys.stdout)
    return found.status


if __name__ == "__main__":
    sys.exit(main())
