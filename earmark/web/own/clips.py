"""A visitor's own clip over HTTP: its sound and picture, for the page that knows its token; and how far the model is. Nothing is cached."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...errors import NotFound
from ...live.desk import Desk
from ...live.line.kept import Clip
from ..answers import answered, bytes_response
from ..pictures import mel_png

PRIVATE = "private, no-store"


def private(response: Response) -> Response:
    """An answer that nobody but who asked may keep, and not even they."""
    response.headers["Cache-Control"] = PRIVATE
    return response


def sound_and_picture(prefix: str, clip_of: Callable[[Request], Clip]) -> list[Route]:
    """PREFIX/sound.wav and PREFIX/mel.png of the clip that a request names."""

    @answered
    async def sound(request: Request) -> Response:
        return private(bytes_response(request, clip_of(request).sound, "audio/wav"))

    @answered
    async def mel(request: Request) -> Response:
        return private(bytes_response(request, await run_in_threadpool(mel_png, clip_of(request).mel), "image/png"))

    return [Route(f"{prefix}/sound.wav", sound), Route(f"{prefix}/mel.png", mel)]


def clip_routes(desk: Desk) -> list[Route]:
    def clip_of(request: Request) -> Clip:
        clip = desk.kept.get(request.path_params["token"])
        if clip is None:
            raise NotFound("This clip is no longer kept. Bring it again.")
        return clip

    @answered
    async def state(request: Request) -> Response:
        found, wait = desk.state(request.path_params["dictionary"]), desk.turns.wait()
        text = f"{found.text} {wait.beforehand}" if found.name == "ready" and wait.n_before else found.text
        return private(JSONResponse({"state": found.name, "text": text, "waiting": wait.n_before, "wait_s": round(wait.seconds, 1)}))

    @answered
    async def open_(request: Request) -> Response:
        found = await run_in_threadpool(desk.open, request.path_params["dictionary"])
        return private(JSONResponse({"state": found.name, "text": found.text}))

    return [
        *sound_and_picture("/own/{token}", clip_of),
        Route("/model/{dictionary}", state),
        Route("/model/{dictionary}/open", open_, methods=["POST"]),
    ]
