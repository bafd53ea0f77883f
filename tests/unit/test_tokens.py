"""Text as the page prints it: whatever the tokens are, the page holds them all, once, in order, and none of their characters can act."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.card import _environment
from components.tokens import FAINT, Piece, pieces, spoken
from tests.fixtures.text_shelf import TEXTS, tokens_of

ANY = st.text(max_size=6) | st.sampled_from(["\u200d", "\u202e", "\x00", "\r", "\n", "  ", "\t", "<b>", "&amp;", '"', "\U0001f468", "\ufe0f", "\ud800"])
TOKENS = st.lists(ANY, max_size=24)


class Read(HTMLParser):
    """What a page holds: the text that can be copied, what each marked span says of itself, and every tag."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.attrs = "", [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attrs.append(dict(attrs))
        self.text += "".join(chr(int(code, 16)) for code in (dict(attrs).get("data-codes") or "").split())

    def handle_data(self, data):
        self.text += data


def shown(found: tuple[Piece, ...], each: bool = False) -> Read:
    macro = _environment().get_template("tokens.html").module.text  # type: ignore[attr-defined]
    return Read(str(macro(found, each)))


def raw(text: str) -> bool:
    """Whether nothing in it is invisible and could stand in a page as it is."""
    return not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 or ord(c) in {0x202E, 0x200B, 0xFEFF} for c in text)


@given(TOKENS, st.booleans(), st.integers(0, 23), st.lists(st.floats(-5, 5), min_size=24, max_size=24), st.sets(st.integers(0, 23), max_size=3))
@example(list(TEXTS), False, 2, [1.0] * 24, {3})
@settings(deadline=None)
def test_a_page_of_tokens_is_a_partition_of_the_text(tokens, each, at, values, sinks):
    text = "".join(tokens)
    found = pieces(tokens, values[: len(tokens)], at=at, sinks=sinks, each=each)
    assert "".join(p.text for p in found) == text
    assert "".join(part.text for p in found for part in p.parts) == text
    assert [i for p in found for i in range(p.start, p.end)] == list(range(len(tokens)))
    page = shown(found, each)
    assert page.text == text
    assert set(page.tags) <= {"p", "span", "mark", "i"}


@given(TOKENS)
@settings(deadline=None)
def test_nothing_invisible_reaches_the_page(tokens):
    macro = _environment().get_template("tokens.html").module.text  # type: ignore[attr-defined]
    assert raw(str(macro(pieces(tokens, np.ones(len(tokens))))))


def test_characters_that_make_one_picture_stay_together():
    family = "\U0001f468\u200d\U0001f469"
    assert [p.kind for p in pieces([family])[0].parts] == [""]
    persian = "\u0645\u06cc\u200c\u062e"
    assert [p.kind for p in pieces([persian])[0].parts] == [""]
    split = pieces(["\U0001f468", "\u200d", "\U0001f469"], each=True)
    assert [part.kind for p in split for part in p.parts] == ["", "", ""]
    assert [(p.kind, p.sign) for p in pieces(["a\u200db"])[0].parts] == [("", ""), ("hidden", "ZWJ"), ("", "")]


def test_signs():
    def signs(*tokens: str) -> list[tuple[str, str]]:
        return [(p.kind, p.sign) for piece in pieces(list(tokens), np.ones(len(tokens))) for p in piece.parts if p.kind]

    assert signs(" Hungary", " 1 847 ") == [("space", "\u00b7")] * 3
    assert signs("a\n", "\t", "x   y") == [("line", "\u21b5"), ("tab", "\u2192"), ("space", "\u00b7" * 3)]
    assert signs("\r\n") == [("hidden", "\u240d"), ("line", "\u21b5")]
    assert signs("\x00", "\x1b", "\x7f", "\u202e", "\U000e0001", "\u00a0", "\u3164") == [
        ("hidden", "\u2400"), ("hidden", "\u241b"), ("hidden", "DEL"), ("hidden", "RLO"), ("hidden", "U+E0001"), ("space", "\u237d"), ("hidden", "HF"),
    ]  # fmt: skip
    plain = pieces([" between", " words"])
    assert len(plain) == 1 and [p.kind for p in plain[0].parts] == [""]


def test_shading_says_the_values():
    tokens = ["The", " money", "\U0001f468", "", "", " is", " gone", "."]
    values = [0.0, 4.0, 0.0, -2.0, 0.1, 0.0, 0.0, FAINT * 3.9]
    found = pieces(tokens, values, at=3)
    assert [(p.start, p.end, p.text) for p in found] == [(0, 1, "The"), (1, 2, " money"), (2, 5, "\U0001f468"), (5, 8, " is gone.")]
    assert [round(p.share, 3) for p in found] == [0, 1, -0.5, 0]
    assert found[1].title == "4 \u00b7 token 1" and found[2].title == "\u22122 \u00b7 tokens 2\u20134" and found[2].peak and not found[1].peak
    page = shown(found)
    assert page.tags == ["p", "span", "i", "mark"] and page.attrs[1]["style"] == "--v:1" and "n" in page.attrs[3]["class"].split()
    assert pieces(tokens, values, scale=8.0)[1].share == 0.5
    assert spoken(found) == "money 4; \U0001f468 \u22122"


def test_sinks_are_marked_and_not_shaded():
    found = pieces(["a", "b", "c"], [9.0, 1.0, 0.0], sinks=(0,), scale=1.0)
    assert (found[0].share, found[0].sink) == (0, True) and "sink" in found[0].title
    later = pieces(["b", "c"], [1.0, 0.0], sinks=(6,), at=5, first=5)
    assert (later[0].peak, later[0].start, later[1].sink) == (True, 5, True)


def test_a_text_of_one_long_line_is_few_nodes():
    tokens = tokens_of("word " * 20_000)
    values = np.zeros(len(tokens))
    values[7] = 1
    assert len(pieces(tokens, values, at=7)) == 3 and len(shown(pieces(tokens, values, at=7)).tags) == 3
