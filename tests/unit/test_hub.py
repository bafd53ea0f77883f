"""A model from the Hub, with the real client against a local server: the same network as from its folder, and sentences when it is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from earmark.models import whisper
from earmark.models.base import ModelFiles
from earmark.units import Waveform
from tests.fixtures.hub import serve_hub
from tests.fixtures.toy import make_model

CATALOG = """
default = "d"
[models.m]
family = "whisper"
modality = "audio"
hub = { repo = "somebody/toy", files = ["*.json", "model.safetensors"] }
[models.gone]
family = "whisper"
modality = "audio"
hub = { repo = "somebody/gone" }
[dictionaries.d]
model = "m"
kind = "residual"
site = "residual"
layer = 1
"""
ASK = """
import json, sys
from pathlib import Path
import numpy as np
from earmark.errors import EarmarkError
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.units import Waveform
runtime = Runtime(Settings.from_env())
try:
    model = runtime.model(sys.argv[1])
    hook = model.hook("residual", 1)
    x = model.capture(Waveform(np.sin(np.arange(8000) / 9).astype(np.float32)), [hook])[hook].values
    print(json.dumps({"x": x.tolist()}))
except EarmarkError as error:
    print(json.dumps({"error": str(error)}))
"""


def ask(folder: Path, endpoint: str, model: str) -> dict:
    env = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(folder / "hf"),
        "EARMARK_DATA": str(folder),
        "EARMARK_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run([sys.executable, "-c", ASK, model], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "catalog.toml").write_text(CATALOG)
    make_model(tmp_path / "toy")
    return tmp_path


def test_the_hub_gives_the_same_network_as_the_folder_and_then_the_cache_serves(folder: Path) -> None:
    local = whisper.load(ModelFiles("m", {"folder": folder / "toy"}))
    hook = local.hook("residual", 1)
    expected = local.capture(Waveform(np.sin(np.arange(8000) / 9).astype(np.float32)), [hook])[hook].values
    with serve_hub({"somebody/toy": folder / "toy"}) as (endpoint, asked):
        found = ask(folder, endpoint, "m")
        assert np.array(found["x"]) == pytest.approx(expected, abs=1e-6)
        assert any("model.safetensors" in line for line in asked)
    again = ask(folder, endpoint, "m")  # the server is gone
    assert np.array(again["x"]) == pytest.approx(expected, abs=1e-6)


def test_a_missing_repository_is_a_sentence(folder: Path) -> None:
    with serve_hub({}) as (endpoint, _):
        error = ask(folder, endpoint, "gone")["error"]
    assert "somebody/gone" in error and "make setup" in error
