"""Strangers' files: nothing in them runs, and whatever is wrong with them is a sentence."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from earmark.dictionaries import open_checkpoint
from earmark.errors import BadInput, EarmarkError

D, N = 4, 9


def weights() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    shapes = {"encoder.weight": (N, D), "decoder.weight": (D, N), "encoder_bias": (N,), "decoder_bias": (D,)}
    return {name: torch.randn(*shape, generator=g) for name, shape in shapes.items()}


class Hostile:
    """Unpickled the ordinary way, makes a folder."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


# -- code ---------------------------------------------------------------------------------------------------------------------


def _torch_zip(path: Path, thing: object) -> None:
    torch.save({**weights(), "extra": thing}, path)


def _torch_legacy(path: Path, thing: object) -> None:
    torch.save({**weights(), "extra": thing}, path, _use_new_zipfile_serialization=False)


def _bare_pickle(path: Path, thing: object) -> None:
    path.write_bytes(pickle.dumps({**weights(), "extra": thing}, protocol=2))


def _newest_pickle(path: Path, thing: object) -> None:
    path.write_bytes(pickle.dumps(thing, protocol=5))


def _npz(path: Path, thing: object) -> None:
    arrays = {n: t.numpy() for n, t in weights().items()}
    with path.open("wb") as file:
        np.savez(file, **arrays, extra=np.array([thing], dtype=object))


def _npz_weight(path: Path, thing: object) -> None:
    with path.open("wb") as file:
        np.savez(file, W_enc=np.array([thing], dtype=object))


@pytest.mark.parametrize("write", [_torch_zip, _torch_legacy, _bare_pickle, _newest_pickle, _npz, _npz_weight])
@pytest.mark.parametrize("name", ["ae.pt", "params.npz", "sae_weights.safetensors", "bestval.pth"])
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, write: Callable[[Path, object], None], name: str) -> None:
    """Whatever the file is called: it is told by its first bytes."""
    mark = tmp_path / "ran"
    (tmp_path / "sae").mkdir()
    write(tmp_path / "sae" / name, Hostile(mark))
    for path in (tmp_path / "sae", tmp_path / "sae" / name):
        with pytest.raises(EarmarkError):
            open_checkpoint(path)
    assert not mark.exists()


def test_the_hostile_pickle_would_run(tmp_path: Path) -> None:
    """The test above tests something."""
    _torch_zip(tmp_path / "x.pt", Hostile(tmp_path / "ran"))
    torch.load(tmp_path / "x.pt", weights_only=False)
    assert (tmp_path / "ran").is_dir()


def test_a_whole_pickled_module_is_refused_by_its_name(tmp_path: Path) -> None:
    """FREUD's mo.bestval is one."""
    torch.save(torch.nn.Linear(D, N), tmp_path / "mo.bestval")
    with pytest.raises(BadInput, match=r"'mo.bestval' holds Python objects \(torch.nn.modules.linear.Linear\).*whole pickled module.*never opened"):
        open_checkpoint(tmp_path / "mo.bestval")


def test_the_stand_in_for_numpy_scalars_lets_no_more_of_numpy_in(tmp_path: Path) -> None:
    before = list(torch.serialization.get_safe_globals())
    torch.save({"model": weights(), "best_val_loss": np.float64(0.25), "steps": np.int64(7), "half": np.float32(0.5)}, tmp_path / "a.pth")
    assert open_checkpoint(tmp_path / "a.pth").format == "wave-sae"
    for strange in (np.zeros(3), np.array([Hostile(tmp_path / "ran")], dtype=object), np.random.default_rng(0)):
        torch.save({"model": weights(), "history": strange}, tmp_path / "b.pth")
        with pytest.raises(BadInput, match="holds Python objects"):
            open_checkpoint(tmp_path / "b.pth")
    assert not (tmp_path / "ran").exists()
    assert torch.serialization.get_safe_globals() == before, "the stand-ins are gone once a file is read"


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(D, N)).save(str(tmp_path / "x.pt"))
    with pytest.raises(BadInput, match="TorchScript program"):
        open_checkpoint(tmp_path / "x.pt")


# -- damage -------------------------------------------------------------------------------------------------------------------


def _valid_files(folder: Path) -> dict[str, Path]:
    state = weights()
    torch.save(state, folder / "zip.pt")
    torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    save_file(state, folder / "x.safetensors")
    np.savez(folder / "x.npz", **{n: t.numpy() for n, t in state.items()})
    return {p.name: p for p in folder.iterdir()}


class Files(dict[str, bytes]):
    """Its content stays out of the messages of failures."""

    __repr__ = object.__repr__


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Files:
    files = _valid_files(tmp_path_factory.mktemp("valid"))
    assert all(open_checkpoint(path).dictionary.n_units == N for path in files.values())
    return Files({name: path.read_bytes() for name, path in files.items()})


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pt", "x.safetensors", "x.npz"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_cut_short_or_changed_is_a_sentence_or_opens(tmp_path: Path, valid: Files, name: str, data: st.DataObject) -> None:
    whole = valid[name]
    if data.draw(st.booleans(), label="cut"):
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        at = data.draw(st.integers(0, len(whole) - 1))
        damaged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    path = tmp_path / name
    path.write_bytes(damaged)
    try:
        opened = open_checkpoint(path)
    except EarmarkError as error:
        assert name in str(error) or "finite" in str(error) or "beyond" in str(error) or "shape" in str(error)
        assert str(error)[-1] in ".)"
    else:
        assert opened.dictionary.n_units == N


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"PK\x03\x04 no zip", b"<!DOCTYPE html><title>404</title>", struct.pack("<Q", 10**15) + b'{"a": 1}'])
def test_what_is_no_weight_file_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ae.pt").write_bytes(content)
    with pytest.raises(BadInput, match="'ae.pt'"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", "null", "[" * 100_000, '"d_in"'])
def test_a_bad_config_is_a_sentence(tmp_path: Path, text: str) -> None:
    save_file(weights(), tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(text)
    with pytest.raises(BadInput, match="cfg.json"):
        open_checkpoint(tmp_path)


_VALUES = st.one_of(st.none(), st.booleans(), st.integers(-3, 40), st.floats(), st.text(max_size=5), st.just([1]), st.just({"a": 1}), st.just("9" * 5000))
_SETTINGS = {
    "saelens": "architecture d_in d_sae k activation_fn activation_fn_kwargs normalize_activations norm_scaling_factor metadata hook_name hook_point",
    "sparsify": "d_in k activation signed transcode num_latents",
    "dictionary_learning": "trainer",
    "gelu-1l": "d_mlp dict_mult",
    "plain": "k apply_b_dec_to_input",
}


@pytest.mark.parametrize("layout", list(_SETTINGS))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_config_says_is_a_sentence_or_opens(tmp_path: Path, layout: str, data: st.DataObject) -> None:
    g = torch.Generator().manual_seed(0)
    matrices = {"W_enc": torch.randn(D, N, generator=g), "W_dec": torch.randn(N, D, generator=g), "b_enc": torch.zeros(N), "b_dec": torch.zeros(D)}
    linear = {"encoder.weight": matrices["W_enc"].T.clone(), "encoder.bias": matrices["b_enc"], "b_dec": matrices["b_dec"]}
    state = {"sparsify": {**linear, "W_dec": matrices["W_dec"]}, "dictionary_learning": {**linear, "decoder.weight": matrices["W_dec"].T.clone()}}.get(
        layout, matrices
    )
    torch.save(state, tmp_path / "ae.pt")
    names = data.draw(st.lists(st.sampled_from(_SETTINGS[layout].split()), unique=True))
    config = {name: data.draw(_VALUES, label=name) for name in names}
    if layout == "dictionary_learning":
        config["trainer"] = {name: data.draw(_VALUES, label=name) for name in ("dict_class", "k", "layer", "submodule_name", "lm_name")}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for declared in (None, layout):
        try:
            opened = open_checkpoint(tmp_path, format=declared)
        except EarmarkError as error:
            assert len(str(error)) < 600
        else:
            assert np.isfinite(opened.dictionary.codes(np.ones((3, D), np.float32)).dense()).all()


@pytest.mark.parametrize("name", list(weights()))
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, name: str, bad: float) -> None:
    state = weights()
    state[name].view(-1)[1] = bad
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="no finite numbers"):
        open_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "strange",
    [torch.zeros(0, D), torch.eye(D).to_sparse(), torch.zeros(N, D, dtype=torch.complex64)],
    ids=["empty", "sparse", "complex"],
)
def test_strange_tensors_are_refused(tmp_path: Path, strange: torch.Tensor) -> None:
    torch.save({**weights(), "encoder.weight": strange}, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="encoder.weight"):
        open_checkpoint(tmp_path / "x.pt")


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    torch.save({**weights(), "encoder.weight": torch.zeros(1).expand(1 << 18, 1 << 14)}, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").stat().st_size < 10_000
    with pytest.raises(BadInput, match="more than the file holds"):
        open_checkpoint(tmp_path / "x.pt")


def test_a_state_dict_that_holds_itself_is_refused(tmp_path: Path) -> None:
    state: dict[str, object] = {"bias": torch.zeros(N)}
    state["model"] = state
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="more than 8 deep"):
        open_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("name", ["params.npz", "ae.pt"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("W_enc.npy" if name == "params.npz" else "x/data.pkl", bytes(100_000_000))
    with pytest.raises(BadInput, match=f"'{name}' would unpack from [0-9,]+ bytes to 100,000,000"):
        open_checkpoint(tmp_path / name)


def test_types_and_sizes_that_no_autoencoder_has_are_refused(tmp_path: Path) -> None:
    for odd, words in ((torch.zeros(N, D).to(torch.float8_e4m3fn), "of a usual kind"), (torch.full((N, D), -3e38), "up to 3e.38, beyond 1e.06")):
        torch.save({**weights(), "encoder.weight": odd}, tmp_path / "x.pt")
        with pytest.raises(BadInput, match=words):
            open_checkpoint(tmp_path / "x.pt")


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(BadInput, match="'x.pt'"):
        open_checkpoint(tmp_path / "x.pt")
    torch.save([1, 2], tmp_path / "y.pt")
    with pytest.raises(BadInput, match="holds list"):
        open_checkpoint(tmp_path / "y.pt")
    torch.save({"epoch": 3}, tmp_path / "z.pt")
    with pytest.raises(BadInput, match="holds no weights; it holds epoch"):
        open_checkpoint(tmp_path / "z.pt")


# -- other kinds of autoencoders ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "config", "words"),
    [
        ({"bn.running_mean": torch.zeros(N), "bn.running_var": torch.ones(N)}, {}, "batch normalisation"),
        ({"attn_layers.0.k_ctx.weight": torch.zeros(3, D)}, {}, "temporal"),
        ({}, {"architecture": "temporal", "d_in": D}, "temporal"),
        ({}, {"architecture": "matching_pursuit", "d_in": D}, "matching-pursuit"),
        ({"W_dec": torch.zeros(2, N, D)}, {}, "several layers"),
        ({"w_dec": torch.zeros(N, 3, D)}, {}, "several layers"),
        ({"W_dec_0": torch.zeros(N, D)}, {}, "several layers"),
        ({}, {"architecture": "crosscoder"}, "several layers"),
    ],
)
def test_what_the_equations_cannot_express_is_refused_by_its_kind(
    tmp_path: Path, extra: dict[str, torch.Tensor], config: dict[str, object], words: str
) -> None:
    save_file({**weights(), **extra}, tmp_path / "sae_weights.safetensors")
    if config:
        (tmp_path / "cfg.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=words):
        open_checkpoint(tmp_path)


def test_two_autoencoders_in_one_file_are_refused(tmp_path: Path) -> None:
    torch.save({f"{p}{n}": t for p in ("sae.", "module.") for n, t in weights().items()}, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="twice, under different prefixes"):
        open_checkpoint(tmp_path / "x.pt")


def test_an_unknown_dict_is_told_by_what_it_holds(tmp_path: Path) -> None:
    torch.save({"conv.kernel": torch.zeros(3, 3), "embedding": torch.zeros(2, 2)}, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="no checkpoint of a known format.*conv.kernel, embedding"):
        open_checkpoint(tmp_path / "x.pt")
