# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Functions of torch and safetensors that say less of their types than they know, with their types said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import torch as files
from torch import Tensor


def lengths(x: Tensor, dim: int = -1, keepdim: bool = False) -> Tensor:
    """The Euclidean norms along one dimension: [..., d] -> [...]."""
    return torch.linalg.vector_norm(x, dim=dim, keepdim=keepdim)


def length(x: Tensor) -> Tensor:
    """The Euclidean norm of all that a tensor holds: []."""
    return torch.linalg.vector_norm(x)


def svd(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[n, d] as U [n, r], the singular values [r] from large to small, V^T [r, d], r = min(n, d)."""
    return torch.linalg.svd(x, full_matrices=False)


def qr(x: Tensor) -> tuple[Tensor, Tensor]:
    """[n, d] as Q [n, r] with orthonormal columns and R [r, d], upper triangular, r = min(n, d)."""
    return torch.linalg.qr(x)


def sampled_product(pattern: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """x @ y where the CSR matrix `pattern` has entries, and nowhere else: their values, in its order [n_entries]."""
    return torch.sparse.sampled_addmm(pattern, x, y, beta=0.0).values()


def csr(starts: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """A sparse matrix [size] from its rows' starts [n_rows + 1], and the column and value of each entry; nothing is checked."""
    return torch.sparse_csr_tensor(starts, columns, values, size, check_invariants=False)


def applied(function: type[torch.autograd.Function], *arguments: Tensor) -> Any:
    """What a function with a gradient of its own gives."""
    return function.apply(*arguments)


def as_ints(x: Tensor) -> list[int]:
    """Whole numbers [n] as a list."""
    return x.tolist()


def as_floats(x: Tensor) -> list[float]:
    """Numbers [n] as a list."""
    return x.tolist()


def load_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, on the CPU."""
    return files.load_file(path)


def save_file(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors by name, and words about them, as a safetensors file."""
    files.save_file(dict(tensors), path, metadata)
