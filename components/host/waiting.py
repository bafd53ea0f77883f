"""Gradio's lines of events, which let everybody through to the desk's own line for the model, who has asked, and how they are told of their place there."""

from __future__ import annotations

import ipaddress
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from starlette.requests import HTTPConnection

from earmark.errors import Stopped
from earmark.live.line.askers import ASKER, Asker
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


@contextmanager
def asking(page: str | None, request: HTTPConnection | None) -> Generator[None]:
    """What goes on meanwhile is asked for by this page."""
    token = ASKER.set(Asker((page or "")[:100], network_of(request) if request else ""))
    try:
        yield
    finally:
        ASKER.reset(token)


def network_of(request: HTTPConnection) -> str:
    """The network on the open internet that a request comes from; empty for one from this machine or this house, where people can talk to each other.

    Proxies add to X-Forwarded-For, at its end, whom they were asked by, so that whatever a stranger has written into it stands before. The last address that
    is of the open internet, their own among them, is therefore the visitor's. Of IPv6 half is taken: a connection has all the addresses that begin alike.
    """
    noted = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    for told in reversed([*noted, request.client.host if request.client else ""]):
        address = _address(told.strip())
        if address is not None and address.is_global:
            return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
    return ""


def _address(told: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Of an entry that may have a port behind it; None for what is no address."""
    bare = told[1:].partition("]")[0] if told.startswith("[") else told.partition(":")[0] if told.count(":") == 1 else told
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found
