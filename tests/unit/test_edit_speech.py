"""Edited sounds: against double runs of transformers' own networks with a hook of the test's own, window by window, in threads side by side."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import Wav2Vec2ForCTC, WhisperForConditionalGeneration

from earmark.edits import Edit
from earmark.errors import BadInput, NotFound, Stopped
from earmark.live.analysis import analyse
from earmark.live.editing.speech import EditedSpeech, differing, edit_speech
from earmark.measure.recovered import word_errors
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import SAMPLE_RATE_HZ, UnitId, Waveform
from tests.fixtures.models import LETTERS
from tests.fixtures.speech_toy import CTC, DEAD, END, LAYER, MAX_LENGTH, WHISPER, K, dictionaries, make_speech_house, tones

SAE, NEURONS, RESIDUAL = dictionaries(WHISPER)
HEARD = tones(2, 3.0)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return make_speech_house(tmp_path_factory.mktemp("edited"))


@pytest.fixture(scope="module")
def runtime(settings: Settings) -> Runtime:
    return Runtime(settings)


@pytest.fixture(scope="module")
def store(settings: Settings) -> Store:
    return Store(settings)


@pytest.fixture(scope="module")
def strongest(runtime: Runtime) -> dict[str, int]:
    """The unit of each model's SAE with the largest values on the sound."""
    found = {}
    for model in (WHISPER, CTC):
        opened = runtime.open(f"{model}-sae")
        values = runtime.capture(model, HEARD, [opened])[opened.hook].values
        found[model] = int(opened.dictionary.codes(values).dense().sum(axis=0).argmax())
    return found


def weights_of(folder: Path) -> tuple[Tensor, Tensor]:
    """(W_enc, W_dec) of the random SAE, from its file."""
    from safetensors.torch import load_file

    found = load_file(folder / "sae_weights.safetensors")
    return found["W_enc"].float(), found["W_dec"].float()


def features(x: Tensor, folder: Path) -> Tensor:
    """[n_positions, n_units], one position after the other; its dead unit is silent."""
    W_enc, _ = weights_of(folder)
    f = torch.zeros(len(x), W_enc.shape[1])
    for t, row in enumerate(x @ W_enc):
        row[DEAD] = -1e6
        for unit in torch.argsort(row, descending=True)[:K].tolist():
            f[t, unit] = max(float(row[unit]), 0.0)
    return f


def hooked(layer: torch.nn.Module, change: Callable[[Tensor], Tensor]) -> Any:
    def on_output(_module: torch.nn.Module, _args: Any, output: Any) -> Any:
        whole = output if isinstance(output, Tensor) else output[0]
        new = change(whole[0])[None]
        return new if isinstance(output, Tensor) else (new, *output[1:])

    return layer.register_forward_hook(on_output)


def test_whisper_against_three_runs_of_transformers(settings: Settings, runtime: Runtime, store: Store, strongest: dict[str, int]) -> None:
    """Off from 0.5 s to 1.5 s, and 3 more behind 2 s: with the SAE's own loop in a hook, `generate`, and the teacher-forced decoder."""
    folder, unit, n = settings.data / SAE, strongest[WHISPER], 150
    _, W_dec = weights_of(folder)
    network: Any = WhisperForConditionalGeneration.from_pretrained(settings.data / WHISPER).eval()
    mel = runtime.model(WHISPER).mel(HEARD.samples)  # type: ignore[attr-defined]

    def edited(x: Tensor) -> Tensor:
        new, f = x.clone(), features(x[:n], folder)
        new[25:76] -= f[25:76, unit, None] * W_dec[unit]
        new[100:n] += 3.0 * W_dec[unit] / W_dec[unit].norm()
        return new

    def spliced(x: Tensor) -> Tensor:
        return torch.cat([features(x[:n], folder) @ W_dec, x[n:]])

    texts, words = {}, {}
    plain_ids: list[int] = []
    for name, change in (("plain", lambda x: x), ("edited", edited), ("spliced", spliced)):
        hook = hooked(network.model.encoder.layers[LAYER], change)
        with torch.no_grad():
            ids = [token for token in network.generate(mel, do_sample=False, num_beams=1)[0].tolist() if token != END]
            plain_ids = plain_ids or ids
            logits = network(mel, decoder_input_ids=torch.tensor([[1, *plain_ids]])).logits[0].double()
        hook.remove()
        texts[name] = " ".join(f"w{token}" for token in ids)
        words[name] = [float(row.softmax(0)[token]) for row, token in zip(logits, plain_ids, strict=False)]
    edits = (Edit(UnitId(SAE, unit), 0.0, 0.0, 0.5, 1.5), Edit(UnitId(SAE, unit), 1.0, 3.0, 2.0))
    found = edit_speech(runtime, store, edits, HEARD)
    assert found.spliced is not None
    assert (found.plain.text, found.edited.text, found.spliced.text) == (texts["plain"], texts["edited"], texts["spliced"])
    assert texts["plain"] != texts["edited"], "or nothing is tested"
    np.testing.assert_allclose([change.p_plain for change in found.changes], words["plain"], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose([change.p_edited for change in found.changes], words["edited"], rtol=1e-3, atol=1e-6)
    assert [found.plain.text[c.start : c.end] for c in found.changes] == [c.word for c in found.changes] == texts["plain"].split()


def test_letters_against_two_runs_of_transformers(settings: Settings, runtime: Runtime, store: Store, strongest: dict[str, int]) -> None:
    folder, unit = settings.data / f"{CTC}-sae", strongest[CTC]
    _, W_dec = weights_of(folder)
    network: Any = Wav2Vec2ForCTC.from_pretrained(settings.data / CTC).eval()
    normed = (HEARD.samples - HEARD.samples.mean()) / np.sqrt(HEARD.samples.var() + 1e-7)
    hook = hooked(network.wav2vec2.encoder.layers[LAYER], lambda x: x + 3.0 * features(x, folder)[:, unit, None] * W_dec[unit])
    with torch.no_grad():
        best = network(torch.from_numpy(normed)[None]).logits[0].argmax(dim=-1).tolist()
    hook.remove()
    found = edit_speech(runtime, store, (Edit(UnitId(f"{CTC}-sae", unit), 4.0),), HEARD)
    kept = [LETTERS[letter] for letter, before in zip(best, [None, *best[:-1]], strict=True) if letter != before and LETTERS[letter] != "<pad>"]
    assert found.edited.text == "".join(" " if letter == "|" else letter for letter in kept).strip()
    assert found.edited.text != found.plain.text == runtime.read(CTC, HEARD)
    assert found.letters is not None and found.letters[0] is not None and found.letters[1] is not None
    assert found.letters[0] == runtime.model(CTC).letters(HEARD)  # type: ignore[attr-defined]
    assert [s.text for s in found.letters[1].phones] == [letter for letter in kept if letter != "|" and letter[0] != "<"]
    assert all(0 <= change.p_edited <= 1 and 0 < change.p_plain <= 1 for change in found.changes)


@pytest.mark.parametrize("model", [WHISPER, CTC])
def test_factor_one_changes_nothing(model: str, runtime: Runtime, store: Store, strongest: dict[str, int]) -> None:
    found = edit_speech(runtime, store, [Edit(UnitId(slug, 3), 1.0) for slug in dictionaries(model)], HEARD)
    assert found.edited.text == found.plain.text == runtime.read(model, HEARD)
    assert all(change.p_plain == change.p_edited for change in found.changes)
    assert (found.edited.differs, found.plain.differs, found.wer) == ((), (), 0.0)
    assert found.spliced is None and found.wer_spliced is None, "neurons and axes reconstruct nothing"
    alone = edit_speech(runtime, store, [Edit(UnitId(f"{model}-sae", 3), 1.0)], HEARD)
    assert alone.spliced is not None and alone.spliced.text != alone.plain.text and alone.wer_spliced
    assert not [notice for notice in alone.notices if "changes" in notice]


def test_what_is_told_of_edits_without_effect(runtime: Runtime, store: Store) -> None:
    silent = edit_speech(runtime, store, [Edit(UnitId(SAE, DEAD), 5.0)], HEARD)
    assert silent.edited.text == silent.plain.text
    assert any(notice.startswith("Nothing changes on this sound: where the edits act the units are 0.") for notice in silent.notices)
    late = edit_speech(runtime, store, [Edit(UnitId(RESIDUAL, 3), 5.0, start=4.0)], HEARD)
    assert late.edited.text == late.plain.text
    assert f"The edit of {RESIDUAL}:3 begins at 4 s; the sound ends at 3.00 s." in late.notices


def test_the_second_window_of_a_long_sound(runtime: Runtime, store: Store) -> None:
    """Seconds go on counting: an edit from 30.5 s changes the second window alone, as the same edit from 0.5 s changes the rest by itself."""
    long = tones(6, 33.0)
    cut = 30 * SAMPLE_RATE_HZ
    first, rest = Waveform(long.samples[:cut]), Waveform(long.samples[cut:])
    whole = edit_speech(runtime, store, [Edit(UnitId(RESIDUAL, 2), 0.0, 9.0, 30.5, 32.5)], long)
    alone = edit_speech(runtime, store, [Edit(UnitId(RESIDUAL, 2), 0.0, 9.0, 0.5, 2.5)], rest)
    assert whole.plain.text == f"{runtime.read(WHISPER, first)} {alone.plain.text}"
    assert whole.edited.text == f"{runtime.read(WHISPER, first)} {alone.edited.text}"
    assert alone.edited.text != alone.plain.text
    n = MAX_LENGTH
    assert all(change.p_plain == change.p_edited for change in whole.changes[:n])
    np.testing.assert_allclose([c.p_edited for c in whole.changes[n:]], [c.p_edited for c in alone.changes], rtol=1e-3)


def test_decoding_without_end_is_stopped(runtime: Runtime, store: Store) -> None:
    """The toy never ends; 24 tokens and 10 a second are what a sound of half a second gets."""
    short = edit_speech(runtime, store, [Edit(UnitId(RESIDUAL, 2), 0.0, 9.0)], tones(1, 0.5))
    assert len(short.plain.text.split()) == len(short.edited.text.split()) == 29
    told = "Stopped at the most that is written down, about 10 tokens a second: the plain and the edited transcripts. The model repeats itself there."
    assert told in short.notices


def test_words_that_differ() -> None:
    plain, other = "Oh yeah. And who might that be?", "Oh yeah, and who made that to be?"
    lost, new = differing(plain, other)
    assert [plain[a:b] for a, b in lost] == ["might"]
    assert [other[a:b] for a, b in new] == ["made", "to"]
    assert differing("", "a b") == ((), ((0, 1), (2, 3)))


@pytest.mark.parametrize(
    ("plain", "other"),
    [("Oh yeah. And", "oh, YEAH and"), ("an ice-cream", "An ice cream"), ("don't \u2013 stop", "Don\u2019t stop"), ("a b", "a c"), ("well-known", "well")],
)
def test_words_differ_where_word_errors_are_counted(plain: str, other: str) -> None:
    lost, new = differing(plain, other)
    assert bool(lost or new) == (word_errors(plain, other).n_errors > 0)


def test_word_errors_count_from_the_plain_transcript(runtime: Runtime, store: Store) -> None:
    found = edit_speech(runtime, store, [Edit(UnitId(RESIDUAL, 2), 0.0, 9.0)], HEARD)
    a, b = found.plain.text.split(), found.edited.text.split()
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[:, 0], table[0] = range(len(a) + 1), range(len(b) + 1)
    for i, word in enumerate(a, 1):
        for j, other in enumerate(b, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (word != other))
    assert found.wer == table[-1, -1] / len(a) > 0
    told = json.loads(json.dumps(found.json(), allow_nan=False))
    assert {"plain", "spliced", "edited", "changes", "wer", "notices"} <= told.keys()
    assert told["edited"] == found.edited.text and told["spliced"] is None
    assert {"word", "p_plain", "p_edited"} <= told["changes"][0].keys()


@pytest.mark.parametrize(
    ("edits", "error", "words"),
    [
        ((), BadInput, "There is no edit"),
        ((Edit(UnitId(SAE, 24), 0.0),), BadInput, "There is no unit toy-whisper-sae:24. The units of toy-whisper-sae are 0 to 23"),
        ((Edit(UnitId(SAE, 1), 0.0), Edit(UnitId(f"{CTC}-sae", 1), 0.0)), BadInput, "of 2 models, toy-whisper and toy-ctc"),
        ((Edit(UnitId("written", 1), 0.0),), BadInput, "no-ears reads texts; it hears no sound"),
        ((Edit(UnitId("nothing", 1), 0.0),), NotFound, "There is no dictionary 'nothing'"),
        ((Edit(UnitId(SAE, 1), 0.0), Edit(UnitId(SAE, 1), 2.0)), BadInput, "the same unit at the same place"),
    ],
)
def test_what_is_refused(edits: tuple[Edit, ...], error: type[Exception], words: str, runtime: Runtime, store: Store) -> None:
    with pytest.raises(error, match=words):
        edit_speech(runtime, store, edits, HEARD)


def test_sounds_that_are_too_long_and_work_that_is_stopped(runtime: Runtime, store: Store) -> None:
    off = [Edit(UnitId(SAE, 1), 0.0)]
    with pytest.raises(BadInput, match=r"lasts 121.0 s; units are edited over at most 120 s"):
        edit_speech(runtime, store, off, Waveform(np.zeros(121 * SAMPLE_RATE_HZ, np.float32)))
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > 20

    with pytest.raises(Stopped, match="stopped before its transcripts were done"):
        edit_speech(runtime, store, off, HEARD, stop=stop)
    assert len(asked) == 21
    network = runtime.model(WHISPER).network
    assert sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()) == 0


def test_visitors_side_by_side_never_mix(runtime: Runtime, store: Store, strongest: dict[str, int]) -> None:
    """Edits of three visitors and an analysis between them, at once, over and over: each gets what it gets alone."""
    wanted: list[tuple[Edit, ...]] = [
        (Edit(UnitId(SAE, strongest[WHISPER]), 0.0),),
        (Edit(UnitId(RESIDUAL, 2), 0.0, 9.0),),
        (Edit(UnitId(NEURONS, 4), 1.0, 6.0, 0.5, 2.0), Edit(UnitId(SAE, strongest[WHISPER]), 5.0)),
    ]
    alone = [edit_speech(runtime, store, edits, HEARD) for edits in wanted]
    assert len({one.edited.text for one in alone}) == 3
    quiet = analyse(runtime, store, SAE, HEARD)
    found: list[list[EditedSpeech]] = [[] for _ in wanted]
    listened: list[Any] = []
    start = threading.Barrier(len(wanted) + 1)

    def visit(n: int) -> None:
        start.wait()
        for _ in range(3):
            found[n].append(edit_speech(runtime, store, wanted[n], HEARD))

    def listen() -> None:
        start.wait()
        listened.extend(analyse(runtime, store, SAE, HEARD) for _ in range(6))

    threads = [*(threading.Thread(target=visit, args=(n,)) for n in range(len(wanted))), threading.Thread(target=listen)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[one == alone[n] for one in found[n]] for n in range(len(wanted))] == [[True] * 3] * 3
    assert len(listened) == 6
    for one in listened:
        assert one.transcript == quiet.transcript and one.hits == quiet.hits
