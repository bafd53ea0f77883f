"""The page in the tests' own process, over a toy model, so that what happens behind it can be seen, counted and held up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from earmark.live.desk import Desk
from earmark.models.base import LoadedModel
from earmark.settings import Settings
from earmark.shelf.store import Store


class Inside:
    """The running page."""

    def __init__(self, base: str, desk: Desk, uploads: Path, queue: Any):
        self.base, self.desk, self.uploads, self.queue = base, desk, uploads, queue
        self.runs: list[Any] = []
        """what the model was run over, a sample a run"""


@contextmanager
def page_inside(settings: Settings, uploads: Path, model: type[LoadedModel]) -> Iterator[Inside]:
    """The page over a shelf; runs of `model` are counted."""
    from app import create_page, launch_options

    store = Store(settings)
    desk = Desk(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        demo, page = create_page(store, desk)
        _, url, _ = demo.launch(prevent_thread_lock=True, server_name="127.0.0.1", **launch_options(store, desk, page))
        inside, capture = Inside(url.rstrip("/"), desk, uploads, demo._queue), model.capture
        patch.setattr(model, "capture", lambda self, sample, hooks: (inside.runs.append(sample), capture(self, sample, hooks))[1])
        yield inside
        demo.close()
