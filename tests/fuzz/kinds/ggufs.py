"""GGUF files that lie about how many entries, words, weights and dimensions they hold and of what size the network is, or are spoilt anywhere.

And the folders that they become, as transformers saves them, with spoilt or other words in their JSON.
"""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from earmark.models.base import ModelFiles
from earmark.models.gguf import unpacked
from earmark.models.llama import load
from tests.fixtures.gguf_toy import network, tokenizer, write
from tests.fuzz.harm import EXTREMES, harmed
from tests.fuzz.kinds import Case
from tests.fuzz.watch import Watch

SIZES = ("block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv", "vocab_size")
HUGE = (0, 1, 3, 63, 1_000, 100_000, 10_000_000, *EXTREMES)
OTHERS: tuple[Any, ...] = (None, -1, 0, 10**30, "", [], {}, "x" * 1000, True, 1.5, [[]], {"a": {}})


def prepare(folder: Path, watch: Watch) -> Case:
    made = tokenizer(digits=True)
    model, files = network(made.get_vocab_size()), []
    for name, quantised in (("plain", False), ("packed", True)):
        path = folder / f"{name}.gguf"
        write(path, model, made, "smollm", quantised=quantised)
        unpacked("toy", {"gguf": path}, folder / "cache")
        files.append(path.read_bytes())
    saved = shutil.copytree(next((folder / "cache/gguf").glob("toy-*/")), folder / "saved")
    told = {path: path.read_bytes() for path in sorted(saved.glob("*.json"))}
    load(ModelFiles("toy", {"folder": saved}))

    def case(chance: random.Random) -> Callable[[], str]:
        if chance.random() < 0.3:
            spoilt = chance.choice(list(told))
            for path, data in told.items():
                path.write_bytes(chance.choice((harmed, other))(data, chance) if path == spoilt else data)
            return lambda: f"{len(load(ModelFiles('toy', {'folder': saved})).tokenize('the cat 1815').ids)} tokens"
        make = chance.choice((harmed, count, size, shape, words, heap, huge))
        path = folder / "case.gguf"
        path.write_bytes(make(chance.choice(files), chance))
        shutil.rmtree(folder / "cache", ignore_errors=True)
        return lambda: str(bool(unpacked("toy", {"gguf": path}, folder / "cache")))

    return case


def other(data: bytes, chance: random.Random) -> bytes:
    """A value somewhere in JSON is another, of any kind."""
    told = node = json.loads(data)
    while True:
        key = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
        if not isinstance(node[key], dict | list) or not node[key] or chance.random() < 0.3:
            node[key] = chance.choice(OTHERS)
            return json.dumps(told).encode()
        node = node[key]


def put(data: bytes, at: int, form: str, value: int) -> bytes:
    new = struct.pack(form, value % (1 << 8 * struct.calcsize(form)))
    return data[:at] + new + data[at + len(new) :]


def count(data: bytes, chance: random.Random) -> bytes:
    """Of tensors, or of entries."""
    return put(data, chance.choice((8, 16)), "<Q", chance.choice(HUGE))


def size(data: bytes, chance: random.Random) -> bytes:
    """The network is said to be of another size."""
    for name in chance.sample(SIZES, chance.choice((1, 1, 2))):
        key = f"llama.{name}".encode()
        data = put(data, data.index(key) + len(key) + 4, "<I", chance.choice(HUGE))
    return data


def shape(data: bytes, chance: random.Random) -> bytes:
    """A tensor has other dimensions, is of another type, or lies elsewhere."""
    name = chance.choice((b"token_embd.weight", b"blk.0.attn_q.weight", b"blk.1.ffn_down.weight", b"output_norm.weight"))
    at = data.index(name) + len(name)
    (n_dims,) = struct.unpack_from("<I", data, at)
    field = chance.choice(("dims", "dim", "type", "offset"))
    if field == "dims":
        return put(data, at, "<I", chance.choice(HUGE))
    if field == "dim":
        return put(data, at + 4 + 8 * chance.randrange(n_dims), "<Q", chance.choice(HUGE))
    at += 4 + 8 * n_dims
    return put(data, at, "<I", chance.randrange(45)) if field == "type" else put(data, at + 4, "<Q", chance.choice(HUGE))


def words(data: bytes, chance: random.Random) -> bytes:
    """The vocabulary has another length, or its words have; or holds something else than words."""
    key = chance.choice((b"tokenizer.ggml.tokens", b"tokenizer.ggml.merges", b"tokenizer.ggml.token_type"))
    at = data.index(key) + len(key) + 4
    field = chance.randrange(3)
    if field == 0:
        return put(data, at, "<I", chance.randrange(14))
    return put(data, at + (4 if field == 1 else 12), "<Q", chance.choice(HUGE))


def heap(data: bytes, chance: random.Random) -> bytes:
    """Many tensors of many weights that all lie in one place."""
    n, side = chance.choice((10, 1_000, 20_000)), chance.choice((256, 4096, 1 << 20))
    infos = b"".join(_text(f"blk.{i}.attn_q.weight") + struct.pack("<IQQIQ", 2, side, side, 0, 0) for i in range(n))
    head = _entry("general.architecture", 8, _text("llama")) + _entry("llama.block_count", 4, struct.pack("<I", n))
    return b"GGUF" + struct.pack("<IQQ", 3, n, 2) + head + infos + bytes(chance.choice((0, 4 * 256 * 256)))


def huge(data: bytes, chance: random.Random) -> bytes:
    """Whole files with entries of strange kinds: lists in lists, numbers of every type, texts of no letters, other architectures."""
    kind = chance.randrange(4)
    if kind == 0:
        deep = b"".join(struct.pack("<IQ", 9, 1) for _ in range(chance.choice((2, 50, 100_000))))
        return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _entry("a", 9, deep + struct.pack("<IQ", 4, 0))
    if kind == 1:
        name = chance.choice(("qwen2moe", "gpt2", "mamba", "t5", "nobody", "gemma2", "llama"))
        head = _entry("general.architecture", 8, _text(name)) + _entry(f"{name}.block_count", 10, struct.pack("<Q", chance.choice(HUGE)))
        return b"GGUF" + struct.pack("<IQQ", 3, 0, 3) + head + _entry(f"{name}.expert_count", 4, struct.pack("<I", chance.choice(HUGE) % (1 << 32)))
    if kind == 2:
        return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + _entry("general.architecture", 8, struct.pack("<Q", 3) + b"\xff\xfe\xfd")
    return data.replace(b"tokenizer.ggml.pre", chance.choice((b"tokenizer.ggml.prf", b"tokenizer\xff\xfe\xfdgml.pre")))


def _text(words: str) -> bytes:
    return struct.pack("<Q", len(words)) + words.encode()


def _entry(key: str, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value
