"""sparsify and dictionary_learning write checkpoints with their own code, and give the same features and reconstructions as Earmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.dictionaries import open_checkpoint

from .peers import run_peer

D, N, K, ROWS = 16, 96, 6, 64

# Makes an SAE of random weights whose decoder norms vary, saves it in the library's own way, runs it
_COMMON = """
import sys, json
from pathlib import Path
import numpy as np
import torch
D, N, K = 16, 96, 6
def fill(module, seed):
    g = torch.Generator().manual_seed(seed)
    for name, p in module.named_parameters():
        scale = 1.0 if "skip" not in name else 0.3
        p.data = torch.randn(p.shape, generator=g) * scale / (p.shape[-1] ** 0.5 if p.ndim > 1 else 2)
        if "dec" in name and p.ndim == 2:
            along = 0 if p.shape[0] == N else 1
            p.data *= torch.logspace(-1, 0.5, N)[torch.randperm(N, generator=g)].unsqueeze(1 - along)
def report(folder, f, x_hat):
    np.save(folder / "f.npy", f.detach().numpy())
    np.save(folder / "x_hat.npy", x_hat.detach().numpy())
"""

_SPARSIFY = (
    _COMMON
    + """
from sparsify.config import SparseCoderConfig
from sparsify.sparse_coder import SparseCoder
options = {
    "topk": {},
    "groupmax": {"activation": "groupmax"},
    "skip": {"skip_connection": True},
    "transcode": {"skip_connection": True, "transcode": True},
}
for folder in map(Path, sys.argv[1:]):
    coder = SparseCoder(D, SparseCoderConfig(num_latents=N, k=K, **options[folder.name]))
    fill(coder, 0)
    coder.save_to_disk(folder / "sae" / "layers.3")
    x = torch.from_numpy(np.load(folder / "x.npy"))
    out = coder(x)
    f = torch.zeros(len(x), N).scatter_(1, out.latent_indices, out.latent_acts)
    report(folder, f, out.sae_out)
"""
)

_LEARNING = (
    _COMMON
    + """
import types
sys.modules["nnsight"] = types.SimpleNamespace(LanguageModel=object)  # named in type annotations of the trainers only
from dictionary_learning import dictionary as d
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
makers = {
    "AutoEncoder": d.AutoEncoder, "AutoEncoderNew": d.AutoEncoderNew, "GatedAutoEncoder": d.GatedAutoEncoder, "JumpReluAutoEncoder": d.JumpReluAutoEncoder,
    "AutoEncoderTopK": lambda a, n: AutoEncoderTopK(a, n, K), "BatchTopKSAE": lambda a, n: BatchTopKSAE(a, n, K),
    "BatchTopKSAE-unset": lambda a, n: BatchTopKSAE(a, n, K), "MatryoshkaBatchTopKSAE": lambda a, n: MatryoshkaBatchTopKSAE(a, n, K, [32, 64]),
}
for folder in map(Path, sys.argv[1:]):
    name = folder.name
    sae = makers[name](D, N)
    fill(sae, 1)
    if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE", "AutoEncoderTopK"):
        sae.threshold.fill_(0.8)
    if name == "JumpReluAutoEncoder":
        sae.threshold.data = torch.rand(N, generator=torch.Generator().manual_seed(2)) * 1.5
    (folder / "sae").mkdir()
    torch.save(sae.state_dict(), folder / "sae" / "ae.pt")
    trainer = {"dict_class": name.split("-")[0], "lm_name": "EleutherAI/pythia-70m-deduped", "layer": 3, "submodule_name": "resid_post_layer_3"}
    (folder / "sae" / "config.json").write_text(json.dumps({"trainer": {**trainer, **({"k": K} if "TopK" in name else {})}, "buffer": {"ctx_len": 128}}))
    x = torch.from_numpy(np.load(folder / "x.npy"))
    f = sae.encode(x, use_threshold=False) if name.endswith("unset") else sae.encode(x)
    report(folder, f, sae.decode(f))
"""
)

CASES = {
    "sparsify": ("topk", "groupmax", "skip", "transcode"),
    "dictionary_learning": (
        "AutoEncoder",
        "AutoEncoderNew",
        "GatedAutoEncoder",
        "JumpReluAutoEncoder",
        "AutoEncoderTopK",
        "BatchTopKSAE",
        "BatchTopKSAE-unset",
        "MatryoshkaBatchTopKSAE",
    ),
}


@pytest.fixture(scope="module")
def by_their_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PACKAGE/CASE/ with sae/ (the checkpoint as its library saves it), x.npy, and what the library makes of it, f.npy and x_hat.npy."""
    root = tmp_path_factory.mktemp("peers")
    generator = torch.Generator().manual_seed(3)
    for package, script in (("sparsify", _SPARSIFY), ("dictionary_learning", _LEARNING)):
        folders = [root / package / name for name in CASES[package]]
        for folder in folders:
            folder.mkdir(parents=True)
            np.save(folder / "x.npy", torch.randn(ROWS, D, generator=generator).numpy() * 2)
        run_peer(package, script, folders)
    return root


@pytest.mark.parametrize(("package", "name"), [(package, name) for package, names in CASES.items() for name in names])
def test_same_features_and_reconstruction(by_their_library: Path, package: str, name: str) -> None:
    folder = by_their_library / package / name
    theirs, their_x_hat = np.load(folder / "f.npy"), np.load(folder / "x_hat.npy")
    opened = open_checkpoint(folder / "sae" / "layers.3" if package == "sparsify" else folder / "sae", width=D)
    assert (opened.format, opened.facts["layer"], opened.facts["site"]) == (package, 3, "residual")
    x = torch.from_numpy(np.load(folder / "x.npy"))
    ours = opened.dictionary.encode(x).dense()
    assert (theirs != 0).sum() > ROWS, "the comparison must see active features"
    assert np.array_equal(ours != 0, theirs != 0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    np.testing.assert_allclose(opened.dictionary.reconstruct(x).numpy(), their_x_hat, rtol=1e-4, atol=1e-5 * np.abs(their_x_hat).max())
    norms = opened.dictionary.W_dec.norm(dim=1).numpy()
    assert norms.max() > 5 * norms.min(), "the comparison must see decoder norms that differ"
    np.testing.assert_allclose(opened.dictionary.codes(x.numpy()).dense(), theirs * norms, rtol=1e-4, atol=1e-5 * np.abs(theirs * norms).max())
