"""Gradio's lines of events, which let everybody through to the desk's own line for the model, and how who has asked is told of their place there."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.context import LocalContext

from earmark.errors import Stopped
from earmark.live.line.sounds import N_READERS
from earmark.live.line.turns import MAX_WAITING, Tell

N_CONTINUED = 3
"""texts that are gone on with at a time: none of them keeps the model for longer than a step"""
MODEL: dict[str, Any] = {"concurrency_limit": MAX_WAITING + 4, "concurrency_id": "model"}
"""all runs of the model that a page asks for: whoever is too many is told so by the desk"""
PROGRAMS: dict[str, Any] = {"concurrency_limit": MAX_WAITING + 4, "concurrency_id": "programs"}
READING: dict[str, Any] = {"concurrency_limit": N_READERS, "concurrency_id": "reading"}
"""files are read apart, so that one that takes long holds up nobody who waits for the model"""
CONTINUED: dict[str, Any] = {"concurrency_limit": N_CONTINUED, "concurrency_id": "continue"}
N_THREADS = 64
"""of events that run or wait, apart from the threads of look-ups: more than all these lines together"""


def telling(progress: gr.Progress) -> Tell:
    """What tells the page or the program that has asked how it goes. It raises Stopped once they have gone: their turn is the next one's."""
    blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)

    def gone() -> bool:
        event = blocks._queue.event_ids_to_events.get(event_id) if blocks and event_id else None  # pyright: ignore[reportPrivateUsage]
        return event is not None and not event.alive

    def tell(share: float, words: str) -> None:
        if gone():
            raise Stopped("Whoever asked for this has gone.")
        progress(share, desc=words)

    return tell
