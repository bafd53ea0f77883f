"""Training: a planted dictionary is found, a stopped run ends with the same weights, the folded weights are the trained ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from earmark.dictionaries import open_checkpoint, saelens
from earmark.errors import BadInput
from earmark.learning.kinds.topk import THRESHOLD_RATE, TopK
from earmark.learning.loop import Training
from earmark.learning.settings import TrainSettings
from earmark.measure.losses import normalised_mse
from earmark.measure.quality import QualityMeter
from earmark.offline.training import train as training
from earmark.offline.training.source import is_held_out
from earmark.offline.training.train import fit


def planted(n: int = 20_000, d: int = 16, n_units: int = 24, k: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """(x [n, d], directions [n_units, d]): each row is the sum of k directions with weights from 1 to 2, plus an offset."""
    g = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(n_units, d, generator=g), dim=1)
    chosen = torch.rand(n, n_units, generator=g).topk(k, dim=1).indices
    f = torch.zeros(n, n_units).scatter_(1, chosen, 1 + torch.rand(n, k, generator=g))
    return 3 * (f @ directions) + 0.7, directions


SMALL = TrainSettings(n_units=48, k=3, n_activations=400_000, batch=512, lr=3e-3)


BATCH = replace(SMALL, kind="batchtopk")
REVIVING = replace(SMALL, aux=1 / 32)


@pytest.mark.parametrize("settings", [SMALL, BATCH, REVIVING, replace(SMALL, start="random")], ids=["topk", "batchtopk", "aux", "random start"])
def test_a_planted_dictionary_is_recovered(tmp_path: Path, settings: TrainSettings) -> None:
    x, directions = planted()
    model, log = fit(x, settings, tmp_path)
    sae = model.folded()
    cosines = (directions @ torch.nn.functional.normalize(sae.W_dec, dim=1).T).max(dim=1).values
    assert cosines.mean() > 0.9
    assert log[-1]["fvu"] < 0.05 < log[0]["fvu"]


def shaken(x: torch.Tensor, settings: TrainSettings) -> TopK:
    """Parameters as they could be in the middle of training."""
    model = TopK(x, settings, torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.manual_seed(2)
        model.b_enc.normal_(0, 0.3)
        model.b_dec.normal_(0, 0.3)
        model.W_enc.add_(torch.randn_like(model.W_enc) / 20)
        model.W_dec.mul_(torch.rand(settings.n_units, 1) + 0.5)
    return model


def plainly(model: TopK, x: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """x^ [n, d] by one sum a position over the units that are kept [n, n_units]."""
    W_dec, b_dec = model.W_dec.detach().double().numpy(), model.b_dec.detach().double().numpy()
    f = np.maximum(pre_of(model, x), 0) / np.linalg.norm(W_dec, axis=1)
    return np.array([b_dec + sum(f[i, u] * W_dec[u] for u in np.flatnonzero(kept[i])) for i in range(len(x))])


def pre_of(model: TopK, x: np.ndarray) -> np.ndarray:
    """Pre-activations times the length of the decoder's rows, [n, n_units]."""
    W_enc, b_enc = model.W_enc.detach().double().numpy(), model.b_enc.detach().double().numpy()
    return (x @ W_enc + b_enc) * np.linalg.norm(model.W_dec.detach().double().numpy(), axis=1)


@pytest.mark.parametrize("settings", [SMALL, BATCH], ids=["topk", "batchtopk"])
def test_a_batch_equals_plain_sums(settings: TrainSettings) -> None:
    x, _ = planted(2000)
    model = shaken(x, settings)
    batch = model.normalise(x[:50])
    pre = pre_of(model, batch.double().numpy())
    if settings.kind == "topk":
        kept = np.array([[value >= sorted(row)[-settings.k] for value in row] for row in pre])
    else:
        kept = pre >= sorted(pre.ravel())[-settings.k * len(pre)]
    assert kept.sum() == settings.k * 50
    loss, _, active = model.loss(batch)
    expected = plainly(model, batch.double().numpy(), kept)
    assert active.x_hat.detach().numpy() == pytest.approx(expected, abs=1e-4)
    assert loss.item() == pytest.approx(((batch.double().numpy() - expected) ** 2).sum(axis=1).mean(), rel=1e-4)
    if settings.kind == "batchtopk":
        assert len({row.sum() for row in kept}) > 1, "positions share the batch's units unequally"


def test_dead_units_are_taught_what_is_left() -> None:
    x, _ = planted(2000)
    model = shaken(x, REVIVING)
    batch = model.normalise(x[:50])
    plain, _, active = model.loss(batch)
    model.silent[[3, 9, *range(20, 32)]] = REVIVING.dead_after
    loss, _, _ = model.loss(batch)
    dead, v = np.flatnonzero(model.silent.numpy() >= REVIVING.dead_after), batch.double().numpy()
    error = v - active.x_hat.detach().double().numpy()
    pre = pre_of(model, v)[:, dead]
    kept = np.zeros((50, 48), bool)
    for i, row in enumerate(pre):
        kept[i, dead[np.argsort(row)[-8:]]] = True  # half of the width of 16
    e_hat = plainly(model, v, kept) - model.b_dec.detach().double().numpy()
    expected = ((error - e_hat) ** 2).sum() / ((error - error.mean(axis=0)) ** 2).sum()
    assert (loss - plain).item() == pytest.approx(16 / 32 * expected, rel=1e-3)
    loss.backward()
    taught = dead[(kept[:, dead] & (pre > 0)).any(axis=0)]
    assert model.W_dec.grad is not None and model.W_enc.grad is not None and len(taught) > 8
    assert bool((model.W_dec.grad[taught].norm(dim=1) > 0).all()) and bool((model.W_enc.grad[:, taught].norm(dim=0) > 0).all())


def test_units_are_dead_once_they_were_silent_for_long() -> None:
    x, _ = planted(2000)
    model = TopK(x, REVIVING, torch.Generator().manual_seed(1))
    seen = np.zeros(48, int)
    for part in model.normalise(x).split(8):
        active = model(part)
        model.observe(active, len(part))
        fired = {int(u) for u, v in zip(active.units, active.values, strict=True) if v > 0}
        seen = np.where([u in fired for u in range(48)], 0, seen + 8)
    assert model.silent.tolist() == seen.tolist() and seen.any() and not seen.all()


def test_the_threshold_is_a_running_mean_of_the_smallest_kept_value() -> None:
    x, _ = planted(2000)
    model = shaken(x, BATCH)
    expected = None
    for part in model.normalise(x).split(250):
        active = model(part)
        model.observe(active, len(part))
        smallest = min(v for v in active.values.tolist() if v > 0)
        expected = smallest if expected is None else expected + THRESHOLD_RATE * (smallest - expected)
    assert model.threshold.item() == pytest.approx(expected, rel=1e-5)


def test_where_the_decoder_starts() -> None:
    x, _ = planted(500)
    frames, random = (TopK(x, replace(SMALL, start=s, start_norm=0.3), torch.Generator().manual_seed(1)) for s in ("frames", "random"))
    for model in (frames, random):
        assert model.W_dec.norm(dim=1).detach().numpy() == pytest.approx(np.full(48, 0.3), rel=1e-5)
        assert torch.equal(model.W_enc, model.W_dec.T)
    centred = torch.nn.functional.normalize(x - x.mean(dim=0), dim=1)
    nearest = [(centred @ torch.nn.functional.normalize(m.W_dec, dim=1).T).max(dim=0).values.detach() for m in (frames, random)]
    assert bool((nearest[0] > 0.9999).all()) and not bool((nearest[1] > 0.9999).any())


def test_folding_changes_nothing_but_the_form() -> None:
    x, _ = planted(2000)
    model = shaken(x, SMALL)
    active = model(model.normalise(x))
    expected = active.x_hat * model.scale + model.mean
    sae = model.folded()
    assert sae.reconstruct(x).numpy() == pytest.approx(expected.detach().numpy(), abs=1e-4)
    assert sae.norms.numpy() == pytest.approx(np.ones(48), abs=1e-5)
    shown = torch.zeros(len(x), 48).scatter_(1, active.units.view(-1, 3), active.values.detach().view(-1, 3) * model.scale)
    assert sae.codes(x.numpy()).dense() == pytest.approx(shown.numpy(), abs=1e-4)


def test_batchtopk_is_folded_to_one_threshold() -> None:
    """Alone, a position keeps what exceeds the threshold; no batch decides any more."""
    x, _ = planted(2000)
    model = shaken(x, BATCH)
    model.observe(model(model.normalise(x[:500])), 500)
    sae, v = model.folded(), model.normalise(x).double().numpy()
    kept = pre_of(model, v) > model.threshold.item()
    expected = plainly(model, v, kept) * model.scale.item() + model.mean.numpy()
    assert sae.activation == "jumprelu" and sae.norms.numpy() == pytest.approx(np.ones(48), abs=1e-5)
    assert np.mean((sae.codes(x.numpy()).dense() > 0) != kept) < 1e-4, "but for values at the threshold itself"
    close = np.isclose(sae.reconstruct(x).numpy(), expected, atol=1e-3).all(axis=1)
    assert close.mean() > 0.999
    assert sae.reconstruct(x[7:8])[0].numpy() == pytest.approx(sae.reconstruct(x)[7].numpy(), abs=1e-4)


@pytest.mark.parametrize("settings", [SMALL, BATCH, REVIVING], ids=["topk", "batchtopk", "aux"])
def test_a_stopped_run_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: TrainSettings) -> None:
    x, _ = planted(3000)
    settings = replace(settings, n_activations=30_000, dead_after=2_000)
    whole, whole_log = fit(x, settings, tmp_path_of(tmp_path, "whole"))
    monkeypatch.setattr(training, "CHECKPOINT_S", 0.0)
    stop_at, calls = 31, []

    class Stop(Exception):
        pass

    clip = torch.nn.utils.clip_grad_norm_

    def clip_or_stop(*args: Any) -> None:
        calls.append(1)
        if len(calls) == stop_at:
            raise Stop
        clip(*args)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip_or_stop)
    folder = tmp_path_of(tmp_path, "stopped")
    with pytest.raises(Stop):
        fit(x, settings, folder)
    again, again_log = fit(x, settings, folder)
    for (name, a), (_, b) in zip(whole.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(a, b) or (name == "threshold" and settings.kind == "topk"), name
    assert whole_log == again_log
    assert len(calls) == stop_at + settings.n_steps - (stop_at - 1)


def tmp_path_of(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def test_a_run_that_diverges_ends_with_a_sentence(tmp_path: Path) -> None:
    x, _ = planted(2000)
    x[7] = torch.inf
    with pytest.raises(BadInput, match="diverged"):
        fit(x, TrainSettings(n_units=48, k=3, n_activations=30_000, batch=512), tmp_path)


@pytest.mark.parametrize(
    "values", [{"k": 0}, {"k": 99, "n_units": 9}, {"n_activations": 10}, {"lr": 0.0}, {"held_out_share": 1.0}, {"start_norm": 0.0}, {"aux": -1.0}]
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        TrainSettings(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("values", "valid"), [({"kind": "gated"}, "topk, batchtopk, l1, tied_l1"), ({"start": "zero"}, "frames, random, orthogonal")])
def test_words_that_are_unknown_are_told_with_the_valid_ones(values: dict[str, str], valid: str) -> None:
    with pytest.raises(BadInput, match=valid):
        TrainSettings(**values)  # type: ignore[arg-type]


def test_quality_equals_the_formulas_in_one_piece() -> None:
    x, _ = planted(3000)
    sae = TopK(x, SMALL, torch.Generator().manual_seed(1)).folded()
    f = sae.encode(x).dense()
    x_hat = sae.reconstruct(x).numpy()
    meter = QualityMeter(48, x.shape[1])
    for part in np.array_split(np.arange(len(x)), 7):
        meter.add(x.numpy()[part], x_hat[part], f[part])
    q = meter.result()
    v = x.double().numpy()
    assert q.fvu == pytest.approx(((v - x_hat) ** 2).sum(axis=1).mean() / v.var(axis=0).sum(), rel=1e-5)
    assert q.l0 == pytest.approx((f != 0).sum() / len(f))
    assert q.dead == pytest.approx((f == 0).all(axis=0).mean())
    assert q.density == pytest.approx((f > 0).mean())
    assert normalised_mse(x, torch.from_numpy(x_hat)).item() == pytest.approx(q.fvu, rel=1e-4)


@pytest.mark.parametrize(("n", "all_of_it"), [(63, True), (64, True), (65, False)])
def test_where_there_are_no_more_than_a_batch_it_is_all_of_them_in_order(n: int, all_of_it: bool) -> None:
    x = planted(200)[0][:n]
    training = Training(x, replace(SMALL, n_activations=640, batch=64))
    first = next(training.steps())
    expected = training.model.normalise(x)
    assert len(first.batch) == min(n, 64) and (first.batch.shape == expected.shape and torch.equal(first.batch, expected)) == all_of_it
    rows = {tuple(row) for row in expected.tolist()}
    assert all(tuple(row) in rows for row in first.batch.tolist())


def test_what_does_not_vary_has_no_share_that_is_missed() -> None:
    """Nor has nothing at all; a unit that never fires is typically as the others are, or 1 where none fires."""
    constant, nothing = QualityMeter(3, 2), QualityMeter(3, 2)
    values = np.array([[1, 0, 0], [3, 0, 0], [0, 5, 0]], np.float32)
    constant.add(np.full((3, 2), 2, np.float32), np.zeros((3, 2), np.float32), values)
    assert np.isnan(constant.result().fvu) and constant.result().l0 == 1
    assert constant.typical.tolist() == [2, 5, 3.5] and constant.mean.tolist() == [2, 2]
    empty = nothing.result()
    assert np.isnan(empty.fvu) and (empty.l0, empty.dead, empty.density, empty.n_positions) == (0, 1, 0, 0) and nothing.typical.tolist() == [1, 1, 1]


def test_held_out_samples_depend_on_the_id_alone() -> None:
    held = [is_held_out(f"clip-{i}", 0.1) for i in range(5000)]
    assert 0.08 < np.mean(held) < 0.12
    assert held == [is_held_out(f"clip-{i}", 0.1) for i in range(5000)]


@pytest.mark.parametrize("settings", [SMALL, BATCH], ids=["topk", "batchtopk"])
def test_what_is_saved_is_read_back(tmp_path: Path, settings: TrainSettings) -> None:
    x, _ = planted(2000)
    model = shaken(x, settings)
    model.observe(model(model.normalise(x)), len(x))
    sae = model.folded()
    saelens.save(sae, tmp_path, {"model_name": "toy"})
    assert {p.name for p in tmp_path.iterdir()} == {"cfg.json", "sae_weights.safetensors"}
    again = open_checkpoint(tmp_path).dictionary
    assert again.activation == sae.activation and again.k == sae.k
    error = (again.reconstruct(x) - sae.reconstruct(x)).norm(dim=1) / x.norm(dim=1)
    assert error.median() < 2e-3, "but for half precision"
