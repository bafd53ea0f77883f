"""A page of which the server keeps nothing for a visitor: an answer is made ready as far as it changes anything, and is then forgotten.

Gradio itself makes every component of an answer anew, also those that stay as they are, on the thread that serves all requests (30 ms of each view
here), and keeps them with their values for every visit of the last hour; and it describes all components anew for whoever comes (10 ms). Every view of
this page is drawn from its address, so that nobody needs them.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import gradio as gr
from gradio import state_holder
from gradio.block_function import BlockFunction
from gradio.state_holder import SessionState

from .events import unchanged

N_VISITS = 200
"""of which Gradio keeps what it keeps; to come back after as many others changes nothing"""


class Passing(SessionState):
    """A state for one answer: what is put down in it is gone with it."""

    def __init__(self, blocks: gr.Blocks):
        super().__init__(blocks)
        self._made: dict[int, Any] = {}

    def fresh(self) -> Passing:
        other = copy.copy(self)
        other._made = {}
        return other

    def __getitem__(self, key: int) -> Any:
        return self._made[key] if key in self._made else super().__getitem__(key)

    def __setitem__(self, key: int, value: Any) -> None:
        self._made[key] = value

    def _update_config(self, key: int) -> None: ...
    def _update_value_in_config(self, key: int, value: Any) -> None: ...


class Stateless(gr.Blocks):
    """Blocks that keep nothing of a visit."""

    @functools.cached_property
    def empty(self) -> Passing:
        """The state of a visit that has just begun."""
        return Passing(self)

    @functools.cached_property
    def _unchanged(self) -> dict[int, Any]:
        """Output -> what Gradio sends for one that stays as it is: always the same."""
        return {}

    async def postprocess_data(self, block_fn: BlockFunction, predictions: list[Any] | dict[Any, Any], state: SessionState | None) -> list[Any]:
        """What the page is sent for each output of an event, in their order."""
        if len(block_fn.outputs) < 2 or not isinstance(predictions, (list, tuple)):
            return await super().postprocess_data(block_fn, predictions, self.empty.fresh())  # pyright: ignore[reportUnknownMemberType]
        ids = [block._id for block in block_fn.outputs]
        stays = [isinstance(value, dict) and value == unchanged() for value in predictions]
        made = [n for n, stay in enumerate(stays) if not stay or ids[n] not in self._unchanged]
        sent = [self._unchanged.get(id_) for id_ in ids]
        if made:
            part = copy.copy(block_fn)
            part.outputs, values = [block_fn.outputs[n] for n in made], [predictions[n] for n in made]
            shown = await super().postprocess_data(part, values if len(values) > 1 else values[0], self.empty.fresh())  # pyright: ignore[reportUnknownMemberType]
            for n, value in zip(made, shown, strict=True):
                sent[n] = value
        self._unchanged.update({ids[n]: sent[n] for n in made if stays[n]})
        return sent


class OfVisit(SessionState):
    """What Gradio makes for whoever comes: of a page that keeps nothing, a state that nobody needs to describe."""

    def __new__(cls, blocks: gr.Blocks) -> SessionState:
        return blocks.empty.fresh() if isinstance(blocks, Stateless) else super().__new__(cls)


state_holder.SessionState = OfVisit  # the name by which Gradio makes it
