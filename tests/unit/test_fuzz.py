"""Hostile input of every kind, a few hundred cases of each; `make fuzz` runs thousands, and says what a seed and a number made."""

from __future__ import annotations

import html
import os
from pathlib import Path

import pytest

from tests.fuzz.kinds import KINDS
from tests.fuzz.kinds.misdeeds import CAUGHT
from tests.fuzz.kinds.texts import PIECES, Strict
from tests.fuzz.run import cases

SEED = os.environ.get("EARMARK_FUZZ_SEED", "0")
ASKED = int(os.environ.get("EARMARK_FUZZ", "0"))


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_comes_is_read_or_told_in_a_sentence(kind: str, tmp_path: Path) -> None:
    told = list(cases(kind, ASKED or KINDS[kind].n_quick, tmp_path, SEED))
    assert not [f"case {one.case}: {one.fault} ({one.said})" for one in told if one.fault]
    refused = sum(": " in one.said for one in told)
    assert 0 < refused < len(told), "some is read, and some is not"


def test_the_guard_catches_what_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on behind each."""
    monkeypatch.setattr("tests.fuzz.run.GRACE_S", 12)
    told = list(cases("misdeeds", len(CAUGHT), tmp_path))
    assert len(told) == len(CAUGHT)
    for one, (deed, words) in zip(told, CAUGHT.items(), strict=True):
        assert (words in one.fault) if words else not one.fault, f"{deed}: {one.fault or one.said}"


@pytest.mark.parametrize("brought", [*PIECES[:2], *PIECES[4:6], PIECES[9], '<p zqy="1">', '<a href="javascript:zqz()">'])
def test_markup_that_a_text_brings_in_would_be_seen(brought: str) -> None:
    with pytest.raises(AssertionError):
        Strict().feed(f"<p>{brought}</p>")
    Strict().feed(f"<p>{html.escape(brought)}</p>")
