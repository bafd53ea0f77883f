"""How a language model goes on from a text: plainly and with units turned up, down or off, side by side, token by token.

Both draw with the same noise: the token is the largest of logit / temperature + g, with one Gumbel number g a token of the vocabulary and a step (which
draws from softmax(logit / temperature)), from one seed. So an edit that changes nothing gives the same text, and two that differ little part late. A
temperature of 0 takes the likeliest token. A text whose model says that it ends goes no further.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ...edits import Edit
from ...errors import BadInput, Stopped
from ...inputs.text import MAX_TOKENS
from ...models.base import TextModel
from ...models.capture import Replace
from ...models.steps import Steps
from ...runtime import Opened, Runtime
from ...shelf.store import Store
from .apply import model_of_edits
from .passing import TextEdits, text_model
from .text import edit_text

MAX_NEW_TOKENS = 60
N_NEW_TOKENS = 40
TEMPERATURE, MAX_TEMPERATURE = 0.7, 2.0
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Continuation:
    """What has been written behind a text so far; whole characters only."""

    plain: str
    edited: str
    n: int
    """tokens that each of them has been given time for"""
    done: bool = False
    notices: tuple[str, ...] = ()

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "notices": list(self.notices)}


def continue_text(
    runtime: Runtime,
    store: Store,
    edits: Sequence[Edit],
    text: str,
    n_tokens: int = N_NEW_TOKENS,
    seed: int = 0,
    temperature: float = TEMPERATURE,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Continuation]:
    """Each yields after one token of both; the last is `done`. The model is held for one step of one of them at a time.

    Raises BadInput for numbers out of range, a text that cannot be used and edits that cannot be made, and, from between two steps, Stopped when
    `stop` says so. A text is cut where the model would have no position left for what follows, with a notice.
    """
    model, slugs = model_of_edits(store.catalog, edits, "text")
    if not 1 <= n_tokens <= MAX_NEW_TOKENS:
        raise BadInput(f"{n_tokens} tokens are asked for; 1 to {MAX_NEW_TOKENS} are written.")
    return _written(runtime, model, slugs, edits, text, n_tokens, Draw(seed, temperature), stop)


def edit_and_continue(
    runtime: Runtime,
    store: Store,
    edits: Sequence[Edit],
    text: str,
    n_tokens: int = N_NEW_TOKENS,
    seed: int = 0,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """What the command and the endpoint `edit` answer of a text: what `edit_text` finds and, as `plain` and `edited`, how it goes on (0 tokens: not at all).

    `spliced` is null: a text is not gone on with through the SAE alone. Raises as both do.
    """
    if not 0 <= n_tokens <= MAX_NEW_TOKENS:
        raise BadInput(f"{n_tokens} tokens are asked for; 0 to {MAX_NEW_TOKENS} are written.")
    steps = continue_text(runtime, store, edits, text, n_tokens, seed, stop=stop) if n_tokens else iter(())
    found = edit_text(runtime, store, edits, text, stop=stop).json()
    last = deque(steps, maxlen=1).pop() if n_tokens else Continuation("", "", 0, True)
    return {"plain": last.plain, "spliced": None, "edited": last.edited, **found, "notices": list(dict.fromkeys((*found["notices"], *last.notices)))}


@dataclass(frozen=True)
class Draw:
    """How a token is chosen; the same for the same seed and number. Raises BadInput for numbers out of range."""

    seed: int
    temperature: float

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MAX_SEED:
            raise BadInput(f"The seed is {self.seed}; it must be a whole number from 0 to {MAX_SEED:,}.")
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            raise BadInput(f"The temperature is {self.temperature:g}; it must be a number from 0 (the likeliest token) to {MAX_TEMPERATURE:g}.")

    def token(self, logits: Tensor, number: int) -> int:
        """The token of logits [vocabulary], where `number` have been drawn before."""
        if self.temperature == 0:
            return int(logits.argmax())
        noise = torch.Generator().manual_seed(self.seed * MAX_NEW_TOKENS + number)
        return int((logits / self.temperature - torch.empty_like(logits).exponential_(generator=noise).log()).argmax())


def _written(
    runtime: Runtime, model: str, slugs: Sequence[str], edits: Sequence[Edit], text: str, n_tokens: int, draw: Draw, stop: Callable[[], bool]
) -> Iterator[Continuation]:
    with runtime.using(*slugs) as opened:
        plain, edited, notices = _begun(text_model(runtime, model), opened, edits, text, n_tokens)
        for n in range(1, n_tokens + 1):
            for run in (plain, edited):
                if stop():
                    raise Stopped(f"The continuation was stopped after {n - 1} tokens.")
                runtime.run(model, lambda _, run=run: run.step(draw))
            done = n == n_tokens or (plain.ended and edited.ended)
            yield Continuation(plain.text, edited.text, n, done, notices)
            if done:
                return


class _Run:
    """One of the two: what it has read, and what it writes."""

    def __init__(self, model: TextModel, ids: Sequence[int], replace: Callable[[int], Replace]):
        """replace: the changes for the tokens that are read next, the first of which has this number."""
        self._model, self._steps, self._replace = model, Steps(model), replace
        self._unread = tuple(ids)
        self._new: list[int] = []
        self.ended = False

    @property
    def text(self) -> str:
        return self._model.written(self._new)

    def step(self, draw: Draw) -> None:
        """Read what is not read yet, and write one token; nothing where the text has ended."""
        if self.ended:
            return
        token = draw.token(self._steps.read(self._unread, self._replace(self._steps.n_read)), len(self._new))
        self.ended = token in self._model.ends
        if not self.ended:
            self._new.append(token)
            self._unread = (token,)


def _begun(model: TextModel, opened: Sequence[Opened], edits: Sequence[Edit], text: str, n_tokens: int) -> tuple[_Run, _Run, tuple[str, ...]]:
    """(plain, edited, notices); plain reads first, for the edits look at its stream."""
    room = model.n_context - len(model.before) - n_tokens
    if room < 1:
        raise BadInput(f"{model.slug} has {model.n_context} positions, too few for {n_tokens} tokens behind a text. Ask for fewer.")
    sample = model.tokenize(text, min(room, MAX_TOKENS))
    here = TextEdits(model, opened, edits, sample)
    plain = _Run(model, sample.ids, lambda at: {} if at else here.noting())
    edited = _Run(model, sample.ids, lambda at: here.on_later(at) if at else here.on_text())
    return plain, edited, sample.notices
