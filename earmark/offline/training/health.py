"""The command `health --recompute`: a dictionary's figures from the model, over its held-out samples."""

from __future__ import annotations

from typing import Any

import torch
from tqdm import tqdm

from ...dictionaries.base import SparseAutoencoder
from ...errors import BadInput
from ...inputs.audio import decode
from ...measure.quality import QualityMeter
from ...runtime import Runtime
from ...settings import Settings
from ...shelf.store import Store
from ...shelf.tables import read_manifest
from ..passes import CORPUS_LIMITS
from .autoencoder import TrainSettings
from .train import is_held_out


def recompute(settings: Settings, slug: str) -> dict[str, Any]:
    """{l0, fvu, dead, density, n_positions} over the samples that training never saw. Raises BadInput for what is no SAE."""
    store, runtime = Store(settings), Runtime(settings)
    opened = runtime.open(slug)
    sae = opened.dictionary
    if not isinstance(sae, SparseAutoencoder):
        raise BadInput(f"{slug} reconstructs nothing: L0 and FVU belong to an SAE. `health` without --recompute shows what is stored.")
    stored = store.health(slug)
    training = read_manifest(settings.data / slug).get("training") or {}
    share = training.get("settings", {}).get("held_out_share", TrainSettings().held_out_share)
    corpus = store.corpus(training.get("corpus") or stored["corpus"] or str(opened.entry.corpus))
    held_out = [name for name in corpus.ids if is_held_out(name, share)]
    meter = QualityMeter(sae.n_units, sae.width)
    for name in tqdm(held_out, desc="Health", unit="sample"):
        sound = decode(corpus.audio(name)[0], CORPUS_LIMITS).waveform
        x = runtime.capture(opened.entry.model, sound, [opened])[opened.hook].values
        f = sae.encode(torch.from_numpy(x)).dense()
        meter.add(x, sae.decode(torch.from_numpy(f), torch.from_numpy(x)).numpy(), f)
    figures = meter.result().json()
    return {**stored, **figures, "dead": stored["dead"], "dead_held_out": figures["dead"]}
