"""gelu-1l's format: the package transformer-lens, in a process of its own, gives the same activations and the same logits on random weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from earmark.errors import MissingWeights
from earmark.models import gelu_1l
from earmark.models.base import ModelFiles
from tests.fixtures.models import byte_tokenizer

PEERS = Path(sys.prefix) / "peers"
CASES = {"LN": ("LN", "gelu", 1), "LNPre": ("LNPre", "gelu", 1), "two-layers": ("LN", "gelu_new", 2)}
CONFIG = {"d_model": 16, "d_mlp": 40, "d_head": 8, "n_heads": 2, "n_ctx": 64, "attn_only": False, "shortformer_pos": False, "final_rms": False}
IDS = [0, 7, 42, 7, 100, 255, 3, 3, 9, 250]

# For each folder: a random model as its authors saved theirs (config.json, model_final.pth), and what it gives on tokens
_WRITER = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from transformer_lens import HookedTransformer
from transformer_lens.config import HookedTransformerConfig
ids = torch.tensor([json.loads(sys.argv[1])])
for folder in map(Path, sys.argv[2:]):
    config = json.loads((folder / "config.json").read_text())
    sizes = {k: config[k] for k in ("d_model", "d_mlp", "d_head", "n_heads", "n_ctx", "n_layers", "d_vocab", "act_fn")}
    torch.manual_seed(3)
    model = HookedTransformer(HookedTransformerConfig(**sizes, normalization_type=config["normalization"], device="cpu"))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    torch.save(model.state_dict(), folder / "model_final.pth")
    with torch.no_grad():
        logits, cache = model.run_with_cache(ids)
    found = {"logits": logits}
    for i in range(config["n_layers"]):
        found |= {f"residual{i}": cache["resid_post", i], f"preactivation{i}": cache["pre", i]}
        found |= {f"neurons{i}": cache["post", i], f"W_out{i}": model.W_out[i][None]}
    np.savez(folder / "theirs.npz", allow_pickle=False, **{k: v[0].detach().numpy() for k, v in found.items()})
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert (PEERS / "transformer_lens").is_dir(), "transformer-lens is not in .venv/peers. Run `make test`, or `python scripts/setup.py --dev`."
    root = tmp_path_factory.mktemp("gelu")
    for name, (norm, act, n_layers) in CASES.items():
        byte_tokenizer().save_pretrained(root / name)
        config = {**CONFIG, "n_layers": n_layers, "d_vocab": len(byte_tokenizer()), "act_fn": act, "normalization": norm}
        (root / name / "config.json").write_text(json.dumps(config))
    env = {**os.environ, "PYTHONPATH": str(PEERS), "WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", _WRITER, json.dumps(IDS), *map(str, root.iterdir())]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return root


def load(folder: Path, **more: Path) -> gelu_1l.Gelu1L:
    return gelu_1l.load(ModelFiles("gelu-1l", {"folder": folder, **more}))


@pytest.mark.parametrize("name", CASES)
def test_same_activations_and_logits(written: Path, name: str) -> None:
    model, theirs = load(written / name), np.load(written / name / "theirs.npz")
    sample = model.sample(IDS)
    for layer in range(model.n_layers):
        for site in model.sites:
            hook = model.hook(site, layer)
            values = model.capture(sample, [hook])[hook].values
            assert values.shape == (len(IDS), hook.width)
            np.testing.assert_allclose(values, theirs[f"{site}{layer}"], atol=2e-5, rtol=1e-4)
        directions = model.directions(model.hook("neurons", layer))
        assert directions is not None
        np.testing.assert_array_equal(directions.numpy(), theirs[f"W_out{layer}"])
    with torch.no_grad():
        np.testing.assert_allclose(model.root(torch.tensor([IDS]))[0].numpy(), theirs["logits"], atol=1e-4, rtol=1e-3)


def test_the_tokenizer_may_lie_elsewhere_and_every_text_begins_alike(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written / "LN", tmp_path / "tokenizer", ignore=shutil.ignore_patterns("config.json", "*.pth", "*.npz"))
    shutil.copytree(written / "LN", tmp_path / "model", ignore=shutil.ignore_patterns("tokenizer*"))
    with pytest.raises(MissingWeights, match="has no tokenizer"):
        load(tmp_path / "model")
    sample = load(tmp_path / "model", tokenizer=tmp_path / "tokenizer").tokenize("the cat")
    assert (sample.ids[0], sample.n_before, sample.text) == (0, 1, "the cat")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"act_fn": "solu_ln"}, "act_fn 'solu_ln', normalization 'LN'; the family gelu_1l reads act_fn gelu or gelu_new"),
        ({"normalization": "RMS"}, "normalization 'RMS'"),
        ({"shortformer_pos": True}, "shortformer_pos"),
        ({"d_mlp": 41}, "do not fit its config.json"),
        ({"n_layers": 2}, "do not fit its config.json"),
    ],
)
def test_other_models_of_the_format_are_refused(written: Path, tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    shutil.copytree(written / "LN", tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(MissingWeights, match=reason):
        load(tmp_path / "m")


def test_transformers_folders_and_pickles_are_refused(written: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(MissingWeights, match="is not TransformerLens's; it lacks d_model"):
        load(tmp_path)
    shutil.copytree(written / "LN", tmp_path / "m")
    torch.save({"embed.W_E": Path("x")}, tmp_path / "m" / "model_final.pth")
    with pytest.raises(MissingWeights, match="cannot be read safely"):
        load(tmp_path / "m")
