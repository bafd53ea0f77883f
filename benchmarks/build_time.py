"""Building the tables of all units of the three dictionaries, against a bare pass of the model over the same samples: clips, and (`build_text`) texts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from earmark.offline.passes import codes_of
from earmark.offline.tables.build import Plan, Shard

from .figures import Figure, long_or, median_ratio, report, tell
from .material import Material

ROUNDS = 3
PARTS = ("capture", "codes", "accumulate", "correlate")


def measure() -> Iterator[Figure]:
    yield Figure("build_over_bare_pass_cpu", over_bare_pass(Material(), long_or(300, 60)), most=1.15)


def over_bare_pass(material: Material, n_samples: int) -> float:
    """The ratio of CPU times, the median of ROUNDS rounds of n_samples samples each."""
    torch.set_num_threads(1)
    bare = material.bare_pass()
    clips = material.clips(n_samples * ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(tuple(o.entry.slug for o in material.opened), str(material.default.corpus), 1, Path(folder))
        shard = Shard(plan, material.opened, 0)
        parts: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        ours: list[float] = []
        reference: list[float] = []
        for number in range(ROUNDS):
            times = [0.0, 0.0]
            for place, clip in enumerate(clips[number::ROUNDS]):
                for which in (0, 1) if place % 2 else (1, 0):
                    before = time.process_time()
                    if which:
                        bare(clip[2])
                    else:
                        _add(material, shard, clip, parts)
                    times[which] += time.process_time() - before
            before = time.process_time()
            _finish(shard)
            times[0] += time.process_time() - before
            ours.append(times[0])
            reference.append(times[1])
            tell(f"{n_samples} samples: build {times[0]:.2f} CPU s, bare pass {times[1]:.2f} CPU s")
    total = sum(reference)
    tell("over the bare pass: " + ", ".join(f"{name} {spent / total:.3f}" for name, spent in parts.items()))
    return median_ratio(ours, reference)


def _add(material: Material, shard: Shard, clip: tuple[int, str, Any], parts: dict[str, float]) -> None:
    """What a build's worker does with one sample, once it is decoded."""
    row, name, sample = clip
    marks = [time.process_time()]
    taken = material.take(sample)
    marks.append(time.process_time())
    codes = {o.entry.slug: codes_of(o.dictionary, taken[o.entry.slug]) for o in material.opened}
    marks.append(time.process_time())
    for slug, accumulator in shard.accumulators.items():
        accumulator.add(row, name, codes[slug], taken[slug].sinks)
        shard.beginnings[slug].add(row, codes[slug])
    marks.append(time.process_time())
    for (feature, other), correlator in shard.correlators.items():
        correlator.add(codes[feature], codes[other])
    marks.append(time.process_time())
    for part, before, after in zip(parts, marks, marks[1:], strict=False):
        parts[part] += after - before


def _finish(shard: Shard) -> None:
    """Count what still waits in buffers, so that a round pays for all that it added."""
    for accumulator in shard.accumulators.values():
        accumulator.state()
    for correlator in shard.correlators.values():
        assert correlator.products.any()


if __name__ == "__main__":
    report(measure())
