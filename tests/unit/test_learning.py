"""The kinds of autoencoders: losses equal plain sums, gradients equal autograd's, planted dictionaries are found, folded weights are the trained ones."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from earmark.commands.arguments import TRAINING_FLAGS
from earmark.errors import BadInput
from earmark.learning import sparse
from earmark.learning.kinds import TRAINEES, trainee
from earmark.learning.loop import Training
from earmark.learning.positions import Mapped
from earmark.learning.settings import TrainSettings, usual
from earmark.learning.trainee import Trainee

from .test_train import planted

SMALL = {"n_units": 32, "n_activations": 400_000, "batch": 512, "lr": 3e-3}
CASES = {
    "l1": usual("l1", **SMALL, penalty=1.0),
    "l1_old_form": usual("l1", **SMALL, penalty=0.5, pre_bias=True, unit_decoder=True),
    "tied_l1": usual("tied_l1", **SMALL | {"n_activations": 1_000_000}, reconstruction=10.0),
    "ksparse": usual("ksparse", **SMALL, k=3, covariance=1.0),
    "topk": usual("topk", **SMALL, k=3),
    "topk_pre_bias": usual("topk", **SMALL, k=3, pre_bias=True, unit_decoder=True, scaling="none"),
    "batchtopk": usual("batchtopk", **SMALL, k=3),
}


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_planted_directions_are_found(settings: TrainSettings) -> None:
    x, directions = planted()
    training = Training(x - 0.7, settings)
    steps = [step.metrics() for step in training.steps() if step.number % 100 == 0 or step.number == settings.n_steps - 1]
    found = F.normalize(training.model.folded().W_dec, dim=1)
    assert (directions @ found.T).max(dim=1).values.mean() > 0.9
    assert steps[-1].fvu < 0.2 < steps[0].fvu and steps[-1].loss < steps[0].loss
    assert 2 < steps[-1].l0 < 8 and sum(steps[-1].parts.values()) == pytest.approx(steps[-1].loss, rel=1e-5)


def shaken(settings: TrainSettings, x: torch.Tensor) -> Trainee:
    """Parameters as they could be in the middle of training."""
    model = trainee(x, settings, torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.manual_seed(2)
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.3)
        model.after_step()
    return model


def numbers(model: Trainee) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy() for name, p in model.named_parameters()}


def test_the_loss_of_april_2024_equals_plain_sums() -> None:
    x, _ = planted(300)
    model = shaken(replace(CASES["l1"], penalty=5.0, n_units=12), x)
    scaled = x.double().numpy() * math.sqrt(16) / np.linalg.norm(x.double().numpy(), axis=1).mean()
    assert model.normalise(x).numpy() == pytest.approx(scaled, rel=1e-4)
    w, squares, penalties = numbers(model), [], []
    for row in scaled:
        f = [max(0.0, row @ w["W_enc"][:, u] + w["b_enc"][u]) for u in range(12)]
        x_hat = sum(f[u] * w["W_dec"][u] for u in range(12)) + w["b_dec"]
        squares.append(((row - x_hat) ** 2).sum())
        penalties.append(sum(f[u] * np.linalg.norm(w["W_dec"][u]) for u in range(12)))
    loss = model.loss(model.normalise(x), share=0.5)
    assert loss.parts["reconstruction"].item() == pytest.approx(np.mean(squares), rel=1e-4)
    assert loss.parts["sparsity"].item() == pytest.approx(0.5 * 5.0 * np.mean(penalties), rel=1e-4)
    assert loss.total.item() == pytest.approx(np.mean(squares) + 2.5 * np.mean(penalties), rel=1e-4)


def test_tied_l1_equals_what_freud_computes() -> None:
    """Its forward pass, line by line: columns of length 1, mean squared error over values times recon_alpha, the mean 1-norm of the latents."""
    x, _ = planted(200)
    model = shaken(usual("tied_l1", n_units=12, batch=100), x)
    decoder = torch.nn.Linear(12, 16, bias=False)
    decoder.weight.data = F.normalize(model.W_dec.detach().T.clone(), dim=0)
    clips = x.view(4, 50, 16)
    c = torch.relu(clips @ decoder.weight + model.get_parameter("b_enc").detach())
    l1_loss, mse = torch.norm(c, 1, dim=2).mean(), F.mse_loss(decoder(c), clips)
    loss = model.loss(model.normalise(x))
    assert torch.equal(model.normalise(x), x), "activations as the model gives them"
    assert loss.total.item() == pytest.approx((1e4 * mse + l1_loss).item(), rel=1e-5)
    assert loss.parts["sparsity"].item() == pytest.approx(l1_loss.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["l1", "l1_old_form", "topk_pre_bias"])
def test_a_pre_bias_is_subtracted_and_folded_away(kind: str) -> None:
    x, _ = planted(500)
    model = shaken(replace(CASES[kind], scaling="variance"), x)
    expected = model.loss(model.normalise(x)).active.x_hat.detach() * model.scale + model.mean
    sae = model.folded()
    assert sae.reconstruct(x).numpy() == pytest.approx(expected.numpy(), abs=2e-3)
    assert sae.b_pre is None and sae.norms.numpy() == pytest.approx(np.ones(32), abs=1e-5)


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "topk_pre_bias"])
def test_gradients_over_the_active_units_are_autograds(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    x, _ = planted(400)
    found = []
    for way in (sparse.decoded, sparse._densely):
        monkeypatch.setattr("earmark.learning.kinds.topk.decoded", way)
        model = shaken(CASES[kind], x)
        model.loss(model.normalise(x)).total.backward()
        found.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert set(found[0]) == {"W_enc", "W_dec", "b_enc", "b_dec"} and all(bool(g.any()) for g in found[0].values())
    for name, grad in found[0].items():
        assert grad.numpy() == pytest.approx(found[1][name].numpy(), abs=1e-4 * grad.abs().max().item()), name


@pytest.mark.parametrize("kind", ["l1", "l1_old_form", "tied_l1"])
def test_gradients_of_few_units_are_those_of_all(kind: str) -> None:
    x, _ = planted(400)
    found = []
    for density in (1.0, 0.0):
        model = shaken(replace(CASES[kind], penalty=3.0), x)
        model.density.fill_(density)
        loss = model.loss(model.normalise(x), 0.7)
        loss.total.backward()
        assert (loss.active.units is None) == (density == 1.0)
        fired = loss.active.fired(32)
        found.append((loss.total.item(), fired, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}))
    (whole, fired, grads), (few, also, others) = found
    assert few == pytest.approx(whole, rel=1e-5) and torch.equal(fired, also) and set(grads) == set(others) == {n for n, _ in model.named_parameters()}
    for name, grad in grads.items():
        assert others[name].numpy() == pytest.approx(grad.numpy(), abs=1e-4 * grad.abs().max().item()), name


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_products_in_half_precision_learn_nearly_the_same(settings: TrainSettings) -> None:
    """What a GPU does, tried on a CPU: products of matrices in bfloat16, all else in float32."""
    x, _ = planted(2000)
    few = replace(settings, n_activations=512 * 60)
    ends = []
    for bf16 in (False, True):
        training = Training(x - 0.7, few, bf16=bf16)
        metrics = [step.metrics() for step in training.steps()]
        assert all(p.dtype == torch.float32 for p in training.model.parameters())
        ends.append(metrics[-1])
    assert ends[1].fvu == pytest.approx(ends[0].fvu, abs=0.05) and ends[1].loss == pytest.approx(ends[0].loss, rel=0.1)


def test_rows_of_a_unit_decoder_keep_length_1() -> None:
    x, _ = planted(2000)
    training = Training(x, replace(CASES["l1_old_form"], n_activations=512 * 20))
    for step in training.steps():
        assert step.model.W_dec.norm(dim=1).detach().numpy() == pytest.approx(np.ones(32), abs=1e-5)
        assert step.model.W_dec.grad is not None
    assert training.step == 20


def test_an_orthogonal_start() -> None:
    x, _ = planted(100)
    many, few = (shaken_not(usual("tied_l1", n_units=n, batch=50, scaling="none"), x) for n in (40, 10))
    assert few @ few.T == pytest.approx(np.eye(10), abs=1e-5)
    assert np.linalg.norm(many, axis=1) == pytest.approx(np.ones(40), abs=1e-5) and np.linalg.matrix_rank(many) == 16


def shaken_not(settings: TrainSettings, x: torch.Tensor) -> np.ndarray:
    return trainee(x, settings, torch.Generator().manual_seed(1)).W_dec.detach().numpy()


def test_schedules() -> None:
    s = TrainSettings(n_activations=100 * 10, batch=10, warmup_steps=4, decay_share=0.2, lr=0.1, penalty_warmup_share=0.1)
    assert [s.rate(i) for i in (0, 3, 50, 80, 90, 99)] == pytest.approx([0.025, 0.1, 0.1, 0.1, 0.05, 0.005])
    assert [s.penalty_share(i) for i in (0, 4, 9, 50)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    cosine = replace(s, decay="cosine", decay_share=1.0, warmup_steps=0)
    expected = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([torch.zeros(1)], lr=0.1), T_max=100)
    for step in range(100):
        assert cosine.rate(step) == pytest.approx(expected.get_last_lr()[0], abs=1e-9)
        expected.optimizer.step()
        expected.step()


def test_a_fixed_rate_never_falls() -> None:
    s = usual("l1", decay_share=0.0, batch=10, n_activations=1000)
    assert {s.rate(i) for i in range(s.n_steps)} == {5e-5}


def test_all_of_few_positions_are_a_batch() -> None:
    x, _ = planted(40)
    training = Training(x, usual("l1", n_units=8, batch=64, n_activations=640))
    assert [len(step.batch) for step in training.steps()] == [40] * 10


def test_mapped_rows_are_those_of_one_array() -> None:
    arrays = [np.arange(n * 3, dtype=np.float16).reshape(n, 3) + 100 * i for i, n in enumerate((5, 1, 7))]
    rows = np.array([0, 4, 5, 6, 12])
    mapped, whole = Mapped(arrays, rows), np.concatenate(arrays)[rows].astype(np.float32)
    chosen = torch.tensor([4, 0, 0, 2, 3, 1])
    assert mapped[chosen].numpy().tolist() == whole[chosen.numpy()].tolist()
    assert torch.cat(list(mapped.split(2))).numpy().tolist() == whole.tolist() and len(mapped) == 5 and mapped.shape == (5, 3)


def test_training_on_mapped_rows_is_training_in_memory() -> None:
    x, _ = planted(3000)
    settings = replace(CASES["topk"], n_activations=512 * 10)
    ends = []
    for source in (x, Mapped([x.numpy()[:1000], x.numpy()[1000:]], np.arange(3000))):
        training = Training(source, settings)
        list(training.steps())
        ends.append(training.model.state_dict())
    assert all(torch.equal(a, b) or name == "threshold" for (name, a), b in zip(ends[0].items(), ends[1].values(), strict=True))


def test_every_setting_is_a_flag() -> None:
    assert {name.replace("-", "_") for name, _, _ in TRAINING_FLAGS} == {f.name for f in fields(TrainSettings)}
    assert all(kind in {name: help_ for name, _, help_ in TRAINING_FLAGS}["kind"] for kind in TRAINEES)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"penalty": -1.0}, "penalty is -1.0"),
        ({"penalty": math.nan}, "penalty is nan"),
        ({"reconstruction": 0.0}, "reconstruction is 0.0"),
        ({"decay_share": 1.5}, "decay_share is 1.5"),
        ({"optimiser": "sgd"}, "valid: adam, radam"),
        ({"scaling": "layer"}, "valid: variance, norm, none"),
        ({"decay": "steps"}, "valid: linear, cosine"),
        ({"n_units": 0, "kind": "l1"}, "n_units is 0"),
        ({"dead_after": 0}, "dead_after is 0"),
    ],
)
def test_settings_that_make_no_sense_are_told(values: dict[str, object], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        TrainSettings(**values)  # type: ignore[arg-type]
