"""One address before several servers, in turns: every request goes to the next one, as behind a load balancer that knows no sessions."""

from __future__ import annotations

import asyncio
import functools
import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_turns(ports: tuple[int, ...]) -> Iterator[tuple[str, list[int]]]:
    """(the address, which server got each request so far)."""
    taken: list[int] = []
    turns = itertools.cycle(range(len(ports)))
    address: queue.Queue[tuple[str, Callable[[], None]]] = queue.Queue()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        away, sending = None, None
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            turn = next(turns)
            taken.append(turn)
            there, away = await asyncio.open_connection("127.0.0.1", ports[turn])
            kept = [line for line in lines if line and not line.lower().startswith(b"connection:")]
            away.write(b"\r\n".join([first, *kept, b"Connection: close", b"", b""]))
            sending = asyncio.ensure_future(pump(reader, away))
            await pump(there, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # a visitor who left
        finally:
            if sending is not None:
                sending.cancel()
            for end in (writer, away):
                if end is not None:
                    end.close()

    async def run() -> None:
        end = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        address.put((f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", functools.partial(asyncio.get_running_loop().call_soon_threadsafe, end.set)))
        await end.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    base, stop = address.get(timeout=10)
    try:
        yield base, taken
    finally:
        stop()
        thread.join(10)
