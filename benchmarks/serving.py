"""Requests a second of /api/unit against a constant route of the same server, idle and while the model is busy."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence

from .figures import Figure, interleaved, median_ratio, report, tell
from .pages import SERVER, alive_units, running, status

N_CLIENTS, N_UNITS, PHASE_S, ROUNDS = 8, 50, 1.5, 3
"""at most 8 requests at once, to this machine only, for some seconds"""
CONSTANT = "/bench/constant"


def measure() -> Iterator[Figure]:
    with running(SERVER) as page:
        paths = [f"/api/unit/{slug}/{unit}" for slug, unit in alive_units(page, N_UNITS)]
        for path in paths:
            assert status(page.port, path) == 200, path

        def unit(_: int) -> float:
            return asyncio.run(load(page.port, paths))

        def constant(_: int) -> float:
            return asyncio.run(load(page.port, [CONSTANT]))

        unit(0)
        constant(0)
        ours, reference = interleaved([unit, constant], ROUNDS)
        tell(f"idle: /api/unit {statistics.median(ours):.0f} requests/s, constant route {statistics.median(reference):.0f}")
        yield Figure("api_unit_over_constant_route", median_ratio(ours, reference), least=0.5)
        assert status(page.port, "/bench/busy/on", "POST") == 200
        time.sleep(1)
        busy, busy_reference = interleaved([unit, constant], ROUNDS)
        assert status(page.port, "/bench/busy/off", "POST") == 200
        tell(f"busy: /api/unit {statistics.median(busy):.0f} requests/s, constant route {statistics.median(busy_reference):.0f}")
        yield Figure("api_unit_while_busy_over_constant_route_while_busy", median_ratio(busy, busy_reference), least=0.25)
        yield Figure("api_unit_while_busy_over_constant_route_idle", statistics.median(busy) / statistics.median(reference), least=0.25)


async def load(port: int, paths: Sequence[str]) -> float:
    """Answers a second that N_CLIENTS connections get, each asking for one path after the other."""
    end = time.monotonic() + PHASE_S
    counts = await asyncio.gather(*(_client(port, [*paths[i % len(paths) :], *paths[: i % len(paths)]], end) for i in range(N_CLIENTS)))
    return sum(counts) / PHASE_S


async def _client(port: int, paths: Sequence[str], end: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    requests = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() for path in paths]
    n = 0
    while time.monotonic() < end:
        writer.write(requests[n % len(requests)])
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head[:80]
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        n += 1
    writer.close()
    return n


if __name__ == "__main__":
    report(measure())
