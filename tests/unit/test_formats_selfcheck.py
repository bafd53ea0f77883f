"""The self-check's figures against plain float64, the choice between open scales, and what it says when nothing fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from earmark.dictionaries import open_checkpoint
from earmark.dictionaries.checkpoint import Checkpoint
from earmark.errors import BadInput
from earmark.live.checkpoints.selfcheck import self_check

D, N, ROWS = 16, 64, 500


def sparse_world(seed: int = 0, scale: float = 1.0, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """(x [ROWS, D], directions [n, D]): each position is a sum of three unit directions."""
    g = np.random.default_rng(seed)
    directions = g.normal(size=(n, D))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    f = np.zeros((ROWS, n))
    for row in f:
        row[g.choice(n, 3, replace=False)] = g.uniform(1, 2, 3)
    return (f @ directions * scale).astype(np.float32), directions


def wave_sae(folder: Path, directions: np.ndarray, bias: float) -> Checkpoint:
    """Encodes by the directions' projections above a bias."""
    W = torch.from_numpy(directions).float()
    torch.save(
        {"encoder.weight": W, "decoder.weight": W.T.contiguous() * 0.8, "encoder_bias": torch.full((len(W),), -bias), "decoder_bias": torch.zeros(D)},
        folder / "sae.pt",
    )
    return open_checkpoint(folder / "sae.pt")


def test_the_figures_are_those_of_the_definition(tmp_path: Path) -> None:
    x, directions = sparse_world()
    report = self_check(wave_sae(tmp_path, directions, 0.4).scaled("raw"), x)
    x64 = x.astype(np.float64)
    f = np.maximum(x64 @ directions.T - 0.4, 0)
    error = x64 - f @ (0.8 * directions)
    fvu = (error**2).sum(axis=1).mean() / ((x64**2).sum(axis=1).mean() - (x64.mean(axis=0) ** 2).sum())
    raw = next(t for t in report.tried if t.scale == "raw")
    assert (raw.fvu, raw.l0, report.n_positions) == (pytest.approx(fvu, rel=1e-4), pytest.approx((f > 0).sum(axis=1).mean()), ROWS)


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_an_open_scale_is_chosen_by_fvu(tmp_path: Path, scale: float) -> None:
    """Trained at sqrt(d) over the mean norm: raw activations that are 50 times larger drown its bias, and the other way fits."""
    x, directions = sparse_world(scale=scale)
    factor = D**0.5 / np.linalg.norm(x.astype(np.float64), axis=1).mean()
    checkpoint = wave_sae(tmp_path, directions, 0.9 * (1 if scale == 1.0 else factor * scale))
    report = self_check(checkpoint, x)
    assert len(report.tried) == 2 and report.fvu == min(t.fvu for t in report.tried if t.fvu is not None)
    named = {t.scale.split("=")[0]: t for t in report.tried}
    assert set(named) == {"raw", "sqrt_d_over_mean_norm"}
    assert float(named["sqrt_d_over_mean_norm"].scale.split("=")[1]) == pytest.approx(factor, rel=1e-5)
    if scale == 50.0:
        assert report.scale.startswith("sqrt_d_over_mean_norm=") and report.fits
        assert report.scale in report.verdict and "raw gives FVU" in report.verdict
    again = self_check(open_checkpoint(tmp_path / "sae.pt", scale=report.scale), x)
    assert (again.scale, again.fvu, len(again.tried)) == (report.scale, pytest.approx(report.fvu), 1), "what was chosen can be declared"


def test_unit_norm_is_found_by_fvu(tmp_path: Path) -> None:
    x, directions = sparse_world(scale=20)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    W = torch.from_numpy(directions).float()
    folder = tmp_path / "layer_3"
    folder.mkdir()
    state = {"encoder.weight": W, "encoder.bias": torch.full((N,), -0.2), "decoder.weight": W.T.contiguous(), "b_dec": torch.from_numpy(unit.mean(axis=0))}
    torch.save({**state, "k": torch.tensor(3), "threshold": torch.tensor(0.05)}, folder / "ae.pt")
    report = self_check(open_checkpoint(folder), x)
    assert report.scale == "unit_norm" and {t.scale for t in report.tried} == {"raw", "unit_norm"}


def test_another_layer_is_said_with_what_was_tried(tmp_path: Path) -> None:
    _, directions = sparse_world(0)
    stranger = np.random.default_rng(9).normal(size=(ROWS, D)).astype(np.float32) * 0.01 + 5
    report = self_check(wave_sae(tmp_path, directions, 0.4), stranger)
    assert report.fvu is not None and report.fvu > 0.9 and report.fits is False
    for words in ("hardly better than the mean", "raw", "sqrt_d_over_mean_norm=", "another layer"):
        assert words in report.verdict


def test_both_orientations_of_a_square_are_tried(tmp_path: Path) -> None:
    x, directions = sparse_world(n=D)
    W = torch.from_numpy(directions).float()
    inverse = torch.linalg.pinv(W)
    save_file({"W_e": inverse.T.contiguous(), "W_d": W.T.contiguous(), "b_e": torch.zeros(D), "b_d": torch.zeros(D)}, tmp_path / "x.safetensors")
    report = self_check(open_checkpoint(tmp_path / "x.safetensors", width=D), x)
    assert report.scale == "transposed" and report.fvu == pytest.approx(0, abs=1e-4)
    assert len(report.tried) >= 3


def test_a_transcoder_is_judged_by_its_target_alone(tmp_path: Path) -> None:
    x, directions = sparse_world()
    W = torch.from_numpy(directions).float()
    out = torch.randn(N, 5, generator=torch.Generator().manual_seed(0))
    save_file(
        {"w_enc": W.T.contiguous(), "w_dec": out, "b_enc": torch.zeros(N), "b_dec": torch.zeros(5), "threshold": torch.full((N,), 0.5)},
        tmp_path / "params.safetensors",
    )
    (tmp_path / "config.json").write_text('{"architecture": "jump_relu", "hf_hook_point_in": "a", "hf_hook_point_out": "b"}')
    checkpoint = open_checkpoint(tmp_path)
    report = self_check(checkpoint, x)
    assert (report.fvu, report.fits) == (None, None) and report.l0 > 0 and "transcoder" in report.verdict
    target = checkpoint.dictionary.reconstruct(torch.from_numpy(x)).numpy()
    assert self_check(checkpoint, x, target).fvu == pytest.approx(0, abs=1e-6)
    with pytest.raises(BadInput, match="target"):
        self_check(checkpoint, x, target[:, :3])


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((9, D + 1), np.float32), "reads"),
        (np.zeros((9, D), np.float32), "not silent"),
        (np.full((9, D), np.nan, np.float32), "finite"),
        (np.ones((1, D), np.float32), "differ"),
    ],
)
def test_activations_that_can_tell_nothing_are_refused(tmp_path: Path, x: np.ndarray, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        self_check(wave_sae(tmp_path, sparse_world()[1], 0.4), x)
