"""A GGUF file becomes a transformers folder once: the same network and the same tokenizer, quantised weights as the format's formula has them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from earmark.errors import MissingWeights
from earmark.models.base import ModelFiles, TextModel
from earmark.models.folder import load_tokenizer
from earmark.models.gguf import unpacked
from earmark.models.gguf_head import read_head
from earmark.models.llama import load
from tests.fixtures.gguf_toy import TEXTS, WIDTH, network, tokenizer, write


def opened(path: Path, cache: Path, role: str = "gguf", **options: Any) -> TextModel:
    return load(ModelFiles("toy", unpacked("toy", {role: path}, cache), **options))


def test_the_same_network_and_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tokenizer(digits=True)
    model = network(made.get_vocab_size())
    (tmp_path / "file").mkdir()
    path = tmp_path / "file/toy.gguf"
    write(path, model, made, "smollm")
    ours = opened(path, tmp_path / "cache", always_bos=True)
    for text in TEXTS[:2]:
        sample = ours.tokenize(text)
        assert list(sample.ids) == [1, *made.encode(text).ids] and sample.n_before == 1 and sample.text == text
        with torch.inference_mode():
            expected = model(torch.tensor([sample.ids])).logits[0, 1:]
        assert torch.allclose(ours.logits(sample), expected, atol=1e-4)
    monkeypatch.setattr("earmark.models.gguf._convert", lambda *_: pytest.fail("it was converted twice"))
    assert opened(path, tmp_path / "cache").before == ()
    assert opened(path.parent, tmp_path / "cache", "folder").width == WIDTH  # as the Hub's files lie: a folder with the file alone


def test_quantised_weights_are_multiplied_out(tmp_path: Path) -> None:
    """Q4_1: 32 weights share a scale d and a minimum m, each is d q + m with q from 0 to 15, d and m in half precision."""
    made = tokenizer(digits=False)
    model = network(made.get_vocab_size())
    path = tmp_path / "toy.gguf"
    write(path, model, made, "gpt-2", quantised=True)
    ours = opened(path, tmp_path / "cache")
    name = "model.layers.1.mlp.down_proj.weight"
    exact = model.state_dict()[name].numpy().reshape(-1, 32)
    low = exact.min(axis=1, keepdims=True)
    step = (exact.max(axis=1, keepdims=True) - low) / 15
    expected = step.astype(np.float16).astype(np.float32) * np.rint((exact - low) / step) + low.astype(np.float16).astype(np.float32)
    found = ours.network.state_dict()[name].numpy().reshape(-1, 32)
    assert found == pytest.approx(expected, abs=1e-3) and np.abs(found - exact).max() > 1e-3
    text = "\n\n1815"
    assert list(ours.tokenize(text).ids) == made.encode(text).ids


@pytest.mark.parametrize(("pre", "without", "reason"), [("llama-bpe", "", "split the way 'llama-bpe'"), ("smollm", "model.norm.weight", "lacks 1 weights")])
def test_refusals(tmp_path: Path, pre: str, without: str, reason: str) -> None:
    made = tokenizer(digits=True)
    write(tmp_path / "toy.gguf", network(made.get_vocab_size()), made, pre, without=without)
    with pytest.raises(MissingWeights, match=reason):
        opened(tmp_path / "toy.gguf", tmp_path / "cache")
    assert not list((tmp_path / "cache/gguf").glob("*/tokenizer.json"))


def test_merges_that_make_no_piece(tmp_path: Path) -> None:
    """Of a GGUF file, and of the folder that it becomes: tokenizers raises Exception itself, or panics where it looks for the piece's end."""
    made = tokenizer(digits=True)
    path, last = tmp_path / "toy.gguf", str(made.id_to_token(made.get_vocab_size() - 1))
    write(path, network(made.get_vocab_size()), made, "smollm")
    opened(path, tmp_path / "cache")
    folder = next((tmp_path / "cache/gguf").iterdir())
    told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    del told["model"]["vocab"][last]
    (folder / "tokenizer.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(MissingWeights, match="has no tokenizer that can be read .*(out of vocabulary|out of range)"):
        load_tokenizer(folder, "toy")
    own = struct.pack("<Q", len(last.encode())) + last.encode()
    path.write_bytes(path.read_bytes().replace(own, own[:8] + b"?" * (len(own) - 8), 1))
    with pytest.raises(MissingWeights, match="cannot be read as a language model .*out of vocabulary"):
        opened(path, tmp_path / "cache")


def test_what_is_no_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "toy.gguf").write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(MissingWeights, match=r"toy.gguf of toy cannot be read as a language model"):
        opened(tmp_path / "toy.gguf", tmp_path / "cache")
    assert unpacked("toy", {"checkpoint": tmp_path}, tmp_path) == {"checkpoint": tmp_path}


def lied(path: Path, key: bytes, form: str, value: int, behind: int = 4) -> None:
    """Another number so many bytes behind a key."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.index(key) + len(key) + behind, value)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("key", "form", "value", "behind", "reason"),
    [
        (b"GGUF", "<Q", 1 << 60, 4, r"it says that it has 1,152,921,504,606,846,976 tensors, for which the [\d,]+ bytes that are left are too few"),
        (b"tokenizer.ggml.tokens", "<Q", 1 << 40, 8, "1,099,511,627,776 values of 'tokenizer.ggml.tokens'"),
        (b"token_embd.weight", "<Q", 1 << 50, 12, r"its 20 tensors say that they take [\d,]+ bytes, of which the file has"),
        (b"token_embd.weight", "<I", 40_000, 0, "'token_embd.weight' has 40000 dimensions; at most 4 can be"),
        (b"token_embd.weight", "<I", 99, 20, "'token_embd.weight' is of the type 99, which is not known"),
        (b"llama.block_count", "<I", 1 << 30, 4, "it says that it has 1,073,741,824 blocks, and has 20 tensors in all"),
        (b"llama.feed_forward_length", "<I", 1 << 20, 4, r"its entries speak of a network of [\d,]+ weights, of which it has [\d,]+"),
        (b"llama.attention.head_count", "<I", 0, 4, "Error"),
    ],
)
def test_a_file_that_says_more_than_it_holds_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: bytes, form: str, value: int, behind: int, reason: str
) -> None:
    made, path = tokenizer(digits=True), tmp_path / "toy.gguf"
    write(path, network(made.get_vocab_size()), made, "smollm")
    lied(path, key, form, value, behind)
    if "Error" not in reason:
        monkeypatch.setattr("gguf.dequantize", lambda *_: pytest.fail("it was read"))
    with pytest.raises(MissingWeights, match=reason):
        opened(path, tmp_path / "cache")


def test_weights_are_counted_and_must_all_be_there(tmp_path: Path) -> None:
    made, path = tokenizer(digits=True), tmp_path / "toy.gguf"
    write(path, network(made.get_vocab_size()), made, "smollm")
    head = read_head(path)
    assert head.n_tensors == 20 and head.numbers["llama.block_count"] == 2
    assert head.n_weights == sum(p.numel() for p in network(made.get_vocab_size()).parameters()), "the output's weights are the input's"
    path.write_bytes(path.read_bytes()[:-40_000])
    with pytest.raises(MissingWeights, match="of which the file has"):
        opened(path, tmp_path / "cache")
