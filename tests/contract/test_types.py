"""The types hold, in pyright's strict mode: the same check as `make check`, over the whole project."""

from __future__ import annotations

import json
import subprocess
import sys

from .tree import ROOT, modules


def test_the_types_hold_in_strict_mode() -> None:
    done = subprocess.run([sys.executable, "-m", "pyright", "--outputjson"], cwd=ROOT, capture_output=True, text=True, timeout=1200)
    told = json.loads(done.stdout)
    faults = [f"{f['file']}:{f['range']['start']['line'] + 1} {f['message']}" for f in told["generalDiagnostics"] if f["severity"] == "error"]
    assert not faults, "\n".join(faults[:20])
    assert told["summary"]["filesAnalyzed"] >= len(modules("earmark", "components", "app.py", "scripts", "benchmarks")), "pyright did not see every module"


def test_no_module_goes_without() -> None:
    """Rules are off for a whole module only where a library without types is given some; elsewhere a line says which rule, and pyright that it is needed."""
    off = {
        path.relative_to(ROOT).as_posix()
        for path in modules("earmark", "components", "app.py", "scripts", "benchmarks")
        if "# pyright: report" in path.read_text(encoding="utf-8")
    }
    assert off == {"earmark/tensors.py", "earmark/models/gguf.py", "components/host/events.py", "scripts/convert_ggml.py"}
