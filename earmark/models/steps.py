"""A language model that reads a text token after token: what it has read, it need not read again.

Families of transformers keep the keys and values of what has been read (`DynamicCache`, which knows sliding windows); a family without such a cache
(`keeps_read` is False) reads the whole again at each step. Either way a change sees each position once, when it is first read, and what it made
of it stays.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput
from ..units import Hook
from .base import TextModel
from .capture import Change, Replace, replacing

_CACHE_NAMES = ("cache", "past_key_values")
"""what transformers calls the cache that `forward` is given: since 5.24, and before"""


class Steps:
    """One text as one run of the model sees it. It belongs to whoever made it; on the model, which all share, hooks hang only inside `read`."""

    def __init__(self, model: TextModel):
        """Raises BadInput for a model without the head that predicts tokens."""
        model.check_head()
        self._model = model
        self._ids: list[int] = []
        self._passed: dict[Hook, Tensor] = {}
        self._cache: dict[str, Any] = _new_cache(model.network) if model.keeps_read else {}

    @property
    def n_read(self) -> int:
        """Tokens that have been read, with what stands in front of the text."""
        return len(self._ids)

    def read(self, ids: Sequence[int], replace: Replace | None = None) -> Tensor:
        """float32 [vocabulary]: what the model expects after `ids`, which follow what it has read. Runs the model: hold its lock.

        Functions of `replace` get the positions of `ids` alone, [n_ids, width]. Raises BadInput for more tokens than the model has positions.
        """
        if not 1 <= len(ids) <= self._model.n_context - self.n_read:
            told = f"{len(ids)} tokens behind {self.n_read}" if self._ids else f"{len(ids)} tokens"
            raise BadInput(f"The model is to read {told}; {self._model.slug} has {self._model.n_context} positions. Bring a shorter text.")
        network = self._model.network
        with torch.inference_mode():
            if self._cache:
                with replacing(self._model.root, replace or {}):
                    logits = network(torch.tensor([ids]), use_cache=True, logits_to_keep=1, **self._cache).logits
            else:
                with replacing(self._model.root, self._on_new(replace or {})):
                    logits = network(torch.tensor([[*self._ids, *ids]]))
        self._ids += ids
        return logits[0, -1].float()

    def _on_new(self, replace: Replace) -> Replace:
        """The same changes for a pass over all tokens: of those that were read before stands there what was made of them then."""
        n = self.n_read

        def whole(hook: Hook, change: Change) -> Change:
            def changed(x: Tensor) -> Tensor:
                before = self._passed.get(hook, x[:0])
                self._passed[hook] = torch.cat([before, x[len(before) : n], change(x[n:])])
                return self._passed[hook]

            return changed

        return {hook: whole(hook, replace.get(hook, lambda x: x)) for hook in dict.fromkeys((*self._passed, *replace))}


def _new_cache(network: Any) -> dict[str, Any]:
    """{the argument's name: an empty cache}"""
    from transformers import DynamicCache

    return {cache_name(network): DynamicCache(config=network.config)}


def cache_name(network: Any) -> str:
    """The argument of a network's `forward` that takes its cache."""
    known = inspect.signature(network.forward).parameters
    return next(name for name in _CACHE_NAMES if name in known)
