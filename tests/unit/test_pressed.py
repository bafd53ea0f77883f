"""Answers are packed for whoever can unpack them, and are the same then; what comes bit by bit, or is packed already, passes as it is."""

from __future__ import annotations

import gzip

import brotli
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from components.host.pressed import Pressed

BODY = b"<p>The same again and again, as in a card of twelve thousand tokens.</p>" * 400


@pytest.fixture(scope="module")
def client() -> TestClient:
    async def answer(request: Request) -> Response:
        return Response(BODY if "short" not in request.url.query else b"short", media_type="text/html")

    return TestClient(Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST"])], middleware=[Middleware(Pressed)]))


def raw(client: TestClient, path: str, accepted: str) -> tuple[str, bytes]:
    with client.stream("GET", path, headers={"accept-encoding": accepted}) as answer:
        body = b"".join(answer.iter_raw())
        assert int(answer.headers["content-length"]) == len(body)
        return answer.headers.get("content-encoding", ""), body


@pytest.mark.parametrize("path", ["/", "/?tab=about", "/gradio_api/run/predict", "/api/units/x", "/f/x/1"])
def test_packed_for_who_can_unpack_it(client: TestClient, path: str) -> None:
    for accepted, unpack in (("br, gzip", brotli.decompress), ("gzip, deflate", gzip.decompress)):
        encoding, body = raw(client, path, accepted)
        assert encoding == accepted.split(",")[0] and len(body) < len(BODY) / 5 and unpack(body) == BODY
    assert raw(client, path, "identity") == ("", BODY)
    assert client.get(path, headers={"accept-encoding": "br"}).headers["vary"] == "Accept-Encoding", "no cache in between gives it to others"


@pytest.mark.parametrize("path", ["/media/x/1/audio", "/media/unit/x/1.png", "/gradio_api/queue/data", "/own/x/sound.wav"])
def test_the_rest_passes_as_it_is(client: TestClient, path: str) -> None:
    assert raw(client, path, "br, gzip") == ("", BODY)


def test_what_is_short_is_not_worth_it(client: TestClient) -> None:
    assert raw(client, "/?short", "br, gzip") == ("", b"short")


def test_a_part_of_an_answer_stays_the_part_that_was_asked_for(client: TestClient) -> None:
    answer = client.get("/api/units/x", headers={"accept-encoding": "br", "range": "bytes=0-99"})
    assert "content-encoding" not in answer.headers
