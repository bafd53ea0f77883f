"""SAEDashboard 0.8 against our build, by CPU seconds a feature, on the same contexts of a language model; part of `make bench-long`.

Theirs, for some features: a forward pass of all contexts for every 256 of them, their values at every position held in memory, then for each feature
a histogram, density, quantiles and sequences around its top and some lower activations with what the feature does to each next token's
loss and logits there, its correlations with the residual stream and other features, and the tokens that it promotes. Ours, for all features: one
forward pass, in bounded memory, then for each density, histogram, quantiles, ten top examples and five groups of quantiles with traces around the
peak, the peak in every context for filters, the first 10,000 positions, neighbours, and the tokens that it promotes. Not ours: losses and logits inside
sequences. Not theirs: peaks of every context. Neither counts the loading of the model, and both run on one thread.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from earmark.models.base import TextModel
from earmark.models.gguf import unpacked
from earmark.offline.passes import codes_of, take
from earmark.offline.tables.accumulate import spill_file
from earmark.offline.tables.build import Plan, Shard, timeline_stem
from earmark.offline.tables.rows import Built, write_tables
from earmark.shelf.hub import find_checkpoint, find_model
from earmark.shelf.tables import sha256_of

from .build_text import DICTIONARY
from .figures import ROOT, Figure, child_environment, long_or, report, tell
from .material import Material, Samples

N_CONTEXTS, N_FEATURES = long_or(512, 64), long_or(512, 256)
REQUIREMENTS = ROOT / "requirements-dashboard.txt"
ENVIRONMENT = ROOT / ".venv" / "dashboard"


def measure() -> Iterator[Figure]:
    torch.set_num_threads(1)
    material = Material(DICTIONARY)
    samples = material.clips(N_CONTEXTS, longest=True)  # SAEDashboard takes contexts of one length
    with tempfile.TemporaryDirectory() as name:
        theirs = run_theirs(material, samples, Path(name))
    spent, n_units = run_ours(material, samples)
    a, b = theirs["cpu_s"] / theirs["n_features"], spent / n_units
    tell(f"{N_CONTEXTS} contexts: SAEDashboard {theirs['cpu_s']:.1f} CPU s for {theirs['n_features']} features, {1000 * a:.1f} ms each")
    tell(f"the build {spent:.1f} CPU s for {n_units} features, {1000 * b:.1f} ms each")
    assert theirs["dashboards"] == theirs["n_features"] and theirs["off"] < 1e-3, f"both models read differently: {theirs}"
    yield Figure("dashboard_over_build_cpu_a_feature", a / b, least=5)


def python() -> Path:
    """The Python of the environment, which is made when its requirements have changed."""
    found, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "stamp"
    if not stamp.is_file() or stamp.read_text() != sha256_of(REQUIREMENTS):
        tell(f"making {ENVIRONMENT.relative_to(ROOT)} from {REQUIREMENTS.name}")
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([found, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
        subprocess.run([found, "-m", "pip", "uninstall", "-q", "-y", "torchvision"], check=True)  # built for another torch, it cannot be imported
        stamp.write_text(sha256_of(REQUIREMENTS))
    return found


def run_theirs(material: Material, samples: Samples, folder: Path) -> dict[str, float]:
    entry = material.default
    model = unpacked(entry.model, find_model(material.runtime.catalog.model(entry.model), material.settings), material.settings.cache)
    (folder / "model").symlink_to(model["folder"])
    (folder / "sae").symlink_to(find_checkpoint(entry, material.settings))
    (folder / "asked.json").write_text(json.dumps({"layer": entry.layer, "n_features": N_FEATURES}))
    np.save(folder / "tokens.npy", np.array([sample.ids for _, _, sample in samples]))
    np.save(folder / "x.npy", material.capture(samples[0][2])[material.places[entry.slug].hook].values)
    command = [python(), "-W", "ignore", str(Path(__file__).with_name("dashboard_peer.py")), str(folder)]
    done = subprocess.run(command, cwd=folder, env=child_environment(True, WANDB_MODE="disabled"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_ours(material: Material, samples: Samples) -> tuple[float, int]:
    """(CPU seconds of the build of the SAE's tables alone, units)."""
    own = next(o for o in material.opened if o.entry.slug == material.default.slug)
    slug, place = own.entry.slug, material.places[own.entry.slug]
    assert isinstance(material.model, TextModel)
    before = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        plan = Plan((slug,), str(own.entry.corpus), 1, Path(name))
        shard = Shard(plan, [own], 0)
        accumulator, beginning = shard.accumulators[slug], shard.beginnings[slug]
        for row, clip, sample in samples:
            taken = take(material.model, sample, [place])[place]
            codes = codes_of(own.dictionary, taken)
            accumulator.add(row, clip, codes, taken.sinks)
            beginning.add(row, codes)
        shard.save()
        spills = [spill_file(plan.folder / f"{slug}-0", n) for n in range(accumulator.n_spilled)]
        target = plan.folder / "tables"
        target.mkdir()
        write_tables(Built(own, accumulator, spills, {}, {slug: "sae"}, material.corpus, timeline_stem(plan, slug), reader=material.model), target)
    return time.process_time() - before, own.dictionary.n_units


if __name__ == "__main__":
    report(measure())
