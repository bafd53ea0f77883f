"""The two passes over held-out samples, divided among several processes: what is reconstructed, then what the model still does with it.

Which samples are whose is settled before they begin, by lists that all workers are given, and never anew; what lacks a sample is refused. The first pass
reads activations that are stored already, which are the model's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....dictionaries.base import SparseAutoencoder
from ....errors import BadInput
from ....measure.quality import QualityMeter
from ....runtime import Opened, Runtime
from ....settings import Settings
from ....shelf.folders import Corpus
from ... import workers
from ...passes import read_sample
from ..harvest import Samples
from .judge import Judge, place_of, summed


@dataclass(frozen=True)
class Plan:
    """What is run over what."""

    slug: str
    corpus: str
    held_out: tuple[str, ...]
    """samples whose reconstruction is measured"""
    judged: tuple[str, ...]
    """samples that the model is run over in every way"""
    folder: Path
    """where the workers leave their parts"""

    def part(self, what: str, worker: int) -> Path:
        return self.folder / f"{what}-{worker}"

    @property
    def mean(self) -> Path:
        """The file of the mean held-out activation."""
        return self.folder / "mean.npy"

    @property
    def typical(self) -> Path:
        """The file of each unit's mean held-out value, where it is above 0."""
        return self.folder / "typical.npy"


def quality(settings: Settings, plan: Plan, n_workers: int) -> dict[str, Any]:
    """{l0, fvu, dead, density, n_positions, n_sinks} over the held-out samples; leaves their mean, for what is ablated to it, and each unit's."""
    n_workers = min(n_workers, Corpus(settings.data / plan.corpus).table.n_groups)
    workers.run(_measure, (settings, plan), n_workers, len(plan.held_out), 0, "Health")
    parts = [dict(np.load(f"{plan.part('quality', w)}.npz")) for w in range(n_workers)]
    _all_there(sum(int(part["n_samples"]) for part in parts), len(plan.held_out))
    whole = QualityMeter.restore(parts[0])
    for part in parts[1:]:
        whole.merge(QualityMeter.restore(part))
    np.save(plan.mean, whole.mean)
    np.save(plan.typical, whole.typical)
    return {**whole.result().json(), "n_sinks": sum(int(part["n_sinks"]) for part in parts)}


def behaviour(settings: Settings, plan: Plan, n_workers: int) -> dict[str, Any]:
    """The figures of `earmark.health.BEHAVIOUR`, and ce_of, over the judged samples; nothing where there are none."""
    if not plan.judged:
        return {}
    n_workers = min(n_workers, len(plan.judged))
    workers.run(_judge, (settings, plan), n_workers, len(plan.judged), 0, "Spliced")
    rows = [row for w in range(n_workers) for row in json.loads(plan.part("judged", w).read_text(encoding="utf-8"))]
    _all_there(len(rows), len(plan.judged))
    return summed(rows)


def _all_there(n: int, total: int) -> None:
    if n != total:
        raise BadInput(f"The workers ran over {n} of {total} samples; nothing was kept. Run the command again.")


def _opened(settings: Settings, plan: Plan) -> tuple[Runtime, Opened, SparseAutoencoder, Corpus]:
    runtime = Runtime(settings)
    opened = runtime.open(plan.slug)
    assert isinstance(opened.dictionary, SparseAutoencoder)
    return runtime, opened, opened.dictionary, Corpus(settings.data / plan.corpus)


def _measure(share: workers.Share, settings: Settings, plan: Plan) -> None:
    runtime, opened, sae, corpus = _opened(settings, plan)
    meter, n_samples, n_sinks, place = QualityMeter(sae.n_units, sae.width), 0, 0, place_of(opened)
    samples, held_out = Samples(settings, runtime, opened.entry.model, corpus, [place]), {corpus.row(name) for name in plan.held_out}
    for group in range(share.worker, corpus.table.n_groups, share.n_workers):
        for _, found in samples.group(group, held_out):
            taken = found[place]
            x = torch.as_tensor(taken.values if taken.sinks is None else taken.values[~taken.sinks])
            f = sae.encode(x).dense()
            meter.add(x.numpy(), sae.decode(torch.as_tensor(f), x).numpy(), f)
            n_samples, n_sinks = n_samples + 1, n_sinks + (0 if taken.sinks is None else int(taken.sinks.sum()))
            share.report(1)
    np.savez(plan.part("quality", share.worker), allow_pickle=False, n_samples=n_samples, n_sinks=n_sinks, **meter.state())


def _judge(share: workers.Share, settings: Settings, plan: Plan) -> None:
    runtime, opened, sae, corpus = _opened(settings, plan)
    judge = Judge(runtime.model(opened.entry.model), opened, sae, torch.as_tensor(np.load(plan.mean)))
    rows: list[dict[str, Any]] = []
    for name in plan.judged[share.worker :: share.n_workers]:
        rows.append(judge.row(read_sample(corpus, name, judge.model), corpus.transcripts[corpus.row(name)]))
        share.report(1)
    plan.part("judged", share.worker).write_text(json.dumps(rows), encoding="utf-8")
