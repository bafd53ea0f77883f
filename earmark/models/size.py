"""How much memory a model's weights take, read from its files before any of them is loaded; never more than they take in truth."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

FLOAT_BYTES = 4
"""weights are float32 in memory, whatever they are in the file"""
MAX_HEADER = 100_000_000
_KINDS = (("model*.safetensors", True), ("pytorch_model*.bin", False), ("*.pth", False))
"""what the weights of a folder are called, and whether the file names its shapes; the first kind that is there is the one that is loaded"""


def n_bytes_needed(paths: Mapping[str, Path]) -> int:
    """Of the files in their roles, or of the folder; 0 where nothing of the kind is known."""
    if "checkpoint" in paths:
        return paths["checkpoint"].stat().st_size
    folder = paths.get("folder")
    for pattern, shaped in _KINDS if folder is not None else ():
        files = sorted(folder.glob(pattern)) if folder else []
        if files:
            return sum(map(_of_shapes if shaped else _on_disk, files))
    return 0


def _on_disk(file: Path) -> int:
    return file.stat().st_size


def _of_shapes(file: Path) -> int:
    """By the header of a safetensors file; 0 where it cannot be read, which the loader will say better."""
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(min(length, MAX_HEADER)))
        return FLOAT_BYTES * sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return 0
