"""Headers of every answer: what a page may load, who may show it in a frame, and that nobody guesses types or is told addresses.

`unsafe-eval` and the styles' `unsafe-inline` are Gradio's: it makes functions of the texts of components' scripts and writes style attributes. Scripts
in the page run only with the answer's nonce, so that markup from a table or an address would run nothing, were it ever to get in.

Who may read answers from another page's script (CORS) is Gradio's own middleware's to say: on a host of this machine only pages of this machine, on a
public host every page. Nothing here knows a visitor by a cookie; a visitor's own clips lie under names that only their page knows.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earmark.web.preview import NAMES_ITSELF

OWN_ROOMS = ("/api/", "/media/", "/own/", "/model/", "/f/")
"""beginnings of the addresses that this library answers itself: they need no script"""
NAMING_ROOMS = ("/", "/config")
"""where Gradio says under what name it was asked for: what a stranger calls this page must not reach others from a cache"""
HUB = "'self' https://huggingface.co https://*.hf.space"
"""a Space is shown in a frame of the Hub"""
EVERYWHERE = "*"
REFERRER = "same-origin"
"""an address may hold a visitor's text: other hosts are not told it"""


def page_policy(nonce: str = "", framed_by: str = HUB) -> str:
    """Content-Security-Policy of the page. Without a nonce every inline script runs, as Gradio's own page wants it."""
    inline = f"'nonce-{nonce}'" if nonce else "'unsafe-inline'"
    return _policy(f"script-src 'self' {inline} 'unsafe-eval'", framed_by)


def embed_policy(nonce: str, framed_by: str) -> str:
    """Of a card without Gradio: scripts of this answer alone."""
    return _policy(f"script-src 'nonce-{nonce}'", framed_by)


def _policy(scripts: str, framed_by: str) -> str:
    return "; ".join(
        (
            "default-src 'self'",
            scripts,
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "frame-src 'none'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            f"frame-ancestors {framed_by}",
        )
    )


PLAIN_POLICY = f"default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {HUB}"
"""of answers that run nothing: JSON, sounds, pictures, the pages for link previews"""


class SafeHeaders:
    """Middleware: the headers of every answer, where it has not set its own."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = PLAIN_POLICY if scope["path"].startswith(OWN_ROOMS) else page_policy()

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", policy)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", REFERRER)
                for name, value in NAMES_ITSELF.items() if scope["path"] in NAMING_ROOMS else ():
                    headers.add_vary_header(value) if name == "Vary" else headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, complete)
