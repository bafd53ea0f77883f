"""A warm analysis of a visitor's clip of 10 s, without its transcript, against the bare pass."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import torch

from earmark.live.analysis import analyse
from earmark.shelf.store import Store

from .figures import Figure, cpu_s, interleaved, median_ratio, report, tell
from .material import Material

DURATION_S, ROUNDS = 10.0, 15


def measure() -> Iterator[Figure]:
    torch.set_num_threads(1)
    material = Material()
    store, bare, sound = Store(material.settings), material.bare_pass(), material.clip_of(DURATION_S)
    assert store.has_tables(material.default.slug), "the default dictionary has no tables yet: build them first"

    def ours() -> None:
        assert analyse(material.runtime, store, material.default.slug, sound, transcribe=False).hits

    ours()
    times = interleaved([lambda _: cpu_s(ours), lambda _: cpu_s(lambda: bare(sound))], ROUNDS)
    tell(f"analysis {statistics.median(times[0]) * 1000:.0f} CPU ms, bare pass {statistics.median(times[1]) * 1000:.0f} CPU ms")
    yield Figure("analysis_of_10_s_over_bare_pass_cpu", median_ratio(*times), most=1.3)


if __name__ == "__main__":
    report(measure())
