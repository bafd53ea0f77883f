# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateUsage=false
"""Gradio's events, with the types that it leaves open: what a component's own script sends, who is told, and what stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

if TYPE_CHECKING:
    from gradio.events import Trigger


def told(event: gr.EventData) -> dict[str, Any]:
    """What a script sent along with its event."""
    return event._data or {}


def when(page: Component, event: str, does: Callable[..., object], inputs: Component | None, outputs: Component | Sequence[Block] | None, **how: Any) -> None:
    """Run a function when the script of a component triggers an event of its own."""
    getattr(page, event)(does, inputs, outputs, **how)


def when_any(triggers: Sequence[Trigger], does: Callable[..., object], inputs: Component, outputs: Component, **how: Any) -> None:
    """Run a function on whichever of several events."""
    gr.on(triggers, does, inputs, outputs, **how)


def unchanged() -> Any:
    """In place of an output: it stays as it is."""
    return gr.skip()


def published(function: Callable[..., object], **how: Any) -> None:
    """Offer a function to programs, under its own name."""
    gr.api(function, api_name=function.__name__, **how)
