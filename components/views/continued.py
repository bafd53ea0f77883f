"""What a text goes on with, plainly and edited, as it grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from earmark.links import Link

from ..tokens import Piece, pieces

if TYPE_CHECKING:
    from earmark.live.editing.continuation import Continuation
    from earmark.live.editing.desk import Wanted

LENGTHS = (20, 40, 60)
"""tokens that can be asked for"""
MAX_SEED = 999_999


@dataclass(frozen=True)
class ContinuedView:
    """Both continuations, and how far they are."""

    edits: str
    """as the address has them"""
    run: str
    """the name of the run that makes them, while it does"""
    over: bool
    n_tokens: int
    seed: int
    n: int = 0
    plain: tuple[Piece, ...] = ()
    edited: tuple[Piece, ...] = ()
    same: bool = False
    """both are the same so far"""
    done: bool = False
    """as long as was asked for, or ended by the model"""
    notices: tuple[str, ...] = ()
    problem: str | None = None
    lengths: tuple[int, ...] = LENGTHS
    max_seed: int = MAX_SEED


def continued_view(link: Link, found: tuple[Wanted, Continuation] | None, run: str = "", over: bool = False) -> ContinuedView:
    """What is there; nothing yet for None. `over`: nothing is added any more."""
    if found is None:
        return ContinuedView(link.written_edits, run, over, LENGTHS[1], 0)
    wanted, grown = found
    plain, edited = (pieces([text]) if text else () for text in (grown.plain, grown.edited))
    same, settings = grown.plain == grown.edited, (wanted.n_tokens, wanted.seed)
    return ContinuedView(link.written_edits, run, over or grown.done, *settings, grown.n, plain, edited, same, grown.done, grown.notices)
