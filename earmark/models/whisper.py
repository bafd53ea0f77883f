"""Whisper's encoder through transformers, from the Hub's files or from OpenAI's original checkpoint.

The encoder always sees a window of 30 s: 3000 mel frames of 10 ms, 1500 positions of 20 ms. Position t of a window covers
[20 t, 20 t + 20) ms. Positions past the end of the sound are padding and are left out; longer sounds are read window by
window, so that no position is ever displaced. Paper: Radford et al. 2022, arXiv:2212.04356.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging

from ..errors import MissingWeights
from ..units import SAMPLE_RATE_HZ, Activations, FrameGrid, Hook, Waveform
from .base import LoadedModel, ModelFiles
from .capture import taking

FAMILY = "whisper"

logging.set_verbosity_error()  # Whisper's generate warns of arguments that it passes to itself
logging.disable_progress_bar()  # standard error is for sentences

WINDOW_S = 30
N_WINDOW_SAMPLES = WINDOW_S * SAMPLE_RATE_HZ
HOP_S = 0.02
N_HOP_SAMPLES = round(HOP_S * SAMPLE_RATE_HZ)
N_WINDOW_FRAMES = N_WINDOW_SAMPLES // N_HOP_SAMPLES

# Specials of the English-only vocabulary, as in openai-whisper's tokenizer (end and start of transcript, no timestamps)
_EN_END, _EN_START, _EN_NO_TIMESTAMPS = 50256, 50257, 50362
# What greedy decoding never emits: symbols that are not speech and the task tokens (openai-whisper, DecodingTask with "-1")
_EN_SUPPRESSED = (
    "1 2 7 8 9 10 14 25 26 27 28 29 31 58 59 60 61 62 63 90 91 92 93 357 366 438 532 685 705 796 930 1058 1220 1267 1279 1303 1343 "
    "1377 1391 1635 1782 1875 2162 2361 2488 3467 4008 4211 4600 4808 5299 5855 6329 7203 9609 9959 10563 10786 11420 11709 11907 "
    "13163 13697 13700 14808 15306 16410 16791 17992 19203 19510 20724 22305 22935 27007 30109 30420 33409 34949 40283 40493 40549 "
    "47282 49146 50257 50357 50358 50359 50360 50361"
)


class Whisper(LoadedModel):
    """A Whisper model whose hooks lie in its encoder."""

    sites: ClassVar = {
        "residual": ("encoder.layers.{i}", "output"),
        "preactivation": ("encoder.layers.{i}.fc1", "output"),
        "neurons": ("encoder.layers.{i}.fc2", "input"),
    }

    def __init__(self, slug: str, model: WhisperForConditionalGeneration, extractor: WhisperFeatureExtractor, decode: _Decode):
        super().__init__(slug, model.model)
        self._model, self._extractor, self._decode = model, extractor, decode

    @property
    def grid(self) -> tuple[float, float]:
        return HOP_S, 0.0

    @property
    def n_layers(self) -> int:
        return self._model.config.encoder_layers

    @property
    def width(self) -> int:
        return self._model.config.d_model

    def mel(self, window: np.ndarray) -> Tensor:
        """Log-mel features [1, n_mels, 3000] of at most 30 s of sound, padded with silence."""
        return self._extractor(window, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").input_features

    def capture(self, sample: Waveform, hooks: Sequence[Hook]) -> dict[Hook, Activations]:
        """float32 [ceil(duration / 20 ms), width] at each hook."""
        n_frames = math.ceil(len(sample.samples) / N_HOP_SAMPLES)
        parts: dict[Hook, list[np.ndarray]] = {hook: [] for hook in hooks}
        for start in range(0, max(len(sample.samples), 1), N_WINDOW_SAMPLES):
            real = min(N_WINDOW_FRAMES, n_frames - start // N_HOP_SAMPLES)
            for hook, value in self._window(sample.samples[start : start + N_WINDOW_SAMPLES], hooks).items():
                parts[hook].append(value[0, :real].float().numpy())
        grid = FrameGrid(HOP_S, 0.0, n_frames)
        return {hook: Activations(np.concatenate(values), grid) for hook, values in parts.items()}

    def _window(self, samples: np.ndarray, hooks: Sequence[Hook]) -> dict[Hook, Tensor]:
        with torch.inference_mode(), taking(self.root, hooks) as taken:
            self._model.model.encoder(self.mel(samples))
        return taken

    def read(self, sample: Waveform) -> str:
        """Greedy transcript without timestamps, window by window."""
        starts = range(0, max(len(sample.samples), 1), N_WINDOW_SAMPLES)
        return " ".join(filter(None, (self._read_window(sample.samples[s : s + N_WINDOW_SAMPLES]) for s in starts)))

    def _read_window(self, samples: np.ndarray) -> str:
        with torch.inference_mode():
            states = self._model.model.encoder(self.mel(samples)).last_hidden_state
            ids: Any = self._model.generate(encoder_outputs=BaseModelOutput(last_hidden_state=states), do_sample=False, num_beams=1)
        return self._decode(ids[0].tolist()).strip()


class _Decode:
    """Token ids to text for OpenAI's `.tiktoken` vocabulary: each line holds a piece's bytes in base64 and its rank."""

    def __init__(self, vocabulary: Path):
        lines = (line.split() for line in vocabulary.read_bytes().splitlines() if line)
        self._pieces = {int(rank): base64.b64decode(piece) for piece, rank in lines}

    def __call__(self, ids: list[int]) -> str:
        return b"".join(self._pieces.get(i, b"") for i in ids).decode("utf-8", errors="replace")


def load(files: ModelFiles) -> Whisper:
    """From `folder` (a transformers folder) or from `checkpoint` (OpenAI's .pt) and `vocabulary` (.tiktoken)."""
    if "folder" in files.paths:
        return _load_folder(files.slug, files.paths["folder"])
    if "checkpoint" in files.paths and "vocabulary" in files.paths:
        return _load_openai(files.slug, files.paths["checkpoint"], files.paths["vocabulary"])
    raise MissingWeights(f"{files.slug} needs a transformers folder, or OpenAI's checkpoint with its .tiktoken vocabulary; found {sorted(files.paths)}.")


def _load_folder(slug: str, folder: Path) -> Whisper:
    from transformers import AutoTokenizer

    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    return Whisper(slug, model, extractor, lambda ids: tokenizer.decode(ids, skip_special_tokens=True))  # type: ignore[arg-type]


def _load_openai(slug: str, checkpoint: Path, vocabulary: Path) -> Whisper:
    saved = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    dims, state = saved["dims"], saved["model_state_dict"]
    if dims["n_vocab"] != 51864:
        raise MissingWeights(f"{slug}: only OpenAI's English-only checkpoints are read here; this one has {dims['n_vocab']} tokens, not 51864.")
    config = WhisperConfig(
        vocab_size=dims["n_vocab"],
        num_mel_bins=dims["n_mels"],
        d_model=dims["n_audio_state"],
        encoder_layers=dims["n_audio_layer"],
        encoder_attention_heads=dims["n_audio_head"],
        decoder_layers=dims["n_text_layer"],
        decoder_attention_heads=dims["n_text_head"],
        encoder_ffn_dim=4 * dims["n_audio_state"],
        decoder_ffn_dim=4 * dims["n_text_state"],
        max_source_positions=dims["n_audio_ctx"],
        max_target_positions=dims["n_text_ctx"],
        bos_token_id=_EN_START,
        eos_token_id=_EN_END,
        pad_token_id=_EN_END,
        decoder_start_token_id=_EN_START,
    )
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    weights = {_rename(name): value.float() for name, value in state.items()}
    weights["proj_out.weight"] = weights["model.decoder.embed_tokens.weight"]
    model.load_state_dict(weights, strict=True, assign=True)
    model.tie_weights()
    model.generation_config = _english_generation()
    return Whisper(slug, model.eval(), WhisperFeatureExtractor(feature_size=dims["n_mels"]), _Decode(vocabulary))


def _english_generation() -> GenerationConfig:
    return GenerationConfig(
        bos_token_id=_EN_START,
        eos_token_id=_EN_END,
        pad_token_id=_EN_END,
        decoder_start_token_id=_EN_START,
        no_timestamps_token_id=_EN_NO_TIMESTAMPS,
        suppress_tokens=[int(i) for i in _EN_SUPPRESSED.split()],
        begin_suppress_tokens=[220, _EN_END],
        is_multilingual=False,
        return_timestamps=False,
        max_length=224,
    )


_RENAMES = (
    ("encoder.positional_embedding", "encoder.embed_positions.weight"),
    ("decoder.positional_embedding", "decoder.embed_positions.weight"),
    ("token_embedding", "embed_tokens"),
    ("encoder.ln_post", "encoder.layer_norm"),
    ("decoder.ln.", "decoder.layer_norm."),
    ("blocks", "layers"),
    ("cross_attn_ln", "encoder_attn_layer_norm"),
    ("cross_attn", "encoder_attn"),
    ("attn_ln", "self_attn_layer_norm"),
    (".attn.", ".self_attn."),
    (".query.", ".q_proj."),
    (".key.", ".k_proj."),
    (".value.", ".v_proj."),
    (".out.", ".out_proj."),
    ("mlp_ln", "final_layer_norm"),
    ("mlp.0", "fc1"),
    ("mlp.2", "fc2"),
)


def _rename(name: str) -> str:
    """OpenAI's parameter name -> transformers' (the correspondence of transformers' own conversion script)."""
    for old, new in _RENAMES:
        name = name.replace(old, new)
    return "model." + name
