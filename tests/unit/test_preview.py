"""Under what name a preview says that it is found: what a proxy or the Hub says, never what could mean more than a host."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from earmark.web.preview import base_of, is_host

HOSTS = ("example.org", "a", "localhost:7860", "127.0.0.1:7860", "[2001:db8::7]", "[2001:db8::7]:80", "xn--bcher-kva.example", "a." * 100 + "example")
NO_HOSTS = (
    "", 'a"><script>', "a b", "a\nb", "user@evil.example", "evil.example/path", "evil.example?x", "evil.example#x", "a\\b", "-a.example", "a..b", ".a", "a.b-",
    "a:0", "a:65536", "a:", "a:8x", "a:٣", "[::1", "::1", "[fe80::%eth0]", "[::1]:99999", "[1:2]", "a" * 64 + ".example", ".".join(["abc"] * 70),
    "javascript:alert(1)", "münchen.example",
)  # fmt: skip


def base(named: str = "testserver", **forwarded: str) -> str:
    headers = [(b"host", named.encode())] + [(f"x-forwarded-{name}".encode(), value.encode("latin-1", "replace")) for name, value in forwarded.items()]
    return base_of(Request({"type": "http", "scheme": "http", "server": ("10.0.0.1", 7860), "path": "/", "query_string": b"", "headers": headers}))


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_a_proxy_names_is_taken(host: str) -> None:
    assert is_host(host)
    assert base(host=host) == f"http://{host}"
    assert base("inside:7860", host=f"{host.upper()}, inside", proto="https, http") == f"https://{host}"


@pytest.mark.parametrize("told", NO_HOSTS)
def test_what_is_no_host_is_left_out(told: str) -> None:
    assert not is_host(told)
    assert base("testserver", host=told, proto=told) == "http://testserver"


def test_without_any_host_it_is_this_machine() -> None:
    assert base('a"><script>', host="a b") == "http://10.0.0.1:7860", "the server's own, as Starlette has it"
    assert base("-a.example", host="a b") == "http://localhost"


def test_on_a_space_it_is_the_spaces_own_name_whatever_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "me-earmark.hf.space, Ears.Example")
    for host in ("evil.example", "", "me-earmark.hf.space", "me-earmark.hf.space.evil.example"):
        assert base("evil.example", host=host, proto="http") == "https://me-earmark.hf.space"
    assert base("10.0.0.1:7860", host="EARS.example") == base("ears.example") == "https://ears.example"
    monkeypatch.setenv("SPACE_HOST", ' , "><script>')
    assert base(host="example.org") == "http://example.org", "what is no host is no name of a Space either"
