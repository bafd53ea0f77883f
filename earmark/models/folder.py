"""A folder as transformers saves it, or a snapshot of a Hub repository: read from there alone, with no code of its author's run.

Weights are safetensors, or .bin read with `weights_only`; nothing is fetched. A network that lacks a weight is refused: transformers
would fill it with random numbers.
"""

from __future__ import annotations

import json
import pickle  # only for the name of what torch raises when it refuses a file
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from ..errors import MissingWeights
from ..inputs.text import Tokens
from ..machine import told
from ..raw import is_list, is_object
from .base import ModelFiles, ModelType, TextModel
from .size import FLOAT_BYTES, n_bytes_needed

Text = TypeVar("Text", bound=TextModel)

VOCABULARIES = ("tokenizer.json", "vocab.json", "tokenizer.model")
# made anew by the network, or used in training alone
_EXCUSED = ("masked_spec_embed", "position_ids", "rotary_emb.inv_freq")
_MADE_ANEW = 4_000_000
"""bytes that a network may have beside its weights: those of its rotary positions, which it makes by itself"""
MOST_LAYERS, MOST_WIDE = 1_000, 4_000_000
_SIZES = ("layers", "n_layer", "_size", "_dim", "_heads", "n_embd", "n_head", "n_positions", "_positions", "n_inner", "d_model")
CANNOT_READ = (
    OSError, ValueError, RuntimeError, LookupError, ArithmeticError, AssertionError, TypeError, AttributeError, ImportError, SafetensorError,
    pickle.UnpicklingError, StrictDataclassError,
)  # fmt: skip


def open_folder(files: ModelFiles, family: str, types: Iterable[ModelType]) -> tuple[Path, dict[str, Any]]:
    """(folder, config.json) of a model of this family. Raises MissingWeights for anything else, naming what is valid."""
    if "folder" not in files.paths:
        raise MissingWeights(f"{files.slug} needs a transformers folder; found {', '.join(sorted(files.paths)) or 'nothing'}.")
    folder = files.paths["folder"]
    config = read_json(folder / "config.json", files.slug)
    valid = [t.name for t in types]
    if config.get("model_type") not in valid:
        raise MissingWeights(f"{files.slug} is of the type '{str(config.get('model_type'))[:40]}'; the family {family} reads {', '.join(valid)}.")
    _check_sizes(config, files.slug)
    return folder, config


def _check_sizes(config: dict[str, Any], slug: str) -> None:
    """Raise MissingWeights where config.json asks for a network that nobody has: it would be built, layer by layer, before its weights are looked at."""
    for name, value in config.items():
        most = MOST_LAYERS if name.endswith(("layers", "layer")) else MOST_WIDE
        if name.endswith(_SIZES) and isinstance(value, int) and not -1 <= value <= most:
            raise MissingWeights(f"{slug}: config.json says that {name[:40]} is {str(value)[:40]}; at most {most:,} can be. Fetch the folder again.")


def read_json(path: Path, slug: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MissingWeights(f"{slug} has no readable {path.name} ({type(error).__name__}). Fetch the folder again.") from None
    if not is_object(found):
        raise MissingWeights(f"{slug}: {path.name} is no JSON object. Fetch the folder again.")
    return found


def has_head(config: dict[str, Any], *endings: str) -> bool:
    """Whether the saved network is one of the classes whose names end so."""
    names = config.get("architectures")
    return is_list(names) and any(str(name).endswith(endings) for name in names)


def load_network(auto: Any, folder: Path, slug: str, **options: Any) -> Any:
    """A network in float32 and evaluation mode. Raises MissingWeights when a weight is missing, has another shape or cannot be read safely."""
    try:
        with told():
            _check_whole(auto, folder)
            model, how = auto.from_pretrained(folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, output_loading_info=True, **options)
    except CANNOT_READ as error:
        raise MissingWeights(f"The weights of {slug} cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:200]}).") from None
    missing = [name for name in how["missing_keys"] if not name.endswith(_EXCUSED)]
    if missing:
        raise MissingWeights(f"{slug} lacks {len(missing)} weights, such as {sorted(missing)[0]}. Fetch the folder again, whole.")
    return model.eval()


def _check_whole(auto: Any, folder: Path) -> None:
    """Raise ValueError where config.json speaks of a network of more than twice the weights that the files have: it would be made, and then found wrong."""
    import transformers

    configs: Any = transformers.AutoConfig
    n_bytes = n_bytes_needed({"folder": folder})
    if not n_bytes:
        return
    config = configs.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        shape: torch.nn.Module = auto.from_config(config) if hasattr(auto, "from_config") else auto(config)
    n_weights = sum(value.numel() for value in (*shape.parameters(), *shape.buffers()))
    if n_weights * FLOAT_BYTES > 2 * n_bytes + _MADE_ANEW:
        raise ValueError(f"config.json speaks of a network of {n_weights:,} weights, more than twice what the files hold")


@contextmanager
def plain_faults() -> Generator[None]:
    """tokenizers raises Exception itself for pieces and merges that do not fit each other, or panics over them, which Exception does not catch.

    Here either is a ValueError, as it is elsewhere.
    """
    try:
        yield
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":  # pyo3's, which no module has
            raise
        raise ValueError(str(error)) from None


def load_part(auto: Any, folder: Path, slug: str, what: str) -> Any:
    """A tokenizer or feature extractor of the folder. Raises MissingWeights when its files are not there."""
    try:
        with plain_faults():
            return auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except CANNOT_READ as error:
        raise MissingWeights(f"{slug} has no {what} that can be read ({type(error).__name__}: {' '.join(str(error).split())[:200]}).") from None


def load_tokenizer(folder: Path, slug: str) -> Any:
    """Raises MissingWeights when the folder has none: transformers would make one without any pieces."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise MissingWeights(f"{slug} has no tokenizer: none of {', '.join(VOCABULARIES)} is in its folder.")
    return load_part(AutoTokenizer, folder, slug, "tokenizer")


def load_text(kind: type[Text], files: ModelFiles, family: str, types: Iterable[ModelType], always_bos: bool = False) -> Text:
    """A causal language model with its tokenizer, from a folder with or without the head that predicts tokens."""
    from transformers import AutoModel, AutoModelForCausalLM

    folder, config = open_folder(files, family, types)
    head = has_head(config, "ForCausalLM", "LMHeadModel")
    network = load_network(AutoModelForCausalLM if head else AutoModel, folder, files.slug)
    network.config.use_cache = False
    sizes = network.config
    tokens = Tokens(load_tokenizer(folder, files.slug), sizes.max_position_embeddings, always_bos or files.always_bos)
    return kind(files.slug, network.base_model, tokens, sizes.num_hidden_layers, sizes.hidden_size, network if head else None)
