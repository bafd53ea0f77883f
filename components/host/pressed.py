"""Pages and answers packed on their way, for whoever can unpack them: a card of 500 kB is 95 kB then, which a phone on a slow network notices.

Gradio packs by the ending of a file's name, and neither the page nor its events nor what programs ask for has one. Brotli's quickest quality takes 1 ms
for such a page (4, which Gradio takes for files, 3 ms for a sixth less).
"""

from __future__ import annotations

from gradio.brotli_middleware import BrotliMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

QUALITY = 1
ROOMS = ("/gradio_api/run/", "/api/", "/f/")
"""besides the page itself; sounds and pictures are packed already, and what comes bit by bit must not wait. A part of an answer is counted unpacked"""


class Pressed(BrotliMiddleware):
    """Middleware that packs what has no ending."""

    def __init__(self, app: ASGIApp):
        super().__init__(app, quality=QUALITY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = {name for name, _ in scope["headers"]} if scope["type"] == "http" else set[bytes]()
        if b"accept-encoding" in asked and b"range" not in asked:
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_compressible_file_type(self, scope: Scope) -> bool:
        path = str(scope["path"])
        return path == "/" or path.startswith(ROOMS)
