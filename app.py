"""The page: `python app.py`. A Space starts it here, too."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from components import TABS
from components.bridge import Context, build_page, wire
from components.card import page_head, page_style
from components.programs import audio_endpoint, endpoints
from components.theme import THEME
from earmark.api import routes
from earmark.live.desk import Desk
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.web.own import own_routes

FORGET_S = (600, 2400)
"""how often uploaded files are looked through, and how old they get where a visitor leaves before they are read"""
MAX_WAITING = 20
"""places in the line for the model"""


def create_app(settings: Settings, store: Store | None = None, desk: Desk | None = None) -> gr.Blocks:
    """The whole page over one shelf. `launch_options` says how it wants to be launched."""
    store = store or Store(settings)
    context = Context(store, TABS, desk or Desk(store))
    with gr.Blocks(title="Earmark", fill_width=True, analytics_enabled=False, delete_cache=FORGET_S) as demo:
        page = build_page(context)
        wire(demo, context, page)
        endpoints(context.store)
        audio_endpoint(context.desk)
    return demo.queue(max_size=MAX_WAITING)


def launch_options(store: Store, desk: Desk | None = None) -> dict[str, Any]:
    """What `demo.launch` is given: routes beside the page, looks, and nothing that asks another host.

    Without the desk that `create_app` was given, visitors' own clips have neither sound nor picture.
    """
    return {
        "app_kwargs": {"routes": [*(own_routes(desk) if desk else ()), *routes(store)]},
        "max_file_size": f"{store.settings.max_upload_mb}mb",
        "theme": THEME,
        "css": page_style(),
        "head": page_head(),
        "footer_links": ["api", "settings"],
        "run_history": False,
        "ssr_mode": False,
        "enable_monitoring": False,
        "quiet": True,
    }


def main() -> None:
    settings = Settings.from_env()
    store = Store(settings)
    desk = Desk(store)
    demo = create_app(settings, store, desk)
    _, url, _ = demo.launch(prevent_thread_lock=True, **launch_options(store, desk))
    print(f"Earmark is up: {url}", flush=True)
    demo.block_thread()


if __name__ == "__main__":
    main()
