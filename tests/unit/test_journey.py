"""wave-sae's journey against a local Hub: opened on a small wav2vec2, its tables built over clips of 2 s, browsed, a clip analysed; and the same
numbers as its author's notebook, whose procedure is written here once more, without Earmark."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from transformers import Wav2Vec2FeatureExtractor

from earmark.offline.corpora.build import build_corpus
from earmark.offline.corpora.sources import Entry
from tests.fixtures.hub import serve_hub
from tests.fixtures.models import make_speech
from tests.fixtures.toy import sound

N_CLIPS, N_UNITS, LAYER, N_TOP, CLIP_S = 30, 40, 2, 10, 2.0
CATALOG = """
default = "wave-sae"
[models.wav2vec2]
family = "wav2vec2"
modality = "audio"
hub = { repo = "facebook/small", files = ["*.json", "model.safetensors"] }
[corpora.clips]
title = "Clips of 2 s"
[dictionaries.wave-sae]
model = "wav2vec2"
kind = "sae"
site = "residual"
layer = 2
corpus = "clips"
hub = { repo = "somebody/wave-sae" }
file = "sae-resid-layer-6.pt"
scale = "raw"
[dictionaries.wave-neurons]
model = "wav2vec2"
kind = "neurons"
site = "neurons"
layer = 2
corpus = "clips"
[dictionaries.wave-residual]
model = "wav2vec2"
kind = "residual"
site = "residual"
layer = 2
corpus = "clips"
"""
JOURNEY = """
import json, sys, time
from pathlib import Path
from components import browse
from components.bridge import Context
from components.views.listing import browse_page
from earmark.__main__ import main
from earmark.links import Link
from earmark.live.desk import Desk
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId

if __name__ == "__main__":
    settings = Settings.from_env()
    store = Store(settings)
    desk = Desk(store)
    far = desk.far("wave-sae")
    desk.open("wave-sae")
    while desk.state("wave-sae").name == "loading":
        time.sleep(0.05)
    facts = desk.facts("wave-sae")
    built = main(["build", "wave-sae", "--workers", "1"])
    rows = browse_page(store, Link("browse", "wave-sae")).rows
    token = desk.listen("wave-sae", desk.bring(Path(sys.argv[1]).read_bytes()))
    clip = desk.kept.get(token)
    top = {}
    for slug in ("wave-sae", "wave-neurons", "wave-residual"):
        cards = [store.card(UnitId(slug, unit)) for unit in range(store.dictionary(slug).n_units)]
        top[slug] = [[[e.sample, e.peak, e.at_s] for e in card.examples if e.group == "top"][:10] for card in cards]
    share = {slug: float((codes.dense() > 0).mean()) for slug, codes in clip.codes.items()}
    print(json.dumps({
        "far": far, "state": desk.state("wave-sae").text, "units": facts and facts.n_units, "check": facts and facts.check and facts.check.json(),
        "built": built,
        "rows": len(rows), "text": clip.transcript, "share": share, "grid": [clip.grid.hop_s, clip.grid.offset_s, clip.grid.n_frames], "top": top,
    }))
"""


def write_sae(folder: Path, width: int) -> dict[str, torch.Tensor]:
    """The notebook's checkpoint with random weights."""
    generator = torch.Generator().manual_seed(5)
    decoder = torch.randn(width, N_UNITS, generator=generator)
    state = {
        "encoder.weight": decoder.T.contiguous() + 0.1 * torch.randn(N_UNITS, width, generator=generator), "decoder.weight": decoder,
        "encoder_bias": torch.randn(N_UNITS, generator=generator) - 1, "decoder_bias": torch.randn(width, generator=generator),
    }  # fmt: skip
    folder.mkdir()
    torch.save(state, folder / "sae-resid-layer-6.pt")
    return state


def clip_of(number: int) -> bytes:
    """Exactly 2 s of 16-bit sound."""
    file = io.BytesIO()
    sf.write(file, sf.read(io.BytesIO(sound(number, CLIP_S)))[0], 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def notebook(model: Any, state: dict[str, torch.Tensor], extractor: Wav2Vec2FeatureExtractor) -> dict[str, list[list[tuple[str, float, int]]]]:
    """The notebook's procedure: all clips through the model, three things captured side by side, then for each unit the ten clips with the
    largest values, one entry a clip, its best frame. {sae, ffn, resid: [unit][rank] (clip, value, frame)}"""
    base, taken = model.wav2vec2, {}
    layer = base.encoder.layers[LAYER]
    layer.register_forward_hook(lambda _m, _i, out: taken.update(resid=(out[0] if isinstance(out, tuple) else out).detach()[0].numpy()))
    layer.feed_forward.intermediate_act_fn.register_forward_hook(lambda _m, _i, out: taken.update(ffn=out.detach()[0].numpy()))
    per_clip: dict[str, list[np.ndarray]] = {"sae": [], "ffn": [], "resid": []}
    norms = np.linalg.norm(state["decoder.weight"].numpy(), axis=0)
    for number in range(N_CLIPS):
        samples = sf.read(io.BytesIO(clip_of(number)), dtype="float32")[0]
        with torch.no_grad():
            base(extractor(samples, sampling_rate=16_000, return_tensors="pt").input_values)
        x = taken["resid"].astype(np.float64)
        f = np.maximum(x @ state["encoder.weight"].double().numpy().T + state["encoder_bias"].double().numpy(), 0) * norms
        for name, values in (("sae", f), ("ffn", taken["ffn"]), ("resid", taken["resid"])):
            assert len(values) == 99
            per_clip[name].append(values)
    found: dict[str, list[list[tuple[str, float, int]]]] = {}
    for name, clips in per_clip.items():
        found[name] = []
        for unit in range(clips[0].shape[1]):
            best = [(f"c{n:02d}", float(values[:, unit].max()), int(values[:, unit].argmax())) for n, values in enumerate(clips)]
            found[name].append(sorted(best, key=lambda b: -b[1])[:N_TOP])
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[str]]]:
    """(what the journey told, what the notebook's procedure gives, what was asked of the Hub)"""
    folder = tmp_path_factory.mktemp("journey")
    model = make_speech(folder / "model", "wav2vec2", stable=False)
    state = write_sae(folder / "sae", model.config.hidden_size)
    data = folder / "data"
    data.mkdir()
    (data / "catalog.toml").write_text(CATALOG)
    entries = [Entry(f"c{n:02d}", clip_of(n), "audio/wav", None, None, None, f"made {n}", "CC0") for n in range(N_CLIPS)]
    build_corpus(
        "clips", entries, data / "clips", title="Clips of 2 s", licence="CC0", notices={}, drop_non_speech=False, transcribe=None,
        progress=False, work_folder=folder / "work", source="folder",
    )  # fmt: skip
    (folder / "journey.py").write_text(JOURNEY)
    (folder / "mine.wav").write_bytes(clip_of(99))
    with serve_hub({"facebook/small": folder / "model", "somebody/wave-sae": folder / "sae"}) as (endpoint, asked):
        env = {
            **os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "hf"),
            "EARMARK_DATA": str(data), "EARMARK_CACHE": str(folder / "cache"), "PYTHONPATH": str(Path(__file__).parents[2]),
        }  # fmt: skip
        done = subprocess.run([sys.executable, str(folder / "journey.py"), str(folder / "mine.wav")], env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = notebook(model, state, Wav2Vec2FeatureExtractor.from_pretrained(folder / "model"))
    yield json.loads(done.stdout.splitlines()[-1]), expected, asked


def test_from_the_hub_to_a_clip(told: tuple[dict[str, Any], dict[str, Any], list[str]]) -> None:
    found, _, asked = told
    assert found["far"] == ["facebook/small", "somebody/wave-sae"] and found["state"] == "The model is ready."
    assert (found["units"], found["built"], found["rows"]) == (N_UNITS, 0, 24)
    assert found["check"]["n_positions"] >= 396 and found["check"]["scale"] == "raw"
    assert found["grid"] == [0.02, 0.0025, 99]
    assert 0 < found["share"]["wave-sae"] < 1 and set(found["share"]) == {"wave-sae", "wave-neurons", "wave-residual"}
    assert sum("GET" in line and "sae-resid-layer-6.pt" in line for line in asked) == 1, "fetched once, for the page and the build"


@pytest.mark.parametrize(("slug", "name"), [("wave-sae", "sae"), ("wave-neurons", "ffn"), ("wave-residual", "resid")])
def test_the_same_ten_clips_as_the_notebook(told: tuple[dict[str, Any], dict[str, Any], list[str]], slug: str, name: str) -> None:
    found, expected, _ = told
    assert len(found["top"][slug]) == len(expected[name])
    for unit, (ours, theirs) in enumerate(zip(found["top"][slug], expected[name], strict=True)):
        theirs = [t for t in theirs if t[1] != 0]  # a feature that is silent in a clip has no best frame there
        assert [o[0] for o in ours] == [t[0] for t in theirs], (slug, unit)
        assert [o[1] for o in ours] == pytest.approx([t[1] for t in theirs], rel=1e-4, abs=1e-5)
        assert [round((o[2] - 0.0025) / 0.02) for o in ours] == [t[2] for t in theirs], "the same frames, and so the same place in the clip"
