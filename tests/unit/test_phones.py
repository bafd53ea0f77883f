"""Phones in ARPAbet and IPA against the CMU dictionary's own pronunciations of words whose IPA everybody prints, and against Unicode's names."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import pytest

from earmark.offline.labels.channels import PHONES, SILENCE, speech_channels
from earmark.phones import IPA, answers_to_silence, bare_phones, in_ipa, phones_of, shown_label, slashed, sounds_in
from earmark.speech import Span, Speech
from earmark.web.search.find import is_label, label_fits

# Wells's key words of vowels in General American, and a word for each consonant, in the IPA of any learner's dictionary
KEY_WORDS = {
    "fleece": "fliːs", "kit": "kɪt", "face": "feɪs", "dress": "drɛs", "trap": "træp", "lot": "lɑt", "thought": "θɔːt", "goat": "ɡoʊt", "foot": "fʊt",
    "goose": "ɡuːs", "strut": "strʌt", "nurse": "nɝs", "price": "praɪs", "choice": "t͡ʃɔɪs", "mouth": "maʊθ", "comma": "ˈkɑː.mə", "letter": "ˈlɛt.ɚ",
    "judge": "d͡ʒʌd͡ʒ", "yes": "jɛs", "vision": "ˈvɪ.ʒən", "this": "ðɪs", "hang": "hæŋ", "shoe": "ʃuː", "zoo": "zuː", "bib": "bɪb", "wove": "woʊv",
    "keep": "kʰiːp",
}  # fmt: skip
SYMBOLS = {
    "ʃ": "ESH",
    "ʒ": "EZH",
    "θ": "GREEK SMALL LETTER THETA",
    "ð": "ETH",
    "ŋ": "ENG",
    "æ": "LATIN SMALL LETTER AE",
    "ə": "SCHWA",
    "ɔ": "OPEN O",
    "ɛ": "OPEN E",
}


@cache
def cmu() -> dict[str, tuple[str, ...]]:
    """The pronunciations of the dictionary that aligns the corpus, each word's first."""
    model = pytest.importorskip("pocketsphinx").get_model_path()
    rows = (line.split() for line in Path(model, "en-us", "cmudict-en-us.dict").read_text(encoding="utf-8").splitlines())
    return {word: tuple(phone.lower() for phone in phones) for word, *phones in rows}


@pytest.mark.parametrize(("word", "ipa"), KEY_WORDS.items())
def test_key_words_have_the_phones_of_the_cmu_dictionary(word: str, ipa: str) -> None:
    assert phones_of(ipa) == phones_of(ipa.upper()) == cmu()[word]


def test_the_key_words_try_every_phone_and_the_table_has_each_phone_of_the_dictionary_once() -> None:
    spoken = {phone for word in KEY_WORDS for phone in cmu()[word]}
    assert spoken == set(IPA) == {p.lower() for p in PHONES} == {phone for phones in cmu().values() for phone in phones}
    symbols = [symbol for both in IPA.values() for symbol in both]
    assert len(symbols) == len(set(symbols))
    assert all(phones_of(symbol) == (phone,) for phone, both in IPA.items() for symbol in both)


@pytest.mark.parametrize(("symbol", "name"), SYMBOLS.items())
def test_symbols_are_those_that_unicode_calls_so(symbol: str, name: str) -> None:
    assert unicodedata.name(symbol).endswith(name) and symbol in {s for both in IPA.values() for s in both}


@pytest.mark.parametrize("phone", sorted(IPA))
def test_a_phone_is_found_by_its_ipa_as_by_its_arpabet(phone: str) -> None:
    labels = [f"{before}/{other}/" for other in IPA for before in ("", "after ", "before ")] + ["/s k/", "sky", "nasal", "“/”", "after “/s/”"]
    found = [label for label in labels if label_fits(f"/{phone}/", label)]
    assert found == [f"{before}/{phone}/" for before in ("", "after ", "before ")]
    assert [label for label in labels if is_label(f"/{phone}/", label)] == found[:1]
    for symbol in IPA[phone]:
        for query in (f"/{symbol}/", f"/{symbol.upper()}/", f"units that like /ˈ{symbol}ː/", f"[{symbol}]"):
            assert [label for label in labels if label_fits(query, label)] == found, query
        assert symbol.isascii() or [label for label in labels if label_fits(symbol, label)] == found


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("s k", ("s", "k")), ("SK", ("s", "k")), ("AH0", ("ah",)), ("th", ("th",)), ("tʃ", ("ch",)), ("t ʃ", ("t", "sh")), ("ʧ", ("ch",)), ("əʊ", ("ow",)),
        ("m̩", ("m",)), ("tʰ", ("t",)), ("shh", ("s", "hh")), ("ɡ", ("g",)), ("ɜːr", ("er",)), ("x", None), ("", None), ("5", None),
        ("tʃ" * 100 + "x", None),
    ],
)  # fmt: skip
def test_transcriptions_are_read_whichever_way_they_are_spelt(text: str, phones: tuple[str, ...] | None) -> None:
    assert phones_of(text) == phones


@pytest.mark.parametrize("word", ["so", "me", "he", "thing", "mountain", "größer", "naïve", "", "42"])
def test_without_slashes_a_word_is_a_word(word: str) -> None:
    assert bare_phones(word) is None


@pytest.mark.parametrize(
    ("query", "inside"),
    [
        ("units that like /s/", ("s",)), ("/s/ and /ʃ/?", ("s", "ʃ")), ("and/or", ()), ("he/she/they", ()), ("1/2/3", ()), ("either / or / both", ()),
        ("//", ()), ("[ʃ]", ("ʃ",)), ("[x]", ()), ("/usr/", ("usr",)), ("/usr/bin", ()),
    ],
)  # fmt: skip
def test_what_stands_between_slashes(query: str, inside: tuple[str, ...]) -> None:
    assert slashed(query)[0] == inside


@pytest.mark.parametrize(
    ("query", "label", "fits", "exact"),
    [
        ("after /s/", "after /s/", True, True), ("after /s/", "before /s/", False, False), ("units after /s/", "after /s/", True, True),
        ("/s/", "after /s/", True, False), ("/s/", "s", False, False), ("/s/", "“ s”", False, False), ("/foo/", "/f/", False, False),
        ("“ the”", "“ the”", True, True), ("“yeah”", "yeah", True, True), ("the", "“ the”", True, True), (",", "after “,”", True, False),
    ],
)  # fmt: skip
def test_a_sound_in_slashes_is_a_sound(query: str, label: str, fits: bool, exact: bool) -> None:
    assert label_fits(query, label) is fits and is_label(query, label) is exact


@pytest.mark.parametrize(
    ("kind", "text", "shown"),
    [
        ("word", "yeah", "“yeah”"), ("class", "stop", "stop"), ("phone", "/s/", "/s/"), ("phone", "/sh/", "/sh/ (ʃ)"), ("word", "/y uw/", "/y uw/ (j u)"),
        ("phone", "/ah/", "/ah/ (ʌ/ə)"), ("context", "after /y/", "after /y/ (j)"), ("context", "after the word you", "after the word “you”"),
        ("context", "before a comma", "before a comma"), ("token", "“ the”", "“ the”"), ("context", "after “/th/”", "after “/th/”"),
        ("phone", "letter a", "letter a"),
    ],
)  # fmt: skip
def test_labels_as_people_read_them(kind: str, text: str, shown: str) -> None:
    assert shown_label(kind, text) == shown
    assert "(" not in shown_label(kind, text, ipa=False)


def test_ipa_is_read_back_as_the_phones_that_it_stands_for() -> None:
    pairs = [(a, b) for a in IPA for b in IPA if not {a, b} & {"ah", "er"}]
    assert all(phones_of(in_ipa(pair)) == pair or " ".join(pair) == in_ipa(pair) for pair in pairs) and list(sounds_in("/s k/")) == [("s", "k")]


def test_labels_that_mark_silence_itself_are_told_from_those_at_its_edge() -> None:
    names = [SILENCE, "S", "K", "AY", SILENCE, "N", SILENCE]
    phones = tuple(Span(name, i / 10, (i + 1) / 10) for i, name in enumerate(names))
    said = Speech((Span("Sky,", 0.1, 0.4), Span("in.", 0.5, 0.6)), phones, "aligned")
    n = round(len(names) / 10 / 0.02)
    silent = {frame for frame in range(n) if names[min(int((frame + 0.5) * 0.02 / 0.1), len(names) - 1)] == SILENCE}
    marked = {}
    for channel in speech_channels([said], [n], 0.02, 0.0):
        for code, label in enumerate(channel.labels):
            marked[label] = {frame for frame in range(n) if channel.codes[frame] == code}
    beside = {label for label in marked if label.startswith(("before /", "after /"))}  # where a silence is named by its neighbour
    only = {label for label, frames in marked.items() if frames <= silent} - beside
    assert only == {label for label in marked if answers_to_silence(label)} == {"silence", "silence before speech", "pause at a comma", "pause at a full stop"}
