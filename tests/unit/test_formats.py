"""Every published layout against its publisher's equations in float64 numpy: recognised, encoded, decoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.dictionaries import FORMATS, open_checkpoint, publishers
from earmark.dictionaries.files import read
from earmark.errors import BadInput, EarmarkError, MissingWeights
from tests.fixtures.layouts import (
    CASES,
    ROWS,
    Case,
    D,
    K,
    N,
    Reference,
    Weights,
    _linear,
    _sparsify,
    activations,
    audiosae,
    freud_topk,
    gelu_1l,
    relu,
    saelens_gated,
    saelens_old,
    tensor,
    wave_sae,
)

by_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.write.__name__)


@by_case
@pytest.mark.parametrize("seed", [0, 7])
def test_features_and_reconstruction_are_the_publishers(tmp_path: Path, case: Case, seed: int) -> None:
    w, x = Weights(seed), activations(seed + 1)
    path, reference = case.write(tmp_path, w)
    opened = open_checkpoint(path)
    assert (opened.format, opened.dictionary.activation, opened.dictionary.width, opened.dictionary.n_units) == (case.format, case.activation, D, N)
    f, x_hat = reference(x.astype(np.float64))
    ours = opened.dictionary.encode(torch.from_numpy(x)).dense()
    # a factor that multiplies f before W_dec may lie in the decoder: what a unit adds to the stream is the same
    assert np.array_equal(ours != 0, f != 0) and (f != 0).sum() > ROWS
    assert ours == pytest.approx(f, rel=1e-4, abs=1e-5)
    assert opened.dictionary.reconstruct(torch.from_numpy(x)).numpy() == pytest.approx(x_hat, rel=1e-4, abs=1e-4)
    norms = np.linalg.norm(opened.dictionary.W_dec.numpy().astype(np.float64), axis=1)
    assert opened.dictionary.codes(x).dense() == pytest.approx(f * norms, rel=1e-4, abs=1e-5)


@by_case
def test_one_format_alone_recognises_a_file(tmp_path: Path, case: Case) -> None:
    """AudioSAE's files are dictionary_learning's by nature, plain takes whatever has an encoder; no others overlap."""
    found = read(case.write(tmp_path, Weights())[0])
    claimed = {name for name, module in FORMATS.items() if module.recognises(found)} - {"plain"}
    assert claimed - ({"dictionary_learning"} if case.format == "audiosae" else set()) == {case.format} - {"plain"}


@by_case
def test_weight_files_alone_name_the_revision(tmp_path: Path, case: Case) -> None:
    opened = open_checkpoint(case.write(tmp_path, Weights())[0])
    assert len(opened.files) == 1 and opened.files[0].is_file() and opened.files[0].suffix in (".pt", ".pth", ".safetensors", ".npz")


@by_case
def test_half_precision_and_a_known_width_are_read(tmp_path: Path, case: Case) -> None:
    path = case.write(tmp_path, Weights())[0]
    assert open_checkpoint(path, format=case.format, width=D).dictionary.width == D
    with pytest.raises(BadInput, match=rf"width {D}; the hook gives {D + 1}|must be"):
        open_checkpoint(path, width=D + 1)


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    w = Weights()
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        torch.save({n: t.to(dtype) for n, t in {**_linear(w), "bias": tensor(w.b_dec)}.items()}, tmp_path / "ae.pt")
        sae = open_checkpoint(tmp_path / "ae.pt").dictionary
        assert sae.W_enc.dtype == sae.W_dec.dtype == torch.float32
        assert sae.W_dec.numpy() == pytest.approx(w.W_dec, rel=1e-2, abs=1e-3)


# -- what a file says ---------------------------------------------------------------------------------------------------------


def facts(tmp_path: Path, write: Callable[[Path, Weights], tuple[Path, Reference]]) -> dict[str, object]:
    return open_checkpoint(write(tmp_path, Weights())[0]).facts


def test_freud_says_model_and_block(tmp_path: Path) -> None:
    told = facts(tmp_path, freud_topk)
    assert (told["model"], told["site"], told["layer"], told["k"], told["class"]) == ("whisper-tiny", "residual", 2, K, "topk")


def test_hook_resid_pre_is_the_output_of_the_block_before(tmp_path: Path) -> None:
    told = facts(tmp_path, saelens_old)
    assert (told["hook"], told["site"], told["layer"], told["model"]) == ("blocks.8.hook_resid_pre", "residual", 7, "gpt2-small")


def test_audiosae_counts_layers_from_1(tmp_path: Path) -> None:
    assert facts(tmp_path, audiosae)["layer"] == 4


def test_sparsify_folders_tell_input_from_output(tmp_path: Path) -> None:
    path = _sparsify(tmp_path, Weights(), k=K)
    assert open_checkpoint(path).facts["layer"] == 5
    older = path.rename(tmp_path / "layer_5")
    assert (open_checkpoint(older).facts["layer"], open_checkpoint(older).facts["hook"]) == (4, "input of block 5")


def test_what_is_open_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    assert open_checkpoint(wave_sae(tmp_path / "a", Weights())[0]).candidates == ("raw", "sqrt_d_over_mean_norm")
    assert open_checkpoint(audiosae(tmp_path / "b", Weights())[0]).candidates == ("raw", "unit_norm")
    assert open_checkpoint(gelu_1l(tmp_path / "c", Weights())[0]).candidates == ()


@pytest.mark.parametrize(
    ("scale", "norm"),
    [
        ("sqrt_d_over_mean_norm=0.2", lambda x: np.full((len(x), 1), 0.2)),
        ("unit_norm", lambda x: 1 / np.linalg.norm(x, axis=1, keepdims=True)),
        ("sqrt_d_over_norm", lambda x: np.sqrt(D) / np.linalg.norm(x, axis=1, keepdims=True)),
    ],
)
def test_a_chosen_scale_is_applied_and_undone(tmp_path: Path, scale: str, norm: Callable[[np.ndarray], np.ndarray]) -> None:
    w, x = Weights(), activations()
    path, reference = wave_sae(tmp_path, w)
    sae = open_checkpoint(path, scale=scale).dictionary
    f, x_hat = reference(x * norm(x.astype(np.float64)))
    assert sae.encode(torch.from_numpy(x)).dense() == pytest.approx(f, abs=1e-5)
    assert sae.reconstruct(torch.from_numpy(x)).numpy() == pytest.approx(x_hat / norm(x.astype(np.float64)), abs=1e-4)


def test_centred_input_for_autoencoders_of_centred_weights(tmp_path: Path) -> None:
    path, reference = saelens_old(tmp_path, Weights())
    x = activations()
    f, _ = reference(x - x.mean(axis=1, keepdims=True, dtype=np.float64))
    assert open_checkpoint(path).candidates == ("raw", "centred")
    assert open_checkpoint(path, scale="centred").dictionary.encode(torch.from_numpy(x)).dense() == pytest.approx(f, abs=1e-5)


@pytest.mark.parametrize("scale", ["loud", "sqrt_d_over_mean_norm", "sqrt_d_over_mean_norm=-1", "sqrt_d_over_mean_norm=nan", "transposed", ""])
def test_other_scales_are_refused(tmp_path: Path, scale: str) -> None:
    with pytest.raises(BadInput, match="valid: raw"):
        open_checkpoint(wave_sae(tmp_path, Weights())[0], scale=scale)


# -- orientation --------------------------------------------------------------------------------------------------------------


def test_a_square_plain_dict_needs_its_width_and_then_has_two_ways(tmp_path: Path) -> None:
    w = Weights(d=D, n=D)
    torch.save({"W_e": tensor(w.W_enc), "W_d": tensor(w.W_dec), "b_e": tensor(w.b_enc), "b_d": tensor(w.b_dec)}, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="as many units as values, 12"):
        open_checkpoint(tmp_path / "x.pt")
    opened = open_checkpoint(tmp_path / "x.pt", width=D)
    assert "transposed" in opened.candidates
    x = activations()
    pre = x @ w.W_enc.T + w.b_enc
    assert open_checkpoint(tmp_path / "x.pt", width=D, scale="transposed").dictionary.encode(torch.from_numpy(x)).dense() == pytest.approx(relu(pre), abs=1e-5)
    assert opened.dictionary.encode(torch.from_numpy(x)).dense() == pytest.approx(relu(x @ w.W_enc + w.b_enc), abs=1e-5)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("biases", ["both", "encoder", "decoder", "none"])
def test_biases_or_the_width_decide_the_orientation(tmp_path: Path, turned: bool, biases: str) -> None:
    w = Weights()
    state = {"W_e": w.W_enc.T if turned else w.W_enc, "W_d": w.W_dec.T if turned else w.W_dec}
    state |= {"b_e": w.b_enc} if biases in ("both", "encoder") else {}
    state |= {"b_d": w.b_dec} if biases in ("both", "decoder") else {}
    torch.save({n: tensor(a) for n, a in state.items()}, tmp_path / "x.pt")
    if biases == "none":
        with pytest.raises(BadInput, match="Name the width"):
            open_checkpoint(tmp_path / "x.pt")
    sae = open_checkpoint(tmp_path / "x.pt", width=D if biases == "none" else None).dictionary
    assert np.array_equal(sae.W_enc.numpy(), w.W_enc.astype(np.float32))
    assert np.array_equal(sae.W_dec.numpy(), w.W_dec.astype(np.float32))


def test_a_published_layout_is_read_either_way_round_when_its_shapes_tell(tmp_path: Path) -> None:
    w = Weights()
    torch.save(
        {"encoder.weight": tensor(w.W_enc), "decoder.weight": tensor(w.W_dec), "encoder_bias": tensor(w.b_enc), "decoder_bias": tensor(w.b_dec)},
        tmp_path / "x.pt",
    )
    assert np.array_equal(open_checkpoint(tmp_path / "x.pt").dictionary.W_enc.numpy(), w.W_enc.astype(np.float32))


def test_matrices_that_fit_no_way_are_refused_by_name(tmp_path: Path) -> None:
    w = Weights()
    torch.save({"W_e": tensor(w.W_enc)[:, :-1], "W_d": tensor(w.W_dec), "b_e": tensor(w.b_enc), "b_d": tensor(w.b_dec)}, tmp_path / "x.pt")
    with pytest.raises(BadInput, match=r"W_e of 'x.pt' has shape \[12, 39\]"):
        open_checkpoint(tmp_path / "x.pt")


# -- folders ------------------------------------------------------------------------------------------------------------------


def test_a_file_is_opened_with_the_config_beside_it(tmp_path: Path) -> None:
    saelens_gated(tmp_path, Weights())
    assert open_checkpoint(tmp_path / "sae_weights.safetensors").dictionary.activation == "gated"


def test_other_files_of_a_folder_are_not_read(tmp_path: Path) -> None:
    saelens_gated(tmp_path, Weights())
    for name in ("sparsity.safetensors", "activations.pt", "optimizer.pt"):
        (tmp_path / name).write_bytes(b"no weights")
    assert open_checkpoint(tmp_path).format == "saelens"


def test_several_autoencoders_in_a_folder_are_listed(tmp_path: Path) -> None:
    (tmp_path / "layer_1").mkdir()
    audiosae(tmp_path / "layer_1", Weights())
    (tmp_path / "layer_1" / "layer_5").rename(tmp_path / "layer_5")
    (tmp_path / "layer_1").rmdir()
    with pytest.raises(BadInput, match="several autoencoders.*layer_5"):
        open_checkpoint(tmp_path)
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadInput, match="several weight files: a.pt, b.pt"):
        open_checkpoint(tmp_path)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="no file or folder 'none'"):
        open_checkpoint(tmp_path / "none")
    with pytest.raises(MissingWeights, match="no weight file"):
        open_checkpoint(tmp_path)
    path = _sparsify(tmp_path, Weights(), k=K)
    (path / "cfg.json").unlink()
    with pytest.raises(BadInput, match=r"needs sparsify's cfg.json"):
        open_checkpoint(path)
    with pytest.raises(EarmarkError, match="no checkpoint format 'onnx'"):
        open_checkpoint(path, format="onnx")


def test_every_publisher_has_a_row() -> None:
    assert len({p.name for p in publishers()}) == len(publishers()) == len(FORMATS) == 10
