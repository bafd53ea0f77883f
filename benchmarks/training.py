"""Steps of training a second against sae-lens, eai-sparsify and dictionary_learning, and memory for each million of stored activations.

Every trainer is a process of its own with one thread, waits to be told, and takes the same number of steps in turns with the others: its own
forward pass, backward pass, clipping and step of Adam over the same activations, 576 wide, 2,048 positions a step, 4,608 units.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .figures import ROOT, Figure, child_environment, interleaved, long_or, report, tell

PEERS = {
    "topk": ("sae_lens", "sparsify", "dictionary_learning"),
    "batchtopk": ("sae_lens", "dictionary_learning"),
    "l1": ("sae_lens", "dictionary_learning"),
}
"""kind -> libraries that train it"""
ROUNDS, STEPS = long_or(9, 3), 2
SIZES = (20_000, 120_000)
"""stored activations whose memory is compared"""
WIDTH = 576


class Trainer:
    """One process of benchmarks/training_steps.py."""

    def __init__(self, who: str, kind: str):
        peers = {} if who == "ours" else {"PYTHONPATH": os.pathsep.join((str(Path(sys.prefix) / "peers"), str(ROOT))), "WANDB_MODE": "disabled"}
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.training_steps", who, kind]
        environment = child_environment(one_thread=True, **peers)
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.cpu_s(1)  # what the first steps set up

    def cpu_s(self, n_steps: int) -> float:
        """CPU seconds of so many steps."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{n_steps}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("cpu "):
                return float(line.split()[1])
        raise RuntimeError(f"a trainer ended with status {self._process.wait()}")

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def measure() -> Iterator[Figure]:
    for kind, peers in PEERS.items():
        trainers = [Trainer(who, kind) for who in ("ours", *peers)]
        ours, *others = interleaved([lambda _, t=t: t.cpu_s(STEPS) / STEPS for t in trainers], ROUNDS)
        for trainer in trainers:
            trainer.end()
        tell(f"{kind}: ours {_told(ours)}, " + ", ".join(f"{who} {_told(times)}" for who, times in zip(peers, others, strict=True)))
        ratios = [min(theirs) / own for own, *theirs in zip(ours, *others, strict=True)]
        yield Figure(f"training_steps_{kind}_over_fastest_peer_cpu", statistics.median(ratios), least=1)
    yield from _memory()


def _told(seconds: list[float]) -> str:
    median = statistics.median(seconds)
    return f"{1 / median:.2f} steps, {2048 / median:,.0f} positions per CPU s"


def _memory() -> Iterator[Figure]:
    """Anonymous memory that a training keeps, the difference between many and few stored activations."""
    with tempfile.TemporaryDirectory() as folder:
        for n in SIZES:
            x = np.random.default_rng(0).normal(size=(n, WIDTH)).astype(np.float32)
            np.save(Path(folder) / f"{n}.npy", x)
        for way, name in (("memory", "training_memory_per_million_over_their_bytes"), ("mapped", "training_memory_per_million_mapped_over_their_bytes")):
            few, many = (_held_mb(Path(folder) / f"{n}.npy", way) for n in SIZES)
            per_million = max(many - few, 0.0) / (SIZES[1] - SIZES[0]) * 1e6
            bytes_mb = WIDTH * 4 * 1e6 / 2**20
            tell(f"{way}: {per_million:.0f} MB per million activations of width {WIDTH}, which are {bytes_mb:.0f} MB")
            yield Figure(name, per_million / bytes_mb, most=1.1 if way == "memory" else 0.05)


def _held_mb(path: Path, way: str) -> float:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.training_steps", way, str(path)]
    done = subprocess.run(command, cwd=ROOT, env=child_environment(one_thread=True), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return float(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    report(measure())
