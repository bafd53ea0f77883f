"""The package sae-lens loads the folders that we write and read, and gives the same features and the same reconstruction.

It runs in a process of its own: `make test` installs it into .venv/peers, apart from what Earmark itself may import.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from earmark.dictionaries import saelens
from earmark.dictionaries.base import SparseAutoencoder
from earmark.settings import Settings
from earmark.shelf.catalog import DictionaryEntry, read_catalog

PEERS = Path(sys.prefix) / "peers"
D, N, K, N_POSITIONS = 16, 96, 5, 64

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
        np.save(folder / "x_hat.npy", sae.decode(f).numpy())
"""

CASES = {
    "topk": {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": False, "apply_b_dec_to_input": False},
    "topk_rescaled": {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": False},
    "topk_pre_bias": {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": False, "apply_b_dec_to_input": True},
    "standard": {"architecture": "standard", "apply_b_dec_to_input": True},
    "jumprelu": {"architecture": "jumprelu", "apply_b_dec_to_input": False},
}
SHIPPED = [d for d in read_catalog(Settings.from_env({}).data).dictionaries.values() if d.format == saelens.FORMAT]


@pytest.fixture(scope="module")
def read_by_saelens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one folder a case: sae/ (the checkpoint), x.npy, and what sae-lens makes of it, f.npy and x_hat.npy."""
    assert (PEERS / "sae_lens").is_dir(), "sae-lens is not in .venv/peers. Run `make test`, or `python scripts/setup.py --dev`."
    root = tmp_path_factory.mktemp("saelens")
    for name, config in CASES.items():
        _write(root / name / "sae", config)
    _saved_by_us(root / "saved" / "sae")
    for entry in filter(lambda e: (_shipped_folder(e) / saelens.WEIGHTS).exists(), SHIPPED):
        (root / entry.slug).mkdir()
        (root / entry.slug / "sae").symlink_to(_shipped_folder(entry))
    generator = torch.Generator().manual_seed(1)
    for folder in root.iterdir():
        width = json.loads((folder / "sae" / saelens.CONFIG).read_text())["d_in"]
        np.save(folder / "x.npy", torch.randn(N_POSITIONS, width, generator=generator).numpy() * 2)
    env = {**os.environ, "PYTHONPATH": str(PEERS), "WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", _READER, *map(str, root.iterdir())], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return root


def _shipped_folder(entry: DictionaryEntry) -> Path:
    return Settings.from_env({}).data / str(entry.folder)


def _write(folder: Path, config: dict[str, object]) -> None:
    """A random SAE in SAELens's layout, written without our code; decoder norms vary by a factor of 20."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    norms = torch.logspace(-1, 0.3, N)[torch.randperm(N, generator=generator)]
    directions = torch.nn.functional.normalize(torch.randn(N, D, generator=generator), dim=1)
    weights = {
        "W_enc": torch.randn(D, N, generator=generator) / 4,
        "W_dec": directions * norms[:, None],
        "b_enc": torch.randn(N, generator=generator) * 0.1,
        "b_dec": torch.randn(D, generator=generator),
    }
    if config["architecture"] == "jumprelu":
        weights["threshold"] = torch.rand(N, generator=generator) * 2
    common = {"d_in": D, "d_sae": N, "dtype": "float32", "device": "cpu", "normalize_activations": "none", "reshape_activations": "none", "metadata": {}}
    save_file(weights, folder / saelens.WEIGHTS)
    (folder / saelens.CONFIG).write_text(json.dumps({**common, **config}))


def _saved_by_us(folder: Path) -> None:
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(3)
    W_dec = torch.randn(N, D, generator=generator) / 9
    bias = torch.randn(N, generator=generator) * 0.1
    sae = SparseAutoencoder(W_dec.T, W_dec, bias, torch.zeros(D), activation="topk", k=K, rescale_by_decoder_norm=True)
    saelens.save(sae, folder, {"made": "for a test"})


@pytest.mark.parametrize("name", [*CASES, "saved", *(d.slug for d in SHIPPED)])
def test_same_features_and_reconstruction(read_by_saelens: Path, name: str) -> None:
    folder = read_by_saelens / name
    assert folder.is_dir(), f"the catalog lists {name}, but its folder holds no {saelens.WEIGHTS}"
    theirs, their_x_hat = np.load(folder / "f.npy"), np.load(folder / "x_hat.npy")
    sae = saelens.load(folder / "sae")
    ours = sae.encode(torch.from_numpy(np.load(folder / "x.npy"))).dense()
    # sae-lens shows f * |W_dec| for an SAE that rescales by the decoder's norm, and divides again before it decodes
    shown = ours * sae.norms.numpy() if sae.rescale else ours
    assert theirs.shape == (N_POSITIONS, sae.n_units)
    assert (theirs != 0).sum() > N_POSITIONS, "the comparison must see active features"
    assert np.array_equal(shown != 0, theirs != 0)
    np.testing.assert_allclose(shown, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    np.testing.assert_allclose(sae.decode(torch.from_numpy(ours)).numpy(), their_x_hat, rtol=1e-4, atol=1e-5 * np.abs(their_x_hat).max())
