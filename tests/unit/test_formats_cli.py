"""`formats` and `encode` on the command line, over checkpoints of several publishers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.__main__ import main
from tests.fixtures import layouts

ROWS = 3000


@pytest.fixture
def x(tmp_path: Path) -> np.ndarray:
    """x.npy, float32 [ROWS, D]."""
    array = np.random.default_rng(5).normal(size=(ROWS, layouts.D)).astype(np.float32)
    np.save(tmp_path / "x.npy", array)
    return array


def encode(tmp_path: Path, checkpoint: Path, *options: str) -> int:
    return main(["encode", str(checkpoint), "--in", str(tmp_path / "x.npy"), "--out", str(tmp_path / "f.npy"), *options])


def test_formats_prints_a_row_a_publisher(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["formats", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [set(row) for row in rows] == [{"name", "file", "source"}] * 10
    assert {"wave-sae", "FREUD", "SAELens", "dictionary_learning", "AudioSAE", "OpenAI", "Gemma Scope", "plain dicts"} <= {row["name"] for row in rows}
    assert main(["formats"]) == 0
    assert "sae-resid-layer-6.pt" in capsys.readouterr().out


@pytest.mark.parametrize("decode", [False, True])
@pytest.mark.parametrize("write", [layouts.wave_sae, layouts.freud_topk, layouts.openai_topk, layouts.sparsify_transcode, layouts.learned_batch_topk_unset])
def test_encode_opens_any_layout(tmp_path: Path, x: np.ndarray, write: object, decode: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several chunks where positions are apart; as one batch where they are not."""
    monkeypatch.setattr("earmark.live.checkpoints.encode.CHUNK_VALUES", 700 * layouts.N)
    (tmp_path / "sae").mkdir()
    path, reference = write(tmp_path / "sae", layouts.Weights())  # type: ignore[operator]
    assert encode(tmp_path, path, *(["--decode"] if decode else [])) == 0
    assert np.load(tmp_path / "f.npy") == pytest.approx(reference(x.astype(np.float64))[decode], rel=1e-4, abs=1e-4)


def test_encode_takes_what_a_file_leaves_open(tmp_path: Path, x: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sae").mkdir()
    path, reference = layouts.wave_sae(tmp_path / "sae", layouts.Weights())
    assert encode(tmp_path, path, "--format", "wave-sae", "--scale", "sqrt_d_over_mean_norm=0.5") == 0
    assert np.load(tmp_path / "f.npy") == pytest.approx(reference(x * 0.5)[0], abs=1e-4)
    square = layouts.Weights(d=layouts.D, n=layouts.D)
    torch.save({"W_e": layouts.tensor(square.W_enc), "W_d": layouts.tensor(square.W_dec), "b_e": layouts.tensor(square.b_enc)}, tmp_path / "square.pt")
    assert encode(tmp_path, tmp_path / "square.pt") == 1
    assert "as many units as values" in capsys.readouterr().err
    assert encode(tmp_path, tmp_path / "square.pt", "--width", str(layouts.D), "--scale", "transposed") == 0
    assert np.load(tmp_path / "f.npy") == pytest.approx(np.maximum(x @ square.W_enc.T + square.b_enc, 0), abs=1e-4)


def test_encode_says_what_does_not_fit(tmp_path: Path, x: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    wide = layouts.Weights(d=layouts.D + 1)
    (tmp_path / "sae").mkdir()
    for checkpoint, options, words in (
        (layouts.wave_sae(tmp_path / "sae", wide)[0], [], "is 12 wide, the checkpoint reads 13"),
        (tmp_path / "nowhere", [], "no file or folder 'nowhere'"),
        (tmp_path / "x.npy", [], "'x.npy' is no weight file"),
        (tmp_path / "sae", ["--format", "gguf"], "no checkpoint format 'gguf'"),
        (tmp_path / "sae", ["--format", "openai"], "lacks pre_bias"),
    ):
        assert encode(tmp_path, checkpoint, *options) == 1
        assert words in capsys.readouterr().err
    assert not (tmp_path / "f.npy").exists()
