"""The autoencoder's equations against plain float64 loops, its file layout, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.dictionaries import open_checkpoint, saelens
from earmark.dictionaries.base import Codes, SparseAutoencoder
from earmark.dictionaries.norms import InputNorm
from earmark.errors import BadInput, EarmarkError, MissingWeights
from earmark.live.checkpoints.encode import encode_file

D, N = 6, 11


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {
        "W_enc": torch.randn(D, N, generator=g),
        "W_dec": torch.randn(N, D, generator=g),
        "b_enc": torch.randn(N, generator=g),
        "b_dec": torch.randn(D, generator=g),
        "threshold": torch.rand(N, generator=g),
    }


def naive(x: np.ndarray, w: dict[str, torch.Tensor], activation: str, k: int, b_pre: bool, rescale: bool) -> tuple[np.ndarray, np.ndarray]:
    """(f, x^) one number at a time."""
    W_enc, W_dec, b_enc, b_dec, threshold = (w[n].double().numpy() for n in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold"))
    f = np.zeros((len(x), N))
    x_hat = np.zeros((len(x), D))
    for p, row in enumerate(x.astype(np.float64)):
        norm = [sum(W_dec[i, j] ** 2 for j in range(D)) ** 0.5 for i in range(N)]
        pre = [sum((row[j] - (b_dec[j] if b_pre else 0)) * W_enc[j, i] for j in range(D)) + b_enc[i] for i in range(N)]
        if rescale:
            pre = [v * s for v, s in zip(pre, norm, strict=True)]
        kept = sorted(range(N), key=lambda i: -pre[i])[:k] if activation == "topk" else range(N)
        for i in kept:
            if pre[i] > (threshold[i] if activation == "jumprelu" else 0) and pre[i] > 0:
                f[p, i] = pre[i] / (norm[i] if rescale else 1)
        for j in range(D):
            x_hat[p, j] = sum(f[p, i] * W_dec[i, j] for i in range(N)) + b_dec[j]
    return f, x_hat


@pytest.mark.parametrize("activation", ["relu", "topk", "jumprelu"])
@pytest.mark.parametrize("b_pre", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
def test_encode_and_decode_equal_the_equations(activation: str, b_pre: bool, rescale: bool) -> None:
    w = weights()
    k = 3 if activation == "topk" else None
    threshold = w["threshold"] if activation == "jumprelu" else None
    sae = SparseAutoencoder(
        w["W_enc"], w["W_dec"], w["b_enc"], w["b_dec"], activation=activation, k=k, threshold=threshold, b_pre=w["b_dec"] if b_pre else None,
        rescale_by_decoder_norm=rescale,
    )  # fmt: skip
    x = torch.randn(20, D, generator=torch.Generator().manual_seed(1))
    f, x_hat = naive(x.numpy(), w, activation, 3, b_pre, rescale)
    assert sae.encode(x).dense() == pytest.approx(f, abs=1e-5)
    assert sae.reconstruct(x).numpy() == pytest.approx(x_hat, abs=1e-4)
    assert sae.codes(x.numpy()).dense() == pytest.approx(f * np.linalg.norm(w["W_dec"].numpy(), axis=1), abs=1e-4)


def test_codes_agree_with_themselves_dense_and_sparse() -> None:
    sae = SparseAutoencoder(*(weights()[n] for n in ("W_enc", "W_dec", "b_enc", "b_dec")), activation="topk", k=2)
    codes = sae.codes(np.random.default_rng(0).normal(size=(15, D)).astype(np.float32))
    full = codes.dense()
    dense = Codes(full, None, N)
    for one in (codes, dense):
        units, values = one.active()
        assert set(units) == set(np.flatnonzero(full.any(axis=0)))
        assert np.array_equal(values, full[:, units])
        assert all(np.array_equal(one.trace(u), full[:, u]) for u in range(N))
        assert np.array_equal(one.peaks()[0], full.max(axis=0))


def test_saved_and_loaded_gives_the_same_features(tmp_path: Path) -> None:
    w = weights()
    sae = SparseAutoencoder(w["W_enc"], w["W_dec"], w["b_enc"], w["b_dec"], activation="topk", k=3)
    saelens.save(sae, tmp_path, {"model_name": "toy"})
    again = open_checkpoint(tmp_path).dictionary
    x = torch.randn(9, D)
    assert again.encode(x).dense() == pytest.approx(sae.encode(x).dense(), abs=2e-2)  # weights are kept in half precision
    assert (again.k, again.activation, again.n_units, again.width) == (3, "topk", N, D)


def change(folder: Path, **values: object) -> None:
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**config, **values}))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"architecture": "temporal"}, "temporal"),
        ({"architecture": "sparse_wonder"}, "architecture 'sparse_wonder' of SAELens is not read"),
        ({"normalize_activations": "covariance_whitening"}, "covariance_whitening"),
        ({"architecture": "standard", "activation_fn": "tanh-relu"}, "tanh-relu"),
        ({"k": 0}, "k from 1"),
        ({"k": None}, "k from 1"),
    ],
)
def test_what_is_not_read_is_refused_by_name(tmp_path: Path, values: dict[str, object], words: str) -> None:
    w = weights()
    saelens.save(SparseAutoencoder(w["W_enc"], w["W_dec"], w["b_enc"], w["b_dec"], activation="topk", k=3), tmp_path, {})
    change(tmp_path, **values)
    with pytest.raises(BadInput, match=words):
        open_checkpoint(tmp_path)


def test_missing_and_broken_files_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="sae_weights.safetensors"):
        open_checkpoint(tmp_path)
    (tmp_path / "cfg.json").write_text("{}")
    with pytest.raises(MissingWeights, match="It has cfg.json, but the weights that belong to it are missing"):
        open_checkpoint(tmp_path)
    (tmp_path / "sae_weights.safetensors").write_bytes(b"not tensors at all")
    with pytest.raises(BadInput, match="is none"):
        open_checkpoint(tmp_path)
    saelens.save(SparseAutoencoder(*(weights()[n] for n in ("W_enc", "W_dec", "b_enc", "b_dec")), activation="topk", k=2), tmp_path, {})
    (tmp_path / "cfg.json").unlink()
    with pytest.raises(MissingWeights, match="no cfg.json"):
        open_checkpoint(tmp_path)


def test_encode_writes_features_and_reconstruction_without_a_model(tmp_path: Path) -> None:
    w = weights()
    folder = tmp_path / "sae"
    folder.mkdir()
    saelens.save(SparseAutoencoder(w["W_enc"], w["W_dec"], w["b_enc"], w["b_dec"], activation="topk", k=3), folder, {})
    x = np.random.default_rng(0).normal(size=(5000, D)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    encode_file(folder, tmp_path / "x.npy", tmp_path / "f.npy", decode=False)
    encode_file(folder, tmp_path / "x.npy", tmp_path / "y.npy", decode=True)
    f, y = np.load(tmp_path / "f.npy"), np.load(tmp_path / "y.npy")
    half = {n: (t.half().float() if n.startswith("W") else t) for n, t in w.items()}
    expected_f, expected_y = naive(x[4990:], half, "topk", 3, False, False)
    assert f.dtype == y.dtype == np.float32 and f.shape == (5000, N) and y.shape == (5000, D)
    assert f[4990:] == pytest.approx(expected_f, abs=1e-4) and y[4990:] == pytest.approx(expected_y, abs=1e-4)


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, D + 1), np.float32), np.array([["a"]]), np.zeros((0, D))])
def test_encode_refuses_other_arrays_with_a_sentence(tmp_path: Path, array: np.ndarray) -> None:
    w = weights()
    folder = tmp_path / "sae"
    folder.mkdir()
    saelens.save(SparseAutoencoder(w["W_enc"], w["W_dec"], w["b_enc"], w["b_dec"], activation="topk", k=3), folder, {})
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(EarmarkError, match="x.npy"):
        encode_file(folder, tmp_path / "x.npy", tmp_path / "f.npy", decode=False)
    assert not (tmp_path / "f.npy").exists()


# -- activations ---------------------------------------------------------------------------------------------------------------


def selecting(activation: str, **options: object) -> SparseAutoencoder:
    """Its pre-activations are its input: W_enc is the identity, W_dec twice that."""
    return SparseAutoencoder(torch.eye(N), 2 * torch.eye(N), torch.zeros(N), torch.zeros(N), activation=activation, **options)  # type: ignore[arg-type]


def fires(sae: SparseAutoencoder, *rows: list[float]) -> np.ndarray:
    x = np.zeros((len(rows), N), np.float32)
    for place, row in zip(x, rows, strict=True):
        place[: len(row)] = row
    return sae.encode(torch.from_numpy(x)).dense()[:, : max(map(len, rows))]


def test_jumprelu_is_strict_and_never_negative() -> None:
    thresholds = torch.zeros(N)
    thresholds[:6] = torch.tensor([1.0, 1.0, 0.0, 0.0, -1.0, -1.0])
    found = fires(selecting("jumprelu", threshold=thresholds), [1.0, 1.0001, 0.0, 1e-9, -0.5, 0.5])
    assert found[0].tolist() == pytest.approx([0, 1.0001, 0, 1e-9, 0, 0.5])


def test_batchtopk_is_strict_at_its_threshold() -> None:
    assert fires(selecting("batchtopk", k=1, threshold=torch.tensor(1.0)), [1.0, 1.5, 2.0, -3.0])[0].tolist() == [0, 1.5, 2.0, 0]


def test_batchtopk_without_threshold_spends_its_units_over_the_batch() -> None:
    sae = selecting("batchtopk", k=2)
    assert sae.reads_batches
    assert fires(sae, [5.0, 4.0, 3.0], [1.0, 0.5, -9.0]).tolist() == [[5, 4, 3], [1, 0, 0]]
    assert fires(sae, [1.0, 0.5, 0.25]).tolist() == [[1, 0.5, 0]]


def test_abstopk_keeps_signs() -> None:
    sae = selecting("abstopk", k=2)
    assert sae.signed and fires(sae, [1.0, -3.0, 2.0, -0.5]).tolist() == [[0, -3, 2, 0]]
    codes = sae.codes(np.array([[1.0, -3.0, 2.0] + [0.0] * (N - 3)], np.float32))
    assert codes.dense()[0, :3].tolist() == [0, -6, 4]
    assert codes.active()[0].tolist() == [1, 2]


def test_groupmax_takes_one_of_each_group() -> None:
    W = torch.eye(8)
    sae = SparseAutoencoder(W, W, torch.zeros(8), torch.zeros(8), activation="groupmax", k=4)
    assert sae.encode(torch.tensor([[1.0, 2.0, -1.0, -2.0, 3.0, 3.5, 0.1, 0.0]])).dense()[0].tolist() == pytest.approx([0, 2, 0, 0, 0, 3.5, 0.1, 0])
    with pytest.raises(BadInput, match="do not split into 3"):
        SparseAutoencoder(W, W, torch.zeros(8), torch.zeros(8), activation="groupmax", k=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=N, max_size=N), min_size=1, max_size=6), st.integers(1, N))
def test_equal_values_at_the_edge_of_a_top_k_are_broken_one_way(rows: list[list[float]], k: int) -> None:
    """At most k fire, no larger value is left out, and a position alone gives what it gives in a batch."""
    sae = selecting("topk", k=k)
    together = fires(sae, *rows)
    for row, found in zip(rows, together, strict=True):
        assert np.array_equal(fires(sae, row)[0], found)
        assert sorted(found[found > 0]) == sorted(sorted(row)[-k:])[-np.count_nonzero(found) :] if found.any() else max(row) <= 0
        assert np.count_nonzero(found) == min(k, sum(v > 0 for v in row))
        assert all(f in (0, v) for f, v in zip(found, row, strict=True))


def test_what_an_activation_needs_is_said() -> None:
    for activation, words in (("jumprelu", "threshold"), ("gated", "b_gate"), ("topk", "k from 1"), ("batchtopk", "k from 1"), ("swish", "no activation")):
        with pytest.raises(EarmarkError, match=words):
            selecting(activation)


def test_a_reconstruction_that_needs_its_input_says_so() -> None:
    w = weights()
    four = [w[n] for n in ("W_enc", "W_dec", "b_enc", "b_dec")]
    x = torch.randn(5, D, generator=torch.Generator().manual_seed(2))
    for sae in (
        SparseAutoencoder(*four, activation="relu", W_skip=torch.eye(D)),
        SparseAutoencoder(*four, activation="relu", input_norm=InputNorm("layer"), undo_norm=True),
    ):
        f = torch.from_numpy(sae.encode(x).dense())
        assert torch.equal(sae.decode(f, x), sae.reconstruct(x))
        with pytest.raises(BadInput, match="give the activations beside the features"):
            sae.decode(f)


def test_silence_has_no_direction() -> None:
    """The norm of a position of zeros is zero: nothing divides by it."""
    w = weights()
    for kind in ("unit", "sqrt_d", "layer", "centre"):
        sae = SparseAutoencoder(
            *(w[n] for n in ("W_enc", "W_dec", "b_enc", "b_dec")),
            activation="relu",
            input_norm=InputNorm(kind),  # type: ignore[arg-type]
            undo_norm=True,
        )
        assert np.isfinite(sae.codes(np.zeros((2, D), np.float32)).dense()).all()
        assert torch.isfinite(sae.reconstruct(torch.zeros(2, D))).all()


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["scale", "unit", "sqrt_d", "layer", "centre", "none"]), st.integers(0, 2**31), st.floats(0.01, 100))
def test_a_norm_undone_is_the_input(kind: str, seed: int, factor: float) -> None:
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(7, 24)).astype(np.float32) * 3 + 1)
    norm = InputNorm(kind, factor)  # type: ignore[arg-type]
    assert norm.undo(x)(norm.apply(x)).numpy() == pytest.approx(x.numpy(), rel=1e-3, abs=1e-3)
