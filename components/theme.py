"""Gradio's theme in this page's colours. System fonts only: names that are plain Fonts are looked up on the visitor's machine."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils.fonts import Font

SANS = [Font(name) for name in ("system-ui", "-apple-system", "Segoe UI", "sans-serif")]
MONO = [Font(name) for name in ("ui-monospace", "SFMono-Regular", "Menlo", "monospace")]

THEME = gr.themes.Base(primary_hue="orange", neutral_hue="stone", font=SANS, font_mono=MONO, radius_size="sm")
THEME.set(  # pyright: ignore[reportUnknownMemberType] -- none of its parameters has a type
    body_background_fill="#fbf9f4",
    body_background_fill_dark="#15161a",
    block_background_fill="#fbf9f4",
    block_background_fill_dark="#15161a",
)
