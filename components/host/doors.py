"""What requests may bring, and which of Gradio's rooms nobody needs here.

Gradio takes files of any number and sorts of forms, keeps what breaks off half-way, hands out by address what it has taken, and fetches other hosts' pages for
whoever asks. Here a request has a size and comes in time; only the upload room takes files; what is taken lies in a folder that is looked through, whose
oldest files leave when it is full; and none of it is handed out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import tempfile
import time
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

from gradio import route_utils
from gradio.route_utils import GradioUploadFile
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FORGET_S = (600, 2400)
"""how often taken files are looked through, and how old they get where a visitor leaves before they are read"""
MAX_TAKEN_BYTES = 1_000_000_000
"""of all files that wait to be read, together; the oldest leave"""
MAX_BODY_BYTES = 4_000_000
"""of a request that brings no file"""
FORM_BYTES = 10_000
"""what a form holds besides its file"""
GRACE_S, SLOWEST_BYTES_S = 30.0, 5_000.0
"""a body is waited for so long, and for each so many bytes of it that came a second more: telephones send more than that, even where the net is bad"""
UNEXPECTED = "This could not be answered: what was asked does not fit, or something is broken here. About lists what can be asked."
ROOMS = "/gradio_api"
UPLOAD = "/upload"
CLOSED = (
    "/file=",
    "/file/",
    "/proxy=",
    "/stream/",
    "/process_recording",
    "/component_server",
    "/custom_component",
    "/deep_link",
    "/vibe",
    "/undo-vibe",
    "/run-history",
    "/dev/",
)
"""rooms of Gradio's that nothing here uses: they hand out files, fetch from other hosts, or write to the disk"""


class Doors:
    """Middleware in front of all that takes something in."""

    def __init__(self, app: ASGIApp, max_upload_mb: int):
        self._app, self._max_upload_bytes = app, max_upload_mb * 1_000_000
        route_utils.GradioUploadFile = Apart  # the name by which Gradio's parser of forms makes them

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        room = scope["path"].removeprefix(ROOMS)
        if room.startswith(CLOSED):
            await JSONResponse({"error": "There is nothing here. The routes are listed on About."}, 404)(scope, receive, send)
            return
        takes_files, headers = room.rstrip("/") == UPLOAD, Headers(scope=scope)
        most = self._max_upload_bytes + FORM_BYTES if takes_files else MAX_BODY_BYTES
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > most:
            await JSONResponse({"error": _too_large(most)}, 413)(scope, receive, send)
            return
        if takes_files:
            await run_in_threadpool(sweep, taken_folder())
        elif "multipart/form-data" in headers.get("content-type", "").lower():
            await JSONResponse({"error": f"Files are taken by {ROOMS}{UPLOAD} alone."}, 415)(scope, receive, send)
            return
        empty = "content-length" not in headers and "transfer-encoding" not in headers
        await self._answered(scope, Body(receive, most, takes_files, empty), send)

    async def _answered(self, scope: Scope, body: Body, send: Send) -> None:
        """What goes wrong unexpectedly is a sentence for who asked, and a note without their words for the log."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(body.told(message))

        try:
            await self._app(scope, body, noting)
        except ClientDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 whatever it is, its words stay out of the log
            note(error)
            if not started:
                await JSONResponse({"error": UNEXPECTED}, 500)(scope, body, send)


class Body:
    """The messages of a request, up to so many bytes, which must not come too slowly. A form with files that is refused raises what makes Gradio delete it."""

    def __init__(self, receive: Receive, most: int, takes_files: bool, empty: bool = False):
        self._receive, self._most, self._takes_files, self._whole = receive, most, takes_files, empty
        self._n = 0
        """bytes that came"""
        self._waited_s = 0.0
        """for them, apart from what was done with them meanwhile"""
        self._refused = 0
        """the status, once something is refused"""

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()
        message = await self._next()
        if message["type"] == "http.disconnect" and self._takes_files:
            raise MultiPartException("The upload broke off.")
        self._n += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._n > self._most:
            raise self._refusal(413, f"{_too_large(self._most)} (the maximum allowed size)" if self._takes_files else _too_large(self._most))
        return message

    async def _next(self) -> Message:
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(max(GRACE_S + self._n / SLOWEST_BYTES_S - self._waited_s, 0.0)):
                return await self._receive()
        except TimeoutError:
            raise self._refusal(408, _too_slow()) from None
        finally:
            self._waited_s += time.monotonic() - asked_at

    def _refusal(self, status: int, said: str) -> Exception:
        self._refused = status
        return MultiPartException(said) if self._takes_files else HTTPException(status, said)

    def told(self, message: Message) -> Message:
        """A message of the answer. After a refusal it has its status, which Gradio knows no better, and no more is read from this visitor's connection."""
        if not self._refused or message["type"] != "http.response.start":
            return message
        return {**message, "status": self._refused, "headers": [*message["headers"], (b"connection", b"close")]}


def note(error: Exception) -> None:
    """Log an unexpected error's kind and its place in the code; its words may be a visitor's."""
    logging.getLogger(__name__).error("%s at\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))


async def misfit(request: Request, error: Exception) -> Response:
    """Answers a body that does not fit. FastAPI's own answer repeats the body, which may be no JSON, and logs it where it is not."""
    return JSONResponse({"error": "The request's body is not what this address takes. About lists what can be asked."}, 422)


class Apart(GradioUploadFile):
    """Gradio lays files of the same bytes and name into one place, and whoever has one read deletes it: these lie in places of their own."""

    def __init__(self, file: BinaryIO, **told: Any):
        super().__init__(file, **told)
        self.sha.update(secrets.token_bytes(16))


def _too_large(most: int) -> str:
    return f"The request brings more than {most / 1e6:.0f} MB, the most that is taken."


def _too_slow() -> str:
    return f"The request came too slowly: it has {GRACE_S:.0f} s, and a second more for every {SLOWEST_BYTES_S / 1000:.0f} kB. Try where the net is better."


# -- what has been taken ------------------------------------------------------------------------------------------------------


def own_folder() -> Path:
    """A folder for taken files that nobody else's program writes into or looks into."""
    folder = Path(tempfile.gettempdir()) / f"earmark-{getattr(os, 'getuid', int)()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not folder.is_symlink() and folder.stat().st_uid == getattr(os, "getuid", lambda: folder.stat().st_uid)():
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="earmark-"))


def taken_folder() -> Path | None:
    """Where Gradio puts what it takes; None where that was not said, and the folder may be other programs' too."""
    named = os.environ.get("GRADIO_TEMP_DIR")
    return Path(named) if named else None


def sweep(folder: Path | None, max_age_s: float = FORGET_S[1], max_bytes: int = MAX_TAKEN_BYTES, clock: Callable[[], float] = time.time) -> None:
    """Delete what is too old, then the oldest of what is too much; and folders that have long been empty."""
    found = sorted(_below(folder)) if folder else []
    files = [one for one in found if not one[2].is_dir()]
    total, now = sum(size for _, size, _ in files), clock()
    for changed, size, path in files:
        if changed < now - max_age_s or total > max_bytes:
            total -= size
            _without_error(path.unlink)
    for changed, _, path in found:
        if path.is_dir() and changed < now - max_age_s:
            _without_error(path.rmdir)


def _below(folder: Path) -> list[tuple[float, int, Path]]:
    """(when it was last changed, bytes, path) of all that lies in a folder; what vanishes meanwhile is left out."""
    found: list[tuple[float, int, Path]] = []
    for path in folder.rglob("*"):
        try:
            told = path.lstat()
        except OSError:
            continue
        found.append((told.st_ctime, told.st_size, path))
    return found


def _without_error(delete: Callable[[], object]) -> None:
    try:
        delete()
    except OSError:  # another process was faster, or the folder is not empty
        pass


def swept(every_s: float = FORGET_S[0]) -> Callable[[object], AbstractAsyncContextManager[None]]:
    """A lifespan: while the page is up, what was taken is looked through again and again, first of all what an earlier process has left."""

    async def again() -> None:
        while True:
            await run_in_threadpool(sweep, taken_folder())
            await asyncio.sleep(every_s)

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncGenerator[None]:
        task = asyncio.create_task(again())
        try:
            yield
        finally:
            task.cancel()

    return lifespan
