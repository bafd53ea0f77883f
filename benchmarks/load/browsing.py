"""Visitors who browse: each opens a page, with the pictures and sounds that a browser would fetch for it, looks at it for some seconds, and goes on."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

import brotli

from benchmarks.pages import Running, alive_units, asked

THINK_S = (4.0, 8.0)
"""how long a visitor looks at a page"""
N_MEDIA = 4
"""of the pictures and sounds in a page, those in sight"""
LIMIT_S = 30.0
WORDS = ("sk", "money", "nasal", "comma", "the", "ship", "question", "airplane", "word")
OTHERS = ("/?tab=about", "/?tab=audio", "/?tab=text", "/?tab=lab", "/api/dictionaries")
_unpacked: Callable[[bytes], bytes] = getattr(brotli, "decompress")  # noqa: B009 -- it has no types
_MEDIA = re.compile(rb'src="(/media/[^"]+)"')


@dataclass(frozen=True)
class Look:
    """One request of a visitor."""

    kind: str
    at: float
    """when it was sent, on the monotonic clock"""
    seconds: float
    problem: str = ""


@dataclass
class Browsing:
    """What all of them have seen."""

    page: Running
    looks: list[Look] = field(default_factory=list[Look])
    units: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    visit: int = 0
    """the number of the page's event that draws a view"""

    @classmethod
    def on(cls, page: Running) -> Browsing:
        """Learns what there is to visit."""
        with_tables = [d["slug"] for d in asked(page, "/api/dictionaries") if d["tables"]]
        units = alive_units(page, 200) + [(slug, unit) for slug in with_tables for unit in range(0, 300, 7)]
        events = asked(page, "/config")["dependencies"]
        return cls(page, units=units, visit=next(e["id"] for e in events if any(kind == "visit" for _, kind in e["targets"])))

    async def run(self, n: int, end: float) -> None:
        """n visitors until then."""
        await asyncio.gather(*(self._visitor(number, end) for number in range(n)))

    async def _visitor(self, number: int, end: float) -> None:
        dice, session = random.Random(number), f"{number}-0"
        await asyncio.sleep(dice.uniform(0, THINK_S[1]))
        while time.monotonic() < end:
            kind, path = self._choice(dice)
            session = f"{number}-{len(self.looks)}" if path.startswith("/?") else session  # a page that is loaded anew
            await self._page(kind, path, session)
            await asyncio.sleep(dice.uniform(*THINK_S))

    def _choice(self, dice: random.Random) -> tuple[str, str]:
        """(kind, address) of the next page; of those addresses that a click would lead to, most are drawn by the page's own event."""
        slug, unit = dice.choice(self.units)
        word = quote(dice.choice(WORDS))
        views = (
            ("card", f"/?tab=feature&dictionary={slug}&unit={unit}", 30),
            ("list", f"/?dictionary={slug}&page={dice.randint(1, 20)}", 20),
            ("search", f"/?tab=find&q={word}", 6),
            ("compare", f"/?tab=compare&dictionary={slug}&unit={unit}", 5),
            ("health", f"/?tab=health&dictionary={slug}", 3),
            ("collected", f"/?tab=list&units={slug}:{unit},{unit + 1}", 3),
            ("preview", f"/f/{slug}/{unit}", 6),
            ("share picture", f"/media/unit/{slug}/{unit}.png", 3),
            ("unit json", f"/api/unit/{slug}/{unit}", 10),
            ("peaks json", f"/api/search/{slug}/{unit}?n=20", 5),
            ("found json", f"/api/find?q={word}", 3),
            ("other", dice.choice(OTHERS), 6),
        )
        kind, path, _ = dice.choices(views, weights=[weight for *_, weight in views])[0]
        return (f"{kind}, by a click", path[2:]) if path.startswith("/?") and dice.random() < 0.6 else (kind, path)

    async def _page(self, kind: str, path: str, session: str) -> None:
        """One page on a connection of its own: the page, then what is in sight on it."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.page.port, limit=1 << 22)
        except OSError as error:
            self.looks.append(Look(kind, time.monotonic(), 0.0, f"no connection: {error}"))
            return
        try:
            body = await self._look(kind, self._request(path, session), reader, writer)
            if path.startswith("/?"):
                await self._look("first event of a page", self._event(path[2:], session, there=True), reader, writer)
            media = list(dict.fromkeys(_MEDIA.findall(body.replace(b'\\"', b'"'))))[:N_MEDIA]
            for address in media:
                await self._look("sound" if address.endswith(b"audio") else "picture", self._request(address.decode(), session), reader, writer)
        finally:
            writer.close()

    def _request(self, path: str, session: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode() if path.startswith("/") else self._event(path, session, there=False)

    def _event(self, query: str, session: str, there: bool) -> bytes:
        """What the page's script sends for a view: after a click, or for the first one, which the page has brought along (`there`)."""
        event = {"query": query, "n": int(not there), "clip": "", "passage": "", "run": "", "figures": "", "there": there}
        body = json.dumps({"data": [], "event_data": event, "fn_index": self.visit, "session_hash": session})
        head = f"POST /gradio_api/run/predict HTTP/1.1\r\n{self._head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return (head + body).encode()

    @property
    def _head(self) -> str:
        """What a browser sends along: it takes packed answers."""
        return f"Host: 127.0.0.1:{self.page.port}\r\nAccept-Encoding: gzip, deflate, br\r\n"

    async def _look(self, kind: str, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The body of an answer; what went wrong is noted."""
        before, problem, body = time.monotonic(), "", b""
        try:
            async with asyncio.timeout(LIMIT_S):
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
                body = _unpacked(body) if b"content-encoding: br" in head else body
            if not head.startswith(b"http/1.1 200"):
                problem = f"{head.splitlines()[0].decode()} {body[:200].decode(errors='replace')}"
        except (OSError, asyncio.IncompleteReadError, TimeoutError, IndexError) as error:
            problem = f"{type(error).__name__}: {error}"
        told = request.split(b"\r\n", 1)[0].decode()
        self.looks.append(Look(kind, before, time.monotonic() - before, f"{told}: {problem}" if problem else ""))
        return body


def quantile(seconds: list[float], share: float) -> float:
    """Milliseconds; not a number of nothing."""
    return sorted(seconds)[min(int(share * len(seconds)), len(seconds) - 1)] * 1000 if seconds else float("nan")


def by_kind(looks: list[Look]) -> Iterator[str]:
    """Lines for people: of each kind of request how many, and how long."""
    for kind in sorted({look.kind for look in looks}):
        seconds = [look.seconds for look in looks if look.kind == kind]
        yield f"{kind}: {len(seconds)} times, p50 {quantile(seconds, 0.5):.0f} ms, p95 {quantile(seconds, 0.95):.0f} ms, longest {max(seconds) * 1000:.0f} ms"
