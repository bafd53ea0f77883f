"""The package sae-lens loads the folders that we write and read, and gives the same features and the same reconstruction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from earmark.dictionaries import open_checkpoint, saelens
from earmark.dictionaries.base import SparseAutoencoder
from earmark.settings import Settings
from earmark.shelf.catalog import DictionaryEntry, read_catalog

from .peers import run_peer

D, D_OUT, N, K, N_POSITIONS = 16, 10, 96, 5, 64

# For each folder named on the command line: x.npy [n, d] -> f.npy [n, units] as sae-lens shows features, x_hat.npy [n, d]
_READER = """
import sys
from pathlib import Path
import numpy as np
import torch
from sae_lens import SAE
for folder in map(Path, sys.argv[1:]):
    sae = SAE.load_from_disk(folder / "sae")
    with torch.no_grad():
        f = sae.encode(torch.from_numpy(np.load(folder / "x.npy")))
        np.save(folder / "f.npy", f.numpy())
        np.save(folder / "x_hat.npy", sae(torch.from_numpy(np.load(folder / "x.npy"))).numpy())
"""

CASES = {
    "topk": {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": False, "apply_b_dec_to_input": False},
    "topk_rescaled": {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": False},
    "topk_pre_bias": {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": False, "apply_b_dec_to_input": True},
    "topk_layer_norm": {"architecture": "topk", "k": K, "normalize_activations": "layer_norm"},
    "abstopk": {"architecture": "abstopk", "k": K},
    "abstopk_rescaled": {"architecture": "abstopk", "k": K, "rescale_acts_by_decoder_norm": True, "normalize_activations": "constant_norm_rescale"},
    "standard": {"architecture": "standard", "apply_b_dec_to_input": True},
    "standard_constant_norm": {"architecture": "standard", "normalize_activations": "constant_norm_rescale"},
    "standard_layer_norm": {"architecture": "standard", "apply_b_dec_to_input": False, "normalize_activations": "layer_norm"},
    "standard_hook_z": {
        "architecture": "standard",
        "apply_b_dec_to_input": True,
        "reshape_activations": "none",
        "metadata": {"hook_name": "blocks.3.attn.hook_z"},
    },
    "standard_open_scale": {"architecture": "standard", "normalize_activations": "expected_average_only_in"},
    "jumprelu": {"architecture": "jumprelu", "apply_b_dec_to_input": False},
    "jumprelu_pre_bias": {"architecture": "jumprelu", "apply_b_dec_to_input": True, "normalize_activations": "layer_norm"},
    "gated": {"architecture": "gated", "apply_b_dec_to_input": True},
    "gated_constant_norm": {"architecture": "gated", "apply_b_dec_to_input": False, "normalize_activations": "constant_norm_rescale"},
    "transcoder": {"architecture": "transcoder", "d_out": D_OUT, "apply_b_dec_to_input": False},
    "transcoder_layer_norm": {"architecture": "transcoder", "d_out": D_OUT, "apply_b_dec_to_input": False, "normalize_activations": "layer_norm"},
    "skip_transcoder": {"architecture": "skip_transcoder", "d_out": D_OUT, "apply_b_dec_to_input": False},
    "jumprelu_transcoder": {"architecture": "jumprelu_transcoder", "d_out": D, "apply_b_dec_to_input": False},
    "jumprelu_skip_transcoder": {"architecture": "jumprelu_skip_transcoder", "d_out": D_OUT, "apply_b_dec_to_input": False},
}
OLD = {"hook_point": "blocks.5.hook_resid_pre", "hook_point_layer": 5, "model_name": "gpt2-small", "dataset_path": "owt", "context_size": 128}
OLD_CASES = {
    "old_relu": {**OLD, "activation_fn_str": "relu"},
    "old_silent": OLD,
    "old_normalised_no": {**OLD, "normalize_activations": False, "architecture": "standard"},
    "old_normalised_yes": {**OLD, "normalize_activations": True},
    "old_topk": {**OLD, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": "none"},
    "old_gated": {**OLD, "architecture": "gated", "sae_lens_training_version": "3.20.0"},
    "old_jumprelu": {**OLD, "architecture": "jumprelu", "apply_b_dec_to_input": False, "normalize_activations": "layer_norm"},
}
"""before version 6: without metadata, and with a folder's worth of the trainer's settings"""
SHIPPED = [d for d in read_catalog(Settings.from_env({}).data).dictionaries.values() if d.format == saelens.FORMAT]


@pytest.fixture(scope="module")
def read_by_saelens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one folder a case: sae/ (the checkpoint), x.npy, and what sae-lens makes of it, f.npy and x_hat.npy."""
    root = tmp_path_factory.mktemp("saelens")
    common = {"dtype": "float32", "device": "cpu", "normalize_activations": "none", "reshape_activations": "none", "metadata": {"sae_lens_version": "6.54.12"}}
    for name, config in CASES.items():
        _write(root / name / "sae", {**common, **config})
    for name, config in OLD_CASES.items():
        _write(root / name / "sae", {"dtype": "torch.float32", "device": "cpu", **config})
    _saved_by_us(root / "saved" / "sae", activation="topk", k=K, rescale_by_decoder_norm=True)
    _saved_by_us(root / "saved_jumprelu" / "sae", activation="jumprelu", threshold=torch.full((N,), 0.4))
    for entry in filter(lambda e: (_shipped_folder(e) / saelens.WEIGHTS).exists(), SHIPPED):
        (root / entry.slug).mkdir()
        (root / entry.slug / "sae").symlink_to(_shipped_folder(entry))
    generator = torch.Generator().manual_seed(1)
    for folder in root.iterdir():
        width = json.loads((folder / "sae" / saelens.CONFIG).read_text())["d_in"]
        np.save(folder / "x.npy", torch.randn(N_POSITIONS, width, generator=generator).numpy() * 2)
    run_peer("sae_lens", _READER, sorted(root.iterdir()))
    return root


def _shipped_folder(entry: DictionaryEntry) -> Path:
    return Settings.from_env({}).data / str(entry.folder)


def _write(folder: Path, config: dict[str, object]) -> None:
    """A random SAE in SAELens's layout, written without our code; decoder norms vary by a factor of 20."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    norms = torch.logspace(-1, 0.3, N)[torch.randperm(N, generator=generator)]
    d_out = int(str(config.get("d_out", D)))
    directions = torch.nn.functional.normalize(torch.randn(N, d_out, generator=generator), dim=1)
    architecture = str(config.get("architecture", "standard"))
    weights = {
        "W_enc": torch.randn(D, N, generator=generator) / 4,
        "W_dec": directions * norms[:, None],
        "b_dec": torch.randn(d_out, generator=generator),
    }
    if architecture == "gated":
        weights |= {name: torch.randn(N, generator=generator) * 0.3 for name in ("b_gate", "b_mag", "r_mag")}
    else:
        weights["b_enc"] = torch.randn(N, generator=generator) * 0.1
    if "jumprelu" in architecture:
        weights["threshold"] = torch.rand(N, generator=generator) * 2
    if "skip" in architecture:
        weights["W_skip"] = torch.randn(d_out, D, generator=generator)
    save_file(weights, folder / saelens.WEIGHTS)
    (folder / saelens.CONFIG).write_text(json.dumps({"d_in": D, "d_sae": N, **config}))


def _saved_by_us(folder: Path, **how: Any) -> None:
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(3)
    W_dec = torch.randn(N, D, generator=generator) / 9
    bias = torch.randn(N, generator=generator) * 0.1
    sae = SparseAutoencoder(W_dec.T, W_dec, bias, torch.zeros(D), **how)
    saelens.save(sae, folder, {"made": "for a test"})


@pytest.mark.parametrize("name", [*CASES, *OLD_CASES, "saved", "saved_jumprelu", *(d.slug for d in SHIPPED)])
def test_same_features_and_reconstruction(read_by_saelens: Path, name: str) -> None:
    folder = read_by_saelens / name
    assert folder.is_dir(), f"the catalog lists {name}, but its folder holds no {saelens.WEIGHTS}"
    theirs, their_x_hat = np.load(folder / "f.npy"), np.load(folder / "x_hat.npy")
    opened = open_checkpoint(folder / "sae")
    sae, x = opened.dictionary, torch.from_numpy(np.load(folder / "x.npy"))
    assert opened.format == saelens.FORMAT
    ours = sae.encode(x).dense()
    # sae-lens shows f * |W_dec| for an SAE that rescales by the decoder's norm, and divides again before it decodes
    shown = ours * sae.norms.numpy() if sae.rescale else ours
    assert theirs.shape == (N_POSITIONS, sae.n_units)
    assert (theirs != 0).sum() > N_POSITIONS, "the comparison must see active features"
    assert np.array_equal(shown != 0, theirs != 0)
    np.testing.assert_allclose(shown, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    np.testing.assert_allclose(sae.decode(torch.from_numpy(ours), x).numpy(), their_x_hat, rtol=1e-4, atol=1e-5 * np.abs(their_x_hat).max())
