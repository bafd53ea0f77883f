"""k-sparse with tied weights: its loss and gradients against naive ones, planted directions, and what turning into principal axes leaves as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from earmark.errors import BadInput
from earmark.learning.axes import Axes
from earmark.learning.loop import Training
from earmark.learning.settings import TrainSettings, usual
from earmark.measure.losses import off_diagonal_covariance

N, D, M, K = 20, 6, 30, 7


def settings(**given) -> TrainSettings:
    return usual("ksparse", **{"n_units": M, "k": K, "n_activations": N * 5, "batch": N, "penalty": 0.3, "covariance": 2.0, **given})


def positions(n: int = N, d: int = D, seed: int = 1) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * 3 + 1


def naive_covariance(f: Tensor) -> Tensor:
    """The definition: every pair of units once from either side."""
    n, k = f.shape
    mean = f.mean(dim=0)
    total = torch.zeros((), dtype=f.dtype)
    for i in range(k):
        for j in range(k):
            if i != j:
                total = total + (((f[:, i] - mean[i]) * (f[:, j] - mean[j])).sum() / (n - 1)) ** 2
    return total / k


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6), (2, 4)])
def test_covariance_of_all_pairs_and_its_gradient(shape: tuple[int, int]) -> None:
    mine = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    other = mine.detach().clone().requires_grad_()
    off_diagonal_covariance(mine).backward()
    naive_covariance(other).backward()
    assert off_diagonal_covariance(mine).item() == pytest.approx(naive_covariance(other).item(), rel=1e-12)
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-10, atol=1e-12)


def naive_loss(W: Tensor, b_enc: Tensor, b_dec: Tensor, x: Tensor, penalty: float, covariance: float) -> Tensor:
    """Position by position, in float64, with the covariance as torch has it."""
    rows, errors = [], []
    for position in x:
        pre = torch.stack([(position @ W[i] + b_enc[i]) * W[i].norm() for i in range(M)])
        kept = set(pre.argsort(descending=True)[:K].tolist())
        v = torch.stack([pre[i].clamp(min=0) if i in kept else pre[i] * 0 for i in range(M)])
        x_hat = b_dec + torch.stack([v[i] * W[i] / W[i].norm() for i in range(M)]).sum(dim=0)
        errors.append((position - x_hat).square().sum())
        rows.append(v)
    values = torch.stack(rows)
    off = torch.cov(values.T) * (1 - torch.eye(M, dtype=x.dtype))
    return torch.stack(errors).mean() + penalty * values.sum() / len(x) + covariance * off.square().sum() / M


def test_loss_and_gradients_equal_naive_ones() -> None:
    training = Training(positions(), settings())
    model = training.model.double()
    x = model.normalise(positions()).double()
    with torch.no_grad():
        model.b_enc += 0.1 * torch.randn(M, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    own = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    naive = naive_loss(own["W_dec"], own["b_enc"], own["b_dec"], x, 0.3, 2.0)
    naive.backward()
    loss = model.loss(x)
    loss.total.backward()
    assert set(loss.parts) == {"reconstruction", "sparsity", "covariance"}
    assert sum(p.item() for p in loss.parts.values()) == pytest.approx(loss.total.item()) == pytest.approx(naive.item(), rel=1e-9)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, own[name].grad, rtol=1e-7, atol=1e-9, msg=name)
    assert (loss.active.values > 0).sum(dim=1).max() <= K


def test_a_share_of_the_penalties_and_none_of_them() -> None:
    model = Training(positions(), settings()).model
    x = model.normalise(positions())
    whole, half = model.loss(x).parts, model.loss(x, 0.5).parts
    assert half["sparsity"].item() == pytest.approx(whole["sparsity"].item() / 2)
    assert half["covariance"].item() == pytest.approx(whole["covariance"].item() / 2)
    assert half["reconstruction"].item() == whole["reconstruction"].item()
    assert set(Training(positions(), settings(penalty=0.0, covariance=0.0)).model.loss(x).parts) == {"reconstruction"}


def test_what_is_saved_gives_the_same_values() -> None:
    x = positions()
    training = Training(x, settings())
    for _ in training.steps():
        pass
    active, sae = training.model.loss(training.model.normalise(x)).active, training.model.folded()
    scale = training.model.scale.item()
    np.testing.assert_allclose(sae.codes(x.numpy()).dense(), active.values.numpy() * scale, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(sae.reconstruct(x), (active.x_hat.detach() * scale + training.model.mean), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(M))
    assert sae.activation == "topk" and sae.k == K


def planted(n: int, d: int, n_true: int, n_active: int) -> tuple[Tensor, Tensor]:
    """(x [n, d], its directions [n_true, d]): at each position a few of them, between 1 and 2 long."""
    generator = torch.Generator().manual_seed(4)
    true = torch.nn.functional.normalize(torch.randn(n_true, d, generator=generator), dim=1)
    f = torch.zeros(n, n_true)
    for row in f:
        row[torch.randperm(n_true, generator=generator)[:n_active]] = 1 + torch.rand(n_active, generator=generator)
    return f @ true, true


def test_planted_directions_are_recovered() -> None:
    x, true = planted(600, 32, 24, 3)
    own = settings(n_units=32, k=3, batch=600, n_activations=600 * 600, lr=1e-2, penalty=0.01, covariance=0.01)
    training = Training(x, own)
    for _ in training.steps():
        pass
    cosines = (true @ training.model.folded().W_dec.T).max(dim=1).values
    assert cosines.mean() > 0.9, cosines


# -- principal axes --------------------------------------------------------------------------------------------------------


def test_few_positions_lose_nothing_on_their_axes() -> None:
    x = positions(9, 40)
    axes = Axes.of(x)
    assert axes.turned.shape == (40, 8), "n positions span n - 1 axes around their mean"
    torch.testing.assert_close(axes.turned.T @ axes.turned, torch.eye(8), atol=1e-5, rtol=0)
    torch.testing.assert_close(axes.turn(x) @ axes.turned.T + axes.mean, x, atol=1e-4, rtol=1e-4)
    spread = axes.turn(x).var(dim=0)
    assert spread.tolist() == sorted(spread.tolist(), reverse=True)


@pytest.mark.parametrize("kind", ["ksparse", "l1", "topk"])
def test_what_is_learned_on_the_axes_is_turned_back(kind: str) -> None:
    x = positions(12, 40)
    axes = Axes.of(x)
    turned = axes.turn(x)
    training = Training(turned, usual(kind, n_units=20, k=5, batch=12, n_activations=12 * 30, lr=1e-2))
    for _ in training.steps():
        pass
    small = training.model.folded()
    whole = axes.back(small)
    np.testing.assert_allclose(whole.codes(x.numpy()).dense(), small.codes(turned.numpy()).dense(), atol=1e-3)
    torch.testing.assert_close(whole.reconstruct(x), small.reconstruct(turned) @ axes.turned.T + axes.mean, atol=1e-3, rtol=1e-3)
    aside = x + torch.linalg.qr(torch.cat([axes.turned, torch.randn(40, 1)], dim=1)).Q[:, -1] * 5
    np.testing.assert_allclose(whole.codes(aside.numpy()).dense(), whole.codes(x.numpy()).dense(), atol=1e-3, err_msg="outside the span nothing is read")


@pytest.mark.parametrize("x", [torch.ones(5, 7), torch.zeros(3, 4), torch.randn(1, 4)], ids=["alike", "zeros", "one"])
def test_positions_that_do_not_differ_are_refused(x: Tensor) -> None:
    with pytest.raises(BadInput, match="do not differ"):
        Axes.of(x)
