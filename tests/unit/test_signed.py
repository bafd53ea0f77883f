"""An SAE of another library whose values can be negative (abstopk): its tables and its page show both tails, as a plain loop finds them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from components.card import render
from components.views.unit import feature_page
from earmark.dictionaries import saelens
from earmark.dictionaries.base import SparseAutoencoder
from earmark.inputs.audio import decode
from earmark.links import Link
from earmark.offline.tables.build import build
from earmark.offline.tables.check import check
from earmark.runtime import Runtime
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.fixtures.toy import N_UNITS, WIDTH, K, make_house


def test_an_sae_with_negative_values(tmp_path: Path) -> None:
    house = make_house(tmp_path, n_samples=12)
    path = house.data / "toy-sae" / "cfg.json"
    W = torch.randn(N_UNITS, WIDTH, generator=torch.Generator().manual_seed(3))
    saelens.save(SparseAutoencoder(W.T, W, torch.zeros(N_UNITS), torch.zeros(WIDTH), activation="topk", k=K), path.parent, {})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"architecture": "abstopk"}))
    build(house, "toy-sae", None, n_workers=1)
    runtime, store = Runtime(house), Store(house)
    opened, corpus = runtime.open("toy-sae"), store.corpus("sounds")
    rows = W.double().numpy()
    found: dict[str, np.ndarray] = {}
    for name in corpus.ids:
        x = runtime.capture("toy", decode(corpus.audio(name)[0]).waveform, [opened])[opened.hook].values.astype(np.float64)
        pre = x @ rows.T
        f = np.zeros_like(pre)
        for row, values in enumerate(pre):
            chosen = np.argsort(-np.abs(values))[:K]
            f[row, chosen] = values[chosen]
        found[name] = f * np.linalg.norm(rows, axis=1)
    everything = np.concatenate(list(found.values()))
    unit = int(np.argmin(np.where((everything > 0).any(axis=0), everything.min(axis=0), 0)))  # one that has both signs
    assert everything[:, unit].min() < 0 < everything[:, unit].max()
    d, card = store.dictionary("toy-sae"), store.card(UnitId("toy-sae", unit))
    assert d.signed and d.n_units == N_UNITS and store.dictionary("toy-neurons").signed
    assert card.stats.low == pytest.approx(everything[:, unit].min(), rel=1e-3)
    bottom = [(e.sample, e.peak) for e in card.examples if e.group == "bottom"]
    lows = sorted((float(v[:, unit].min()), name) for name, v in found.items() if v[:, unit].any())
    assert [p for _, p in bottom] == pytest.approx([low for low, _ in lows[: len(bottom)]], rel=1e-3, abs=1e-4) and bottom
    assert sum(card.histogram.counts[: int(np.searchsorted(card.histogram.edges, 0))]) == (everything[:, unit] < 0).sum()
    hit = store.search(UnitId("toy-sae", unit), absolute=True, n=1)[0]
    assert abs(hit.peak) == pytest.approx(np.abs(everything[:, unit]).max(), rel=2e-3)
    assert not check(house, "toy-sae", seed=0).wrong
    page = render("feature.html", page=feature_page(store, Link("feature", "toy-sae", unit)))
    assert "Positive in" in page and "lowest" in page
