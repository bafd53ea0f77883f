"""Answers over HTTP: expected errors as sentences, bytes with caching and ranges, answers kept in memory, parameters."""

from __future__ import annotations

import functools
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..errors import BadInput, EarmarkError
from ..machine import told
from ..units import UnitId

CACHE_BYTES = 48_000_000
MAX_AGE_S = 86_400
"""for sounds and spectrograms, which stay what they are"""
SOON_S = 60
"""for what a rebuilt dictionary changes"""


class Body(bytes):
    """Bytes of an answer that know their ETag: kept ones are hashed once."""

    @functools.cached_property
    def etag(self) -> str:
        return f'"{hashlib.blake2b(self, digest_size=10).hexdigest()}"'


class ByteCache:
    """Answers kept in memory, the longest unused leaving first."""

    def __init__(self, max_bytes: int = CACHE_BYTES):
        self._max, self._size = max_bytes, 0
        self._items: OrderedDict[object, Body] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object) -> Body | None:
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def put(self, key: object, body: bytes) -> Body:
        kept = Body(body)
        with self._lock:
            self._size += len(kept) - len(self._items.pop(key, b""))
            self._items[key] = kept
            while self._size > self._max and len(self._items) > 1:
                self._size -= len(self._items.popitem(last=False)[1])
        return kept

    async def through(self, key: object, make: Callable[[], bytes]) -> Body:
        """The kept answer, or the one that `make` gives on a worker thread."""
        body = self.get(key)
        return self.put(key, await run_in_threadpool(make)) if body is None else body


Endpoint = Callable[[Request], Awaitable[Response]]


def answered(endpoint: Endpoint) -> Endpoint:
    """Turn expected errors into {"error": sentence}."""

    @functools.wraps(endpoint)
    async def wrapped(request: Request) -> Response:
        try:
            with told():
                return await endpoint(request)
        except EarmarkError as error:
            return JSONResponse({"error": str(error)}, status_code=error.status)

    return wrapped


def bytes_response(request: Request, body: bytes, media_type: str, name: str | None = None, max_age_s: int = SOON_S) -> Response:
    """Bytes with ETag and Cache-Control; 304 when the visitor has them, 206 or 416 for a range of them."""
    etag = (body if isinstance(body, Body) else Body(body)).etag
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={max_age_s}", "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff"}
    if name:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or etag in (t.strip().removeprefix("W/") for t in known.split(",")):
        return Response(status_code=304, headers=headers)
    span = _range(request.headers.get("range", ""), len(body))
    if span is None or request.headers.get("if-range", etag) != etag:
        return Response(body, media_type=media_type, headers=headers)
    start, end = span
    if start >= end:
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{len(body)}"})
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(body)}"
    return Response(body[start:end], 206, media_type=media_type, headers=headers)


def _range(header: str, size: int) -> tuple[int, int] | None:
    """[start, end) of a single byte range; None for none, several, or nonsense (which is then ignored, as HTTP asks)."""
    first, dash, last = header.removeprefix("bytes=").partition("-")
    first, last = first.strip(), last.strip()
    plain = all(part == "" or (part.isascii() and part.isdigit() and len(part) <= 18) for part in (first, last))
    if not header.startswith("bytes=") or not dash or not plain or first + last == "":
        return None
    if first == "":
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def unit_of(request: Request, text: str | None = None) -> UnitId:
    """The unit that a path names. Raises BadInput when its number is none."""
    text = str(request.path_params["index"]) if text is None else text
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadInput(f"'{text[:40]}' is no unit's number; units are whole numbers from 0.")
    return UnitId(request.path_params["dictionary"], int(text))


def parameter(request: Request, name: str, kind: Callable[[str], Any], default: Any, valid: str) -> Any:
    text = request.query_params.get(name, "").strip()
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise BadInput(f"'{name}' is '{text[:40]}', but must be {valid}.")
    return value
