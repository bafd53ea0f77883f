"""Named endpoints for gradio_client: the same answers as the JSON routes."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from earmark.api import card_json, hits_json
from earmark.edits import parse_edits
from earmark.live.desk import Desk
from earmark.shelf import pairs
from earmark.shelf.store import Store
from earmark.units import UnitId
from earmark.web.records import analysis_json, pair_json, text_analysis_json
from earmark.web.search.find import find, found_json

from .asked import asked
from .host.events import published
from .host.uploads import uploaded
from .host.waiting import PROGRAMS, telling


def endpoints(store: Store) -> None:
    """Register `unit`, `search`, `compare` and `find_units`; call it inside a Blocks context."""

    @asked
    def unit(dictionary: str, index: int) -> dict[str, Any]:
        """One unit's card: stats, histogram, examples with traces, decoder neighbours and best match.

        Args:
            dictionary: a slug, such as whisper-tiny.en-l2-sae
            index: the unit's number, from 0
        """
        return card_json(store.card(UnitId(dictionary, index)))

    @asked
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
        return hits_json(store.search(UnitId(dictionary, index), min, max, absolute, n))

    @asked
    def compare(a: str, b: str) -> dict[str, Any]:
        """Two units beside each other: statistics, correlation, the strongest samples that they share, shares of positive values.

        Args:
            a: DICTIONARY:UNIT, such as whisper-tiny.en-l2-sae:3
            b: DICTIONARY:UNIT, such as whisper-tiny.en-l2-neurons:728
        """
        return pair_json(pairs.compare(store, pairs.unit_id(a), pairs.unit_id(b)))

    @asked
    def find_units(text: str, n: int = 50) -> list[dict[str, Any]]:
        """Units of all dictionaries by what a person would type, each with why it matches: labels first, then what their strongest samples say.

        Args:
            text: a phone (sk, /s k/, /ʃ/), a word, a class such as nasal or comma, part of a transcript, or a unit's number
            n: how many units, 1 to 500
        """
        return found_json(find(store, text, n))

    for function in (unit, search, compare, find_units):
        published(function, queue=False)


def model_endpoints(desk: Desk) -> None:
    """Register `analyse_audio`, `analyse_text` and `edit`, which wait for the same model as the page; call it inside a Blocks context."""

    @asked
    def analyse_audio(audio: FileData, dictionary: str, top: int = 20, order: str = "relative") -> dict[str, Any]:
        """The units that fire on a sound, with the model's transcript. Times are seconds, shares lie in 0..1, what does not apply is null.

        Args:
            audio: a sound file: wav, mp3, flac, ogg, opus, m4a or webm; the first minute is used
            dictionary: a slug, such as whisper-tiny.en-l2-sae
            top: how many units, 1 to 500
            order: relative (peak over the unit's own largest value in the corpus), peak, mean or rarity
        """
        return analysis_json(desk.analyse(dictionary, desk.take(uploaded(audio)), top, order, telling(gr.Progress())))

    @asked
    def analyse_text(text: str, dictionary: str, top: int = 20, order: str = "relative") -> dict[str, Any]:
        """The units that fire on a text: what each of its tokens prints, and each unit's values over them. Shares lie in 0..1, what does not apply is null.

        Args:
            text: the first 1,024 tokens are used
            dictionary: a slug of a dictionary over a language model, such as smollm2-135m-l22-sae
            top: how many units, 1 to 500
            order: relative (peak over the unit's own largest value in the corpus), peak, mean or rarity
        """
        return text_analysis_json(desk.texts.analyse(dictionary, text, top, order, telling(gr.Progress())))

    @asked
    def edit(edits: str, audio: FileData | None = None, text: str = "", tokens: int = 40, seed: int = 0) -> dict[str, Any]:
        """What a model hears in a sound, or expects of a text and goes on with, plainly and with units turned up, down or off. Probabilities lie in 0..1.

        Args:
            edits: DICTIONARY:UNIT=FACTOR, with +ADDED and @START..END (seconds, or numbers of tokens) where wanted; several with commas between them
            audio: a sound file, for units of a speech model
            text: a text, for units of a language model
            tokens: how many tokens a text goes on with, 0 to 60
            seed: of the draws with which it goes on
        """
        wanted = parse_edits(edits)
        if audio is None:
            return desk.editing.answer_text(wanted, text, tokens, seed, telling(gr.Progress()))
        return desk.editing.answer_sound(wanted, desk.take(uploaded(audio)), telling(gr.Progress()))

    for function in (analyse_audio, analyse_text, edit):
        published(function, **PROGRAMS)
