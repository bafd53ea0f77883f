"""A GGUF file becomes a transformers folder once: the same network and the same tokenizer, quantised weights as the format's formula has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as pieces
from transformers import LlamaConfig, LlamaForCausalLM

from earmark.errors import MissingWeights
from earmark.models.base import ModelFiles, TextModel
from earmark.models.gguf import unpacked
from earmark.models.llama import load

WIDTH, N_LAYERS, N_HEADS, N_KV, N_FFN = 64, 2, 4, 2, 96
TEXTS = ["the cat sat on the mat\n\n1815 and 12345 dogs", "caf\u00e9 \u65e5\u672c  the end"] * 8


def tokenizer(digits: bool) -> Tokenizer:
    made = Tokenizer(pieces.BPE())
    split = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), *split] if digits else split)
    made.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, special_tokens=specials, show_progress=False))
    return made


def network(n_vocab: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=n_vocab, hidden_size=WIDTH, num_hidden_layers=N_LAYERS, num_attention_heads=N_HEADS, num_key_value_heads=N_KV, intermediate_size=N_FFN,
        max_position_embeddings=128, tie_word_embeddings=True, rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 5_000.0},
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.3)
    return model


def write(path: Path, model: LlamaForCausalLM, made: Tokenizer, pre: str, quantised: bool = False, without: str = "") -> None:
    """As llama.cpp's converter does: its names, and the rows of q and k in the order of its rotary positions."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Toy")
    writer.add_block_count(N_LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(N_FFN)
    writer.add_head_count(N_HEADS)
    writer.add_head_count_kv(N_KV)
    writer.add_rope_freq_base(5_000.0)
    writer.add_rope_dimension_count(WIDTH // N_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(made.get_vocab_size())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([str(made.id_to_token(i)) for i in range(made.get_vocab_size())])
    writer.add_token_types([3] * 3 + [1] * (made.get_vocab_size() - 3))
    writer.add_token_merges([" ".join(pair) for pair in merges(made)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, N_LAYERS)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" or name == without:
            continue
        values = tensor.numpy()
        for part, heads in (("q_proj", N_HEADS), ("k_proj", N_KV)):
            if part in name:
                values = values.reshape(heads, 2, -1, WIDTH).swapaxes(1, 2).reshape(values.shape)
        kind = gguf.GGMLQuantizationType.Q4_1 if quantised and "proj" in name else gguf.GGMLQuantizationType.F32
        own = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(str(own), gguf.quants.quantize(np.ascontiguousarray(values, np.float32), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def merges(made: Tokenizer) -> list[list[str]]:
    return json.loads(made.to_str())["model"]["merges"]


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


def test_what_is_no_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "toy.gguf").write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(MissingWeights, match=r"toy.gguf of toy cannot be read as a language model"):
        opened(tmp_path / "toy.gguf", tmp_path / "cache")
    assert unpacked("toy", {"checkpoint": tmp_path}, tmp_path) == {"checkpoint": tmp_path}
