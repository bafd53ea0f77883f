"""A language model from a GGUF file, converted once: a transformers folder in the cache, with float32 weights and its tokenizer.

GGUF is llama.cpp's format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Quantised weights are multiplied out, so the
network is what the file holds, not what it was made from. transformers reads such files too, but through a path that wants accelerate
and cannot save what it has read; here its reader of tensors and vocabularies is used alone. The split of a text before its pieces are
looked up is in the file by name only, and it is set here: only names known to this module are taken.
"""

# transformers' loaders of GGUF tell no types
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from ..atomic import new_folder
from ..errors import MissingWeights
from ..machine import check_memory, check_room, told
from ..shelf.tables import sha256_of
from .folder import CANNOT_READ, plain_faults
from .gguf_head import Head, read_head
from .size import FLOAT_BYTES

PRE_TOKENIZERS = ("smollm", "gpt-2")
"""values of tokenizer.ggml.pre that are read: GPT-2's split, and the same after every digit has been split off"""
_DONE = "tokenizer.json"
_MADE_ANEW = 1_000_000
"""numbers that a network may have beside its weights: those of its rotary positions, which it makes by itself"""


def unpacked(slug: str, paths: dict[str, Path], cache: Path) -> dict[str, Path]:
    """{role: path} of a model's files, where a GGUF file among them has become `folder`. Others pass as they are.

    The first call converts, about half a minute and 0.6 GB of disk for 135 M parameters; later ones find the folder by the file's digest.
    Raises MissingWeights for a file that cannot be read.
    """
    file = _gguf_of(paths)
    if file is None:
        return paths
    target = cache / "gguf" / f"{slug}-{sha256_of(file)[:12]}"
    if not (target / _DONE).is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock")):
            if not (target / _DONE).is_file():
                _convert(slug, file, target)
    return {**{role: path for role, path in paths.items() if role != "gguf"}, "folder": target}


def _gguf_of(paths: dict[str, Path]) -> Path | None:
    """The file in the role `gguf`, or the only one of a folder that is no transformers folder."""
    folder = paths.get("folder")
    if "gguf" in paths or folder is None or (folder / "config.json").is_file():
        return paths.get("gguf")
    found = sorted(folder.glob("*.gguf"))
    return found[0] if len(found) == 1 else None


def _convert(slug: str, file: Path, target: Path) -> None:
    try:
        head = read_head(file)
        n_bytes = FLOAT_BYTES * head.n_weights
        check_room(target, n_bytes)
        check_memory(f"Reading {file.name} of {slug}", 2 * n_bytes)
        with told():
            _write(file, head, target)
    except (*CANNOT_READ, NotImplementedError) as error:
        why = " ".join(str(error).split())[:200]
        raise MissingWeights(f"The file {file.name} of {slug} cannot be read as a language model ({type(error).__name__}: {why}).") from None


def _write(file: Path, head: Head, target: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    from . import supported

    n_blocks = max((number for name, number in head.numbers.items() if name.endswith(".block_count")), default=0)
    if n_blocks > head.n_tensors:
        raise ValueError(f"it says that it has {n_blocks:,} blocks, and has {head.n_tensors:,} tensors in all")
    entries = _config(load_gguf_checkpoint(str(file))["config"])
    kinds = [kind["name"] for kind in supported() if kind["modality"] == "text"]
    if entries.get("model_type") not in kinds:
        raise ValueError(f"it is of the type '{entries.get('model_type')}'; read are {', '.join(kinds)}")
    config = AutoConfig.for_model(**entries)
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(config)
    n_weights = sum(value.numel() for value in (*shape.parameters(), *shape.buffers()))
    if n_weights > head.n_weights + _MADE_ANEW:
        raise ValueError(f"its entries speak of a network of {n_weights:,} weights, of which it has {head.n_weights:,}")
    tensors = load_gguf_checkpoint(str(file), return_tensors=True, model_to_load=shape)["tensors"]
    network = AutoModelForCausalLM.from_config(config)
    missing = network.load_state_dict({name: value.float() for name, value in tensors.items()}, strict=False).missing_keys
    absent = [name for name in missing if not (config.tie_word_embeddings and name == "lm_head.weight")]
    if absent:
        raise ValueError(f"it lacks {len(absent)} weights, such as {absent[0]}")
    network.tie_weights()
    tokenizer = _tokenizer(file)
    with new_folder(target) as folder:
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _config(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if not name.startswith("_")}


def _tokenizer(file: Path) -> Any:
    """The tokenizer with its split set right; the file's own word whether a text begins with a token of its own is kept."""
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    field = GGUFReader(str(file)).fields.get("tokenizer.ggml.pre")
    name = bytes(field.parts[field.data[0]]).decode() if field is not None else "none"
    if name not in PRE_TOKENIZERS:
        raise ValueError(f"its text is split the way '{name}', which is not known here; known: {', '.join(PRE_TOKENIZERS)}")
    with plain_faults():
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = [pre_tokenizers.Digits(individual_digits=True)] if name == "smollm" else []
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*digits, split])
    return tokenizer
