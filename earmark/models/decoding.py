"""Whisper's decoder, greedily, over what its encoder made of one window; with a draft, where what it is likely to say is known from another run.

The tokens of a draft are read in one pass and stand as far as the decoder would have chosen each of them, so that what comes out is what comes out without
one (speculative decoding, Leviathan et al. 2023, arXiv:2211.17192, with a transcript in place of a small model). From where they part it goes on token
by token, and takes the draft up again where both have the last two tokens in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from ..tensors import as_ints
from .steps import cache_name

N_TAKEN_UP = 8
"""tokens of a draft that are read at once after it was left: fewer are lost when it is left again"""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A transcript of one window as tokens."""

    ids: tuple[int, ...]
    """without what begins and ends it"""
    ended: bool
    """False: it was stopped at the limit"""
    log_p: NDArray[np.float64]
    """of each token of the draft, or of `ids` where there is none: log of its probability given those before it, over the whole vocabulary; nats"""


@torch.inference_mode()
def greedy(
    network: Any, states: Tensor, prompt: Sequence[int], limit: int, draft: Sequence[int] | None = None, check: Callable[[], None] = lambda: None
) -> Decoded:
    """states [1, n_frames, width] -> at most `limit` tokens behind the prompt, each the likeliest that the model's generation config does not suppress.

    `check` is called before each pass and may raise.
    """
    known = network.generation_config
    ends = ends_of(network)
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    given = {cache_name(network): cache, "encoder_outputs": BaseModelOutput(last_hidden_state=states)}
    guess = list(draft or ())
    ids: list[int] = []
    log_p: list[NDArray[np.float64]] = []
    fed = [*prompt, *guess]
    while True:
        check()
        logits = network(decoder_input_ids=torch.tensor([fed]), use_cache=True, **given).logits[0, -len(guess) - 1 :].float()
        chosen = _likeliest(logits, known, first=not ids)
        n_right = next((n for n, (a, b) in enumerate(zip(guess, chosen, strict=False)) if a != b), len(guess))
        if draft is None or not ids:
            judged = chosen if draft is None else guess
            log_p.append(_log_p(logits[: len(judged)], judged))
        new = chosen[: n_right + 1]
        ended = next((n for n, token in enumerate(new) if token in ends), None)
        ids += new if ended is None else new[:ended]
        if ended is not None or len(ids) >= limit:
            found = np.concatenate(log_p) if log_p else np.zeros(0)
            return Decoded(tuple(ids[:limit]), ended is not None and len(ids) <= limit, found[: len(ids[:limit])] if draft is None else found)
        if n_right < len(guess):
            cache.crop(n_right - len(guess))
        guess = _taken_up(ids, draft or ())
        fed = [ids[-1], *guess]


def ends_of(network: Any) -> list[int]:
    """The tokens that end a transcript."""
    found: int | list[int] = network.generation_config.eos_token_id
    return found if isinstance(found, list) else [found]


def token_limit(network: Any, n_prompt: int) -> int:
    """The most tokens behind a prompt that transformers' own `generate` would write."""
    known, n_positions = network.generation_config, network.config.max_target_positions
    if known.max_new_tokens is not None:
        return min(known.max_new_tokens, n_positions - n_prompt)
    longest = n_positions if known.max_length is None else known.max_length + min(n_positions // 2 - 1, n_prompt)
    return min(longest, n_positions) - n_prompt


def _likeliest(logits: Tensor, known: Any, first: bool) -> list[int]:
    """[n, vocabulary] -> [n] tokens that are not suppressed; `first`: row 0 is the transcript's first token, where more are."""
    allowed = logits.clone()
    allowed[:, list(known.suppress_tokens or ())] = -torch.inf
    if first:
        allowed[0, list(known.begin_suppress_tokens or ())] = -torch.inf
    return as_ints(allowed.argmax(dim=1))


def _log_p(logits: Tensor, tokens: Sequence[int]) -> NDArray[np.float64]:
    own = logits.gather(1, torch.tensor(tokens, dtype=torch.long)[:, None])[:, 0]
    return (own - logits.logsumexp(dim=1)).double().numpy()


def _taken_up(ids: Sequence[int], draft: Sequence[int]) -> list[int]:
    """What follows in the draft behind the last two tokens of `ids`, where it has them; of several places the nearest to where `ids` is."""
    places = [n for n in range(1, len(draft)) if list(draft[n - 1 : n + 1]) == list(ids[-2:])]
    nearest = min(places, key=lambda n: abs(n + 1 - len(ids)), default=len(draft))
    return list(draft[nearest + 1 : nearest + 1 + N_TAKEN_UP])
