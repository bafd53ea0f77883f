"""A model from the Hub, with the real client against a local server: the same network as from its folder, and sentences when it is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from earmark.models import whisper
from earmark.models.base import ModelFiles
from earmark.shelf.folders import Corpus
from earmark.units import Waveform
from tests.fixtures.hub import serve_hub
from tests.fixtures.toy import make_model, sound

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
from earmark.shelf.folders import Corpus
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


CORPUS = """
import json, sys
from earmark.__main__ import main
status = main(["corpus", "mine", "--from", "parquet", sys.argv[1]])
print(json.dumps({"status": status}))
"""


def ask(folder: Path, endpoint: str, what: str, code: str = ASK) -> dict:
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
    done = subprocess.run([sys.executable, "-c", code, what], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return {**json.loads(done.stdout.splitlines()[-1]), "stderr": done.stderr}


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
    assert "no repository somebody/gone" in error and "make setup" not in error, "no package has it"


def test_a_data_set_from_the_hub_becomes_a_corpus(folder: Path) -> None:
    (folder / "set").mkdir()
    audio = pa.array([{"bytes": sound(i, 0.5), "path": f"{i}.wav"} for i in range(3)])
    pq.write_table(pa.table({"audio": audio, "text": ["one", "two", "three"]}), folder / "set" / "train-00000.parquet")
    with serve_hub({"somebody/speech": folder / "set"}) as (endpoint, _):
        assert ask(folder, endpoint, "somebody/speech", CORPUS)["status"] == 0
        refused = ask(folder, endpoint, "somebody/nothing", CORPUS)
    corpus = Corpus(folder / "mine")
    assert sorted(corpus.transcripts) == ["one", "three", "two"] and corpus.manifest["licence"] == "cc0-1.0"
    assert corpus.audio(corpus.ids[0])[0] == sound(0, 0.5)
    assert refused["status"] == 1 and "somebody/nothing" in refused["stderr"] and "Traceback" not in refused["stderr"]
