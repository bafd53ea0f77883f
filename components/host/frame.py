"""The page that Gradio makes, in which every view is shown: the same for every address, so it is made once for each name by which this server is called.

Gradio takes words of the address for its own: `page=2`, which is the second page of a list here, it answers with a fault. So it is told none.
"""

from __future__ import annotations

from collections import OrderedDict

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

N_NAMES = 16
"""names of this server for which the page is kept: anybody can make one up"""
NAMED_BY = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")
"""the headers of a request from which Gradio tells where this server is; its page says so"""


class Frame:
    """Middleware that answers for Gradio's page."""

    def __init__(self, app: ASGIApp):
        self._app = app
        self._kept: OrderedDict[tuple[str, ...], tuple[Message, bytes]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        name = (request.method, request.url.scheme, str(scope.get("root_path")), *(request.headers.get(header, "") for header in NAMED_BY))
        known = self._kept.get(name)
        start, body = known or await self._made({**scope, "query_string": b""}, receive)
        if start["status"] == 200 and known is None:
            self._kept[name] = start, body
            while len(self._kept) > N_NAMES:
                self._kept.popitem(last=False)
        await send({**start, "headers": list(start["headers"])})
        await send({"type": "http.response.body", "body": body})

    async def _made(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """What Gradio answers: (the message that begins it, its body)."""
        start: Message = {}
        body = bytearray()

        async def taken(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            body.extend(message.get("body", b""))

        await self._app(scope, receive, taken)
        return start, bytes(body)
