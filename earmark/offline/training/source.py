"""What an autoencoder learns from and is judged on: a corpus's activations, or those that somebody has stored in .npy files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import BadInput
from ...learning.positions import Mapped, Positions, read_activations
from .harvest import Harvest

MAX_BYTES = 6 << 30
"""more than this is not held in memory, but read from the disk batch by batch"""
BLOCK = 512
"""stored positions that are held out, or not, together: neighbours are alike"""
_PART = 1 << 16


@dataclass(frozen=True)
class Source:
    """Activations, divided."""

    x: Positions
    """[n, width]: what training draws from"""
    held_out: Callable[[], Iterator[NDArray[np.float32]]]
    """[n_i, width] parts of what it never sees"""
    key: str
    """tells these activations from all others"""
    about: dict[str, Any]
    """for the record of the training"""
    told: tuple[str, ...] = ()
    """what was left out"""


def is_held_out(sample_id: str, share: float) -> bool:
    """Whether a sample is kept from training; depends on its id alone."""
    return int.from_bytes(hashlib.sha256(sample_id.encode()).digest()[:4], "big") / 2**32 < share


def of_corpus(harvest: Harvest, share: float) -> Source:
    """Divided by samples. Sinks and padding are not among them."""
    about = {
        "corpus": harvest.corpus.manifest["slug"],
        "corpus_revision": harvest.corpus.manifest["revision"],
        "held_out": "samples whose id has a sha256 that begins below held_out_share",
    }
    x = _learned(harvest, share)
    return Source(x, lambda: held_out_of(harvest, lambda name: is_held_out(name, share)), str(harvest.folder), about)


def _learned(harvest: Harvest, share: float) -> Positions:
    """Of a corpus that is too large for memory, its files mapped."""
    if sum(len(harvest.marks(number)[0]) for number in range(harvest.n_groups)) * harvest.hook.width * 4 <= MAX_BYTES:
        return training_positions(harvest, share)
    train_rows = _training_rows(harvest, share)
    marks = [harvest.marks(number) for number in range(harvest.n_groups)]
    fit = np.concatenate([train_rows[rows] & ~sinks for rows, sinks in marks])
    return Mapped([harvest.mapped(number) for number in range(harvest.n_groups)], np.flatnonzero(fit))


def _training_rows(harvest: Harvest, share: float) -> NDArray[np.bool_]:
    """[n_samples]: whether training sees each. Raises BadInput where all are held out, or none."""
    found = np.array([not is_held_out(name, share) for name in harvest.corpus.ids])
    if found.all() or not found.any():
        raise BadInput(f"Of {len(found)} samples {int((~found).sum())} are held out; some must be and some must not. Take a larger corpus.")
    return found


def held_out_of(harvest: Harvest, chosen: Callable[[str], bool]) -> Iterator[NDArray[np.float32]]:
    """The positions of the samples whose id is chosen, group by group."""
    keep = np.array([chosen(name) for name in harvest.corpus.ids])
    return (values[keep[rows]] for values, rows in harvest.groups())


def training_positions(harvest: Harvest, held_out_share: float) -> Tensor:
    """[n, width] of all samples that are not held out."""
    train_rows = _training_rows(harvest, held_out_share)
    n = sum(int(train_rows[rows].sum()) for _, rows in harvest.groups())
    if n * harvest.hook.width * 4 > MAX_BYTES:
        raise BadInput(f"The activations take more than {MAX_BYTES >> 30} GiB of memory, where all are needed at once. Take a smaller corpus.")
    x = np.empty((n, harvest.hook.width), np.float32)
    filled = 0
    for values, rows in harvest.groups():
        part = values[train_rows[rows]]
        x[filled : filled + len(part)] = part
        filled += len(part)
    return torch.as_tensor(x)


def of_files(path: Path, share: float, longest: float | None = None) -> Source:
    """One .npy file [n_positions, width], or all of a folder in the order of their names, divided by blocks of neighbours.

    Left out: positions that are 0 throughout, which is padding; and with `longest` those more than that many times as long as the median, such as a
    language model's attention sinks. Raises BadInput for values that are no finite numbers.
    """
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not files:
        raise BadInput(f"'{path}' holds no .npy file.")
    arrays = [read_activations(file) for file in files]
    widths = {array.shape[1] for array in arrays}
    if len(widths) > 1:
        raise BadInput(f"The files of '{path}' are of different widths: {', '.join(map(str, sorted(widths)))}.")
    lengths = [_lengths(array, file.name) for array, file in zip(arrays, files, strict=True)]
    whole = np.concatenate(lengths)
    fit = whole > 0
    limit = np.inf if longest is None or not fit.any() else longest * float(np.median(whole[fit]))
    block = max(1, min(BLOCK, len(whole) // 200))
    held = np.concatenate([_held_out(file.name, len(array), block, share) for array, file in zip(arrays, files, strict=True)])
    keep = fit & (whole <= limit)
    train, judged = np.flatnonzero(keep & ~held), np.flatnonzero(keep & held)
    if not len(train) or not len(judged):
        raise BadInput(f"Of {int(keep.sum())} positions {len(judged)} are held out; some must be and some must not. Give more activations.")
    told = [f"{int((~fit).sum())} positions are 0 throughout and left out."] if not fit.all() else []
    if np.isfinite(limit):
        told.append(f"{int((whole > limit).sum())} positions are more than {longest:g} times as long as the median and left out.")
    about = {
        "activations": path.name,
        "n_positions": len(whole),
        "width": widths.pop(),
        "held_out": f"blocks of {block} positions whose file and number have a sha256 that begins below held_out_share",
    }
    mapped, rest = Mapped(arrays, train), Mapped(arrays, judged)
    key = hashlib.sha256(whole.tobytes() + keep.tobytes() + str([array.shape for array in arrays]).encode()).hexdigest()
    return Source(_in_memory(mapped, arrays), lambda: (part.numpy() for part in rest.split(_PART)), key, about, tuple(told))


def _lengths(array: NDArray[np.generic], name: str) -> NDArray[np.float32]:
    """[n]: how long each position is; computed in parts, so that the file need not fit into memory."""
    found = [np.linalg.norm(np.asarray(array[i : i + _PART], np.float32), axis=1) for i in range(0, len(array), _PART)]
    lengths = np.concatenate(found)
    if not np.isfinite(lengths).all():
        raise BadInput(f"Position {int(np.flatnonzero(~np.isfinite(lengths))[0])} of '{name}' holds values that are no finite numbers, or too large ones.")
    return lengths


def _held_out(name: str, n: int, block: int, share: float) -> NDArray[np.bool_]:
    chosen = [is_held_out(f"{name} {number}", share) for number in range(-(-n // block))]
    return np.repeat(chosen, block)[:n]


def _in_memory(mapped: Mapped, arrays: list[NDArray[np.generic]]) -> Positions:
    """As a tensor where it fits, in half precision where the file is."""
    half = all(array.dtype == np.float16 for array in arrays)
    if len(mapped) * mapped.shape[1] * (2 if half else 4) > MAX_BYTES:
        return mapped
    x = torch.empty(mapped.shape, dtype=torch.float16 if half else torch.float32)
    filled = 0
    for part in mapped.split(_PART):
        x[filled : filled + len(part)] = part
        filled += len(part)
    return x
