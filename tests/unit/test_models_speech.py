"""wav2vec 2.0, HuBERT and WavLM against transformers' own outputs, against physics, and against what strangers' folders may hold."""

from __future__ import annotations

import itertools
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import Wav2Vec2FeatureExtractor

from earmark.errors import BadInput, MissingWeights
from earmark.models import FAMILIES
from earmark.models.base import ModelFiles
from earmark.models.wav2vec2 import Wav2Vec2
from earmark.units import SAMPLE_RATE_HZ, TokenSample, Waveform
from tests.fixtures.models import LETTERS, N_LAYERS, N_NEURONS, SPEECH, WIDTH, make_speech

KINDS = list(itertools.product(SPEECH, (False, True)))
IDS = [f"{kind}-{'stable' if stable else 'base'}" for kind, stable in KINDS]


def noise(n: int, seed: int = 0) -> Waveform:
    return Waveform(np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32))


def load(folder: Path, slug: str = "m") -> Wav2Vec2:
    return FAMILIES["wav2vec2"](ModelFiles(slug, {"folder": folder}))


@pytest.fixture(scope="module", params=KINDS, ids=IDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Wav2Vec2, Any, bool]:
    """(what we load, transformers' network, stable layer norm) of one folder; loaded with every way out of the machine shut."""
    kind, stable = request.param
    folder = tmp_path_factory.mktemp(kind)
    network = make_speech(folder, kind, stable)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("something was fetched"))
        return load(folder), network, stable


def normalised(sound: Waveform) -> torch.Tensor:
    """[1, n] by hand"""
    return torch.from_numpy((sound.samples - sound.samples.mean()) / np.sqrt(sound.samples.var() + 1e-7))[None]


def test_ctc_loss_is_that_of_transformers(pair: tuple[Wav2Vec2, Any, bool]) -> None:
    """Letters in the model's case, those that it lacks left out; with something else in place of a layer's output, another loss."""
    model, network, _ = pair
    sound, ids = noise(9_000), [LETTERS.index(letter) for letter in "TEA|HIT"]
    found = model.cross_entropy(sound, "tea, hit?")
    network.config.ctc_loss_reduction, network.config.ctc_zero_infinity = "sum", False
    with torch.no_grad():
        expected = network(normalised(sound), labels=torch.tensor([ids])).loss
    assert model.predicts and len(found) == len(ids) and found.sum() == pytest.approx(expected.item(), rel=1e-3)
    spoiled = model.cross_entropy(sound, "tea hit", {model.hook("residual", 1): torch.zeros_like})
    assert abs(spoiled.sum() - found.sum()) > 1e-3 * found.sum()
    with pytest.raises(BadInput, match="has no letter"):
        model.cross_entropy(sound, "xyz")
    with pytest.raises(BadInput, match="too many for"):
        model.cross_entropy(sound, "tea " * 40)


def test_residual_equals_hidden_states(pair: tuple[Wav2Vec2, Any, bool]) -> None:
    model, network, stable = pair
    sound = noise(9_000)
    hooks = [model.hook("residual", i) for i in range(N_LAYERS)]
    taken = [torch.from_numpy(a.values) for a in model.capture(sound, hooks).values()]
    with torch.no_grad():
        expected = network.base_model(normalised(sound), output_hidden_states=True)
        if stable:  # the network's output is the last layer's, normed
            torch.testing.assert_close(network.base_model.encoder.layer_norm(taken[-1]), expected.last_hidden_state[0], atol=1e-4, rtol=1e-4)
        else:
            torch.testing.assert_close(taken[-1], expected.last_hidden_state[0], atol=1e-4, rtol=1e-4)
    for values, state in zip(taken[:-1], expected.hidden_states[1:], strict=False):
        torch.testing.assert_close(values, state[0], atol=1e-4, rtol=1e-4)


def test_neurons_are_activated_and_read_by_the_second_layer(pair: tuple[Wav2Vec2, Any, bool]) -> None:
    model, network, _ = pair
    hooks = {site: model.hook(site, 1) for site in ("preactivation", "neurons")}
    assert {h.width for h in hooks.values()} == {N_NEURONS}
    taken = model.capture(noise(5_000), list(hooks.values()))
    before, after = (torch.from_numpy(taken[hooks[site]].values) for site in ("preactivation", "neurons"))
    torch.testing.assert_close(after, F.gelu(before))
    directions = model.directions(hooks["neurons"])
    assert directions is not None
    assert directions.shape == (N_NEURONS, WIDTH)
    layer = network.base_model.encoder.layers[1].feed_forward
    torch.testing.assert_close(after @ directions + layer.output_dense.bias, layer.output_dense(after), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("n", "frames"), [(400, 1), (719, 1), (720, 2), (16_000, 49), (32_000, 99), (48_001, 149)])
def test_frames_of_a_sound(pair: tuple[Wav2Vec2, Any, bool], n: int, frames: int) -> None:
    model, _, _ = pair
    hook = model.hook("residual", 0)
    taken = model.capture(noise(n), [hook])[hook]
    assert taken.values.shape == (frames, WIDTH)
    assert taken.grid.n_frames == frames
    assert taken.grid.hop_s == 0.02
    assert taken.grid.start_s(7) + taken.grid.hop_s / 2 == pytest.approx(7 * 0.02 + 0.0125), "the middle of what is drawn is the frame's centre"


@pytest.mark.parametrize("at_s", [0.3, 0.55, 0.81])
def test_a_tone_is_found_where_it_sounds(pair: tuple[Wav2Vec2, Any, bool], at_s: float) -> None:
    """60 ms of tone in faint noise: the three frames that differ most from all others lie around its middle."""
    model, _, _ = pair
    t = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * 900 * t) * (np.abs(t - at_s) < 0.03)
    hook = model.hook("residual", 0)
    taken = model.capture(Waveform((np.random.default_rng(0).normal(0, 1e-3, len(t)) + tone).astype(np.float32)), [hook])[hook]
    strange = np.linalg.norm(taken.values - np.median(taken.values, axis=0), axis=1)
    strange[:2] = strange[-2:] = 0  # the ends of a sound are strange too
    found = [taken.grid.start_s(int(i)) + taken.grid.hop_s / 2 for i in np.argsort(-strange)[:3]]
    assert np.mean(found) == pytest.approx(at_s, abs=taken.grid.hop_s)


def test_padding_in_a_batch_is_nowhere(pair: tuple[Wav2Vec2, Any, bool]) -> None:
    """As in a padded, masked batch of transformers; the first norm of base models runs over time, padding included, so only stable ones can."""
    model, network, stable = pair
    if not stable:
        pytest.skip("a padded batch of a base model is another computation, as the module says")
    short, long = noise(6_000, 1), noise(11_000, 2)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    batch = extractor([short.samples, long.samples], sampling_rate=SAMPLE_RATE_HZ, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = network.base_model(**batch, output_hidden_states=True).hidden_states[2]
    hook = model.hook("residual", 1)
    for row, sound in enumerate((short, long)):
        values = model.capture(sound, [hook])[hook].values
        n = int(network._get_feat_extract_output_lengths(len(sound.samples)))
        assert len(values) == n
        np.testing.assert_allclose(values, expected[row, :n].numpy(), atol=2e-4)


def test_nothing_after_the_last_hook_runs(pair: tuple[Wav2Vec2, Any, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, _ = pair
    layers: Any = model.root.encoder.layers
    monkeypatch.setattr(layers[2], "forward", lambda *_, **__: pytest.fail("a layer after the hook was run"))
    assert model.capture(noise(4_000), [model.hook("neurons", 0), model.hook("residual", 1)])


def test_letters_are_read_as_ctc_has_it(pair: tuple[Wav2Vec2, Any, bool]) -> None:
    """Repetitions first, then blanks, '|' is a space; special tokens are no letters."""
    model, network, _ = pair
    t = np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    sound = Waveform((0.2 * np.sin(2 * np.pi * 4_000 * t**2) * (np.sin(9 * t) > -0.5)).astype(np.float32))  # a whistle that rises and pauses
    with torch.no_grad():
        best = network(normalised(sound)).logits[0].argmax(-1).tolist()
    letters = [LETTERS[i] for i, _ in itertools.groupby(best)]
    naive = "".join(" " if c == "|" else c for c in letters if c != "<pad>")
    assert len(naive) > 3
    assert model.read(sound).split() == naive.split()


def test_texts_are_no_sounds(pair: tuple[Wav2Vec2, Any, bool]) -> None:
    model, _, _ = pair
    text: Any = TokenSample((1,), ("a",))
    for use in (lambda: model.capture(text, [model.hook("residual", 0)]), lambda: model.read(text)):
        with pytest.raises(BadInput, match="m reads sounds, not texts"):
            use()


@pytest.mark.parametrize("do_normalize", [True, False])
def test_do_normalize_is_respected(tmp_path: Path, do_normalize: bool) -> None:
    network = make_speech(tmp_path, "wav2vec2", True, letters=False, do_normalize=do_normalize)
    model = load(tmp_path)
    hook = model.hook("residual", 0)
    sound = noise(4_000)
    x = normalised(sound) if do_normalize else torch.from_numpy(sound.samples)[None]
    with torch.no_grad():
        expected = network(x, output_hidden_states=True).hidden_states[1][0].numpy()
    np.testing.assert_allclose(model.capture(sound, [hook])[hook].values, expected, atol=1e-4)
    assert model.read(sound) == "", "there are no letters in this folder"


# -- folders of strangers --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_speech(tmp_path, "wav2vec2", False)
    return tmp_path


def change_config(folder: Path, name: str = "config.json", **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_other_types_are_refused_by_a_sentence(folder: Path) -> None:
    change_config(folder, model_type="bert")
    with pytest.raises(MissingWeights, match=r"'bert'; the family wav2vec2 reads wav2vec2, hubert, wavlm"):
        load(folder)


def test_a_missing_weight_is_no_random_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["wav2vec2.encoder.layers.1.attention.k_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingWeights, match=r"lacks 1 weights, such as .*layers\.1\.attention\.k_proj\.weight"):
        load(folder)


def test_weights_in_bin_are_the_same(folder: Path) -> None:
    sound = noise(3_000)
    before = load(folder)
    hook = before.hook("residual", 2)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    np.testing.assert_array_equal(load(folder).capture(sound, [hook])[hook].values, before.capture(sound, [hook])[hook].values)


class Malicious:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def test_a_pickle_runs_nothing(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    torch.save({"wav2vec2.masked_spec_embed": Malicious(mark)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match="cannot be read"):
        load(folder)
    assert not mark.exists()


def test_code_of_strangers_is_not_run(folder: Path) -> None:
    (folder / "code.py").write_text("raise SystemExit('it ran')")
    change_config(folder, auto_map={"AutoModel": "code.Model", "AutoModelForCTC": "code.Model", "AutoConfig": "code.Config"})
    assert load(folder).n_layers == N_LAYERS


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_file_that_is_not_there_or_broken_is_a_sentence(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"{ broken")
    with pytest.raises(MissingWeights, match="m "):
        load(folder)
    (folder / name).unlink()
    with pytest.raises(MissingWeights, match="m "):
        load(folder)


def test_other_rates_and_lengths_are_refused(folder: Path) -> None:
    model = load(folder)
    for n in (399, 121 * SAMPLE_RATE_HZ):
        with pytest.raises(BadInput, match=r"reads 0\.025 to 120 s"):
            model.capture(Waveform(np.zeros(n, np.float32)), [model.hook("residual", 0)])
    change_config(folder, "preprocessor_config.json", sampling_rate=8_000)
    with pytest.raises(MissingWeights, match="8000 samples a second"):
        load(folder)
