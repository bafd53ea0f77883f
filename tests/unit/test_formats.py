"""Every published layout, written by hand, against its publisher's equations in float64 numpy: recognised, encoded, decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from earmark.dictionaries import FORMATS, open_checkpoint, publishers
from earmark.dictionaries.files import read
from earmark.errors import BadInput, EarmarkError, MissingWeights

D, N, K, ROWS = 12, 40, 5, 30
Reference = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""x float64 [n, d] -> (f [n, units], x_hat [n, d])"""


class Weights:
    """Random weights whose decoder norms differ by a factor of 20, as float64 arrays and as tensors."""

    def __init__(self, seed: int = 0, d: int = D, n: int = N, d_out: int | None = None):
        g = np.random.default_rng(seed)
        d_out = d_out or d
        norms = g.permutation(np.logspace(-1, 0.3, n))
        directions = g.normal(size=(n, d_out))
        self.W_dec = self._float32(directions / np.linalg.norm(directions, axis=1, keepdims=True) * norms[:, None])
        self.W_enc = self._float32(g.normal(size=(d, n)) / 2)
        self.b_enc, self.b_dec, self.b_mag, self.r_mag, self.b_gate = (self._float32(g.normal(size=s) * 0.3) for s in (n, d_out, n, n, n))
        self.threshold = self._float32(g.random(n))
        self.W_skip = self._float32(g.normal(size=(d_out, d)))

    @staticmethod
    def _float32(array: np.ndarray) -> np.ndarray:
        return array.astype(np.float32).astype(np.float64)


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).float()


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def top(values: np.ndarray, k: int) -> np.ndarray:
    """The k largest of each row, the others 0; one row at a time."""
    out = np.zeros_like(values)
    for row, kept in zip(values, out, strict=True):
        for i in sorted(range(len(row)), key=lambda i: -row[i])[:k]:
            kept[i] = row[i]
    return out


def config(path: Path, **values: object) -> None:
    path.write_text(json.dumps(values))


# -- one writer and one reference a layout ------------------------------------------------------------------------------------


def wave_sae(folder: Path, w: Weights) -> tuple[Path, Reference]:
    path = folder / "sae-resid-layer-6.pt"
    torch.save(
        {"encoder.weight": tensor(w.W_enc.T), "decoder.weight": tensor(w.W_dec.T), "encoder_bias": tensor(w.b_enc), "decoder_bias": tensor(w.b_dec)}, path
    )
    return path, lambda x: _decoded(relu(x @ w.W_enc + w.b_enc), w)


def _decoded(f: np.ndarray, w: Weights) -> tuple[np.ndarray, np.ndarray]:
    return f, f @ w.W_dec + w.b_dec


def _freud(folder: Path, model: dict[str, torch.Tensor], variant: str, options: dict[str, object]) -> Path:
    """As FREUD's trainer saves: optimiser, scheduler, a numpy scalar, hyperparameters."""
    parameters = [torch.nn.Parameter(t.clone()) for t in model.values()]
    optimiser = torch.optim.RAdam(parameters, lr=1e-3)
    sum((p**2).sum() for p in parameters).backward()
    optimiser.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=10)
    hparams = {
        "autoencoder_variant": variant,
        "autoencoder_config": options,
        "activation_size": D,
        "whisper_config": {"model": "tiny", "layer_name": "encoder.blocks.2"},
    }
    (folder / "checkpoints").mkdir()
    path = folder / "checkpoints" / "bestval.pth"
    saved = {"model": model, "optimizer": optimiser.state_dict(), "scheduler": scheduler.state_dict(), "step": 3, "best_val_loss": np.array([0.1, 0.4]).mean()}
    torch.save({**saved, "hparams": hparams}, path)
    return folder


def freud_l1(folder: Path, w: Weights) -> tuple[Path, Reference]:
    path = _freud(folder, {"decoder.weight": tensor(w.W_dec.T), "encoder_bias": tensor(w.b_enc)}, "l1", {"recon_alpha": 1e5})
    unit = w.W_dec / np.linalg.norm(w.W_dec, axis=1, keepdims=True)

    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        f = relu(x @ unit.T + w.b_enc)
        return f, f @ unit

    return path, reference


def freud_topk(folder: Path, w: Weights) -> tuple[Path, Reference]:
    model = {"encoder.weight": tensor(w.W_enc.T), "encoder.bias": tensor(w.b_enc), "W_dec": tensor(w.W_dec), "b_dec": tensor(w.b_dec)}
    return _freud(folder, model, "topk", {"k": K, "multi_topk": False}), lambda x: _decoded(top(relu((x - w.b_dec) @ w.W_enc + w.b_enc), K), w)


def _saelens(folder: Path, w: Weights, names: str = "W_enc W_dec b_enc b_dec", extra: dict[str, torch.Tensor] | None = None, **settings: object) -> Path:
    save_file({**{n: tensor(getattr(w, n)) for n in names.split()}, **(extra or {})}, folder / "sae_weights.safetensors")
    config(folder / "cfg.json", **{"d_in": len(w.W_enc), "d_sae": w.W_enc.shape[1], "dtype": "float32", "device": "cpu", **settings})
    return folder


def saelens_gated(folder: Path, w: Weights) -> tuple[Path, Reference]:
    path = _saelens(folder, w, "W_enc W_dec b_dec b_gate b_mag r_mag", architecture="gated", apply_b_dec_to_input=True)

    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = (x - w.b_dec) @ w.W_enc
        return _decoded((u + w.b_gate > 0) * relu(u * np.exp(w.r_mag) + w.b_mag), w)

    return path, reference


def saelens_log_threshold(folder: Path, w: Weights) -> tuple[Path, Reference]:
    theta = np.exp(w.b_mag - 1)
    path = _saelens(folder, w, extra={"log_threshold": tensor(w.b_mag - 1)}, architecture="jumprelu", apply_b_dec_to_input=False)

    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pre = x @ w.W_enc + w.b_enc
        return _decoded(relu(pre) * (pre > theta), w)

    return path, reference


def saelens_old(folder: Path, w: Weights) -> tuple[Path, Reference]:
    """gpt2-small-res-jb's style: b_dec is subtracted although nothing says so."""
    settings = {
        "hook_point": "blocks.8.hook_resid_pre",
        "hook_point_layer": 8,
        "model_name": "gpt2-small",
        "activation_fn_str": "relu",
        "normalize_activations": False,
    }
    return _saelens(folder, w, **settings), lambda x: _decoded(relu((x - w.b_dec) @ w.W_enc + w.b_enc), w)


def saelens_constant_norm(folder: Path, w: Weights) -> tuple[Path, Reference]:
    path = _saelens(folder, w, architecture="standard", normalize_activations="constant_norm_rescale")

    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        coefficient = np.sqrt(D) / np.linalg.norm(x, axis=1, keepdims=True)
        f = relu((x * coefficient - w.b_dec) @ w.W_enc + w.b_enc)
        return f, (f @ w.W_dec + w.b_dec) / coefficient

    return path, reference


def saelens_folded_average(folder: Path, w: Weights) -> tuple[Path, Reference]:
    path = _saelens(folder, w, architecture="standard", normalize_activations="expected_average_only_in", norm_scaling_factor=0.31)

    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        f = relu((0.31 * x - w.b_dec) @ w.W_enc + w.b_enc)
        return f, (f @ w.W_dec + w.b_dec) / 0.31

    return path, reference


def saelens_finetuned(folder: Path, w: Weights) -> tuple[Path, Reference]:
    path = _saelens(folder, w, extra={"scaling_factor": tensor(w.threshold + 0.5)}, architecture="standard", finetuning_scaling_factor=True)

    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        f = relu((x - w.b_dec) @ w.W_enc + w.b_enc)
        return f, (f * (w.threshold + 0.5)) @ w.W_dec + w.b_dec

    return path, reference


def sparsify_groupmax(folder: Path, w: Weights) -> tuple[Path, Reference]:
    path = _sparsify(folder, w, activation="groupmax", k=K)

    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pre = relu((x - w.b_dec) @ w.W_enc + w.b_enc)
        f = np.zeros_like(pre)
        for row, out in zip(pre, f, strict=True):
            for start in range(0, N, N // K):
                best = start + int(np.argmax(row[start : start + N // K]))
                out[best] = row[best]
        return _decoded(f, w)

    return path, reference


def _sparsify(folder: Path, w: Weights, skip: bool = False, **settings: object) -> Path:
    path = folder / "layers.5"
    path.mkdir()
    weights = {"encoder.weight": tensor(w.W_enc.T), "encoder.bias": tensor(w.b_enc), "W_dec": tensor(w.W_dec), "b_dec": tensor(w.b_dec)}
    save_file({**weights, **({"W_skip": tensor(w.W_skip)} if skip else {})}, path / "sae.safetensors")
    config(path / "cfg.json", d_in=D, expansion_factor=8, normalize_decoder=True, num_latents=N, **settings)
    return path


def sparsify_signed(folder: Path, w: Weights) -> tuple[Path, Reference]:
    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pre = (x - w.b_dec) @ w.W_enc + w.b_enc
        return _decoded(np.where(top(np.abs(pre), K) > 0, pre, 0), w)

    return _sparsify(folder, w, k=K, signed=True), reference


def sparsify_transcode(folder: Path, w: Weights) -> tuple[Path, Reference]:
    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        f = top(relu(x @ w.W_enc + w.b_enc), K)
        return f, f @ w.W_dec + w.b_dec + x @ w.W_skip.T

    return _sparsify(folder, w, skip=True, k=K, transcode=True, skip_connection=True), reference


def _linear(w: Weights) -> dict[str, torch.Tensor]:
    return {"encoder.weight": tensor(w.W_enc.T), "encoder.bias": tensor(w.b_enc), "decoder.weight": tensor(w.W_dec.T)}


def _learned(folder: Path, state: dict[str, torch.Tensor], dict_class: str, **trainer: object) -> Path:
    torch.save(state, folder / "ae.pt")
    config(folder / "config.json", trainer={"dict_class": dict_class, "lm_name": "EleutherAI/pythia-70m", "layer": 3, **trainer}, buffer={"ctx_len": 128})
    return folder


def learned_standard(folder: Path, w: Weights) -> tuple[Path, Reference]:
    path = _learned(folder, {**_linear(w), "bias": tensor(w.b_dec)}, "AutoEncoder")
    return path, lambda x: _decoded(relu((x - w.b_dec) @ w.W_enc + w.b_enc), w)


def learned_new(folder: Path, w: Weights) -> tuple[Path, Reference]:
    return _learned(folder, {**_linear(w), "decoder.bias": tensor(w.b_dec)}, "AutoEncoderNew"), lambda x: _decoded(relu(x @ w.W_enc + w.b_enc), w)


def learned_batch_topk_unset(folder: Path, w: Weights) -> tuple[Path, Reference]:
    """A threshold of -1 was never set: the k * rows largest of the batch."""
    state = {**_linear(w), "b_dec": tensor(w.b_dec), "k": torch.tensor(K), "threshold": torch.tensor(-1.0)}

    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pre = relu((x - w.b_dec) @ w.W_enc + w.b_enc)
        return _decoded(pre * (pre >= np.sort(pre.ravel())[-K * len(x)]), w)

    return _learned(folder, state, "BatchTopKSAE", k=K), reference


def _batch_topk(w: Weights, theta: float = 0.7) -> Reference:
    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pre = relu((x - w.b_dec) @ w.W_enc + w.b_enc)
        return _decoded(pre * (pre > np.float32(theta)), w)

    return reference


def audiosae(folder: Path, w: Weights) -> tuple[Path, Reference]:
    path = folder / "layer_5"
    path.mkdir()
    torch.save({**_linear(w), "b_dec": tensor(w.b_dec), "k": torch.tensor(K), "threshold": torch.tensor(0.7)}, path / "ae.pt")
    return path, _batch_topk(w)


def matryoshka(folder: Path, w: Weights) -> tuple[Path, Reference]:
    state = {n: tensor(getattr(w, n)) for n in ("W_enc", "W_dec", "b_enc", "b_dec")}
    state |= {"k": torch.tensor(K), "threshold": torch.tensor(0.7), "group_sizes": torch.tensor([10, 30])}
    return _learned(folder, state, "MatryoshkaBatchTopKSAE", k=K), _batch_topk(w)


def openai_topk(folder: Path, w: Weights) -> tuple[Path, Reference]:
    state = {"pre_bias": tensor(w.b_dec), "latent_bias": tensor(w.b_enc), "encoder.weight": tensor(w.W_enc.T), "decoder.weight": tensor(w.W_dec.T)}
    state |= {"stats_last_nonzero": torch.zeros(N, dtype=torch.long)}
    torch.save({**state, "activation": "TopK", "activation_state_dict": {"k": K, "postact_fn": "ReLU"}}, folder / "0.pt")

    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, sigma = x.mean(axis=1, keepdims=True), x.std(axis=1, ddof=1, keepdims=True)
        f = relu(top(((x - mean) / (sigma + 1e-5) - w.b_dec) @ w.W_enc + w.b_enc, K))
        return f, (f @ w.W_dec + w.b_dec) * sigma + mean

    return folder / "0.pt", reference


def openai_relu(folder: Path, w: Weights) -> tuple[Path, Reference]:
    state = {"pre_bias": tensor(w.b_dec), "latent_bias": tensor(w.b_enc), "encoder.weight": tensor(w.W_enc.T), "decoder.weight": tensor(w.W_dec.T)}
    torch.save({**state, "activation": "ReLU", "activation_state_dict": {}}, folder / "0.pt")
    return folder, lambda x: _decoded(relu((x - w.b_dec) @ w.W_enc + w.b_enc), w)


def _jumprelu(w: Weights) -> Reference:
    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pre = x @ w.W_enc + w.b_enc
        return _decoded(relu(pre) * (pre > w.threshold), w)

    return reference


def gemma_scope(folder: Path, w: Weights) -> tuple[Path, Reference]:
    path = folder / "layer_20"
    path.mkdir()
    np.savez(path / "params.npz", **{n: getattr(w, n).astype(np.float32) for n in ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")})
    return path, _jumprelu(w)


def gemma_scope_2_transcoder(folder: Path, w: Weights) -> tuple[Path, Reference]:
    state = {"w_enc": w.W_enc, "w_dec": w.W_dec, "b_enc": w.b_enc, "b_dec": w.b_dec, "threshold": w.threshold, "affine_skip_connection": w.W_skip.T}
    save_file({n: tensor(a) for n, a in state.items()}, folder / "params.safetensors")
    config(folder / "config.json", architecture="jump_relu", model_name="gemma-v3-270m-pt", hf_hook_point_in="a", hf_hook_point_out="b", affine_connection=True)

    def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        f, x_hat = _jumprelu(w)(x)
        return f, x_hat + x @ w.W_skip.T

    return folder, reference


def gelu_1l(folder: Path, w: Weights) -> tuple[Path, Reference]:
    torch.save({n: tensor(getattr(w, n)) for n in ("W_enc", "b_enc", "W_dec", "b_dec")}, folder / "25.pt")
    config(folder / "25_cfg.json", seed=49, l1_coeff=3e-4, dict_mult=8, d_mlp=D, enc_dtype="fp32")
    return folder / "25.pt", lambda x: _decoded(relu((x - w.b_dec) @ w.W_enc + w.b_enc), w)


def plain_transposed(folder: Path, w: Weights) -> tuple[Path, Reference]:
    """Prefixes of wrappers, and matrices the other way round than the names suggest."""
    state = {"W_e": tensor(w.W_enc.T), "W_d": tensor(w.W_dec.T), "bias_e": tensor(w.b_enc), "bias_d": tensor(w.b_dec)}
    torch.save({"state_dict": {f"module._orig_mod.sae.{n}": t for n, t in state.items()}, "epoch": 3}, folder / "x.pth")
    return folder / "x.pth", lambda x: _decoded(relu(x @ w.W_enc + w.b_enc), w)


def plain_pre_bias(folder: Path, w: Weights) -> tuple[Path, Reference]:
    """As OpenAI's, under other names: subtracted, and added back."""
    save_file(
        {"encoder_weight": tensor(w.W_enc), "decoder_weight": tensor(w.W_dec), "latent_bias": tensor(w.b_enc), "pre_bias": tensor(w.b_dec)},
        folder / "x.safetensors",
    )
    return folder, lambda x: _decoded(relu((x - w.b_dec) @ w.W_enc + w.b_enc), w)


def plain_topk(folder: Path, w: Weights) -> tuple[Path, Reference]:
    """nn.Linear's names, which dictionary_learning has too, with a k that its AutoEncoderNew has not."""
    torch.save({"model_state_dict": {**_linear(w), "decoder.bias": tensor(w.b_dec)}, "k": K}, folder / "x.pt")
    return folder, lambda x: _decoded(top(relu(x @ w.W_enc + w.b_enc), K), w)


@dataclass(frozen=True)
class Case:
    write: Callable[[Path, Weights], tuple[Path, Reference]]
    format: str
    activation: str


CASES = [
    Case(wave_sae, "wave-sae", "relu"),
    Case(freud_l1, "freud", "relu"),
    Case(freud_topk, "freud", "topk"),
    Case(saelens_gated, "saelens", "gated"),
    Case(saelens_log_threshold, "saelens", "jumprelu"),
    Case(saelens_old, "saelens", "relu"),
    Case(saelens_constant_norm, "saelens", "relu"),
    Case(saelens_folded_average, "saelens", "relu"),
    Case(saelens_finetuned, "saelens", "relu"),
    Case(sparsify_groupmax, "sparsify", "groupmax"),
    Case(sparsify_signed, "sparsify", "abstopk"),
    Case(sparsify_transcode, "sparsify", "topk"),
    Case(learned_standard, "dictionary_learning", "relu"),
    Case(learned_new, "dictionary_learning", "relu"),
    Case(learned_batch_topk_unset, "dictionary_learning", "batchtopk"),
    Case(matryoshka, "dictionary_learning", "batchtopk"),
    Case(audiosae, "audiosae", "batchtopk"),
    Case(openai_topk, "openai", "topk"),
    Case(openai_relu, "openai", "relu"),
    Case(gemma_scope, "gemma-scope", "jumprelu"),
    Case(gemma_scope_2_transcoder, "gemma-scope", "jumprelu"),
    Case(gelu_1l, "gelu-1l", "relu"),
    Case(plain_transposed, "plain", "relu"),
    Case(plain_pre_bias, "plain", "relu"),
    Case(plain_topk, "plain", "topk"),
]
by_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.write.__name__)


def activations(seed: int = 1, d: int = D) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, d)).astype(np.float32) * 2


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
