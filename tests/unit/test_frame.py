"""Gradio's page is made once for each name of the server, whatever the address asks for."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from components.host.frame import N_NAMES, Frame


def counted(middleware: bool, status: int = 200) -> tuple[TestClient, list[str]]:
    made: list[str] = []

    async def page(request: Request) -> PlainTextResponse:
        made.append(str(request.url))
        return PlainTextResponse(f"The page at {request.url}", status)

    app = Starlette(routes=[Route("/{rest:path}", page)], middleware=[Middleware(Frame)] if middleware else [])
    return TestClient(app), made


def test_every_address_has_the_same_page_which_is_made_once() -> None:
    client, made = counted(True)
    answers = [client.get(path) for path in ("/", "/?page=2", "/?tab=find&q=deep_link")]
    assert len({(a.text, a.headers["content-length"]) for a in answers}) == 1 and len(made) == 1
    assert answers[0].text == counted(False)[0].get("/").text
    client.get("/api/x?page=2")
    assert made[1].endswith("/api/x?page=2"), "other addresses pass as they are"


def test_who_calls_the_server_by_another_name_gets_its_page() -> None:
    client, made = counted(True)
    for header in ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server"):
        client.get("/", headers={header: "https"})
    assert len(made) == 4
    for number in range(2 * N_NAMES):
        client.get("/", headers={"host": f"name-{number}"})
    client.get("/", headers={"host": f"name-{2 * N_NAMES - 1}"})
    assert len(made) == 4 + 2 * N_NAMES, "the last is kept"
    client.get("/", headers={"host": "name-0"})
    assert len(made) == 5 + 2 * N_NAMES, "the first has left: strangers' names fill no memory"


def test_a_fault_is_not_kept() -> None:
    client, made = counted(True, 503)
    assert [client.get("/").status_code for _ in range(2)] == [503, 503] and len(made) == 2
