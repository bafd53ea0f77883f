"""Headers of answers: read as a browser reads them, policy by policy."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from components.host.headers import PLAIN_POLICY, SafeHeaders, embed_policy, page_policy
from scripts.space_rules import header_problems


def directives(policy: str) -> dict[str, list[str]]:
    parts = [part.split() for part in policy.split(";")]
    assert len({part[0] for part in parts}) == len(parts), "of a directive that is named twice a browser takes the first"
    return {part[0]: part[1:] for part in parts}


@pytest.fixture
def client() -> TestClient:
    async def plain(request):
        return JSONResponse({})

    async def own(request):
        return PlainTextResponse("", headers={"Content-Security-Policy": "sandbox", "Referrer-Policy": "origin"})

    return TestClient(Starlette(routes=[Route("/own-policy", own), Route("/{rest:path}", plain)], middleware=[Middleware(SafeHeaders)]))


@pytest.mark.parametrize("path", ["/api/dictionaries", "/media/c/s/audio", "/own/token/mel.png", "/model/x", "/f/d/3"])
def test_what_runs_nothing_may_run_nothing(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = directives(headers["content-security-policy"])
    assert policy["default-src"] == ["'none'"]
    assert not {"script-src", "script-src-elem", "script-src-attr"} & set(policy)
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")


@pytest.mark.parametrize("path", ["/", "/assets/index.js", "/apiary", "/favicon.ico"])
def test_the_rest_has_the_pages_policy(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"] == page_policy()
    assert headers["x-content-type-options"] == "nosniff"


def test_what_an_answer_says_itself_stands(client: TestClient) -> None:
    headers = client.get("/own-policy").headers
    assert (headers["content-security-policy"], headers["referrer-policy"], headers["x-content-type-options"]) == ("sandbox", "origin", "nosniff")


def test_no_shared_cache_keeps_a_page_that_says_what_a_stranger_called_it(client: TestClient) -> None:
    for path, kept in (("/", False), ("/config", False), ("/assets/index.js", True), ("/api/dictionaries", True)):
        headers = client.get(path).headers
        assert (headers.get("cache-control"), "X-Forwarded-Host" in headers.get("vary", "")) == ((None, False) if kept else ("private, no-cache", True)), path


def test_a_page_with_a_nonce_runs_no_other_inline_script() -> None:
    scripts = directives(page_policy("abc"))["script-src"]
    assert "'nonce-abc'" in scripts
    assert "'unsafe-inline'" not in scripts
    assert directives(embed_policy("abc", "*"))["script-src"] == ["'nonce-abc'"]


@pytest.mark.parametrize("policy", [page_policy(), page_policy("abc"), embed_policy("abc", "*"), PLAIN_POLICY])
def test_nothing_comes_from_another_host(policy: str) -> None:
    for name, sources in directives(policy).items():
        if name != "frame-ancestors":
            assert not [s for s in sources if "//" in s or s in {"*", "https:", "http:"}], f"{name} lets other hosts in"


@pytest.mark.parametrize("policy", [page_policy(), page_policy("abc"), PLAIN_POLICY])
def test_the_hub_may_show_it_and_others_may_not(policy: str) -> None:
    headers = {"Content-Security-Policy": policy}
    assert header_problems(headers) == []
    assert header_problems(headers, ["https://a-blog.example"]) != []


def test_a_card_may_be_shown_everywhere() -> None:
    assert header_problems({"Content-Security-Policy": embed_policy("abc", "*")}, ["https://a-blog.example", "https://huggingface.co"]) == []
