"""The command `edit`: a sound and a text, the same as the library's own answers, and sentences for what cannot be done."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from earmark.__main__ import main
from earmark.edits import Edit
from earmark.inputs.audio import decode
from earmark.live.editing.continuation import continue_text
from earmark.live.editing.speech import edit_speech
from earmark.live.editing.text import edit_text
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import SAMPLE_RATE_HZ, UnitId
from tests.fixtures.speech_toy import CTC, WHISPER, make_speech_house, tones
from tests.fixtures.text_toy import SAE, make_text_house

Ask = Callable[..., tuple[int, Any, str]]
TEXT = "the cat sat on a mat and dogs"


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_speech_house(tmp_path_factory.mktemp("heard"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_text_house(tmp_path_factory.mktemp("read"), 3)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """ask(settings, "DICT:1=0", "--text", ...) -> (status, JSON or standard output, standard error)"""

    def run(settings: Settings, *words: object, as_json: bool = True) -> tuple[int, Any, str]:
        monkeypatch.setenv("EARMARK_DATA", str(settings.data))
        monkeypatch.setenv("EARMARK_CACHE", str(settings.cache))
        monkeypatch.setenv("EARMARK_OFFLINE", "1")
        status = main(["edit", *map(str, words), *(["--json"] if as_json else [])])
        out, err = capsys.readouterr()
        return status, json.loads(out) if as_json and status == 0 else out, err

    return run


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    sf.write(tmp_path / "mine.wav", tones(2, 3.0).samples, SAMPLE_RATE_HZ, subtype="FLOAT")
    return tmp_path / "mine.wav"


@pytest.mark.parametrize("model", [WHISPER, CTC])
def test_a_sound(model: str, ask: Ask, speech: Settings, wav: Path) -> None:
    status, found, _ = ask(speech, f"{model}-residual:2=0+9@0.5..2", f"{model}-neurons:3=2", "--audio", wav)
    edits = [Edit(UnitId(f"{model}-residual", 2), 0.0, 9.0, 0.5, 2.0), Edit(UnitId(f"{model}-neurons", 3), 2.0)]
    expected = edit_speech(Runtime(speech), Store(speech), edits, decode(wav.read_bytes()).waveform)
    assert status == 0 and found == json.loads(json.dumps(expected.json()))
    assert found["edited"] != found["plain"] and found["spliced"] is None
    assert set(found["changes"][0]) >= {"word", "p_plain", "p_edited"}
    status, lines, _ = ask(speech, f"{model}-sae:2=0", "--audio", wav, as_json=False)
    assert status == 0 and lines.startswith(f"plain    {found['plain']}\nspliced  ")


def test_a_text(ask: Ask, texts: Settings) -> None:
    status, found, _ = ask(texts, f"{SAE}:7=1+40@2..", "--text", TEXT, "--tokens", 5, "--seed", 3)
    edits, runtime, store = [Edit(UnitId(SAE, 7), 1.0, 40.0, 2.0)], Runtime(texts), Store(texts)
    *_, last = continue_text(runtime, store, edits, TEXT, 5, 3)
    expected = edit_text(runtime, store, edits, TEXT).json()
    assert status == 0 and (found["plain"], found["edited"], found["spliced"]) == (last.plain, last.edited, None)
    np.testing.assert_allclose([c["p_edited"] for c in found["changes"]], [c["p_edited"] for c in expected["changes"]], rtol=1e-4)
    assert set(found["changes"][0]) >= {"token", "p_plain", "p_edited"} and found["ce"]["spliced"] is not None
    status, none, _ = ask(texts, f"{SAE}:7=1+40", "--text", TEXT, "--tokens", 0)
    assert status == 0 and none["plain"] == none["edited"] == "" and none["changes"]
    status, lines, _ = ask(texts, f"{SAE}:7=1+40", "--text", TEXT, "--tokens", 2, as_json=False)
    assert status == 0 and lines.startswith("plain    ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((f"{SAE}:7=nan", "--text", "a"), "The factor of toy-text-sae:7 is nan"),
        ((f"{SAE}:7=1e9", "--text", "a"), "The factor of toy-text-sae:7 is 1e+09; it must be a number from -20 to 20"),
        (("7=0", "--text", "a"), "'7=0' names no dictionary"),
        ((f"{SAE}:7", "--text", "a"), "is no edit. Write DICTIONARY:UNIT=FACTOR"),
        ((f"{SAE}:7=0",), "edit needs one sample"),
        ((f"{SAE}:7=0", "--text", "a", "--audio", "b.wav"), "edit needs one sample"),
        ((f"{SAE}:7=0", f"{SAE}:7=2", "--text", "a"), "change the same unit at the same place"),
        ((f"{SAE}:999=0", "--text", "a"), "There is no unit toy-text-sae:999"),
        ((f"{SAE}:7=0", "--text", "a", "--tokens", "61"), "61 tokens are asked for; 0 to 60 are written"),
        ((f"{SAE}:7=0", "--text", "a", "--tokens", "-1"), "-1 tokens are asked for; 0 to 60 are written"),
        (("nothing:7=0", "--text", "a"), "There is no dictionary 'nothing'"),
        ((f"{SAE}:7=0", "--audio", "missing.wav"), "missing.wav"),
    ],
)
def test_errors_are_sentences(words: tuple[str, ...], told: str, ask: Ask, texts: Settings) -> None:
    status, out, err = ask(texts, *words)
    assert (status, out) == (1, "")
    assert err.startswith("earmark: ") and told in err and err.count("\n") == 1


def test_a_sound_for_a_language_model_and_a_text_for_ears(ask: Ask, texts: Settings, speech: Settings, wav: Path) -> None:
    assert "toy-text reads texts; it hears no sound" in ask(texts, f"{SAE}:7=0", "--audio", wav)[2]
    assert "toy-whisper hears sounds; it reads no text" in ask(speech, f"{WHISPER}-sae:7=0", "--text", "a")[2]
    empty = io.BytesIO()
    sf.write(empty, np.zeros(0), SAMPLE_RATE_HZ, format="WAV")
    wav.write_bytes(empty.getvalue())
    assert ask(speech, f"{WHISPER}-sae:7=0", "--audio", wav)[0] == 1
