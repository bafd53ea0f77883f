"""What a language model expects of a text by itself, with an SAE's reconstruction in place of a layer's activations, and with zeros there.

Spliced and ablated are all positions of the text but its attention sinks; these, and what the model is given in front of a text, pass as they
are. CE recovered is (CE ablated - CE spliced) / (CE ablated - CE plain).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...dictionaries.base import SparseAutoencoder
from ...errors import BadInput
from ...models.base import TextModel, next_token_losses
from ...models.capture import Replace, sparing
from ...runtime import Opened, Runtime
from ...shelf.store import Store
from ...tensors import as_floats, as_ints
from ...units import TokenSample
from .passage import check_text_dictionary, sinks_of

N_EXPECTED = 5
"""next tokens shown for each position"""


@dataclass(frozen=True)
class Expected:
    """A token that a model expects next."""

    token: str
    """what it prints by itself"""
    probability: float


@dataclass(frozen=True, eq=False)
class Reading:
    """What the model expects after each position, in one way of running it."""

    expected: tuple[tuple[Expected, ...], ...]
    """[n_positions] of the likeliest next tokens, likeliest first"""
    losses: NDArray[np.float32]
    """[n_positions - 1]: -log p, in nats, of the token that did come next"""

    @property
    def ce(self) -> float | None:
        """Their mean; None for a text of one token."""
        return float(self.losses.mean()) if len(self.losses) else None


@dataclass(frozen=True, eq=False)
class Spliced:
    """A text read plainly, through an SAE, and with zeros."""

    tokens: tuple[str, ...]
    plain: Reading
    spliced: Reading
    ablated: Reading
    error: NDArray[np.float32]
    """[n_positions]: |x - x^|^2 / |x|^2; not a number at sinks, which pass as they are"""
    notices: tuple[str, ...] = ()

    @property
    def recovered(self) -> float | None:
        """None where ablation changes nothing, or there is no next token."""
        plain, spliced, ablated = self.plain.ce, self.spliced.ce, self.ablated.ce
        if plain is None or spliced is None or ablated is None or math.isclose(ablated, plain):
            return None
        return (ablated - spliced) / (ablated - plain)

    @property
    def n_bytes(self) -> int:
        return len(self.tokens) * 3 * N_EXPECTED * 120


def check_splice(store: Store, slug: str) -> None:
    """Raise BadInput for a dictionary that reconstructs nothing of a text."""
    check_text_dictionary(store, slug)
    kind = store.catalog.dictionary(slug).kind
    if kind != "sae":
        raise BadInput(f"{slug} holds the layer's own values ({kind}); only an SAE's reconstruction can be put in their place. Choose an SAE.")


def splice(runtime: Runtime, store: Store, slug: str, text: str) -> Spliced:
    """Three passes over a text. Raises BadInput for a text that cannot be used, and for a dictionary that is no SAE of a language model."""
    check_splice(store, slug)
    with runtime.using(slug) as (opened,):
        return runtime.run(opened.entry.model, lambda model: _passes(model, opened, model.tokenize(text)))


def _passes(model: TextModel, opened: Opened, sample: TokenSample) -> Spliced:
    sae, hook, n = opened.dictionary, opened.hook, sample.n_before
    if not isinstance(sae, SparseAutoencoder) or sae.width_out != sae.width:
        raise BadInput(f"{opened.entry.slug} predicts another place of the model than the one it reads; it cannot stand in for it.")
    stream = model.hook("residual", opened.entry.layer)
    taken = model.capture(sample, list(dict.fromkeys((hook, stream))))
    spared = np.concatenate([np.ones(n, bool), sinks_of(taken[stream], sample)])
    x = torch.as_tensor(taken[hook].values[~spared])
    error = np.full(len(sample.ids), np.nan, np.float32)
    error[~spared] = ((x - sae.reconstruct(x)).square().sum(dim=1) / x.square().sum(dim=1).clamp_min(1e-12)).numpy()
    plain = _reading(model, sample, {})
    spliced, ablated = (_reading(model, sample, {hook: sparing(spared, change)}) for change in (sae.reconstruct, torch.zeros_like))
    return Spliced(sample.tokens[n:], plain, spliced, ablated, error[n:], sample.notices)


def _reading(model: TextModel, sample: TokenSample, replace: Replace) -> Reading:
    logits = model.logits(sample, replace)
    return Reading(_expected(model, logits), next_token_losses(logits, sample))


def _expected(model: TextModel, logits: Tensor) -> tuple[tuple[Expected, ...], ...]:
    """[n_positions, vocabulary] -> the likeliest tokens of each."""
    values, ids = logits.topk(min(N_EXPECTED, logits.shape[1]), dim=1)
    shares = (values - logits.logsumexp(dim=1, keepdim=True)).exp()
    return tuple(
        tuple(Expected(token, share) for token, share in zip(model.tokens_of(as_ints(row)), as_floats(p), strict=True))
        for row, p in zip(ids, shares, strict=True)
    )
