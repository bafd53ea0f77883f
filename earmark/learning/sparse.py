"""The pass of an autoencoder of which few units are active: only those cost anything but the encoder's one product.

Autograd alone would multiply matrices as large as the encoder's three or four more times, nearly all of it by 0. Here gradients are sums over the active
units (a sparse matrix by a dense one, and products of chosen rows), which makes a step of 2,048 positions on one core about twice as fast.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..tensors import applied, csr, sampled_product

FEW = 0.12
"""share of active units below which sums over them are quicker than whole products"""


def decoded(x: Tensor, W_enc: Tensor, b_enc: Tensor, W_dec: Tensor, f: Tensor, units: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """(f W_dec [n, d_out], f [m]), with the gradients that f = relu(x W_enc + b_enc) would pass on if it were computed here.

    x [n, d]; W_enc [d, n_units]; b_enc [n_units]; W_dec [n_units, d_out]; f [m] and units [m], position after position: the values that are kept,
    without gradient; starts [n + 1]: the place of each position's first, and m.
    """
    if _chooses(x):
        return applied(_Chosen, x, W_enc, b_enc, W_dec, f, units, starts)
    return _densely(x, W_enc, b_enc, W_dec, f, units, starts)


def rectified(x: Tensor, W_enc: Tensor, b_enc: Tensor, W_dec: Tensor, density: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """(f W_dec [n, d_out], f, units) of f = relu(x W_enc + b_enc): all of f [n, n_units] and None, or f [m] and units [m] of what is above 0.

    density []: the share of values that is expected to be above 0, as the last batch had it; where it is small, only those are worked on.
    """
    if not _chooses(x) or float(density) >= FEW:
        f = torch.relu(x @ W_enc + b_enc)
        return f @ W_dec, f, None
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        kept = torch.addmm(b_enc, x, W_enc).relu_().to_sparse_csr()
    x_hat, f = decoded(x, W_enc, b_enc, W_dec, kept.values(), kept.col_indices(), kept.crow_indices())
    return x_hat, f, kept.col_indices()


def _chooses(x: Tensor) -> bool:
    """Whether sums over chosen units are to be had, and quicker than whole products: on a CPU, in float32."""
    return x.device.type == "cpu" and torch.backends.mkl.is_available() and not torch.is_autocast_enabled("cpu")


def _densely(x: Tensor, W_enc: Tensor, b_enc: Tensor, W_dec: Tensor, f: Tensor, units: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """The same by autograd and whole products, which a GPU does faster than it chooses."""
    positions = torch.repeat_interleave(torch.arange(len(x), device=x.device), starts.diff())
    kept = torch.zeros(len(x), W_enc.shape[1], dtype=torch.bool, device=x.device)
    kept[positions[f > 0], units[f > 0]] = True
    whole = (x @ W_enc + b_enc).relu() * kept
    return whole @ W_dec, whole[positions, units]


class _Chosen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, W_enc: Tensor, b_enc: Tensor, W_dec: Tensor, f: Tensor, units: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, W_enc, W_dec, f, units, starts)
        ctx.set_materialize_grads(False)
        return F.embedding_bag(units, W_dec, starts[:-1], mode="sum", per_sample_weights=f), f.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        x, W_enc, W_dec, f, units, starts = ctx.saved_tensors
        n_units = len(W_dec)
        decoded_grad = torch.zeros(len(x), W_dec.shape[1]) if grads[0] is None else grads[0].contiguous()
        pattern = _matrix(starts, units, f, (len(x), n_units))
        f_grad = sampled_product(pattern, decoded_grad, W_dec.T)
        f_grad = (f_grad if grads[1] is None else f_grad + grads[1]) * (f > 0)
        by_unit, order = units.sort(stable=True)
        firsts = torch.searchsorted(by_unit, torch.arange(n_units + 1))
        positions = torch.repeat_interleave(torch.arange(len(x)), starts.diff())[order]

        def summed(weights: Tensor, rows: Tensor) -> Tensor:
            """[n_units, d]: each unit's sum over its positions of weight times row."""
            return _matrix(firsts, positions, weights[order], (n_units, len(x))) @ rows

        x_grad = _matrix(starts, units, f_grad, (len(x), n_units)) @ W_enc.T if ctx.needs_input_grad[0] else None
        b_enc_grad = torch.zeros(n_units).index_add_(0, units, f_grad)
        return x_grad, summed(f_grad, x).T, b_enc_grad, summed(f, decoded_grad), None, None, None


def _matrix(starts: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """By rows; without torch's warning that such matrices are new to it, and without its checks, for the parts are our own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return csr(starts, columns, values, size)
