"""The command `encode`: activations of one's own through a checkpoint alone; no model, no network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ...atomic import new_file
from ...dictionaries import open_checkpoint
from ...dictionaries.base import SparseAutoencoder
from ...errors import BadInput
from ...learning.positions import read_activations

CHUNK_VALUES = 1 << 24
"""feature values in memory at a time"""


def _chunk(sae: SparseAutoencoder, values: np.ndarray, name: str, decode: bool) -> np.ndarray:
    with np.errstate(over="ignore"):
        x = torch.as_tensor(np.array(values, dtype=np.float32))
    if not torch.isfinite(x).all():
        raise BadInput(f"'{name}' holds {int((~torch.isfinite(x)).sum())} values that are no finite float32 numbers; an autoencoder reads finite ones only.")
    f = sae.encode(x).dense()
    return sae.decode(torch.as_tensor(f), x).numpy() if decode else f


def encode_file(
    checkpoint: Path, source: Path, target: Path, decode: bool, *, format: str | None = None, width: int | None = None, scale: str | None = None
) -> str:
    """Write f as it multiplies W_dec, float32 [n_positions, n_units], or with `decode` the reconstruction [n_positions, width].

    The checkpoint is a file or a folder of any known format, opened as `open_checkpoint` says. Where a position's features depend on its
    batch, the whole file is the batch.
    """
    sae, x = open_checkpoint(checkpoint, format=format, width=width, scale=scale).dictionary, read_activations(source)
    if x.shape[1] != sae.width:
        raise BadInput(f"'{source.name}' is {x.shape[1]} wide, the checkpoint reads {sae.width}.")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise BadInput(f"'{target}' cannot be written: it must be a file's name in a folder that is there.")
    with new_file(target) as file:
        shape = (len(x), sae.width_out if decode else sae.n_units)
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        step = len(x) if sae.reads_batches else max(CHUNK_VALUES // sae.n_units, 1)
        for start in range(0, len(x), step):
            file.write(np.ascontiguousarray(_chunk(sae, x[start : start + step], source.name, decode), "<f4").data)
    return f"Wrote {'the reconstruction' if decode else 'the features'} of {len(x)} positions to {target.name}."
