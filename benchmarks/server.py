"""app.py's page with three more routes: a constant answer, a switch that keeps the model busy, and how long the answers took in here."""

from __future__ import annotations

import threading
import time
from typing import ClassVar

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app import create_page, launch_options
from earmark.live.desk import Desk
from earmark.live.line.quiet import stand_back
from earmark.settings import Settings
from earmark.shelf.store import Store

CONSTANT = b'{"answer": 42}'
BUSY_CLIP_S = 10.0


class Busy:
    """The model on one clip after the other, in a thread of the server, as visitors' analyses run."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.n_analyses = 0

    def start(self) -> None:
        from earmark.live.analysis import analyse

        from .material import Material

        material = Material()
        store, sound = Store(material.settings), material.clip_of(BUSY_CLIP_S)
        self._stop.clear()
        self.n_analyses = 0

        def work() -> None:
            stand_back()
            while not self._stop.is_set():
                analyse(material.runtime, store, material.default.slug, sound, transcribe=False)
                self.n_analyses += 1

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()


class Timed:
    """Middleware: seconds from a request's arrival to its last byte, of pages, look-ups and views; not of what waits for the model."""

    seconds: ClassVar[list[float]] = []

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        before = time.perf_counter()
        await self._app(scope, receive, send)
        path = str(scope.get("path", ""))
        if scope["type"] == "http" and (path.startswith("/gradio_api/run/") or not path.startswith(("/gradio_api/", "/bench/"))):
            self.seconds.append(time.perf_counter() - before)


def main() -> None:
    busy = Busy()

    def times(request: Request) -> Response:
        taken, Timed.seconds[:] = list(Timed.seconds), []
        return JSONResponse(taken)

    async def constant(request: Request) -> Response:
        return Response(CONSTANT, media_type="application/json")

    def switch(request: Request) -> Response:
        busy.start() if request.path_params["state"] == "on" else busy.stop()
        return JSONResponse({"analyses": busy.n_analyses})

    store = Store(Settings.from_env())
    desk = Desk(store)
    demo, page = create_page(store, desk)
    options = launch_options(store, desk, page)
    options["app_kwargs"]["routes"] = [
        Route("/bench/constant", constant),
        Route("/bench/busy/{state}", switch),
        Route("/bench/times", times),
        *options["app_kwargs"]["routes"],
    ]
    options["app_kwargs"]["middleware"].insert(0, Middleware(Timed))
    demo.launch(**options)


if __name__ == "__main__":
    main()
