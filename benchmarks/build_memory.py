"""The peak memory of a build of 800 clips against one of 200: nothing may grow with the corpus."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .figures import ROOT, Figure, child_environment, long_or, memory_mb, report, tell

N_FEW, N_MANY = 200, long_or(6400, 800)


def measure() -> Iterator[Figure]:
    from .material import store_activations

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "activations.npz"
        store_activations(path)
        children = [_start(path, n) for n in (N_FEW, N_MANY)]  # side by side: only memory is compared
        few, many = map(_peak_mb, children)
    tell(f"peak of {N_FEW} clips {few:.0f} MB, of {N_MANY} clips {many:.0f} MB")
    yield Figure(f"build_peak_memory_{N_MANY}_over_{N_FEW}_clips", many / few, most=1.1)


def _start(path: Path, n_clips: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.build_memory", str(path), str(n_clips)]
    return subprocess.Popen(command, cwd=ROOT, env=child_environment(one_thread=True), stdout=subprocess.PIPE, text=True)


def _peak_mb(child: subprocess.Popen[str]) -> float:
    said, _ = child.communicate()
    assert child.returncode == 0, f"a build ended with {child.returncode}"
    return float(said)


def build(path: Path, n_clips: int) -> None:
    """All that a build's worker does but the encoder's pass: codes, accumulators, correlators, a checkpoint; then the SAE's tables, too.

    Those of the signed dictionaries have a fixed number of rows.
    """
    from earmark.offline.tables.accumulate import spill_file
    from earmark.offline.tables.build import Plan, Shard, timeline_stem
    from earmark.offline.tables.rows import Built, write_tables
    from earmark.units import Kind

    from .material import Material, replayed

    material = Material()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = Plan(tuple(o.entry.slug for o in material.opened), str(material.default.corpus), 1, folder)
        shard = Shard(plan, material.opened, 0)
        for row, clip, taken in replayed(path, n_clips):
            codes = {o.entry.slug: o.dictionary.codes(taken[str(o.hook)]) for o in material.opened}
            for slug, accumulator in shard.accumulators.items():
                accumulator.add(row, clip, codes[slug])
                shard.beginnings[slug].add(row, codes[slug])
            for (feature, other), correlator in shard.correlators.items():
                correlator.add(codes[feature], codes[other])
        shard.save()
        kinds: dict[str, Kind] = {o.entry.slug: o.entry.kind for o in material.opened}
        for o in (o for o in material.opened if o.entry.kind == "sae"):
            accumulator = shard.accumulators[o.entry.slug]
            spills = [spill_file(folder / f"{o.entry.slug}-0", n) for n in range(accumulator.n_spilled)]
            correlations = {
                other: c.correlations(accumulator, shard.accumulators[other]) for (feature, other), c in shard.correlators.items() if feature == o.entry.slug
            }
            target = folder / "tables" / o.entry.slug
            target.mkdir(parents=True)
            write_tables(Built(o, accumulator, spills, correlations, kinds, material.corpus, timeline_stem(plan, o.entry.slug)), target)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        build(Path(sys.argv[1]), int(sys.argv[2]))
        print(memory_mb("VmHWM"))
    else:
        report(measure())
