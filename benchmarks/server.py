"""app.py's page with two more routes: a constant answer, and a switch that keeps the model busy."""

from __future__ import annotations

import threading

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app import create_app, launch_options
from earmark.settings import Settings
from earmark.shelf.store import Store

CONSTANT = b'{"answer": 42}'
BUSY_CLIP_S = 10.0


class Busy:
    """The model on one clip after the other, in a thread of the server, as visitors' analyses run."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        from earmark.live.analysis import analyse

        from .material import Material

        material = Material()
        store, sound = Store(material.settings), material.clip_of(BUSY_CLIP_S)
        self._stop.clear()

        def work() -> None:
            while not self._stop.is_set():
                analyse(material.runtime, store, material.default.slug, sound, transcribe=False)

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()


def main() -> None:
    busy = Busy()

    async def constant(request: Request) -> Response:
        return Response(CONSTANT, media_type="application/json")

    def switch(request: Request) -> Response:
        busy.start() if request.path_params["state"] == "on" else busy.stop()
        return Response(CONSTANT, media_type="application/json")

    store = Store(Settings.from_env())
    options = launch_options(store)
    options["app_kwargs"]["routes"] = [
        Route("/bench/constant", constant),
        Route("/bench/busy/{state}", switch, methods=["POST"]),
        *options["app_kwargs"]["routes"],
    ]
    create_app(store.settings, store).launch(**options)


if __name__ == "__main__":
    main()
