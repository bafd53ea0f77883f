"""Edits at the hooks: against double runs with hooks of the test's own, against rewritten weights, and against the equations one number at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from earmark.dictionaries.base import Identity, SparseAutoencoder
from earmark.dictionaries.norms import InputNorm, NormKind
from earmark.edits import Edit
from earmark.errors import BadInput
from earmark.live.editing.apply import check_editable, places, replacing_edits, through_saes
from earmark.models.base import TextModel
from earmark.models.capture import replacing
from earmark.runtime import Opened, Runtime
from earmark.units import FrameGrid, Hook, UnitId
from tests.fixtures.text_toy import LAYER, MODEL, NEURONS, RESIDUAL, SAE, SLUGS, K, make_text_house

D, N = 6, 11
HOOK = Hook("0", "output", D)
TOKENS = FrameGrid(1.0, 0.0, 20)
NORMS: tuple[NormKind, ...] = ("none", "scale", "unit", "sqrt_d", "layer", "centre")


def opened(dictionary: Any, slug: str = "d", hook: Hook = HOOK) -> Opened:
    return Opened(cast(Any, SimpleNamespace(slug=slug, layer=0)), hook, dictionary, "")


def random_sae(seed: int = 0, **settings: Any) -> SparseAutoencoder:
    g = torch.Generator().manual_seed(seed)
    W_enc, W_dec, b_enc, b_dec = (torch.randn(shape, generator=g) for shape in ((D, N), (N, D), (N,), (D,)))
    return SparseAutoencoder(W_enc, W_dec, b_enc, b_dec, **{"activation": "relu", **settings})


def change_of(one: Opened, *edits: Edit, grid: FrameGrid = TOKENS, **where: Any) -> Callable[[Tensor], Tensor]:
    return replacing_edits([one], edits, grid, **where)[one.hook]


def streams(n: int = 20, seed: int = 1) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed)) * 2


# -- the change itself -----------------------------------------------------------------------------------------------------

ACTIVATIONS = {
    "relu": {},
    "topk": {"k": 3},
    "jumprelu": {"threshold": torch.rand(N, generator=torch.Generator().manual_seed(4)) * 2},
    "abstopk": {"k": 3},
    "batchtopk": {"threshold": torch.tensor(0.7)},
    "gated": {name: torch.randn(N, generator=torch.Generator().manual_seed(i)) * 0.5 for i, name in enumerate(("b_gate", "b_mag", "r_mag"))},
}


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_change_is_that_of_what_is_decoded(activation: str, kind: NormKind, undo: bool, rescale: bool) -> None:
    """x' - x = decode(f') - decode(f), where f' is f with the shown values of two units rewritten."""
    norm = InputNorm(kind, 0.3)
    sae = random_sae(
        activation=activation, input_norm=norm, undo_norm=undo, rescale_by_decoder_norm=rescale and activation != "gated", **ACTIVATIONS[activation]
    )
    x, shown = streams(), sae.norms
    f = torch.from_numpy(sae.encode(x).dense())
    a, b = (f != 0).sum(dim=0).topk(2).indices.tolist()
    assert f[:, b].any(), "or nothing would be tested"
    other = f.clone()
    other[:, a] = 0.25 * f[:, a]
    other[:, b] = 2.0 * f[:, b] + 1.5 / shown[b]
    expected = sae.decode(other, x) - sae.decode(f, x)
    changed = change_of(opened(sae), Edit(UnitId("d", a), 0.25), Edit(UnitId("d", b), 2.0, 1.5))(x)
    torch.testing.assert_close(changed - x, expected, atol=2e-5, rtol=1e-4)


def naive_layer_norm_topk(sae: SparseAutoencoder, row: list[float], unit: int, k: int, factor: float, added: float) -> list[float]:
    """One position, one number at a time, in double precision."""
    mean = sum(row) / D
    sigma = math.sqrt(sum((v - mean) ** 2 for v in row) / (D - 1))
    normed = [(v - mean) / (sigma + 1e-5) for v in row]
    W, V, b = sae.W_enc.double().tolist(), sae.W_dec.double().tolist(), sae.b_enc.double().tolist()
    pre = [sum(normed[j] * W[j][i] for j in range(D)) + b[i] for i in range(N)]
    strongest = sorted(range(N), key=lambda i: -pre[i])[:k]
    f = max(pre[unit], 0.0) if unit in strongest else 0.0
    length = math.sqrt(sum(v * v for v in V[unit]))
    old = f * length
    new = factor * old + added
    return [row[j] + sigma * (new - old) * V[unit][j] / length for j in range(D)]


def test_against_the_equations_one_number_at_a_time() -> None:
    sae = random_sae(activation="topk", k=2, input_norm=InputNorm("layer"), undo_norm=True)
    x = streams(40)
    found = change_of(opened(sae), Edit(UnitId("d", 3), 0.0, 2.0), grid=FrameGrid(1.0, 0.0, 40))(x)
    expected = [naive_layer_norm_topk(sae, row, 3, 2, 0.0, 2.0) for row in x.double().tolist()]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_a_planted_direction_and_nothing_else() -> None:
    """Orthogonal features, what none of them explains beside them: off, one is gone, and the others and the rest are where they were."""
    axes = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(2)))[0]
    sae = SparseAutoencoder(axes[:, :4] / 3.0, 3.0 * axes[:, :4].T, torch.zeros(4), torch.zeros(D), activation="relu")
    amounts = torch.rand(9, D, generator=torch.Generator().manual_seed(3)) + 0.1
    x = amounts @ axes.T
    without = amounts.clone()
    without[:, 2] = 0.0
    off = change_of(opened(sae), Edit(UnitId("d", 2), 0.0))(x)
    torch.testing.assert_close(off, without @ axes.T, atol=1e-6, rtol=1e-5)
    read_out = nn.Linear(D, D, bias=False)
    read_out.weight.data = axes.T.clone()
    network = nn.Sequential(nn.Identity(), read_out)
    with torch.no_grad(), replacing(network, replacing_edits([opened(sae)], [Edit(UnitId("d", 2), 1.0, 0.5)], TOKENS)):
        found = network(x[None])[0]
    more = amounts.clone()
    more[:, 2] += 0.5
    torch.testing.assert_close(found, more, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", NORMS)
def test_what_changes_nothing_leaves_every_bit(kind: NormKind) -> None:
    sae = opened(random_sae(activation="topk", k=2, input_norm=InputNorm(kind, 0.3), undo_norm=True))
    x = streams()
    assert replacing_edits([sae], [Edit(UnitId("d", i), 1.0, 0.0, 2.0, 9.0) for i in range(5)], TOKENS) == {}
    silent = next(i for i in range(N) if not sae.dictionary.codes(x.numpy()).trace(i).any()) if kind == "none" else None
    if silent is not None:
        assert torch.equal(change_of(sae, Edit(UnitId("d", silent), 0.0))(x), x), "a silent unit turned off"
    both = replacing_edits([sae], [Edit(UnitId("d", 0)), Edit(UnitId("d", 1), 0.0)], TOKENS)
    assert torch.equal(both[HOOK](x), change_of(sae, Edit(UnitId("d", 1), 0.0))(x))
    before = x.clone()
    change_of(sae, Edit(UnitId("d", 1), 1.0, 3.0))(x)
    assert torch.equal(x, before), "what is given stays as it is"


def test_values_themselves_and_two_dictionaries_on_one_hook() -> None:
    sae, axes, x = opened(random_sae(), "sae"), opened(Identity(D), "axes"), streams()
    feature, axis, other = Edit(UnitId("sae", 4), 0.0), Edit(UnitId("axes", 2), -1.0, 0.5), Edit(UnitId("axes", 5), 0.0)
    expected = x.clone()
    expected[:, 2] = 0.5 - x[:, 2]
    expected[:, 5] = 0.0
    assert torch.equal(change_of(axes, axis, other)(x)[:, 5], torch.zeros(20))
    torch.testing.assert_close(change_of(axes, axis, other)(x), expected)
    together = replacing_edits([sae, axes], [axis, feature, other], TOKENS)
    assert together.keys() == {HOOK}
    torch.testing.assert_close(together[HOOK](x) - x, (change_of(sae, feature)(x) - x) + (expected - x), atol=1e-5, rtol=1e-5)


# -- where -----------------------------------------------------------------------------------------------------------------


def test_stretches_in_seconds_and_in_tokens() -> None:
    frames, sae = FrameGrid(0.02, 0.0, 20), opened(random_sae())
    edits = (Edit(UnitId("d", 4), 0.0, 1.0, 0.06, 0.1), Edit(UnitId("d", 4), 1.0, 2.0, 0.12))
    x = streams()
    acts = (change_of(sae, *edits, grid=frames)(x) - x).abs().sum(dim=1) > 1e-4
    assert acts.nonzero().ravel().tolist() == list(range(3, 20)), "0.06 s is the beginning of frame 3, and frame 5 holds 0.1 s"
    torch.testing.assert_close(change_of(sae, *edits, grid=frames)(x)[6:], change_of(sae, Edit(UnitId("d", 4), 1.0, 2.0))(x)[6:])
    for start in range(600):
        assert places(Edit(UnitId("d", 0), 0.0, 0.0, start * 0.02, start * 0.02), frames) == (start, start)
    beyond = change_of(sae, Edit(UnitId("d", 4), 0.0, 1.0, 0.5, 0.6), grid=frames)
    assert torch.equal(beyond(x), x), "past the end nothing is changed"
    text = FrameGrid(1.0, -1.0, 21)
    assert places(Edit(UnitId("d", 0), 0.0, start=0, end=3), text) == (1, 4), "one position stands in front of the text"


def test_pieces_give_what_the_whole_gives_and_spared_positions_pass() -> None:
    sae, x = opened(random_sae(activation="topk", k=3)), streams()
    edits = (Edit(UnitId("d", 4), 0.0, 1.0, 5, 14), Edit(UnitId("d", 7), 3.0, end=8))
    spared = np.zeros(12, bool)
    spared[[0, 6, 11]] = True
    whole = change_of(sae, *edits, spared=spared)(x)
    for cuts in ((0, 7, 20), (0, 1, 5, 6, 11, 12, 13, 20)):
        parts = [change_of(sae, *edits, spared=spared, first=a)(x[a:b]) for a, b in pairwise(cuts)]
        torch.testing.assert_close(torch.cat(parts), whole, atol=1e-6, rtol=1e-6)
    free = change_of(sae, *edits)(x)
    assert torch.equal(whole[spared.nonzero()[0]], x[spared.nonzero()[0]])
    others = np.setdiff1d(np.arange(20), spared.nonzero()[0])
    torch.testing.assert_close(whole[others], free[others], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(free[6], x[6])


# -- what is refused -------------------------------------------------------------------------------------------------------


def test_what_cannot_be_edited() -> None:
    g = torch.Generator().manual_seed(0)
    transcoder = SparseAutoencoder(torch.randn(D, N, generator=g), torch.randn(N, D + 1, generator=g), torch.zeros(N), torch.zeros(D + 1), activation="relu")
    with pytest.raises(BadInput, match="d predicts another place of the model"):
        check_editable([opened(transcoder)], [Edit(UnitId("d", 0), 0.0)])
    with pytest.raises(BadInput, match="depend on all others that are read with it"):
        check_editable([opened(random_sae(activation="batchtopk", k=2))], [Edit(UnitId("d", 0), 0.0)])
    with pytest.raises(BadInput, match="There is no unit d:11. The units of d are 0 to 10"):
        replacing_edits([opened(random_sae())], [Edit(UnitId("d", 11), 0.0)], TOKENS)
    with pytest.raises(BadInput, match="e:0 is edited, but e is not open. Open: d"):
        replacing_edits([opened(random_sae())], [Edit(UnitId("e", 0), 0.0)], TOKENS)
    with pytest.raises(BadInput, match="change the same unit at the same place"):
        replacing_edits([opened(random_sae())], [Edit(UnitId("d", 0), 0.0), Edit(UnitId("d", 0), 2.0)], TOKENS)


def test_through_saes_alone() -> None:
    trained, axes, x = random_sae(), opened(Identity(D), "axes"), streams()
    sae = opened(trained, "sae")
    only = through_saes([sae])
    assert only is not None
    torch.testing.assert_close(only[HOOK](x), trained.reconstruct(x))
    assert through_saes([sae, axes]) is None
    assert through_saes([sae, opened(random_sae(1), "again")]) is None, "two reconstructions of one place"


# -- in a model ------------------------------------------------------------------------------------------------------------

TEXT = "the cat sat on a mat and dogs"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> tuple[Runtime, Path]:
    settings = make_text_house(tmp_path_factory.mktemp("edits"), 3)
    return Runtime(settings), settings.data / "toy-text-model"


def edited(runtime: Runtime, *edits: Edit) -> Tensor:
    """[n_positions, vocabulary] of our own run."""
    model: TextModel = runtime.model(MODEL)  # type: ignore[assignment]
    sample = model.tokenize(TEXT)
    grid = FrameGrid(1.0, -float(sample.n_before), len(sample.ids))
    return model.logits(sample, replacing_edits([runtime.open(slug) for slug in SLUGS], edits, grid))


def test_neurons_against_rewritten_weights(house: tuple[Runtime, Path]) -> None:
    runtime, folder = house
    network: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    sample = runtime.model(MODEL).tokenize(TEXT)  # type: ignore[attr-defined]
    project = network.model.layers[LAYER].mlp.down_proj
    with torch.no_grad():
        columns = project.weight.clone()
        project.bias = nn.Parameter(1.5 * columns[:, 7])
        project.weight[:, 3] = 0.0
        project.weight[:, 7] *= 2.5
        expected = network(torch.tensor([sample.ids])).logits[0, sample.n_before :]
    found = edited(runtime, Edit(UnitId(NEURONS, 3), 0.0), Edit(UnitId(NEURONS, 7), 2.5, 1.5, None, None))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_all_three_kinds_against_a_double_run_with_a_hook_of_its_own(house: tuple[Runtime, Path]) -> None:
    """Neurons of a layer, then features and axes of what that layer gives: the second place sees what came of the first."""
    runtime, folder = house
    network: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    sae = cast(SparseAutoencoder, runtime.open(SAE).dictionary)
    model: TextModel = runtime.model(MODEL)  # type: ignore[assignment]
    sample, hook = model.tokenize(TEXT), runtime.open(SAE).hook
    ids, n_before = sample.ids, sample.n_before
    unit = int(sae.codes(model.capture(sample, [hook])[hook].values[4:8]).dense().max(axis=0).argmax())

    def on_neurons(_module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        x = args[0].clone()
        x[0, n_before + 2 :, 9] = 4.0 - x[0, n_before + 2 :, 9]
        return (x,)

    def on_stream(_module: nn.Module, _args: Any, output: Any) -> Any:
        whole = output if isinstance(output, Tensor) else output[0]
        new = whole.clone()
        for t, x in enumerate(whole[0]):
            pre = x @ sae.W_enc + sae.b_enc
            kept = set(torch.argsort(pre, descending=True)[:K].tolist())
            f = max(float(pre[unit]), 0.0) if unit in kept else 0.0
            if n_before + 3 <= t <= n_before + 7:
                new[0, t] = x - f * sae.W_dec[unit]
            new[0, t, 5] += 2.0 * x[5]
        return new if isinstance(output, Tensor) else (new, *output[1:])

    layer = network.model.layers[LAYER]
    with torch.no_grad():
        plain = network(torch.tensor([ids])).logits[0, n_before:]
        layer.mlp.down_proj.register_forward_pre_hook(on_neurons)
        layer.register_forward_hook(on_stream)
        expected = network(torch.tensor([ids])).logits[0, n_before:]
    found = edited(runtime, Edit(UnitId(NEURONS, 9), -1.0, 4.0, start=2), Edit(UnitId(SAE, unit), 0.0, start=3, end=7), Edit(UnitId(RESIDUAL, 5), 3.0))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(plain, expected, atol=1e-2)


def test_factor_one_leaves_the_run_bit_by_bit(house: tuple[Runtime, Path]) -> None:
    runtime, _ = house
    plain = edited(runtime)
    assert torch.equal(edited(runtime, *(Edit(UnitId(slug, 3), 1.0) for slug in SLUGS)), plain)
    assert torch.equal(edited(runtime, Edit(UnitId(SAE, 5), 0.0)), plain), "a dead unit turned off"
    assert not torch.equal(edited(runtime, Edit(UnitId(SAE, 5), 1.0, 0.5)), plain), "and what is added to it"
