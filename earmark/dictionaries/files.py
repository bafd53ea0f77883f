"""Reading strangers' checkpoint files: tensors, numbers and text, and nothing that could run.

torch.load only with weights_only=True, safetensors, numpy only with allow_pickle=False, JSON. What these refuse is a sentence, never a
reason to read the file another way. One weight file is read, once, with the JSON file beside it; no other file of a folder.
"""

from __future__ import annotations

import json
import pickle
import re
import struct
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import BadInput, MissingWeights
from ..machine import check_memory, told
from ..raw import is_object
from ..tensors import load_file

KNOWN_FILES = ("sae_weights.safetensors", "sae.safetensors", "ae.pt", "params.npz", "params.safetensors", "bestval.pth", "checkpoints/bestval.pth")
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".npz")
NOT_WEIGHTS = re.compile(r"sparsity|optim|scheduler|training_state|rng", re.IGNORECASE)
WRAPPERS = ("module.", "_orig_mod.", "sae.", "model.", "autoencoder.")
"""prefixes that DataParallel, torch.compile and enclosing modules put before a weight's name"""
STATES = ("model", "state_dict", "model_state_dict", "sae", "autoencoder", "ae", "weights", "params")
"""where a training checkpoint keeps the weights"""
MAX_UNPACKED = (20, 64_000_000)
"""an archive may unpack to so many times its size, and so many bytes: weights hardly pack at all, bombs a thousandfold"""
MAX_DEPTH = 8
"""of dictionaries inside dictionaries, down to the weights"""
PLAIN_TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
_DAMAGED = (RuntimeError, OSError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, EOFError, ImportError, struct.error)
"""what a damaged or hostile pickle makes torch's restricted reader raise, beside UnpicklingError"""


@dataclass(frozen=True)
class Found:
    """A checkpoint as it was read, before anybody knows its format."""

    path: Path
    """the file or folder that was asked for"""
    weights: Path
    """the file that was read"""
    kind: str
    """torch, safetensors or npz"""
    tensors: dict[str, Tensor]
    """by name, without wrappers' prefixes"""
    others: dict[str, Any]
    """what else the file says: hyperparameters, an activation's name"""
    config: dict[str, Any]
    """the JSON file beside the weights; empty without one"""
    width: int | None
    """width of the hook that the dictionary is meant for, where it is known"""

    @property
    def name(self) -> str:
        """For sentences."""
        return f"'{self.path.name or self.path}'"

    def has(self, *names: str) -> bool:
        return all(name in self.tensors for name in names)

    def number(self, name: str) -> float | None:
        """A tensor of one element as a number; None when there is none."""
        tensor = self.tensors.get(name)
        return float(tensor) if tensor is not None and tensor.numel() == 1 else None


def read(path: Path, width: int | None = None) -> Found:
    """A file, or the one weight file of a folder. Raises MissingWeights when nothing is there, BadInput when it cannot be read safely."""
    if not path.exists():
        raise MissingWeights(f"There is no file or folder '{path.name or path}'.")
    weights = find_weights(path) if path.is_dir() else path
    kind, raw = _read_weights(weights)
    state, others = _state_of(weights, raw)
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        short = _unwrapped(name)
        if short in tensors:
            raise BadInput(f"'{weights.name}' holds '{short}' twice, under different prefixes: it is more than one autoencoder. Save one alone.")
        tensors[short] = _checked(weights, name, tensor)
    config_name = next((n for n in (f"{weights.stem}_cfg.json", "cfg.json", "config.json") if (weights.parent / n).is_file()), None)
    config = {} if config_name is None else read_config(weights.parent / config_name)
    return Found(path, weights, kind, tensors, others, config, width)


def find_weights(folder: Path) -> Path:
    """The weight file of a folder: one with a known name, or the only one there is."""
    found = [folder / name for name in KNOWN_FILES if (folder / name).is_file()]
    found = found or sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and p.is_file() and not NOT_WEIGHTS.search(p.name))
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"'{folder.name}' holds several weight files: {_listed(found)}. Name one of them.")
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and any((p / name).is_file() for name in KNOWN_FILES))
    if inside:
        raise BadInput(f"'{folder.name}' holds several autoencoders, each in a folder of its own: {_listed(inside)}. Name one of them.")
    config = next((f" It has {n}, but the weights that belong to it are missing." for n in ("cfg.json", "config.json") if (folder / n).is_file()), "")
    raise MissingWeights(f"'{folder.name}' holds no weight file ({', '.join(KNOWN_FILES[:5])}, or one that ends in {', '.join(SUFFIXES)}).{config}")


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object. Raises BadInput for anything else."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path.name} of '{path.parent.name}' cannot be read as JSON ({type(error).__name__}).") from None
    if not is_object(config):
        raise BadInput(f"{path.name} of '{path.parent.name}' is no JSON object.")
    return config


def _listed(paths: list[Path]) -> str:
    return ", ".join(p.name for p in paths[:8]) + (", ..." if len(paths) > 8 else "")


# -- weight files, told apart by their first bytes --------------------------------------------------------------------------


def _read_weights(path: Path) -> tuple[str, Any]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
        names = _names_in(path, size) if head[:4] == b"PK\x03\x04" else None
    except BadInput:
        raise
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise BadInput(f"'{path.name}' cannot be read ({type(error).__name__}): it is cut short or damaged. Fetch it again.") from None
    if not size:
        raise BadInput(f"'{path.name}' is empty. Fetch it again.")
    if path.suffix == ".safetensors" and head[8:9] != b"{":  # torch.load would judge by the name too
        raise BadInput(f"'{path.name}' is named as a safetensors file, but is none. Fetch it again.")
    if names is not None and any("/code/" in name for name in names):
        raise BadInput(f"'{path.name}' is a TorchScript program, not weights; such files can run code and are never opened. Save its state_dict.")
    if names is not None:
        return ("npz", _read_npz(path)) if names and all(n.endswith(".npy") for n in names) else ("torch", _read_torch(path, mmap=True))
    if head[8:9] == b"{" and 2 <= struct.unpack("<Q", head[:8])[0] <= size - 8:
        return "safetensors", _read_safetensors(path)
    if head[8:9] == b"{":
        raise BadInput(f"'{path.name}' is a safetensors file that is cut short: it holds {size:,} bytes. Fetch it again.")
    if head[:1] == b"\x80":
        return "torch", _read_torch(path, mmap=False)
    raise BadInput(f"'{path.name}' is no weight file: neither safetensors, nor one that torch.save or numpy.savez wrote.")


def _names_in(path: Path, size: int) -> list[str]:
    """What an archive holds. Raises BadInput for one that would unpack to far more than its size."""
    times, more = MAX_UNPACKED
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(item.file_size for item in archive.infolist())
        if unpacked > times * size + more:
            raise BadInput(f"'{path.name}' would unpack from {size:,} bytes to {unpacked:,}; weights don't pack like that. Save them uncompressed.")
        return archive.namelist()


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    check_memory(f"'{path.name}'", path.stat().st_size)
    try:
        with told():
            return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise BadInput(f"'{path.name}' cannot be read as safetensors ({type(error).__name__}): it is cut short or damaged. Fetch it again.") from None


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with told(), np.load(path, allow_pickle=False) as arrays:
            return {name: torch.as_tensor(np.asarray(arrays[name])) for name in arrays.files}
    except (OSError, ValueError, TypeError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"'{path.name}' cannot be read as arrays of numbers ({type(error).__name__}): it is damaged, or holds Python objects, which are never unpacked."
        ) from None


class _NumpyDtype:
    """Stands for numpy.dtype in a pickle: training scripts keep their best loss as a numpy scalar."""

    def __init__(self, code: object = "", *_: object):
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Byte order and the like, not needed."""


def _numpy_scalar(dtype: object, data: object = b"") -> float | None:
    """A real number of a pickle; None for any other numpy scalar. Nothing of numpy's own unpickling runs."""
    code = getattr(dtype, "code", "")
    if isinstance(data, bytes) and isinstance(code, str) and re.fullmatch(r"[fiu][1248]", code) and len(data) == int(code[1]) and code != "f1":
        return float(np.frombuffer(data, "<" + code)[0])
    return None


_STAND_INS: list[Any] = [(_NumpyDtype, "numpy.dtype"), (_numpy_scalar, "numpy.core.multiarray.scalar"), (_numpy_scalar, "numpy._core.multiarray.scalar")]
_loading = threading.Lock()
"""the list of stand-ins belongs to the whole process"""


def _read_torch(path: Path, mmap: bool) -> Any:
    """With mmap, what is not asked for, such as an optimiser's state, is never read from disk."""
    try:
        with told(), _loading, torch.serialization.safe_globals(_STAND_INS):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|class|function) ([\w.]+\.[\w.]+)", str(error))
        what = f" ({named[1]})" if named else ""
        raise BadInput(
            f"'{path.name}' holds Python objects{what} beside its weights, or is a whole pickled module; such files can run code and are never opened. "
            "Save the weights alone: torch.save(model.state_dict(), ...), or safetensors."
        ) from None
    except _DAMAGED as error:
        raise BadInput(f"'{path.name}' cannot be read as a torch checkpoint ({type(error).__name__}): it is cut short or damaged.") from None


# -- from what lay in the file to named tensors -------------------------------------------------------------------------------


def _state_of(path: Path, raw: Any, depth: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """(tensors by name, what else there is), from a state dict or from a training checkpoint that holds one."""
    if depth > MAX_DEPTH:
        raise BadInput(f"'{path.name}' holds dictionaries inside each other, more than {MAX_DEPTH} deep. Save the weights alone.")
    if not is_object(raw):
        raise BadInput(f"'{path.name}' holds {type(raw).__name__}, not weights by name.")
    tensors = {name: t for name, t in raw.items() if isinstance(t, Tensor)}
    if any(t.ndim >= 2 for t in tensors.values()):
        return tensors, {name: v for name, v in raw.items() if name not in tensors}
    for name in STATES:
        inner = raw.get(name)
        if is_object(inner) and any(isinstance(t, Tensor) for t in inner.values()):
            state, others = _state_of(path, inner, depth + 1)
            return state, {**{n: v for n, v in raw.items() if n not in (name, "optimizer", "scheduler")}, **others}
    raise BadInput(f"'{path.name}' holds no weights; it holds {', '.join(list(raw)[:12]) or 'nothing'}.")


def _unwrapped(name: str) -> str:
    while True:
        wrapper = next((w for w in WRAPPERS if name.startswith(w) and len(name) > len(w)), None)
        if wrapper is None:
            return name
        name = name[len(wrapper) :]


def _checked(path: Path, name: str, tensor: Any) -> Tensor:
    """A dense tensor on the CPU that owns its memory."""
    plain = isinstance(tensor, Tensor) and tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.dtype not in PLAIN_TYPES:
        raise BadInput(f"'{name}' of '{path.name}' is no plain array of numbers of a usual kind, such as float32.")
    if not tensor.numel():
        raise BadInput(f"'{name}' of '{path.name}' has shape {tuple(tensor.shape)}: it holds nothing.")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes() + 1_000_000:
        raise BadInput(f"'{name}' of '{path.name}' claims {tuple(tensor.shape)}, more than the file holds.")
    return tensor.detach().clone() if tensor.untyped_storage().filename else tensor.detach()
