"""Between the address bar and the tabs: every view is drawn from an address, and every view writes its address back.

A hidden element carries addresses both ways. Links, forms and the Back button send it a query string; the answer fills the tab
that the address names and brings the address in its settled form. The server keeps no state for a visitor.

The first view also lies in the page itself, as plain HTML: it is there long before Gradio's scripts are, and is handed to Gradio's elements
once they are there (`1-address.js`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
from gradio.blocks import Block
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earmark.errors import EarmarkError
from earmark.links import Link
from earmark.live.desk import Desk
from earmark.machine import told
from earmark.shelf.store import Store

from .card import page_head, page_style, render
from .embed import embed_headers, embed_page, is_embedded
from .host.events import unchanged, when
from .host.headers import page_policy
from .kept import KeptViews, Shown, drawn
from .views.address import settle

MAX_QUERY = 12_000
"""letters of an address: a short text in it may take twelve of them for one of its own"""
ON_LOAD = "window.earmark.connect((data) => trigger('visit', data), props, watch)"


@dataclass(frozen=True)
class Context:
    """What a tab gets to build itself and to show a link."""

    store: Store
    tabs: tuple[ModuleType, ...]
    desk: Desk
    clip: str = ""
    """the token of the visitor's own clip: a page knows it and sends it along; it is in no address"""
    passage: str = ""
    """the same for a text of one's own that is too long for an address"""
    run: str = ""
    """the same for a training of the Lab"""
    figures: str = ""
    """which figures the page has already, where it says so: they need not be drawn again"""
    views: KeptViews = field(default_factory=KeptViews)
    """what was drawn before, for whomever"""


@dataclass(frozen=True)
class Page:
    """The components that a visit fills: the bridge, the notices, the tabs, then each tab's own."""

    context: Context
    bridge: gr.HTML
    notice: gr.HTML
    tabs: gr.Tabs
    parts: Mapping[str, Sequence[Block]]

    @property
    def outputs(self) -> list[Block]:
        return [self.bridge, self.notice, self.tabs, *(part for parts in self.parts.values() for part in parts)]


def build_page(context: Context) -> Page:
    """The frame around the tabs, and the tabs."""
    gr.HTML(render("header.html", tabs=context.tabs), elem_id="em-header", js_on_load=None, apply_default_css=False)
    notice = gr.HTML("", elem_id="em-notice", js_on_load=None, apply_default_css=False)
    parts: dict[str, Sequence[Block]] = {}
    with gr.Tabs(elem_id="em-tabs", selected=context.tabs[0].NAME) as tabs:
        for tab in context.tabs:
            with gr.Tab(tab.TITLE, id=tab.NAME, elem_id=f"em-tab-{tab.NAME}"):
                parts[tab.NAME] = tab.build(context)
    bridge = gr.HTML("", elem_id="em-bridge", visible="hidden", html_template="", js_on_load=ON_LOAD)
    return Page(context, bridge, notice, tabs, parts)


def wire(page: Page) -> None:
    """Draw what the bridge asks for: first the page's own address, then every further one."""

    def drawn(event: gr.EventData) -> list[Any]:
        asked = dict(parse_qsl(str(event.query)[:MAX_QUERY], keep_blank_values=True))
        own = replace(page.context, **{name: str(getattr(event, name))[:80] for name in ("clip", "passage", "run", "figures")})
        return visit(own, page, asked, int(event.n), bool(event.there))

    when(page.bridge, "visit", drawn, None, page.outputs, trigger_mode="always_last", queue=False, show_progress="hidden", api_visibility="private")


@dataclass(frozen=True)
class View:
    """What a link shows."""

    link: Link
    title: str
    """the document's"""
    notices: str
    """HTML"""
    values: tuple[Any, ...]
    """what the components of the link's tab show"""
    problem: str = ""
    """HTML of what is wrong, in place of all that"""

    def filled(self, parts: Sequence[Block]) -> list[tuple[Block, Any]]:
        """The components of the link's tab, each with what it shows."""
        if not self.problem:
            return list(zip(parts, self.values, strict=True))
        nothing = [(part, "" if isinstance(part, gr.HTML) else None) for part in parts]
        return [(parts[0], self.problem), *nothing[1:]]

    def answer(self, number: int) -> str:
        """What the bridge brings."""
        return json.dumps({"query": self.link.query(), "tab": self.link.tab, "title": self.title, "n": number})


def view_of(context: Context, query: Mapping[str, str]) -> View:
    link, notices = settle(context.store, *Link.parse(query))
    tab = next(t for t in context.tabs if link.tab == t.NAME)
    said = render("notice.html", notices=notices)
    try:
        with told():
            shown = _shown(context, tab, link)
    except EarmarkError as error:  # such as a table that was damaged since: the other tabs work on
        return View(link, f"{tab.TITLE} · Earmark", said, (), render("problem.html", problem=str(error), back=True))
    return View(link, shown.title, said, shown.values)


def _shown(context: Context, tab: ModuleType, link: Link) -> Shown:
    """What the tab shows for a link: as it was drawn for somebody else, where nothing has changed since."""
    key = link, context.store.state(), tab.also(context, link) if hasattr(tab, "also") else None
    kept = context.views.get(key)
    if kept is not None:
        return kept
    shown = drawn(tab.show(context, link))
    if shown.lasts:
        context.views.put(key, shown)
    return shown


def visit(context: Context, page: Page, query: Mapping[str, str], number: int, there: bool) -> list[Any]:
    """One value for each of the page's outputs: tabs other than the link's are left as they are, and so is the first view that is there."""
    view = view_of(context, query)
    filled = [view.filled(parts) if name == view.link.tab else [(part, unchanged()) for part in parts] for name, parts in page.parts.items()]
    values = [view.answer(number), view.notices, gr.Tabs(selected=view.link.tab), *(value for parts in filled for _, value in parts)]
    return [unchanged() if there and c is not page.bridge and isinstance(c, gr.HTML) else v for c, v in zip(page.outputs, values, strict=True)]


class FirstView:
    """Middleware that writes the view of the page's own address, with its style and scripts, into Gradio's page (`Frame`), or alone where a card is embedded.

    Scripts run by the answer's nonce alone.
    """

    def __init__(self, app: ASGIApp, page: Page):
        self._app, self._context, self._page = app, page.context, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        view = await run_in_threadpool(view_of, self._context, dict(Request(scope).query_params))
        if is_embedded(Request(scope).query_params, view.link.tab):
            body = embed_page(view.title, view.answer(0), self._parts(view), view.link.href(), nonce)
            await HTMLResponse(body, headers=embed_headers(nonce))(scope, receive, send)
            return
        start: Message = {}

        async def complete(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                return
            body = message["body"]
            if start["status"] == 200:
                body = self._written(body, view, nonce)
                MutableHeaders(scope=start).update({"Content-Length": str(len(body)), "Content-Security-Policy": page_policy(nonce)})
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, complete)

    def _parts(self, view: View) -> list[tuple[str, str]]:
        """The tab's elements by their ids, with the HTML that they show."""
        parts = view.filled(self._page.parts[view.link.tab])
        return [("em-notice", view.notices), *((str(part.elem_id), value) for part, value in parts if isinstance(part, gr.HTML))]

    def _written(self, page: bytes, view: View, nonce: str) -> bytes:
        page = page.replace(b"<script", f'<script nonce="{nonce}"'.encode())  # Gradio's own; what a view holds comes later, and gets none
        header = render("header.html", tabs=self._context.tabs)
        first = render("first.html", answer=view.answer(0), nonce=nonce, parts=[("em-header", header), *self._parts(view)])
        head = f"<style>{page_style()}</style>{page_head(nonce)}</head>"
        return page.replace(b"</head>", head.encode(), 1).replace(b"<gradio-app", first.encode() + b"<gradio-app inert", 1)
