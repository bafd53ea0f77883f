"""The page: `python app.py`. A Space starts it here, too."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 2) - 1, 1)))  # a core is left to look-ups while the model is busy
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")  # else it remembers ten thousand events, and makes a table of them after each
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**12))

import gradio as gr
from fastapi.exceptions import RequestValidationError
from starlette.middleware import Middleware

from components import TABS
from components.asked import Discreet
from components.bridge import Context, FirstView, Page, build_page, wire
from components.card import page_head, page_style
from components.closed import closed_options, closed_page
from components.host.doors import FORGET_S, Doors, misfit, own_folder, swept
from components.host.frame import Frame
from components.host.headers import SafeHeaders
from components.host.pressed import Pressed
from components.host.stateless import N_VISITS
from components.host.waiting import N_THREADS
from components.programs import endpoints, model_endpoints
from components.theme import THEME
from earmark.api import routes
from earmark.errors import BadInput, EarmarkError
from earmark.live.desk import Desk
from earmark.live.line.turns import MAX_WAITING
from earmark.settings import Settings
from earmark.shelf.hub import why_silent
from earmark.shelf.store import Store
from earmark.web.own import own_routes

sys.setswitchinterval(0.001)  # seconds; left at five times as many, whoever draws a view holds up the one thread that answers everybody, at each step
LOOKS_S = (0.02, 0.05)
"""how often Gradio looks for events and for what is told of them; left alone it looks a thousand times a second, also while the model works"""


def create_page(store: Store, desk: Desk) -> tuple[gr.Blocks, Page]:
    """The whole page over one shelf, and its components."""
    context = Context(store, TABS, desk)
    with Discreet(title="Earmark", fill_width=True, analytics_enabled=False, delete_cache=FORGET_S) as demo:
        page = build_page(context)
        wire(page)
        endpoints(context.store)
        model_endpoints(context.desk)
    demo.queue(max_size=MAX_WAITING)
    demo._queue.sleep_when_free, demo._queue.progress_update_sleep_when_free = LOOKS_S  # pyright: ignore[reportPrivateUsage] -- Gradio offers no other way
    return demo, page


def create_app(settings: Settings, store: Store | None = None, desk: Desk | None = None) -> gr.Blocks:
    """The whole page over one shelf. `launch_options` says how it wants to be launched."""
    store = store or Store(settings)
    return create_page(store, desk or Desk(store))[0]


def launch_options(store: Store, desk: Desk | None = None, page: Page | None = None) -> dict[str, Any]:
    """What `demo.launch` is given: routes beside the page, looks, and nothing that asks another host.

    Without the desk that the page was given, visitors' own clips have neither sound nor picture. Without the page, the first view
    is there only once Gradio's scripts have run.
    """
    first = [Middleware(FirstView, page)] if page else []
    doors = Middleware(Doors, store.settings.max_upload_mb)
    return {
        "app_kwargs": {
            "routes": [*(own_routes(desk) if desk else ()), *routes(store, desk)],
            "middleware": [Middleware(SafeHeaders), doors, Middleware(Pressed), *first, Middleware(Frame)],
            "lifespan": swept(),
            "exception_handlers": {RequestValidationError: misfit},
        },
        "max_threads": N_THREADS,
        "state_session_capacity": N_VISITS,
        "max_file_size": f"{store.settings.max_upload_mb}mb",
        "theme": THEME,
        "css": page_style(),
        "head": None if page else page_head(),
        "footer_links": ["api"],
        "run_history": False,
        "ssr_mode": False,
        "enable_monitoring": False,
        "quiet": True,
    }


def opened() -> tuple[gr.Blocks, dict[str, Any]]:
    """The page and how it is launched; where a setting or the catalog cannot be read, a page that says so."""
    try:
        store = Store(Settings.from_env())
        if not store.catalog.dictionaries:
            raise BadInput(f"catalog.toml in '{store.settings.data}' lists no dictionary yet. README says what an entry holds.")
    except EarmarkError as error:
        print(f"earmark: {error}", file=sys.stderr, flush=True)
        return closed_page(str(error)), closed_options(str(error))
    print(f"earmark: {_told(store)}", file=sys.stderr, flush=True)
    for fault in store.catalog.faults.values():
        print(f"earmark: {fault}", file=sys.stderr, flush=True)
    desk = Desk(store)
    demo, page = create_page(store, desk)
    return demo, launch_options(store, desk, page)


def _told(store: Store) -> str:
    """What an owner wants to find in the log."""
    settings, slugs = store.settings, list(store.catalog.dictionaries)
    there = sum(store.has_tables(slug) for slug in slugs)
    hub = why_silent(settings) or f"the Hub is asked for what is missing, up to {settings.hub_max_mb} MB a visitor"
    limits = f"files up to {settings.max_upload_mb} MB and sounds up to {settings.max_audio_s} s are read"
    return f"{len(slugs)} dictionaries in '{settings.data}', {there} with tables; {hub}; {limits}."


def main() -> None:
    os.environ.setdefault("GRADIO_TEMP_DIR", str(own_folder()))
    demo, options = opened()
    gc.freeze()  # what is there from the start is never garbage: 0.2 s of each full collection
    _, url, _ = demo.launch(prevent_thread_lock=True, **options)
    print(f"Earmark is up: {url}", flush=True)
    demo.block_thread()


if __name__ == "__main__":
    main()
