"""Turns at the model: who is told what while they wait, on a clock of the test's own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import get_args

import pytest

from earmark.errors import BadInput, Stopped
from earmark.live.line.model import Line
from earmark.live.line.turns import FIRST_GUESS_S, MAX_WAITING, N_REMEMBERED, Durations, Kind, Turns, Wait, about
from earmark.shelf.store import Store
from tests.fixtures.toy import CATALOG, settings_for


class Held:
    """Turns on a clock that stands still, and work that is done when the test says so."""

    def __init__(self, turns: Turns, clock: list[float]):
        self.turns, self.clock = turns, clock
        self.go: list[threading.Event] = []

    def take(self, kind: str, within: bool = False):
        gate = threading.Event()
        self.go.append(gate)
        return self.turns.take(kind, lambda: gate.wait(10) and kind, within)

    def over(self, number: int, turn, after_s: float) -> None:
        assert turn.begun.wait(10)
        self.clock[0] += after_s
        self.go[number].set()
        turn.done.result(10)


@pytest.fixture
def held() -> Held:
    clock = [100.0]
    return Held(Turns(clock=lambda: clock[0]), clock)


def test_the_eighth_is_told_its_place_and_a_wait_from_what_was_measured(held: Held) -> None:
    for seconds in (2.0, 6.0):
        held.over(-1, held.take("sound"), seconds)
    assert held.turns.wait() == Wait(0, 0.0) and held.turns.wait().beforehand == ""
    turns = [held.take("sound") for _ in range(8)]
    assert turns[0].begun.wait(10)
    assert held.turns.wait(turns[7]) == Wait(7, 7 * 4.0)
    assert held.turns.wait(turns[7]).words == "7 are before you, about 30 s" and held.turns.wait(turns[1]).words == "1 is before you, about 4 s"
    held.clock[0] += 3
    assert held.turns.wait(turns[7]).seconds == 6 * 4.0 + 1.0
    held.clock[0] += 30
    assert held.turns.wait(turns[7]).seconds == 6 * 4.0 + 1.0, "what takes longer than usual is not over"
    assert held.turns.wait().beforehand.startswith("8 are at the model or wait for it: what is brought now has its turn in about 30 s")
    for number, turn in enumerate(turns):
        held.over(2 + number, turn, 4.0)
    assert held.turns.wait().n_before == 0


def test_the_order_is_that_of_coming_whatever_the_kind(held: Held) -> None:
    kinds = ["text", "edit", "sound", "step", "text"]
    turns = [held.take(kind) for kind in kinds]
    assert [held.turns.wait(turn).n_before for turn in turns] == [0, 1, 2, 3, 4]
    assert held.turns.wait(turns[4]).seconds == pytest.approx(sum(FIRST_GUESS_S[kind] for kind in kinds[:4]))
    for number, turn in enumerate(turns):
        assert not any(later.begun.is_set() for later in turns[number + 1 :])
        held.over(number, turn, 1.0)


def test_who_leaves_is_not_waited_for_and_not_run(held: Held) -> None:
    first, leaves, last = (held.take("sound") for _ in range(3))
    assert first.begun.wait(10)
    held.turns.leave(leaves)
    held.turns.leave(first)
    assert held.turns.wait(last).n_before == 1, "what has begun goes on"
    held.over(0, first, 1.0)
    held.over(2, last, 1.0)
    assert leaves.done.cancelled() and not leaves.begun.is_set() and held.turns.wait().n_before == 0


def test_a_full_line_says_so_and_a_step_of_what_runs_is_let_in(held: Held) -> None:
    turns = [held.take("text") for _ in range(MAX_WAITING)]
    with pytest.raises(BadInput, match=f"{MAX_WAITING} are waiting for the model.*about 40 s in all. Try once more"):
        held.take("text")
    turns.append(held.take("step", within=True))
    for number, turn in enumerate(turns):
        held.over(number if number < MAX_WAITING else -1, turn, 0.1)


def test_what_fails_teaches_nothing_of_how_long_it_takes() -> None:
    clock = [0.0]
    turns = Turns(clock=lambda: clock[0])

    def fails() -> None:
        clock[0] += 99
        raise BadInput("no")

    turn = turns.take("text", fails)
    with pytest.raises(BadInput):
        turn.done.result(10)
    held = Held(turns, clock)
    held.take("text")
    assert turns.wait().seconds == pytest.approx(FIRST_GUESS_S["text"])
    held.go[0].set()


def test_the_last_durations_count() -> None:
    took = Durations()
    for seconds in [50.0] * N_REMEMBERED + [1.0] * N_REMEMBERED:
        took.note("edit", seconds)
    assert took.usual_s("edit") == 1.0 and took.usual_s("text") == FIRST_GUESS_S["text"]


@pytest.mark.parametrize(("seconds", "words"), [(0, "1 s"), (0.2, "1 s"), (9.2, "10 s"), (10.1, "15 s"), (88, "90 s"), (90.5, "2 min"), (301, "6 min")])
def test_a_duration_is_rounded_up(seconds: float, words: str) -> None:
    assert about(seconds) == f"about {words}"


def test_of_every_kind_of_work_there_is_a_first_guess() -> None:
    assert set(get_args(Kind)) == set(FIRST_GUESS_S) and all(seconds > 0 for seconds in FIRST_GUESS_S.values())


def test_a_visitor_is_told_then_it_is_their_turn_and_who_is_gone_leaves(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    settings.data.mkdir(parents=True)
    (settings.data / "catalog.toml").write_text(CATALOG)
    line, go = Line(Store(settings)), threading.Event()
    first = line.turns.take("sound", lambda: go.wait(10))
    told: list[tuple[float, str]] = []
    heard = threading.Event()
    visitor = threading.Thread(target=lambda: line.run(lambda: told.append((1.0, "run")), "text", lambda *said: (told.append(said), heard.set())))
    visitor.start()
    assert heard.wait(10)

    def gone(share: float, words: str) -> None:
        assert share == 0 and words.startswith("2 are before you, about")
        raise Stopped("gone")

    with pytest.raises(Stopped):
        line.run(lambda: told.append((1.0, "never")), "text", gone)
    assert line.turns.wait().n_before == 2
    go.set()
    visitor.join(10)
    assert first.done.result() and told[0] == (0.0, "1 is before you, about 3 s") and told[-2:] == [(0.2, "Reading"), (1.0, "run")]
    told.clear()
    line.run(lambda: None, "text", lambda *said: told.append(said))
    assert told == [], "nothing is said of a wait that is none"
