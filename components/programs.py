"""Named endpoints for gradio_client: the same answers as the JSON routes."""

from __future__ import annotations

from typing import Any

import gradio as gr

from earmark.api import card_json, hits_json
from earmark.errors import EarmarkError
from earmark.shelf.store import Store
from earmark.units import UnitId


def endpoints(store: Store) -> None:
    """Register `unit` and `search`; call it inside a Blocks context."""

    def unit(dictionary: str, index: int) -> dict[str, Any]:
        """One unit's card: stats, histogram, examples with traces, decoder neighbours and best match.

        Args:
            dictionary: a slug, such as whisper-tiny.en-l2-sae
            index: the unit's number, from 0
        """
        try:
            return card_json(store.card(UnitId(dictionary, int(index))))
        except EarmarkError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def search(dictionary: str, index: int, min: float | None = None, max: float | None = None, absolute: bool = False, n: int = 20) -> list[dict[str, Any]]:
        """Samples whose peak of a unit lies within [min, max], strongest first.

        Args:
            dictionary: a slug, such as whisper-tiny.en-l2-sae
            index: the unit's number, from 0
            min: smallest peak; empty for no limit
            max: largest peak; empty for no limit
            absolute: compare by magnitude, so that strongly negative values count
            n: how many samples, 1 to 500
        """
        try:
            return hits_json(store.search(UnitId(dictionary, int(index)), min, max, absolute, int(n)))
        except EarmarkError as error:
            raise gr.Error(str(error), print_exception=False) from None

    for function in (unit, search):
        gr.api(function, api_name=function.__name__, queue=False)
