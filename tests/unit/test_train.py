"""Training: a planted dictionary is found, a stopped run ends with the same weights, the folded weights are the trained ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.dictionaries import saelens
from earmark.errors import BadInput
from earmark.measure.losses import normalised_mse
from earmark.measure.quality import QualityMeter
from earmark.offline.training import train as training
from earmark.offline.training.train import TopKTrainer, TrainSettings, fit, is_held_out


def planted(n: int = 20_000, d: int = 16, n_units: int = 24, k: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """(x [n, d], directions [n_units, d]): each row is the sum of k directions with weights from 1 to 2, plus an offset."""
    g = torch.Generator().manual_seed(0)
    directions = torch.nn.functional.normalize(torch.randn(n_units, d, generator=g), dim=1)
    chosen = torch.rand(n, n_units, generator=g).topk(k, dim=1).indices
    f = torch.zeros(n, n_units).scatter_(1, chosen, 1 + torch.rand(n, k, generator=g))
    return 3 * (f @ directions) + 0.7, directions


SMALL = TrainSettings(n_units=48, k=3, n_activations=400_000, batch=512, lr=3e-3)


def test_a_planted_dictionary_is_recovered(tmp_path: Path) -> None:
    x, directions = planted()
    model, log = fit(x, SMALL, tmp_path)
    sae = model.folded()
    cosines = (directions @ torch.nn.functional.normalize(sae.W_dec, dim=1).T).max(dim=1).values
    assert cosines.mean() > 0.9
    assert log[-1]["fvu"] < 0.05 < log[0]["fvu"]


def test_folding_changes_nothing_but_the_form() -> None:
    x, _ = planted(2000)
    model = TopKTrainer(x, SMALL, torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.b_enc.normal_(0, 0.3)
        model.b_dec.normal_(0, 0.3)
        model.W_dec.mul_(torch.rand(48, 1) + 0.5)
        x_hat, f, units = model(model.normalise(x))
        sae = model.folded()
        expected = x_hat * model.scale + model.mean
    assert sae.reconstruct(x).numpy() == pytest.approx(expected.numpy(), abs=1e-4)
    assert sae.norms.numpy() == pytest.approx(np.ones(48), abs=1e-5)
    shown = torch.zeros(len(x), 48).scatter_(1, units, f * model.W_dec.norm(dim=1)[units] * model.scale)
    assert sae.codes(x.numpy()).dense() == pytest.approx(shown.detach().numpy(), abs=1e-4)


def test_a_stopped_run_ends_with_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = planted(3000)
    settings = TrainSettings(n_units=48, k=3, n_activations=30_000, batch=512, lr=3e-3)
    whole, whole_log = fit(x, settings, tmp_path_of(tmp_path, "whole"))
    monkeypatch.setattr(training, "CHECKPOINT_S", 0.0)
    stop_at, calls = 31, []

    def stopping(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return normalised_mse(a, b)

    class Stop(Exception):
        pass

    clip = torch.nn.utils.clip_grad_norm_

    def clip_or_stop(*args: object) -> None:
        calls.append(1)
        if len(calls) == stop_at:
            raise Stop
        clip(*args)

    monkeypatch.setattr(training, "normalised_mse", stopping)
    monkeypatch.setattr(training.torch.nn.utils, "clip_grad_norm_", clip_or_stop)
    folder = tmp_path_of(tmp_path, "stopped")
    with pytest.raises(Stop):
        fit(x, settings, folder)
    again, again_log = fit(x, settings, folder)
    for (name, a), (_, b) in zip(whole.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
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


@pytest.mark.parametrize("values", [{"k": 0}, {"k": 99, "n_units": 9}, {"n_activations": 10}, {"lr": 0.0}, {"held_out_share": 1.0}])
def test_settings_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        TrainSettings(**values)  # type: ignore[arg-type]


def test_quality_equals_the_formulas_in_one_piece() -> None:
    x, _ = planted(3000)
    sae = TopKTrainer(x, SMALL, torch.Generator().manual_seed(1)).folded()
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


def test_held_out_samples_depend_on_the_id_alone() -> None:
    held = [is_held_out(f"clip-{i}", 0.1) for i in range(5000)]
    assert 0.08 < np.mean(held) < 0.12
    assert held == [is_held_out(f"clip-{i}", 0.1) for i in range(5000)]


def test_saelens_layout_has_what_its_loader_asks_for(tmp_path: Path) -> None:
    x, _ = planted(2000)
    saelens.save(TopKTrainer(x, SMALL, torch.Generator().manual_seed(1)).folded(), tmp_path, {"model_name": "toy"})
    assert {p.name for p in tmp_path.iterdir()} == {"cfg.json", "sae_weights.safetensors"}
