"""Texts, typed and in files: letters that are none, encodings that are none, markup. They are read by a toy model, and the page that shows them is parsed:
no element and no attribute in it came from the text."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from components import TABS
from components.bridge import Context, view_of
from earmark.inputs.textfile import MAX_TEXT_BYTES
from earmark.live.desk import Desk
from earmark.shelf.store import Store
from tests.fixtures.text_house import SENTENCE, make_text_house
from tests.fixtures.text_shelf import SAE
from tests.fuzz.harm import harmed
from tests.fuzz.kinds import Case
from tests.fuzz.watch import Watch

MARK = "zq"
"""in the name of every element and attribute that a text tries to bring in"""
PIECES = (
    "<zqx zqy=1>", "</span></q></script></style></textarea><zqx>", '" zqy="1', "' zqy='1", "<script>zqz()</script>", "<!-- <zqx> -->", "]]><zqx>",
    "&lt;zqx&gt;", "&#60;zqx&#62;", "<img src=x onerror=zqz()>", "<svg><zqx>", "javascript:zqz()", "{{ zqz }}", "{% zqz %}", "${zqz}", "<math><zqx>",
    "<zqx", "\\u003czqx\\u003e", "%3Czqx%3E", "\ufeff", "\u2028", "\0", "\x1b[31m", "\ud800", "\udfff", "\u202e", "\u200b" * 50, "\u0301" * 5_000,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U000e0001", "\uffff", "\x85", "\r\n\r\n", "日本", "a" * 3_000, " ", SENTENCE,
)  # fmt: skip
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp1252", "shift-jis", "cp037")


def prepare(folder: Path, watch: Watch) -> Case:
    store = Store(make_text_house(folder / "house"))
    desk = Desk(store)
    context = Context(store, TABS, desk)
    desk.texts.read(SAE, SENTENCE)
    shown(context, SENTENCE)

    def case(chance: random.Random) -> Callable[[], str]:
        text = "".join(chance.choice(PIECES) for _ in range(chance.choice((1, 3, 8))))
        if chance.random() < 0.02:
            text = chance.choice(("\u0301", "x", "<", "\u202e", "\n")) * chance.choice((200_001, 199_999, 1_000_000))
        if chance.random() < 0.5:
            return lambda: read(context, text)
        data = text.encode(chance.choice(ENCODINGS), "replace" if chance.random() < 0.5 else "xmlcharrefreplace")
        data = harmed(data, chance) if data and chance.random() < 0.7 else data
        path = folder / "brought.txt"
        path.write_bytes(data[: MAX_TEXT_BYTES + 10])
        return lambda: read(context, taken(desk, path))

    return case


def taken(desk: Desk, path: Path) -> str:
    try:
        return desk.texts.take(path)[0]
    finally:
        assert not path.exists()


def read(context: Context, text: str) -> str:
    token = context.desk.texts.read(SAE, text)
    try:
        shown(replace(context, passage=token), text[:400])
    finally:
        context.desk.texts.forget(token)
    return "shown"


def shown(context: Context, text: str) -> None:
    """The text's own page, and the pages of an address that holds it."""
    for query in ({"tab": "text", "dictionary": SAE}, {"tab": "text", "dictionary": SAE, "text": text}, {"tab": "find", "q": text}):
        view = view_of(context, query)
        for html in (view.problem, view.notices, *(value for value in view.values if isinstance(value, str))):
            Strict().feed(html)


class Strict(HTMLParser):
    """Fails at markup that a text has brought in."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert MARK not in tag and tag != "script", f"an element <{tag[:60]}>"
        for name, value in attrs:
            assert MARK not in name and not name.startswith("on"), f"an attribute {name[:60]} of <{tag}>"
            if name in ("href", "src", "action", "formaction", "style"):
                assert not (value or "").strip().lower().startswith(("javascript:", "data:text")), f"{name} of <{tag}> is {value!r:.80}"

    def handle_comment(self, data: str) -> None:
        assert MARK not in data
