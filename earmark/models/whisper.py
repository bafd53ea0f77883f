"""Whisper's encoder through transformers, of every size, from the Hub's files or from OpenAI's original checkpoint.

The encoder always sees a window of 30 s: 3000 mel frames of 10 ms, 1500 positions of 20 ms. Position t of a window covers
[20 t, 20 t + 20) ms. Positions past the end of the sound are padding and are left out; longer sounds are read window by
window, so that no position is ever displaced. Paper: Radford et al. 2022, arXiv:2212.04356.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging

from ..errors import MissingWeights
from ..units import SAMPLE_RATE_HZ, Activations, FrameGrid, Hook, Waveform
from . import openai
from .base import AudioModel, ModelFiles, ModelType
from .capture import taking
from .folder import CANNOT_READ, load_network, load_part, load_tokenizer, open_folder

FAMILY = "whisper"
MODEL_TYPES = (ModelType("whisper", "Whisper", "https://huggingface.co/docs/transformers/model_doc/whisper"),)

logging.set_verbosity_error()  # Whisper's generate warns of arguments that it passes to itself
logging.disable_progress_bar()  # standard error is for sentences

WINDOW_S = 30
N_WINDOW_SAMPLES = WINDOW_S * SAMPLE_RATE_HZ
HOP_S = 0.02
N_HOP_SAMPLES = round(HOP_S * SAMPLE_RATE_HZ)
N_WINDOW_FRAMES = N_WINDOW_SAMPLES // N_HOP_SAMPLES


class Whisper(AudioModel):
    """A Whisper model whose hooks lie in its encoder."""

    sites: ClassVar = {
        "residual": ("encoder.layers.{i}", "output"),
        "preactivation": ("encoder.layers.{i}.fc1", "output"),
        "neurons": ("encoder.layers.{i}.fc2", "input"),
    }

    def __init__(self, slug: str, model: WhisperForConditionalGeneration, extractor: WhisperFeatureExtractor, decode: Callable[[list[int]], str]):
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

    def capture(self, sample: Waveform, hooks: Sequence[Hook]) -> dict[Hook, Activations[FrameGrid]]:
        """float32 [ceil(duration / 20 ms), width] at each hook."""
        samples = self.heard(sample)
        n_frames = math.ceil(len(samples) / N_HOP_SAMPLES)
        parts: dict[Hook, list[np.ndarray]] = {hook: [] for hook in hooks}
        for start in range(0, max(len(samples), 1), N_WINDOW_SAMPLES):
            real = min(N_WINDOW_FRAMES, n_frames - start // N_HOP_SAMPLES)
            for hook, value in self._window(samples[start : start + N_WINDOW_SAMPLES], hooks).items():
                parts[hook].append(value[0, :real].float().numpy())
        grid = FrameGrid(HOP_S, 0.0, n_frames)
        return {hook: Activations(np.concatenate(values), grid) for hook, values in parts.items()}

    def _window(self, samples: np.ndarray, hooks: Sequence[Hook]) -> dict[Hook, Tensor]:
        with torch.inference_mode(), taking(self.root, hooks) as taken:
            self._model.model.encoder(self.mel(samples))
        return taken

    def read(self, sample: Waveform) -> str:
        """Greedy transcript without timestamps, window by window."""
        samples = self.heard(sample)
        starts = range(0, max(len(samples), 1), N_WINDOW_SAMPLES)
        return " ".join(filter(None, (self._read_window(samples[s : s + N_WINDOW_SAMPLES]) for s in starts)))

    def _read_window(self, samples: np.ndarray) -> str:
        with torch.inference_mode():
            states = self._model.model.encoder(self.mel(samples)).last_hidden_state
            ids: Any = self._model.generate(encoder_outputs=BaseModelOutput(last_hidden_state=states), do_sample=False, num_beams=1)
        return self._decode(ids[0].tolist()).strip()


def load(files: ModelFiles) -> Whisper:
    """From `folder` (a transformers folder) or from `checkpoint` (OpenAI's .pt) and `vocabulary` (.tiktoken)."""
    if "checkpoint" in files.paths and "vocabulary" in files.paths:
        return _load_openai(files.slug, files.paths["checkpoint"], files.paths["vocabulary"])
    if "folder" not in files.paths:
        raise MissingWeights(f"{files.slug} needs a transformers folder, or OpenAI's checkpoint with its .tiktoken vocabulary; found {sorted(files.paths)}.")
    folder, _ = open_folder(files, FAMILY, MODEL_TYPES)
    model = load_network(WhisperForConditionalGeneration, folder, files.slug, attn_implementation="sdpa")
    tokenizer = load_tokenizer(folder, files.slug)
    extractor = load_part(WhisperFeatureExtractor, folder, files.slug, "feature extractor")
    return Whisper(files.slug, model, extractor, lambda ids: tokenizer.decode(ids, skip_special_tokens=True))


def _load_openai(slug: str, checkpoint: Path, vocabulary: Path) -> Whisper:
    try:
        saved = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        dims, state = saved["dims"], saved["model_state_dict"]
    except CANNOT_READ as error:
        raise MissingWeights(f"{slug}: {checkpoint.name} is no checkpoint of OpenAI's Whisper that can be read safely ({type(error).__name__}).") from None
    model = openai.network(dims, state)
    return Whisper(slug, model, WhisperFeatureExtractor(feature_size=dims["n_mels"]), openai.Vocabulary(vocabulary))
