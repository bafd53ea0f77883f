"""What config.json of a stranger's model says: a network that nobody has, or whose weights are not there, is not built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from earmark.errors import MissingWeights
from earmark.models.base import ModelFiles
from earmark.models.folder import open_folder
from tests.fixtures.models import make_model

LLAMA = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 8, "vocab_size": 16}


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_hidden_layers", 10**9), ("num_hidden_layers", -5), ("n_layer", 1_001), ("hidden_size", 10**400), ("vocab_size", 4_000_001), ("head_dim", 10**8)],
)
def test_a_network_beyond_all_sizes_is_refused_before_it_is_built(tmp_path: Path, name: str, value: int) -> None:
    from earmark.models import llama

    make_model("llama", LLAMA, head=True).save_pretrained(tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    types = llama.MODEL_TYPES
    assert open_folder(ModelFiles("m", {"folder": tmp_path}), "llama", types)[1] == told
    (tmp_path / "config.json").write_text(json.dumps(told | {name: value}))
    with pytest.raises(MissingWeights, match=f"m: config.json says that {name} is .*; at most [0-9,]+ can be"):
        open_folder(ModelFiles("m", {"folder": tmp_path}), "llama", types)
    (tmp_path / "config.json").write_text(json.dumps(told | {"model_type": "x" * 1000}))
    with pytest.raises(MissingWeights, match=f"^m is of the type '{'x' * 40}'; the family llama reads"):
        open_folder(ModelFiles("m", {"folder": tmp_path}), "llama", types)
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(MissingWeights, match="no readable config.json"):
        open_folder(ModelFiles("m", {"folder": tmp_path}), "llama", types)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"vocab_size": 4_000_000}, "speaks of a network of [0-9,]{10} weights, more than twice what the files hold"),
        ({"pad_token_id": 10**6}, r"cannot be read \(AssertionError: Padding_idx"),
        ({"architectures": True}, "has no tokenizer"),
    ],
)
def test_what_config_says_beside_the_weights(tmp_path: Path, said: dict[str, object], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from earmark.models import llama

    make_model("llama", LLAMA, head=True).save_pretrained(tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(told | said))
    if "vocab_size" in said:
        monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda *_, **__: pytest.fail("it was made"))
    with pytest.raises(MissingWeights, match=sentence):
        llama.load(ModelFiles("m", {"folder": tmp_path}))
