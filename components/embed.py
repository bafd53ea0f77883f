"""One card for another page's frame (`&embed=true`): the first view of its address with this page's own scripts, and nothing of Gradio's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .card import page_head, page_style, render
from .host.headers import EVERYWHERE, embed_policy

NAME = "embed"
TABS = ("feature",)
"""the tabs of which one view can stand alone"""


def is_embedded(query: Mapping[str, str], tab: str) -> bool:
    """Is a card without the rest asked for? On other tabs the word changes nothing."""
    return query.get(NAME) == "true" and tab in TABS


def embed_page(title: str, answer: str, parts: Sequence[tuple[str, str]], href: str, nonce: str) -> bytes:
    """The document. `answer`: the view's own, as the bridge brings it; `parts`: ids with their HTML; `href`: of the same card with the rest."""
    values = {"title": title, "answer": answer, "parts": parts, "href": href, "nonce": nonce}
    return render("embed.html", **values, style=page_style(), scripts=page_head(nonce)).encode()


def embed_headers(nonce: str) -> dict[str, str]:
    """It runs no text as a function, and any page may show it."""
    return {"Content-Security-Policy": embed_policy(nonce, EVERYWHERE)}
