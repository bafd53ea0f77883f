"""The endpoint `edit`, as gradio_client calls it: a sound and a text with units turned up, down or off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import pytest
import soundfile as sf
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from components.programs import model_endpoints
from earmark.edits import Edit
from earmark.inputs.audio import decode
from earmark.live.desk import Desk
from earmark.live.editing.continuation import edit_and_continue
from earmark.live.editing.speech import edit_speech
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import SAMPLE_RATE_HZ, UnitId
from tests.fixtures.speech_toy import WHISPER, make_speech_house, tones
from tests.fixtures.text_toy import SAE, make_text_house


def served(settings: Settings) -> Iterator[tuple[Settings, Client]]:
    """The model's endpoints alone, without the page."""
    with gr.Blocks() as app:
        model_endpoints(Desk(Store(settings)))
    _, base, _ = app.launch(prevent_thread_lock=True, quiet=True)
    yield settings, Client(base, verbose=False, analytics_enabled=False)
    app.close()


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Client]]:
    yield from served(make_speech_house(tmp_path_factory.mktemp("heard")))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Client]]:
    yield from served(make_text_house(tmp_path_factory.mktemp("read"), 3))


def test_a_sound(speech: tuple[Settings, Client], tmp_path: Path) -> None:
    settings, client = speech
    sf.write(tmp_path / "mine.wav", tones(2, 3.0).samples, SAMPLE_RATE_HZ, subtype="FLOAT")
    found = client.predict(f"{WHISPER}-residual:2=0+9@0.5..2", handle_file(tmp_path / "mine.wav"), api_name="/edit")
    sound = decode((tmp_path / "mine.wav").read_bytes()).waveform
    expected = edit_speech(Runtime(settings), Store(settings), [Edit(UnitId(f"{WHISPER}-residual", 2), 0.0, 9.0, 0.5, 2.0)], sound)
    assert (found["plain"], found["edited"], found["spliced"]) == (expected.plain.text, expected.edited.text, None)
    assert [change["word"] for change in found["changes"]] == [change.word for change in expected.changes]
    with pytest.raises(AppError, match="toy-whisper hears sounds; it reads no text"):
        client.predict(f"{WHISPER}-sae:2=0", None, "a text", api_name="/edit")


def test_a_text(texts: tuple[Settings, Client]) -> None:
    settings, client = texts
    found = client.predict(f"{SAE}:7=1+40", None, "the cat sat", 4, 1, api_name="/edit")
    expected = edit_and_continue(Runtime(settings), Store(settings), [Edit(UnitId(SAE, 7), 1.0, 40.0)], "the cat sat", 4, 1)
    assert (found["plain"], found["edited"]) == (expected["plain"], expected["edited"])
    assert found["changes"][0]["p_edited"] == pytest.approx(expected["changes"][0]["p_edited"], rel=1e-3)


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        (f"{SAE}:7=nan", "factor of toy-text-sae:7 is nan"),
        (f"{SAE}:7=300", "is 300; it must be a number"),
        ("7=0", "names no dictionary"),
        ("", "There is no edit"),
    ],
)
def test_errors_are_sentences(texts: tuple[Settings, Client], edits: str, told: str) -> None:
    with pytest.raises(AppError, match=told):
        texts[1].predict(edits, None, "the cat", api_name="/edit")
