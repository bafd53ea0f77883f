"""OpenAI's checkpoints of every vocabulary, and whisper.cpp's ggml files, against openai-whisper's own code on random weights."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingTask
from whisper.tokenizer import get_tokenizer

from earmark.errors import BadInput, MissingWeights
from earmark.models import openai
from earmark.models import whisper as ours
from earmark.models.base import ModelFiles
from earmark.units import SAMPLE_RATE_HZ, Waveform
from scripts.convert_ggml import convert

ASSETS = Path(whisper.__file__).parent / "assets"
VOCABULARIES = {51864: ("gpt2", 99), 51865: ("multilingual", 99), 51866: ("multilingual", 100)}


def reference(n_vocab: int, n_mels: int = 80, n_layers: int = 2) -> whisper.model.Whisper:
    torch.manual_seed(n_vocab)
    dims = whisper.model.ModelDimensions(n_mels, 1500, 16, 2, n_layers, n_vocab, 448, 16, 2, 1)
    model = whisper.model.Whisper(dims).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2)
    return model


def saved(model: whisper.model.Whisper, path: Path) -> Path:
    torch.save({"dims": vars(model.dims), "model_state_dict": model.state_dict()}, path)
    return path


def sound(duration_s: float) -> Waveform:
    return Waveform(np.random.default_rng(0).normal(0, 0.1, round(duration_s * SAMPLE_RATE_HZ)).astype(np.float32))


@pytest.mark.parametrize("n_vocab", VOCABULARIES)
def test_special_tokens_are_those_of_openai_whisper(n_vocab: int) -> None:
    name, n_languages = VOCABULARIES[n_vocab]
    tokenizer = get_tokenizer(name == "multilingual", num_languages=n_languages)
    found = openai.specials_of(n_vocab)
    assert (found.end, found.start, found.translate, found.transcribe) == (tokenizer.eot, tokenizer.sot, tokenizer.translate, tokenizer.transcribe)
    assert (found.start_of_lm, found.start_of_previous, found.no_speech) == (tokenizer.sot_lm, tokenizer.sot_prev, tokenizer.no_speech)
    assert found.no_timestamps == tokenizer.no_timestamps
    if name == "multilingual":
        assert found.languages == {code: tokenizer.to_language_token(code) for code in tokenizer.all_language_codes}
    assert {token: found.end + i for i, token in enumerate(found.names())} == tokenizer.special_tokens
    task = DecodingTask(reference(n_vocab), whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False))
    assert tuple(found.suppressed) == task._get_suppress_tokens()


def test_other_vocabularies_are_refused() -> None:
    with pytest.raises(MissingWeights, match="32000 tokens; OpenAI's vocabularies have 51864, 51865, 51866"):
        openai.specials_of(32_000)


@pytest.mark.parametrize(("n_vocab", "n_mels"), [(51864, 80), (51865, 80), (51866, 128)])
def test_encoder_of_every_kind_of_checkpoint(tmp_path: Path, n_vocab: int, n_mels: int) -> None:
    expected = reference(n_vocab, n_mels, n_layers=3)
    name, _ = VOCABULARIES[n_vocab]
    model = ours.load(ModelFiles("m", {"checkpoint": saved(expected, tmp_path / "m.pt"), "vocabulary": ASSETS / f"{name}.tiktoken"}))
    heard, hook = sound(1.31), model.hook("residual", 1)
    taken = model.capture(heard, [hook])[hook]
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(heard.samples)), n_mels)[None]
    seen: list[torch.Tensor] = []
    handle = expected.encoder.blocks[1].register_forward_hook(lambda *a: seen.append(a[2]))
    with torch.no_grad():
        expected.encoder(mel)
    handle.remove()
    assert taken.values.shape == (66, 16)
    np.testing.assert_allclose(taken.values, seen[0][0, :66].numpy(), atol=1e-3)


@pytest.mark.parametrize("n_vocab", [51865, 51866])
def test_multilingual_checkpoints_find_the_language_and_read_alike(tmp_path: Path, n_vocab: int) -> None:
    expected = reference(n_vocab)
    if n_vocab == 51866:
        expected.dims.n_mels = 80  # what the mel is made with; the vocabulary is what is tested
    model = ours.load(ModelFiles("m", {"checkpoint": saved(expected, tmp_path / "m.pt"), "vocabulary": ASSETS / "multilingual.tiktoken"}))
    heard = sound(2.0)
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(heard.samples)))
    options = whisper.DecodingOptions(without_timestamps=True, fp16=False, sample_len=20)
    result = whisper.decode(expected, mel, options)
    with torch.no_grad():
        states = model._model.model.encoder(model.mel(heard.samples))
    language = model._model.detect_language(encoder_outputs=states, generation_config=model._model.generation_config)
    assert language.item() == openai.specials_of(n_vocab).languages[result.language]
    assert len(result.text) > 50
    assert model.read(heard).startswith(result.text)


def test_broken_and_strange_checkpoints_are_refused(tmp_path: Path) -> None:
    vocabulary = ASSETS / "multilingual.tiktoken"
    path = tmp_path / "m.pt"
    for content in ({"dims": {}}, {"dims": Path("x"), "model_state_dict": {}}, [1, 2]):
        torch.save(content, path)
        with pytest.raises(MissingWeights, match="can be read safely"):
            ours.load(ModelFiles("m", {"checkpoint": path, "vocabulary": vocabulary}))
    model = reference(51865)
    state = model.state_dict()
    del state["encoder.blocks.0.attn.key.weight"]
    torch.save({"dims": vars(model.dims), "model_state_dict": state}, path)
    with pytest.raises(MissingWeights, match=r"do not fit Whisper.*layers\.0\.self_attn\.k_proj\.weight"):
        ours.load(ModelFiles("m", {"checkpoint": path, "vocabulary": vocabulary}))


# -- ggml ------------------------------------------------------------------------------------------------------------------


def write_ggml(model: whisper.model.Whisper, path: Path, quantised: bool = False) -> Path:
    """As whisper.cpp's models/convert-pt-to-ggml.py writes it, with matrices as float16."""
    d = model.dims
    with path.open("wb") as file:
        file.write(struct.pack("<i", 0x67676D6C))
        sizes = (
            d.n_vocab,
            d.n_audio_ctx,
            d.n_audio_state,
            d.n_audio_head,
            d.n_audio_layer,
            d.n_text_ctx,
            d.n_text_state,
            d.n_text_head,
            d.n_text_layer,
            d.n_mels,
            1,
        )
        file.write(struct.pack("<11i", *sizes))
        filters = np.load(ASSETS / "mel_filters.npz", allow_pickle=False)[f"mel_{d.n_mels}"]
        file.write(struct.pack("<2i", *filters.shape) + filters.astype("<f4").tobytes())
        pieces = [base64.b64decode(line.split()[0]) for line in (ASSETS / "multilingual.tiktoken").read_bytes().splitlines() if line]
        file.write(struct.pack("<i", len(pieces)))
        for piece in pieces:
            file.write(struct.pack("<i", len(piece)) + piece)
        for name, tensor in model.state_dict().items():
            values = tensor.numpy()
            if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
                values = values[:, None]
            half = values.ndim > 1 and not name.endswith(("bias", "positional_embedding"))
            file.write(struct.pack("<3i", values.ndim, len(name), 8 if quantised else int(half)))
            file.write(struct.pack(f"<{values.ndim}i", *values.shape[::-1]) + name.encode())
            file.write(values.astype("<f2" if half else "<f4").tobytes())
    return path


def test_ggml_gives_the_same_network_and_tokenizer(tmp_path: Path) -> None:
    expected = reference(51865)
    said = convert(write_ggml(expected, tmp_path / "m.bin"), tmp_path / "folder")
    assert f"{len(expected.state_dict())} tensors, all of them placed" in said
    model = ours.load(ModelFiles("m", {"folder": tmp_path / "folder"}))
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(sound(1).samples)))[None]
    expected.load_state_dict({name: v.half().float() if v.ndim > 1 and "positional" not in name else v for name, v in expected.state_dict().items()})
    with torch.no_grad():
        np.testing.assert_allclose(model._model.model.encoder(mel).last_hidden_state.numpy(), expected.encoder(mel).numpy(), atol=1e-4)
    from transformers import AutoTokenizer

    tokenizer, theirs = AutoTokenizer.from_pretrained(tmp_path / "folder"), get_tokenizer(multilingual=True)
    text = "Größe: 3 µm — “quoted”, naïve 日本 🎧  don't\n12345 stop"
    assert tokenizer(text, add_special_tokens=False).input_ids == theirs.encode(text)
    assert model._decode([theirs.sot, *theirs.encode(text), theirs.timestamp_begin, theirs.eot]) == text


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = write_ggml(reference(51865), tmp_path / "m.bin")
    whole = path.read_bytes()
    for data, reason in ((b"GGUF" + whole[4:], "no ggml file"), (whole[:-100], "breaks off at byte"), (b"", "no ggml file")):
        path.write_bytes(data)
        with pytest.raises(BadInput, match=reason):
            convert(path, tmp_path / "folder")
    with pytest.raises(BadInput, match="is quantised"):
        convert(write_ggml(reference(51865), tmp_path / "q.bin", quantised=True), tmp_path / "folder")
    with pytest.raises(BadInput, match="cannot be read"):
        convert(tmp_path / "none.bin", tmp_path / "folder")


# -- with other activations in an encoder layer's place ------------------------------------------------------------------------


def louder(x: torch.Tensor) -> torch.Tensor:
    """[n_frames, width] -> another of the same shape"""
    return 1.5 * x.flip(1) - torch.arange(len(x))[:, None] * 0.01


@pytest.fixture(params=VOCABULARIES, ids=lambda n: VOCABULARIES[n][0] + str(n))
def rewritten(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ours.Whisper, whisper.model.Whisper, int]:
    """(what we load, openai-whisper's network whose encoder block 1 is rewritten over the 1401 real frames of a sound of 28.01 s, its vocabulary)."""
    expected = reference(request.param)
    path = saved(expected, tmp_path / "m.pt")
    block = expected.encoder.blocks[1]
    whole = block.forward

    def forward(*args: object, **kwargs: object) -> torch.Tensor:
        out = whole(*args, **kwargs)
        return torch.cat([louder(out[0, :1401])[None], out[:, 1401:]], dim=1)

    block.forward = forward
    model = ours.load(ModelFiles("m", {"checkpoint": path, "vocabulary": ASSETS / f"{VOCABULARIES[request.param][0]}.tiktoken"}))
    return model, expected, request.param


def test_transcript_and_its_cross_entropy_with_a_layer_rewritten(rewritten: tuple[ours.Whisper, whisper.model.Whisper, int]) -> None:
    model, expected, n_vocab = rewritten
    heard, hook, text = sound(28.01), model.hook("residual", 1), "It's  naïve, 日本 – don't!"
    multilingual = VOCABULARIES[n_vocab][0] == "multilingual"
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(heard.samples)))
    with torch.no_grad():
        plain = model._model.model.encoder(model.mel(heard.samples)).last_hidden_state
        language = whisper.decoding.detect_language(expected, plain[0], get_tokenizer(True, num_languages=VOCABULARIES[n_vocab][1]))[1] if multilingual else {}
        spoken = max(language, key=lambda name: language[name]) if language else "en"
        tokenizer = get_tokenizer(multilingual, num_languages=VOCABULARIES[n_vocab][1], language=spoken, task="transcribe")
        ids = [*tokenizer.sot_sequence_including_notimestamps, *tokenizer.encode(" " + text), tokenizer.eot]
        audio = expected.encoder(mel[None])
        log_p = expected.decoder(torch.tensor([ids]), audio)[0].double().log_softmax(dim=-1)
        n = len(tokenizer.sot_sequence_including_notimestamps)
        losses = [-log_p[i - 1, ids[i]].item() for i in range(n, len(ids))]
        result = whisper.decode(expected, audio[0], whisper.DecodingOptions(language=spoken, without_timestamps=True, fp16=False, sample_len=20))
    np.testing.assert_allclose(model.cross_entropy(heard, text, {hook: louder}), losses, atol=1e-3, rtol=1e-4)
    assert np.abs(model.cross_entropy(heard, text) - losses).max() > 0.01
    if not multilingual:  # the others find the language anew in what they are given
        assert model.read(heard, {hook: louder}).startswith(result.text.strip())
        assert not model.read(heard).startswith(result.text.strip())


def test_what_a_replacing_function_gets_is_what_is_captured(rewritten: tuple[ours.Whisper, whisper.model.Whisper, int]) -> None:
    model, _, _ = rewritten
    heard, hook, seen = sound(31.0), model.hook("neurons", 1), []
    model._model.generation_config.max_length = 12
    model.read(heard, {hook: lambda x: seen.append(x.clone()) or x})
    taken = model.capture(heard, [hook])[hook]
    assert [len(x) for x in seen] == [1500, 50]
    np.testing.assert_allclose(torch.cat(seen).numpy(), taken.values, atol=1e-5)


def test_transcripts_that_cannot_be_judged(rewritten: tuple[ours.Whisper, whisper.model.Whisper, int]) -> None:
    model, _, _ = rewritten
    with pytest.raises(BadInput, match=r"lasts 30\.5 s; a transcript is judged over one window of at most 30 s"):
        model.cross_entropy(sound(30.5), "text")
    with pytest.raises(BadInput, match=r"The transcript has \d+ tokens; m reads at most 44\d in one window"):
        model.cross_entropy(sound(1), "word " * 500)
