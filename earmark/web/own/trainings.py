"""Trainings of the Lab over HTTP: how far one is, Stop, what it gave as JSON and as an archive, and the sound that it was trained on. Nothing is cached."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ...errors import NotFound
from ...live.desk import Desk
from ...live.lab.run import Run
from ...live.line.kept import Clip
from ..answers import answered
from .clips import private, sound_and_picture


def training_routes(desk: Desk) -> list[Route]:
    def run_of(request: Request) -> Run:
        run = desk.lab.kept.get(request.path_params["token"])
        if run is None:
            raise NotFound("This training is no longer kept. Train once more.")
        return run

    def clip_of(request: Request) -> Clip:
        clip = run_of(request).clip
        if clip is None:
            raise NotFound("This was trained on a text; it has no sound.")
        return clip

    @answered
    async def progress(request: Request) -> Response:
        return private(JSONResponse(desk.lab.progress(request.path_params["ticket"])))

    @answered
    async def stop(request: Request) -> Response:
        desk.lab.stop(request.path_params["ticket"], leave=request.query_params.get("leave") == "1")
        return private(JSONResponse({}))

    @answered
    async def told(request: Request) -> Response:
        run, order = run_of(request), request.query_params.get("sort", "activity")
        return private(JSONResponse(await run_in_threadpool(run.json, order)))

    @answered
    async def archive(request: Request) -> Response:
        data = await run_in_threadpool(run_of(request).zip)
        return private(Response(data, media_type="application/zip", headers={"Content-Disposition": 'attachment; filename="earmark-lab.zip"'}))

    return [
        Route("/lab/training/{ticket}", progress),
        Route("/lab/training/{ticket}/stop", stop, methods=["POST"]),
        Route("/lab/{token}/run.json", told),
        Route("/lab/{token}/sae.zip", archive),
        *sound_and_picture("/lab/{token}", clip_of),
    ]
