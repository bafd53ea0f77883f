"""The page while there is nothing to show: a setting or the catalog cannot be read. It says so, to people and to programs.

`/` is answered with 200: what watches over a Space looks there, takes any other answer for a page that does not start, and in the end shows its own words in
place of this sentence. Whoever watches by machine asks /api/status, which like every other address of this library's has 503 here. No file is taken.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .card import page_style, render
from .host.doors import ROOMS, UPLOAD, Doors
from .host.frame import Frame
from .host.headers import OWN_ROOMS, SafeHeaders
from .theme import THEME


def closed_page(problem: str) -> gr.Blocks:
    with gr.Blocks(title="Earmark", fill_width=True, analytics_enabled=False) as demo:
        gr.HTML(render("problem.html", problem=problem, back=False), js_on_load=None, apply_default_css=False)
    return demo


def closed_options(problem: str) -> dict[str, Any]:
    """What `demo.launch` is given."""

    async def unavailable(request: Request) -> Response:
        return JSONResponse({"error": problem}, status_code=503)

    routes = [Route(f"{room}{{rest:path}}", unavailable) for room in OWN_ROOMS]
    routes += [Route(f"{room}{UPLOAD}{{rest:path}}", unavailable, methods=["GET", "POST"]) for room in ("", ROOMS)]
    return {
        "app_kwargs": {"routes": routes, "middleware": [Middleware(SafeHeaders), Middleware(Doors, 0), Middleware(Frame)]},
        "theme": THEME,
        "css": page_style(),
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "quiet": True,
    }
