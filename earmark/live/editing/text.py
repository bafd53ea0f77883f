"""What a language model expects of a text with units turned up, down or off: beside the plain run, and the run through the SAE alone.

At each position KL(plain || edited) over the whole vocabulary, in nats; the tokens whose probability grew and fell most; the probability of the
token that did come next. CE is the mean of -log of that, in nats. What edits leave alone is told in passing.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...edits import Edit
from ...errors import Stopped
from ...models.base import TextModel, next_token_losses
from ...runtime import Runtime
from ...shelf.store import Store
from ...tensors import as_floats, as_ints
from ..line.turns import Tell, quiet
from .apply import model_of_edits
from .passing import TextEdits, text_model

T = TypeVar("T")

N_NEXT = 5
"""tokens shown that gained, and that lost"""
MIN_CHANGE = 1e-4
"""of a probability; smaller changes are not listed"""
_N_ROWS = 64
"""positions compared at once"""


@dataclass(frozen=True)
class NextChange:
    """A token that the model expects next."""

    token: str
    """what it prints by itself"""
    p_plain: float
    p_edited: float


Tokens = tuple[NextChange, ...]


@dataclass(frozen=True)
class PositionChange:
    """What the model expects after one token of the text."""

    kl: float
    """KL(plain || edited), nats"""
    gained: Tokens
    """tokens that became likelier, by how much"""
    lost: Tokens
    p_plain: float | None
    """of the token that did come next; None at the text's last"""
    p_edited: float | None
    p_spliced: float | None = None
    """through the SAE alone; None where what is edited is no SAE"""


@dataclass(frozen=True)
class EditedText:
    """A text read plainly, with its edits, and through the SAE alone."""

    tokens: tuple[str, ...]
    """what each position prints; put together they are the text that was read"""
    positions: tuple[PositionChange, ...]
    ce_plain: float | None
    """None for a text of one token"""
    ce_edited: float | None
    ce_spliced: float | None
    """None where what is edited is no SAE, too"""
    sinks: tuple[int, ...] = ()
    """positions that are attention sinks, which edits and the SAE leave alone"""
    notices: tuple[str, ...] = ()

    @property
    def kl(self) -> float:
        """The mean over the text's positions, nats."""
        return float(np.mean([position.kl for position in self.positions]))

    def json(self) -> dict[str, Any]:
        """Plain, edited and spliced CE, the change of each token after the first, and what is expected at each position."""
        ces = {"plain": self.ce_plain, "spliced": self.ce_spliced, "edited": self.ce_edited}
        told = [{"token": token, **asdict(position)} for token, position in zip(self.tokens, self.positions, strict=True)]
        names = ("p_plain", "p_edited", "p_spliced")
        changes = [{"token": token, **{n: getattr(before, n) for n in names}} for token, before in zip(self.tokens[1:], self.positions, strict=False)]
        return {"ce": ces, "kl": self.kl, "changes": changes, "positions": told, "sinks": list(self.sinks), "notices": list(self.notices)}


def edit_text(
    runtime: Runtime,
    store: Store,
    edits: Sequence[Edit],
    text: str,
    tell: Tell = quiet,
    stop: Callable[[], bool] = lambda: False,
) -> EditedText:
    """Two passes over a text, three where all that is edited are SAEs; the model is held for one at a time.

    Raises BadInput for a text that cannot be used and for edits that cannot be made, Stopped when `stop` says so between passes.
    """
    model, slugs = model_of_edits(store.catalog, edits, "text")

    def passed(share: float, words: str, work: Callable[[TextModel], T]) -> T:
        if stop():
            raise Stopped("The edit was stopped before its last pass over the text.")
        tell(share, words)
        return runtime.run(model, work)

    with runtime.using(*slugs) as opened:
        loaded = text_model(runtime, model)
        sample = loaded.tokenize(text)
        here = TextEdits(loaded, opened, edits, sample)
        plain = passed(0.1, "Reading plainly", lambda m: m.logits(sample, here.noting()))
        edited = passed(0.4, "Reading with the edits", lambda m: m.logits(sample, here.on_text()))
        splice = here.through_saes()
        spliced = None if splice is None else passed(0.7, "Reading through the SAE alone", lambda m: m.cross_entropy(sample, splice))
    losses = (next_token_losses(plain, sample), next_token_losses(edited, sample), spliced)
    positions = tuple(_positions(loaded, plain, edited, losses))
    ce_plain, ce_edited, ce_spliced = (float(each.mean()) if each is not None and len(each) else None for each in losses)
    notices = (*sample.notices, *_notices(edits, positions))
    return EditedText(sample.tokens[sample.n_before :], positions, ce_plain, ce_edited, ce_spliced, here.sinks, notices)


def _positions(model: TextModel, plain: Tensor, edited: Tensor, losses: Sequence[NDArray[np.float32] | None]) -> Iterator[PositionChange]:
    ps = [[None] * len(plain) if each is None else [*np.exp(-each).tolist(), None] for each in losses]
    for first in range(0, len(plain), _N_ROWS):
        rows = slice(first, first + _N_ROWS)
        compared = _compared(model, plain[rows], edited[rows])
        for (kl, gained, lost), *of_next in zip(compared, *(p[rows] for p in ps), strict=True):
            yield PositionChange(kl, gained, lost, *of_next)


def _compared(model: TextModel, plain: Tensor, edited: Tensor) -> list[tuple[float, Tokens, Tokens]]:
    """(KL, tokens that gained, tokens that lost) for each row of logits [n, vocabulary]."""
    logs = [logits.double().log_softmax(dim=1) for logits in (plain, edited)]
    p, q = (log.exp() for log in logs)
    kl = as_floats((p * (logs[0] - logs[1])).sum(dim=1).clamp_min(0))
    return [(each, *ends) for each, ends in zip(kl, changed_most(model, p, q), strict=True)]


def changed_most(model: TextModel, plain: Tensor, edited: Tensor) -> list[tuple[Tokens, Tokens]]:
    """(tokens that gained, tokens that lost) for each row of probabilities [n, vocabulary], the most changed first."""
    ends: list[list[Tokens]] = []
    for sign in (1, -1):
        changes, ids = (sign * (edited - plain)).topk(min(N_NEXT, plain.shape[1]), dim=1)
        before, after = (share.gather(1, ids) for share in (plain, edited))
        ends.append([_listed(model, as_ints(row), *map(as_floats, values)) for row, *values in zip(ids, changes, before, after, strict=True)])
    return list(zip(ends[0], ends[1], strict=True))


def _listed(model: TextModel, ids: list[int], changes: list[float], before: list[float], after: list[float]) -> Tokens:
    n = sum(change >= MIN_CHANGE for change in changes)
    return tuple(map(NextChange, model.tokens_of(ids[:n]), before, after))


def _notices(edits: Sequence[Edit], positions: Sequence[PositionChange]) -> tuple[str, ...]:
    if any(p.kl > 0 for p in positions) or all(edit.changes_nothing for edit in edits):
        return ()
    return ("Nothing changes on this text: where the edits act the units are 0. Add a constant to wake a silent unit.",)
