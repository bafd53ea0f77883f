"""Edits in their written form: each comes back from it, and what cannot be meant is refused with a sentence."""

from __future__ import annotations

import math
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.edits import MAX_ADDED, MAX_EDITS, MAX_FACTOR, Edit, parse_edit, parse_edits
from earmark.errors import BadInput
from earmark.units import UnitId

SAE = "whisper-tiny.en-l2-sae"
U = UnitId(SAE, 40)

WRITTEN = (
    (Edit(UnitId(SAE, 1301), 0.0), f"{SAE}:1301=0"),
    (Edit(U), f"{SAE}:40=1"),
    (Edit(U, 1.0, 12.5, 3, 9), f"{SAE}:40=1+12.5@3..9"),
    (Edit(U, 2.5, -3.0), f"{SAE}:40=2.5-3"),
    (Edit(U, -1.0, 1e-7), f"{SAE}:40=-1+1e-07"),
    (Edit(U, 0.1, start=0.25), f"{SAE}:40=0.1@0.25.."),
    (Edit(U, 0.0, end=0.0), f"{SAE}:40=0@..0"),
)


@pytest.mark.parametrize(("edit", "text"), WRITTEN)
def test_written_and_read(edit: Edit, text: str) -> None:
    assert str(edit) == text
    assert parse_edit(text) == edit
    assert edit.short(SAE) == text.removeprefix(f"{SAE}:")
    assert parse_edit(edit.short(SAE), SAE) == edit
    assert edit.short("another") == text


PLACES = st.none() | st.floats(0, 1e6)


@given(st.integers(0, 10**11), st.floats(-MAX_FACTOR, MAX_FACTOR), st.floats(-MAX_ADDED, MAX_ADDED), PLACES, PLACES)
def test_every_edit_comes_back_from_its_form_and_from_an_address(unit: int, factor: float, added: float, a: float | None, b: float | None) -> None:
    start, end = (a, b) if a is None or b is None else (min(a, b), max(a, b))
    edit = Edit(UnitId(SAE, unit), factor, added, start, end)
    assert parse_edit(str(edit)) == edit
    assert parse_edits(dict(parse_qsl(urlencode({"edits": edit.short(SAE)})))["edits"], SAE) == (edit,)


def test_a_plus_that_an_address_took_for_a_space() -> None:
    assert parse_edit("40=1 12.5", SAE) == Edit(U, 1.0, 12.5)


def test_several_in_one_text() -> None:
    assert parse_edits("1301=0, 40=2@..4 ,40=0@4.5..,other:3=1+2", SAE) == (
        Edit(UnitId(SAE, 1301), 0.0), Edit(U, 2.0, end=4), Edit(U, 0.0, start=4.5), Edit(UnitId("other", 3), 1.0, 2.0),
    )  # fmt: skip
    assert parse_edits(" , ") == ()


def test_what_changes_nothing() -> None:
    assert Edit(U, 1.0, 0.0, 1.0, 2.0).changes_nothing
    assert not Edit(U, 0.0).changes_nothing
    assert not Edit(U, 1.0, 0.5).changes_nothing


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"factor": math.nan}, "factor of .*:40 is nan; it must be a number from -20 to 20"),
        ({"factor": math.inf}, "is inf; it must"),
        ({"factor": 20.001}, "is 20.001; it must"),
        ({"factor": -1e300}, r"is -1e\+300; it must"),
        ({"added": math.nan}, "added to .*:40 is nan; it must be a number from -1,000,000 to 1,000,000"),
        ({"added": -math.inf}, "added to .* is -inf"),
        ({"added": 1.1e6}, r"added to .* is 1.1e\+06"),
        ({"start": -0.5}, "begins at -0.5; a stretch counts from 0"),
        ({"start": math.nan}, "begins at nan"),
        ({"end": math.inf}, "ends at inf"),
        ({"start": 3.0, "end": 2.5}, "ends at 2.5, before it begins at 3"),
    ],
)
def test_numbers_that_cannot_be_meant(numbers: dict[str, float], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Edit(U, **numbers)


@pytest.mark.parametrize(
    "text", ["", "40", "40=", "=1", ":40=1", "a:=1", "-3=1", "40=x", "40=1+", "40=1@3", "40=1@..4..5", "٣=1", "a=b:40=1", "40=1+2+3", "x" * 1000]
)
def test_what_is_no_edit(text: str) -> None:
    with pytest.raises(BadInput, match=r"is no edit. Write DICTIONARY:UNIT=FACTOR|names no dictionary"):
        parse_edit(text, SAE if text != ":40=1" else "")


@pytest.mark.parametrize(
    ("text", "words"), [("40=nan", "factor .* is nan"), ("40=Infinity", "factor .* is inf"), ("40=1e999", "is inf"), ("40=1-inf", "is -inf")]
)
def test_words_for_numbers_reach_the_sentence_about_them(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse_edit(text, SAE)


def test_an_edit_without_dictionary() -> None:
    with pytest.raises(BadInput, match="'40=1' names no dictionary"):
        parse_edit("40=1")


def test_how_many_and_how_near() -> None:
    assert len(parse_edits(",".join(f"{i}=0" for i in range(MAX_EDITS)), SAE)) == MAX_EDITS
    with pytest.raises(BadInput, match="More than 8 edits"):
        parse_edits(",".join(f"{i}=0" for i in range(30_000)), SAE)
    for both in ("40=0,40=2", "40=0@1..2,40=2@2..3", "40=0@..2,40=2@0..0", "40=0@5..,40=1@9..10"):
        with pytest.raises(BadInput, match="change the same unit at the same place"):
            parse_edits(both, SAE)
    assert len(parse_edits("40=0@1..2,40=2@2.01..3,41=1@1..2", SAE)) == 3
