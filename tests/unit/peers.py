"""Publishers' own libraries, run in a process of their own: `make test` installs them into .venv/peers, apart from what Earmark may import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PEERS = Path(sys.prefix) / "peers"


def run_peer(package: str, script: str, folders: list[Path]) -> None:
    """Run a script with the folders as its arguments; each has x.npy [n, d], and gets f.npy [n, units] and x_hat.npy [n, d]."""
    assert (PEERS / package).is_dir(), f"{package} is not in .venv/peers. Run `make test`, or `python scripts/setup.py --dev`."
    env = {**os.environ, "PYTHONPATH": str(PEERS), "WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script, *map(str, folders)], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
