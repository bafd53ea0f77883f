"""A sound heard in several ways at once: against each way alone, transformers' own `generate`, teacher forcing, and CTC by brute force."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from earmark.errors import BadInput, Stopped
from earmark.models import FAMILIES
from earmark.models.base import ModelFiles
from earmark.models.capture import Replace, forking, replacing
from earmark.models.decoding import greedy, token_limit
from earmark.models.hearing import ctc_runs, letter_log_p, summed, token_places, word_spans
from earmark.models.wav2vec2 import Wav2Vec2
from earmark.models.whisper import Whisper
from earmark.units import SAMPLE_RATE_HZ, Hook, Waveform
from tests.fixtures.models import LETTERS, SPEECH, make_speech
from tests.fixtures.speech_toy import END, make_whisper, tones


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    folder = tmp_path_factory.mktemp("whisper")
    make_whisper(folder)
    return FAMILIES["whisper"](ModelFiles("m", {"folder": folder}))


def states_of(model: Whisper, heard: Waveform) -> Tensor:
    with torch.inference_mode():
        return model._model.model.encoder(model.mel(heard.samples)).last_hidden_state


def generated(model: Whisper, heard: Waveform) -> list[int]:
    with torch.inference_mode():
        found: Any = model._model.generate(model.mel(heard.samples), do_sample=False, num_beams=1)
    return found[0].tolist()


def bent(x: Tensor) -> Tensor:
    return 0.7 * x.flip(1) + x


# -- decoding --------------------------------------------------------------------------------------------------------------


def test_greedy_equals_transformers_generate(whisper: Whisper) -> None:
    found = {}
    for seed in range(6):
        heard = tones(seed, 1.0 + seed)
        expected = [token for token in generated(whisper, heard) if token != END]
        ours = greedy(whisper._model, states_of(whisper, heard), [1], token_limit(whisper._model, 1))
        assert list(ours.ids) == expected
        assert whisper.read(heard) == " ".join(f"w{token}" for token in expected)
        found[ours.ids] = ours.ended
    assert len(found) > 3, "the transcripts must differ, or nothing is tested"
    assert token_limit(whisper._model, 1) == 40


def test_a_transcript_that_ends(whisper: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = tones(1, 2.0)
    tokens = generated(whisper, heard)
    last = next(n for n in range(3, len(tokens)) if tokens[n] not in tokens[:n])
    monkeypatch.setattr(whisper._model.generation_config, "eos_token_id", tokens[last])
    ours = greedy(whisper._model, states_of(whisper, heard), [1], 60)
    assert ours.ended and list(ours.ids) == tokens[:last]
    again = greedy(whisper._model, states_of(whisper, heard), [1], 60, ours.ids)
    assert again.ended and again.ids == ours.ids
    np.testing.assert_allclose(again.log_p, ours.log_p, atol=1e-4)
    cut = greedy(whisper._model, states_of(whisper, heard), [1], last - 1)
    assert not cut.ended and list(cut.ids) == tokens[: last - 1]


def test_a_draft_changes_nothing_but_the_work(whisper: Whisper) -> None:
    """Whatever the draft: right, wrong somewhere, shifted, too long, of another sound, or nothing."""
    heard = tones(3, 4.0)
    states, random = states_of(whisper, heard), np.random.default_rng(0)
    alone = greedy(whisper._model, states, [1], 40)
    right, other = list(alone.ids), list(greedy(whisper._model, states_of(whisper, tones(4, 2.0)), [1], 40).ids)
    drafts = [right, [], right[5:], [7, 8, *right], other, right[:20] + other[:20], [*right[:10], 9, *right[11:]], [*right[:10], *right[12:]]]
    drafts += [[int(token) if random.random() < 0.2 else kept for token, kept in zip(random.integers(4, 60, 40), right, strict=True)] for _ in range(5)]
    passes = []
    for draft in drafts:
        seen: list[None] = []
        assert greedy(whisper._model, states, [1], 40, draft[:40], lambda seen=seen: seen.append(None)).ids == alone.ids
        passes.append(len(seen))
    assert passes[0] == 1 and passes[1] == 40
    assert passes[6] < 8, "behind one wrong token the draft is taken up again"


def test_probabilities_of_a_draft_are_teacher_forced(whisper: Whisper) -> None:
    heard, draft = tones(5, 2.0), [4, 9, 33, 33, 8]
    with torch.inference_mode():
        logits = whisper._model(whisper.mel(heard.samples), decoder_input_ids=torch.tensor([[1, *draft]])).logits[0].double()
    expected = [float(row[token] - torch.logsumexp(row, 0)) for row, token in zip(logits, draft, strict=False)]
    np.testing.assert_allclose(greedy(whisper._model, states_of(whisper, heard), [1], 40, draft).log_p, expected, atol=1e-4)
    alone = greedy(whisper._model, states_of(whisper, heard), [1], 12)
    assert np.isclose(alone.log_p.sum(), greedy(whisper._model, states_of(whisper, heard), [1], 12, alone.ids).log_p.sum(), atol=1e-3)


def test_decoding_can_be_stopped(whisper: Whisper) -> None:
    calls = []

    def check() -> None:
        calls.append(None)
        if len(calls) == 7:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        greedy(whisper._model, states_of(whisper, tones(0, 1.0)), [1], 40, check=check)


SETTINGS = (
    {"task": "transcribe"},
    {"language": "french", "task": "transcribe"},
    {"language": "<|de|>", "task": "translate"},
    {"forced_decoder_ids": [[1, None], [2, 43]]},
    {"forced_decoder_ids": [[1, 41], [2, 43]]},
)


@pytest.mark.parametrize("setting", SETTINGS)
def test_languages_that_are_set_or_heard(whisper: Whisper, setting: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of several languages writes what `generate` writes; its edited run keeps to the language of the plain one."""
    known: Any = whisper._model.generation_config
    named = {"lang_to_id": {"<|en|>": 40, "<|fr|>": 41, "<|de|>": 42}, "task_to_id": {"transcribe": 43, "translate": 44}, "no_timestamps_token_id": 59}
    for name, value in {"is_multilingual": True, **named, **setting}.items():
        monkeypatch.setattr(known, name, value, raising=False)
    heard = tones(2, 3.0)
    for seed in range(4):
        expected = [f"w{token}" for token in generated(whisper, tones(seed, 3.0)) if token != END]
        assert whisper.read(tones(seed, 3.0)).split() == expected
    hook = whisper.hook("residual", 1)
    found = whisper.hear(heard, lambda first: [{}, {hook: torch.zeros_like}], lambda seconds: 12)
    with torch.inference_mode():
        states = whisper._encoded(heard.samples, [{hook: torch.zeros_like}])
        ids = greedy(whisper._model, states, whisper._prompt(states_of(whisper, heard)), 12).ids
    assert found.texts[1].split() == [f"w{token}" for token in ids], "in the language of the plain run"


# -- several ways ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", ["residual", "preactivation", "neurons"])
def test_every_way_hears_what_it_hears_alone(whisper: Whisper, site: str) -> None:
    heard = tones(2, 3.0)
    early, late = whisper.hook(site, 0), whisper.hook(site, 2)
    ways: list[Replace] = [{}, {late: bent}, {early: bent, late: torch.zeros_like}, {early: lambda x: x.flip(1)}]
    passes: list[int] = []
    watch = whisper._model.model.encoder.layers[0].register_forward_hook(lambda *a: passes.append(a[1][0].shape[0]))
    found = whisper.hear(heard, lambda first: ways, lambda seconds: 40)
    watch.remove()
    assert passes == [1], "what comes before the first change is computed once"
    assert found.texts == tuple(whisper.read(heard, way) for way in ways)
    assert len(set(found.texts)) == 4
    assert found.moved[0] == 0 and min(found.moved[1:]) > 1e-3
    text = found.texts[0]
    for log_p, way in zip(found.judged.log_p, ways, strict=True):
        np.testing.assert_allclose(log_p, -whisper.cross_entropy(heard, text, way)[:-1], atol=1e-3)
    assert [text[a:b] for a, b in found.judged.words] == text.split()
    judged = whisper.judge(heard, text, ways[1:])
    np.testing.assert_allclose(judged.log_p, found.judged.log_p[1:], atol=1e-3)


def test_a_way_that_changes_nothing_hears_the_same(whisper: Whisper) -> None:
    hook = whisper.hook("residual", 1)
    found = whisper.hear(tones(2, 3.0), lambda first: [{}, {}, {hook: lambda x: x.clone()}], lambda seconds: 40)
    assert found.texts[0] == found.texts[1] == found.texts[2]
    assert np.array_equal(found.judged.log_p, found.judged.log_p[[0, 0, 0]])


def test_windows_and_the_limit(whisper: Whisper) -> None:
    """35 s are two windows: a change knows where the second begins; each is stopped at the limit for its seconds."""
    heard, hook = tones(6, 35.0), whisper.hook("residual", 1)
    seen: list[tuple[int, int]] = []

    def ways(first: int) -> Sequence[Replace]:
        def noted(x: Tensor) -> Tensor:
            seen.append((first, len(x)))
            return bent(x) if first else x

        return [{}, {hook: noted}]

    found = whisper.hear(heard, ways, lambda seconds: round(seconds))
    assert seen == [(0, 1500), (1500, 250)]
    first, second = Waveform(heard.samples[: 30 * SAMPLE_RATE_HZ]), Waveform(heard.samples[30 * SAMPLE_RATE_HZ :])
    cut = " ".join(whisper.read(first).split()[:30])
    assert found.texts[0] == cut + " " + " ".join(whisper.read(second).split()[:5])
    assert found.texts[1] == cut + " " + " ".join(whisper.read(second, {hook: bent}).split()[:5])
    assert found.ended == (False, False)
    assert [found.texts[0][a:b] for a, b in found.judged.words] == found.texts[0].split()
    alone = whisper.judge(second, " ".join(found.texts[0].split()[30:]), [{hook: bent}])
    np.testing.assert_allclose(found.judged.log_p[1, 30:], alone.log_p[0], atol=1e-3)


def test_tokens_that_share_a_character_or_a_word() -> None:
    pieces = {1: b" na", 2: b"\xc3", 3: b"\xaf", 4: b"ve,", 5: b" ", 6: b"  cat"}

    def decode(ids: list[int]) -> str:
        return b"".join(pieces[i] for i in ids).decode("utf-8", errors="replace")

    ids = [1, 2, 3, 4, 6, 5]
    text = decode(ids).strip()
    words = word_spans(text)
    assert [text[a:b] for a, b in words] == ["naïve,", "cat"]
    log_p = -np.arange(1.0, 7.0)[None]
    assert summed(words, token_places(decode, ids), log_p).tolist() == [[-1.0 - 2 - 3 - 4, -5.0]]


# -- letters ---------------------------------------------------------------------------------------------------------------


def spells(path: Sequence[int], blank: int) -> list[int]:
    return [letter for letter, _ in itertools.groupby(path) if letter != blank]


@pytest.mark.parametrize("letters", [[1], [1, 2], [1, 1], [2, 1, 2], [1, 1, 2]])
def test_the_likeliest_path_by_brute_force(letters: list[int]) -> None:
    random = np.random.default_rng(len(letters))
    for _ in range(20):
        log_p = np.log(random.dirichlet(np.full(3, 0.6), 6))
        paths = [path for path in itertools.product(range(3), repeat=6) if spells(path, 0) == letters]
        best = max(paths, key=lambda path: sum(log_p[t, letter] for t, letter in enumerate(path)))
        runs, at = [], 0
        for letter, frames in itertools.groupby(best):
            n = len(list(frames))
            if letter:
                runs.append((at, at + n - 1))
            at += n
        assert ctc_runs(log_p, letters, 0) == runs


def test_letters_that_do_not_fit() -> None:
    with pytest.raises(BadInput, match="The transcript has 3 letters, too many for 3 frames"):
        ctc_runs(np.zeros((3, 3)), [1, 1, 2], 0)


def test_a_letters_probability_is_its_largest_between_its_neighbours() -> None:
    p = np.full((6, 3), 0.05)
    for t, letter in enumerate((0, 1, 0, 0, 2, 0)):
        p[t, letter] = 0.9
    other = p.copy()
    other[1], other[3] = (0.9, 0.05, 0.05), (0.2, 0.7, 0.1)  # the first letter comes late
    found = letter_log_p(np.log(np.stack([p, other])), [1, 2], 0)
    np.testing.assert_allclose(np.exp(found), [[0.9, 0.9], [0.7, 0.9]])
    assert letter_log_p(np.log(p)[None], [], 0).shape == (1, 0)


@pytest.mark.parametrize("kind", SPEECH)
@pytest.mark.parametrize("site", ["residual", "neurons"])
def test_letters_in_several_ways(tmp_path: Path, kind: str, site: str) -> None:
    make_speech(tmp_path, kind, stable=False)
    model: Wav2Vec2 = FAMILIES["wav2vec2"](ModelFiles("m", {"folder": tmp_path}))
    heard = Waveform(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))
    ways: list[Replace] = [{}, {model.hook(site, 1): bent}, {model.hook(site, 0): torch.zeros_like, model.hook(site, 2): bent}]
    found = model.hear(heard, lambda first: ways, lambda seconds: 1)
    assert found.texts == tuple(model.read(heard, way) for way in ways)
    assert len(set(found.texts)) > 1 and found.ended == (True,) * 3
    assert found.letters[0] == model.letters(heard)
    logits = model._logits(heard, [ways[1]])[0].astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    plain = model._logits(heard, [{}])[0].argmax(axis=1)
    for (start, end), log_p in zip(found.judged.words, found.judged.log_p[1], strict=True):
        assert log_p <= 0
        assert start < end
    word_frames, expected = words_of_path(plain.tolist()), []
    for word in word_frames:
        expected.append(math.prod(float(p[a:b, letter].max()) for letter, a, b in word))
    if all(LETTERS[letter][0] != "<" for letter in set(plain.tolist()) - {0}):
        np.testing.assert_allclose(np.exp(found.judged.log_p[1]), expected, rtol=1e-3)
    judged = model.judge(heard, found.texts[0], ways)
    np.testing.assert_allclose(judged.log_p, found.judged.log_p, atol=1e-3)


def words_of_path(path: list[int]) -> list[list[tuple[int, int, int]]]:
    """(letter, first frame, past the last) of each letter, words apart; a letter reaches from its neighbour before to its neighbour behind."""
    runs, at = [], 0
    for letter, frames in itertools.groupby(path):
        n = len(list(frames))
        if letter:
            runs.append((letter, at, at + n))
        at += n
    mark = LETTERS.index("|")
    while runs and runs[0][0] == mark:
        runs.pop(0)
    words: list[list[tuple[int, int, int]]] = [[]]
    for n, (letter, _, _) in enumerate(runs):
        if letter == mark:
            words.append([])
            continue
        words[-1].append((letter, runs[n - 1][2] if n else 0, runs[n + 1][1] if n + 1 < len(runs) else len(path)))
    return [word for word in words if word]


# -- forks -----------------------------------------------------------------------------------------------------------------


def test_forks_equal_each_way_alone_and_leave_no_hook() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(4)))
    hooks = [Hook(str(n), "output", 4) for n in range(4)]
    x = torch.randn(1, 5, 4)
    ways: list[Replace] = [{}, {hooks[2]: bent}, {hooks[1]: torch.zeros_like, hooks[3]: bent}]
    seen: list[int] = []
    network[1].register_forward_pre_hook(lambda *a: seen.append(len(a[1][0])))
    with torch.no_grad():
        with forking(network, ways):
            found, repeated = network(x), network(x.expand(3, -1, -1))
        for way, out, again in zip(ways, found, repeated, strict=True):
            with replacing(network, way):
                expected = network(x)[0]
            torch.testing.assert_close(out, expected)
            torch.testing.assert_close(again, expected)
        with forking(network, [{}, {}]):
            assert network(x).shape == (1, 5, 4)
        with pytest.raises(BadInput, match="must have"), forking(network, [{}, {hooks[0]: lambda x: x[:, :2].repeat(1, 3)}]):
            network(x)
    assert seen[:2] == [1, 3]
    assert sum(len(m._forward_hooks) for m in network) == 0
