"""The wave-sae notebook's way to a unit's top ten clips, against our accumulator: time, memory, and whether both agree.

The notebook keeps every frame: activations grow by concatenation, each unit is sorted over all frames, and the sorted frames are walked
until ten clips have been met. That is why it stops at a hundred features. The accumulator goes by once and makes the other tables, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .figures import ROOT, Figure, child_environment, forget_peak, long_or, memory_mb, report, tell

N_CLIPS, N_WARM, N_TOP = long_or(600, 200), 10, 10
WIDTHS = (100, 0)
"""how many features: the notebook's hundred, and all of them"""


def measure() -> Iterator[Figure]:
    from .material import store_activations

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "activations.npz"
        store_activations(path)
        for width in WIDTHS:
            ours, theirs = (_child(path, way, width) for way in ("ours", "notebook"))
            what = f"{width or 'all'}_features"
            tell(f"{what}: CPU s {ours['cpu_s']:.2f} against {theirs['cpu_s']:.2f}, MB {ours['mb']:.0f} against {theirs['mb']:.0f}")
            same = sum(a == b for a, b in zip(ours["top"], theirs["top"], strict=True)) / len(ours["top"])
            yield Figure(f"time_over_notebook_{what}_cpu", ours["cpu_s"] / theirs["cpu_s"], most=1)
            yield Figure(f"peak_memory_over_notebook_{what}", ours["mb"] / theirs["mb"], most=1)
            yield Figure(f"same_top_ten_as_notebook_{what}", same, least=1)


def _child(path: Path, way: str, width: int) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.notebook", str(path), way, str(width)]
    done = subprocess.run(command, cwd=ROOT, env=child_environment(one_thread=True), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


Top = list[list[tuple[int, int]]]
"""for each unit up to ten (clip, position), the strongest first"""


def run(path: Path, way: str, width: int) -> dict[str, Any]:
    """One of both in this process: CPU seconds, memory above what was held before, the top ten. Encoding counts for neither."""
    import torch

    from earmark.dictionaries.base import Codes

    from .material import Material, replayed

    torch.set_num_threads(1)
    material = Material()
    sae = next(o for o in material.opened if o.entry.kind == "sae")
    n_units = width or sae.dictionary.n_units
    clips = replayed(path, N_CLIPS)
    for _, _, taken in replayed(path, N_WARM):  # what encoding needs is then held
        sae.dictionary.codes(taken[str(sae.hook)]).dense()
    forget_peak()
    held = memory_mb("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        method: Ours | Notebook = Ours(n_units, Path(folder)) if way == "ours" else Notebook(n_units)
        spent = 0.0
        for row, name, taken in clips:
            codes = sae.dictionary.codes(taken[str(sae.hook)])
            if width:
                codes = Codes(codes.dense()[:, :width].copy(), None, width)
            given: Any = codes if way == "ours" else torch.as_tensor(codes.dense())
            before = time.process_time()
            method.add(row, name, given)
            spent += time.process_time() - before
        before = time.process_time()
        top = method.top()
        spent += time.process_time() - before
    return {"cpu_s": spent, "mb": memory_mb("VmHWM") - held, "top": top}


class Ours:
    """The accumulator of a build."""

    def __init__(self, n_units: int, folder: Path):
        from earmark.offline.tables.accumulate import Accumulator

        self._accumulator = Accumulator(n_units, signed=False, spill=folder / "spill")

    def add(self, row: int, name: str, codes: Any) -> None:
        self._accumulator.add(row, name, codes)

    def top(self) -> Top:
        self._accumulator.state()
        kept = [self._accumulator.top.of(unit) for unit in range(self._accumulator.n_units)]
        return [list(zip(k.rows[:N_TOP].tolist(), k.at[:N_TOP].tolist(), strict=True)) for k in kept]


class Notebook:
    """wave-sae's: everything kept, sorted, de-duplicated by clip."""

    def __init__(self, n_units: int):
        import torch

        self._torch = torch
        self._all, self._clip, self._position = torch.empty(0, n_units), torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64)

    def add(self, row: int, _: str, values: Any) -> None:
        torch = self._torch
        self._all = torch.cat([self._all, values])
        self._clip = torch.cat([self._clip, torch.full((len(values),), row)])
        self._position = torch.cat([self._position, torch.arange(len(values))])

    def top(self) -> Top:
        return [self._top_of(unit) for unit in range(self._all.shape[1])]

    def _top_of(self, unit: int) -> list[tuple[int, int]]:
        values, clip, position = self._all[:, unit], self._clip, self._position
        found: dict[int, int] = {}
        for frame in self._torch.argsort(values, descending=True).numpy().tolist():
            if len(found) == N_TOP or values[frame] <= 0:
                break
            found.setdefault(int(clip[frame]), int(position[frame]))
        return list(found.items())


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
    else:
        report(measure())
