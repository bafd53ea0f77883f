"""Who asks, and how much of a line one of them may fill: a page a quarter, a network half, and others always come to their turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.state_holder import SessionState
from starlette.requests import Request

from components.asked import Discreet
from components.host.waiting import asking, network_of
from earmark.errors import BadInput
from earmark.live.lab import desk as lab
from earmark.live.line.askers import ASKER, Asker, places
from earmark.live.line.turns import MAX_WAITING, Turns

MINE, OTHERS = "203.0.114.7", "198.41.0.4"


def request(peer: str = "10.16.3.80", *forwarded: str) -> Request:
    """As it comes from a proxy of a house's own, with its lines of X-Forwarded-For."""
    return Request({"type": "http", "client": (peer, 4000), "headers": [(b"x-forwarded-for", line.encode()) for line in forwarded]})


@pytest.fixture
def turns() -> Iterator[tuple[Turns, threading.Event]]:
    """A line, and what lets it go on."""
    go = threading.Event()
    yield Turns(), go
    go.set()


def ask(line: tuple[Turns, threading.Event], page: str, address: str = "", within: bool = False) -> None:
    with asking(page, request(address or "127.0.0.1")):
        line[0].take("text", lambda: line[1].wait(10), within)


def test_a_page_has_a_quarter_of_the_line(turns: tuple[Turns, threading.Event]) -> None:
    for _ in range(5):
        ask(turns, "greedy")
    with pytest.raises(BadInput, match=r"^5 of what this page asked for wait already, .* Wait for one of them, or stop it\.$"):
        ask(turns, "greedy")
    ask(turns, "greedy", within=True)
    ask(turns, "modest")


def test_a_network_has_half_of_it_whatever_its_pages_call_themselves(turns: tuple[Turns, threading.Event]) -> None:
    for n in range(10):
        ask(turns, f"page {n}", MINE)
    with pytest.raises(BadInput, match=r"^10 of the 20 places in the line are taken from your network; .* Try once more in a minute\.$"):
        ask(turns, "yet another", MINE)
    for n in range(10):
        ask(turns, f"theirs {n}", OTHERS)
    with pytest.raises(BadInput, match=f"^{MAX_WAITING} are waiting for the model"):
        ask(turns, "too late", "192.0.33.8")


@pytest.mark.parametrize(("most", "shares"), [(20, (5, 10)), (8, (2, 4)), (2, (1, 1)), (1, (1, 1))])
def test_of_a_short_line_everybody_has_a_place(most: int, shares: tuple[int, int]) -> None:
    assert places(most) == shares


def test_places_are_free_again_when_their_work_is_over(turns: tuple[Turns, threading.Event]) -> None:
    line, go = turns
    with asking("page", None):
        taken = [line.take("text", lambda: go.wait(10)) for _ in range(5)]
    line.leave(taken[4])
    ask(turns, "page")
    go.set()
    for turn in taken[:4]:
        turn.done.result(10)
    ask(turns, "page")


def test_in_a_house_and_on_the_command_line_only_the_line_is_the_limit(turns: tuple[Turns, threading.Event]) -> None:
    for n in range(MAX_WAITING // 2):
        ask(turns, f"page {n}", "192.168.1.20")
        turns[0].take("text", lambda: turns[1].wait(10))


def test_the_labs_line_is_shared_likewise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab, "check_model", lambda *_: None)
    room = lab.Lab(SimpleNamespace(store=None))  # type: ignore[arg-type]
    monkeypatch.setattr(room, "_work", lambda job: None)

    def train(page: str) -> None:
        with asking(page, request(MINE)):
            room.start(None, None)  # type: ignore[arg-type]

    train("a")
    train("a")
    with pytest.raises(BadInput, match="2 of what this page asked for wait already"):
        train("a")
    train("b")
    train("c")
    with pytest.raises(BadInput, match="4 of the 8 places in the line are taken from your network"):
        train("d")


@pytest.mark.parametrize(
    ("peer", "forwarded", "network"),
    [
        (MINE, [], MINE),
        (MINE, [OTHERS], MINE),  # no proxy is there: the header is the visitor's own word
        ("10.16.3.80", [MINE], MINE),
        ("10.16.3.80", [f"{OTHERS}, {MINE}"], MINE),  # the first was there before the proxy added the second
        ("10.16.3.80", [OTHERS, f"{MINE}:51234, 10.0.4.4"], MINE),
        ("10.16.3.80", ["10.1.1.1, nobody, 999.1.1.1, " + "x" * 10_000], ""),
        ("127.0.0.1", [], ""),
        ("192.168.1.20", [], ""),
        ("", [], ""),
        ("2a00:1450:4001:82b::200e", [], "2a00:1450:4001:82b::/64"),
        ("127.0.0.1", ["[2a00:1450:4001:82b:1:2:3:4]:443"], "2a00:1450:4001:82b::/64"),
        (f"::ffff:{MINE}", [], MINE),
        ("fe80::1%eth0", [], ""),
    ],
)
def test_which_network_somebody_asks_from(peer: str, forwarded: list[str], network: str) -> None:
    assert network_of(request(peer, *forwarded)) == network


def test_an_event_of_the_page_knows_who_asks_and_no_other_does() -> None:
    def once() -> str:
        return repr(ASKER.get())

    def steps() -> Iterator[str]:
        for _ in range(2):
            yield repr(ASKER.get())

    with Discreet(analytics_enabled=False) as demo:
        gr.api(once)
        gr.api(steps)
    who, each = demo.fns.values()

    async def run() -> list[object]:
        told = {"state": SessionState(demo), "request": gr.Request(request("10.0.0.1", MINE)), "session_hash": "mine"}
        first, nobody = await asyncio.gather(demo.process_api(who, [], **told), demo.process_api(who, [], state=SessionState(demo)))
        second = await demo.process_api(each, [], **told)
        third = await demo.process_api(each, [], iterator=second["iterator"], **told)
        return [first["data"], nobody["data"], second["data"], third["data"]]

    assert asyncio.run(run()) == [[repr(Asker("mine", MINE))], [repr(Asker())], [repr(Asker("mine", MINE))], [repr(Asker("mine", MINE))]]
    assert ASKER.get() == Asker()
