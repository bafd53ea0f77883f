"""Forced alignment against sentences whose phones have known times, and what becomes of text that does not fit."""

from __future__ import annotations

import difflib
import json
import math
import re
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from earmark.inputs import alignment
from earmark.inputs.alignment import align, attempt
from earmark.inputs.audio import decode
from earmark.inputs.spelling import number_words, pronounce, written
from earmark.speech import Span, Speech
from earmark.units import Waveform

SPOKEN = Path(__file__).parents[1] / "fixtures" / "spoken"
TRUTH = json.loads((SPOKEN / "times.json").read_text(encoding="utf-8"))
NAMES = {"ax": "AH", "pau": "SIL"}
"""flite's names of phones that ARPAbet without stress has not"""


def spoken(name: str) -> Waveform:
    return decode((SPOKEN / f"{name}.flac").read_bytes()).waveform


def true_phones(name: str) -> list[Span]:
    ends = TRUTH[name]["phones"]
    starts = [0.0, *(end for _, end in ends)]
    return [Span(NAMES.get(phone, phone.upper()), start, end) for start, (phone, end) in zip(starts, ends, strict=False)]


@pytest.fixture(scope="module")
def found() -> dict[str, Speech]:
    speech = {name: align(spoken(name), told["text"]) for name, told in TRUTH.items()}
    assert all(speech.values())
    return speech  # type: ignore[return-value]


@pytest.mark.parametrize("name", TRUTH)
def test_phones_lie_where_they_were_spoken(found: dict[str, Speech], name: str) -> None:
    truth, ours = true_phones(name), found[name].phones
    same = difflib.SequenceMatcher(None, [p.text for p in truth], [p.text for p in ours], autojunk=False).get_matching_blocks()
    pairs = [(truth[i + n], ours[j + n]) for i, j, length in same for n in range(length)]
    assert len(pairs) >= 0.85 * len(truth)
    errors = np.array([[b.start_s - a.start_s, b.end_s - a.end_s] for a, b in pairs if a.text != "SIL"])
    assert np.median(np.abs(errors)) < 0.015
    assert np.percentile(np.abs(errors), 90) < 0.05
    assert abs(np.median(errors)) < 0.006, "times lean to one side: the edge between two frames is half way between their middles"


@pytest.mark.parametrize("name", TRUTH)
def test_times_ascend_within_the_sound(found: dict[str, Speech], name: str) -> None:
    speech, sound = found[name], spoken(name)
    assert speech.phones[0].start_s == 0.0
    assert speech.phones[-1].end_s == pytest.approx(sound.duration_s)
    assert all(a.end_s == b.start_s for a, b in pairwise(speech.phones)), "phones leave no gap"
    for spans in (speech.words, speech.phones):
        assert all(0 <= s.start_s < s.end_s <= sound.duration_s for s in spans)
        assert all(a.end_s <= b.start_s for a, b in pairwise(spans))
    assert {p.text for p in speech.phones} <= ARPABET | {"SIL"}


ARPABET = set(re.findall(r"\w+", "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"))


def test_words_keep_their_punctuation(found: dict[str, Speech]) -> None:
    words = found["hello"].words
    assert " ".join(w.text for w in words) == TRUTH["hello"]["text"]
    assert [(w.word, w.after) for w in words[:4]] == [("hello", ""), ("there", ","), ("my", ""), ("friend", ".")]
    pause = next(p for p in true_phones("hello")[1:] if p.text == "SIL")
    assert words[1].end_s == pytest.approx(pause.start_s, abs=0.05), "the comma's pause begins where its word ends"
    assert words[2].start_s == pytest.approx(pause.end_s, abs=0.05)


WRONG = (
    TRUTH["call"]["text"],
    "No.",
    "I would rather have a banana than this terrible orchid.",
    "Nobody has ever seen the temple, and nobody ever will, because the jungle swallows everything that walks.",
    "Yes, yes, yes, yes!",
    "The crocodile ate my hat",
)


def test_wrong_text_is_refused() -> None:
    sound = spoken("hello")
    assert [attempt(sound, text).why for text in WRONG] == [alignment.NO_FIT] * len(WRONG)
    assert align(spoken("call"), TRUTH["hello"]["text"]) is None


def test_a_text_that_leaves_half_out_is_refused() -> None:
    """Its words fit where they are; the rest of the speech would be called silence."""
    assert attempt(spoken("hello"), "Hello there, my friend.").why == alignment.NO_FIT


def test_noise_and_silence_get_no_words() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    for samples in (noise, np.zeros(32_000, np.float32)):
        assert align(Waveform(samples), TRUTH["hello"]["text"]) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no transcript"),
        ("... ?!", "no transcript"),
        ("[laughs] (off)", "no transcript"),
        ("Hello almaxaquottl", "unknown words: almaxaquottl"),
        ("Привет", "no transcript"),
        ("word " * 500, "does not fit"),
    ],
)
def test_what_cannot_be_aligned_says_why(text: str, why: str) -> None:
    assert attempt(spoken("hello"), text) == alignment.Attempt(None, why)


def test_sounds_too_short_or_too_long() -> None:
    assert attempt(Waveform(np.zeros(1, np.float32)), "a").why == alignment.NO_FIT
    assert attempt(Waveform(np.zeros(int(16_000 * alignment.MAX_S) + 1, np.float32)), "a").why == alignment.TOO_LONG


def test_the_same_whatever_came_before(found: dict[str, Speech]) -> None:
    """No noise estimate, mean or word of an earlier sound may linger; and threads wait for each other."""
    again: dict[str, Speech | None] = {}

    def one(name: str) -> None:
        again[name] = align(spoken(name), TRUTH[name]["text"])

    threads = [threading.Thread(target=one, args=(name,)) for name in (*TRUTH, *TRUTH)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert again == found


def test_a_part_of_it(found: dict[str, Speech]) -> None:
    whole = found["hello"]
    part = whole.within(1.0, 2.0)
    assert 0 < len(part.words) < len(whole.words)
    assert all(0 <= s.start_s < s.end_s <= 1.0 for s in (*part.words, *part.phones))
    middles = [w.text for w in whole.words if 1.0 <= (w.start_s + w.end_s) / 2 < 2.0]
    assert [w.text for w in part.words] == middles


# -- spelling ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Well, I'm off!", [("Well,", ["well"]), ("I'm", ["i'm"]), ("off!", ["off"])]),
        ("Mary\u2010Lou \u2019em", [("Mary\u2010Lou", ["mary", "lou"]), ("\u2019em", ["'em"])]),
        ("the 1940's - 24th, 2B", [("the", ["the"]), ("1940's -", ["nineteen", "forties"]), ("24th,", ["twenty", "fourth"]), ("2B", ["two", "b"])]),
        ("$5 & 3.5%", [("$5", ["five", "dollars"]), ("&", ["and"]), ("3.5%", ["three", "point", "five", "percent"])]),
        ("(sighs) caf\u00e9 [music]", [("caf\u00e9", ["cafe"])]),
        ("12,000 30th 20th", [("12,000", ["twelve", "thousand"]), ("30th", ["thirtieth"]), ("20th", ["twentieth"])]),
    ],
)
def test_written_words(text: str, expected: list[tuple[str, list[str]]]) -> None:
    assert written(text) == expected


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "zero"),
        ("17", "seventeen"),
        ("40", "forty"),
        ("123", "one hundred twenty three"),
        ("1948", "nineteen forty eight"),
        ("1905", "nineteen oh five"),
        ("1900", "nineteen hundred"),
        ("2000", "two thousand"),
        ("2005", "two thousand five"),
        ("1000042", "one million forty two"),
        ("007", "zero zero seven"),
        ("1234567890123", "one two three four five six seven eight nine zero one two three"),
    ],
)
def test_numbers(digits: str, words: str) -> None:
    assert " ".join(number_words(digits)) == words


def test_unknown_words_are_spoken_by_rule_or_not_at_all() -> None:
    known = {"sloth": "S L AO TH", "box": "B AA K S", "lola": "L OW L AH", "um": "AH M", "iron": "AY ER N", "stein": "S T AY N", "organize": "x", "color": "y"}
    lookup = known.get
    assert pronounce("sloth", lookup) == ("sloth", "S L AO TH")
    assert pronounce("'sloth'", lookup) == ("sloth", "S L AO TH")
    assert pronounce("sloths", lookup) == ("sloths", "S L AO TH S")
    assert pronounce("lola's", lookup) == ("lola's", "L OW L AH Z")
    assert pronounce("box's", lookup) == ("box's", "B AA K S IH Z")
    assert pronounce("ummmm", lookup) == ("ummmm", "AH M")
    assert pronounce("organise", lookup) == ("organise", "x")
    assert pronounce("colour", lookup) == ("colour", "y")
    assert pronounce("ironstein", lookup) == ("ironstein", "AY ER N S T AY N")
    assert pronounce("almaxaquottl", lookup) is None
    assert pronounce("'", lookup) is None


def test_a_minute_of_speech_is_cheap(found: dict[str, Speech]) -> None:
    import time

    sound, text = spoken("hello"), TRUTH["hello"]["text"]
    n = math.ceil(60 / sound.duration_s)
    long = Waveform(np.tile(sound.samples, n)[: 60 * 16_000])
    before = time.process_time()
    attempt(long, " ".join([text] * n))
    assert time.process_time() - before < 20, "measured: 3 s"
