"""The page: `python app.py`. A Space starts it here, too."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr

from components import TABS
from components.bridge import Context, build_page, wire
from components.card import page_head, page_style
from components.programs import endpoints
from components.theme import THEME
from earmark.api import routes
from earmark.settings import Settings
from earmark.shelf.store import Store


def create_app(settings: Settings, store: Store | None = None) -> gr.Blocks:
    """The whole page over one shelf. `launch_options` says how it wants to be launched."""
    context = Context(store or Store(settings), TABS)
    with gr.Blocks(title="Earmark", fill_width=True, analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
        page = build_page(context)
        wire(demo, context, page)
        endpoints(context.store)
    return demo


def launch_options(store: Store) -> dict[str, Any]:
    """What `demo.launch` is given: routes beside the page, looks, and nothing that asks another host."""
    return {
        "app_kwargs": {"routes": routes(store)},
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
    demo = create_app(settings, store)
    _, url, _ = demo.launch(prevent_thread_lock=True, **launch_options(store))
    print(f"Earmark is up: {url}", flush=True)
    demo.block_thread()


if __name__ == "__main__":
    main()
