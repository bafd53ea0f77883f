"""app.py's page with two more routes: a constant answer, and a switch that keeps the model busy."""

from __future__ import annotations

import threading

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app import create_page, launch_options
from earmark.live.desk import Desk
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
            while not self._stop.is_set():
                analyse(material.runtime, store, material.default.slug, sound, transcribe=False)
                self.n_analyses += 1

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
        return JSONResponse({"analyses": busy.n_analyses})

    store = Store(Settings.from_env())
    desk = Desk(store)
    demo, page = create_page(store, desk)
    options = launch_options(store, desk, page)
    options["app_kwargs"]["routes"] = [
        Route("/bench/constant", constant),
        Route("/bench/busy/{state}", switch),
        *options["app_kwargs"]["routes"],
    ]
    demo.launch(**options)


if __name__ == "__main__":
    main()
