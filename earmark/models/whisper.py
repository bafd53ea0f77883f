"""Whisper's encoder through transformers, of every size, from the Hub's files or from OpenAI's original checkpoint.

The encoder always sees a window of 30 s: 3000 mel frames of 10 ms, 1500 positions of 20 ms. Position t of a window covers
[20 t, 20 t + 20) ms. Positions past the end of the sound are padding and are left out; longer sounds are read window by
window, so that no position is ever displaced. Paper: Radford et al. 2022, arXiv:2212.04356.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE
from transformers.utils import logging

from ..errors import BadInput, MissingWeights
from ..units import SAMPLE_RATE_HZ, Activations, FrameGrid, Hook, Waveform
from . import openai
from .base import AudioModel, ModelFiles, ModelType
from .capture import Change, Replace, forking, taking
from .decoding import ends_of, greedy, token_limit
from .folder import CANNOT_READ, load_network, load_part, load_tokenizer, open_folder
from .hearing import SAME, Hearing, Judged, Ways, distances, joined, summed, token_places, word_spans

FAMILY = "whisper"
MODEL_TYPES = (ModelType("whisper", "Whisper", "https://huggingface.co/docs/transformers/model_doc/whisper"),)

logging.set_verbosity_error()  # Whisper's generate warns of arguments that it passes to itself
logging.disable_progress_bar()  # standard error is for sentences

WINDOW_S = 30
N_WINDOW_SAMPLES = WINDOW_S * SAMPLE_RATE_HZ
HOP_S = 0.02
N_HOP_SAMPLES = round(HOP_S * SAMPLE_RATE_HZ)


class Whisper(AudioModel):
    """A Whisper model whose hooks lie in its encoder."""

    sites: ClassVar = {
        "residual": ("encoder.layers.{i}", "output"),
        "preactivation": ("encoder.layers.{i}.fc1", "output"),
        "neurons": ("encoder.layers.{i}.fc2", "input"),
    }

    predicts = True

    def __init__(
        self,
        slug: str,
        model: WhisperForConditionalGeneration,
        extractor: WhisperFeatureExtractor,
        decode: Callable[[list[int]], str],
        encode: Callable[[str], list[int]],
    ):
        """decode and encode: ids of ordinary tokens to text and back."""
        super().__init__(slug, model.model, model)
        self._model, self._extractor, self._decode, self._encode = model, extractor, decode, encode

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
        return self._extractor(window, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")["input_features"]

    def capture(self, sample: Waveform, hooks: Sequence[Hook]) -> dict[Hook, Activations[FrameGrid]]:
        """float32 [ceil(duration / 20 ms), width] at each hook."""
        n_frames = math.ceil(len(self.heard(sample)) / N_HOP_SAMPLES)
        parts: dict[Hook, list[np.ndarray]] = {hook: [] for hook in hooks}
        for _, window in self._windows(sample):
            for hook, value in self._window(window, hooks).items():
                parts[hook].append(value[0, : _n_real(window)].float().numpy())
        grid = FrameGrid(HOP_S, 0.0, n_frames)
        return {hook: Activations(np.concatenate(values), grid) for hook, values in parts.items()}

    def _window(self, samples: np.ndarray, hooks: Sequence[Hook]) -> dict[Hook, Tensor]:
        with torch.inference_mode(), taking(self.root, hooks) as taken:
            self._model.model.encoder(self.mel(samples))
        return taken

    def read(self, sample: Waveform, replace: Replace | None = None) -> str:
        """Greedy transcript without timestamps, window by window."""
        return " ".join(filter(None, (self._read_window(window, replace or {}) for _, window in self._windows(sample))))

    def _windows(self, sample: Waveform) -> list[tuple[int, np.ndarray]]:
        """(number of its first position, samples) of each window; one at least."""
        samples = self.heard(sample)
        return [(s // N_HOP_SAMPLES, samples[s : s + N_WINDOW_SAMPLES]) for s in range(0, max(len(samples), 1), N_WINDOW_SAMPLES)]

    def _read_window(self, samples: np.ndarray, replace: Replace) -> str:
        with torch.inference_mode():
            states = self._encoded(samples, [replace])
            prompt = self._prompt(states)
            return self._decode(list(greedy(self._model, states, prompt, token_limit(self._model, len(prompt))).ids)).strip()

    def _encoded(self, samples: np.ndarray, ways: Sequence[Replace]) -> Tensor:
        """[n_ways, 1500, width]: what the decoder hears of a window in each way; changes get its real frames, padding passes as it is."""
        n = _n_real(samples)

        def on_real(change: Change) -> Change:
            return lambda x: torch.cat([change(x[:n]), x[n:]])

        with forking(self.root, [{hook: on_real(change) for hook, change in way.items()} for way in ways]):
            states = self._model.model.encoder(self.mel(samples)).last_hidden_state
        return states.expand(len(ways), -1, -1)

    def hear(self, sample: Waveform, ways: Ways, limit: Callable[[float], int], check: Callable[[], None] = lambda: None) -> Hearing:
        """Window by window; a multilingual model writes each way in the language that it hears plainly."""
        return joined([self._hear_window(window, ways(first), limit(len(window) / SAMPLE_RATE_HZ), check) for first, window in self._windows(sample)])

    def _hear_window(self, samples: np.ndarray, ways: Sequence[Replace], limit: int, check: Callable[[], None]) -> Hearing:
        check()
        with torch.inference_mode():
            states = self._encoded(samples, ways)
            prompt = self._prompt(states[:1])
            limit = min(limit, token_limit(self._model, len(prompt)))
            plain = greedy(self._model, states[:1], prompt, limit, check=check)
            moved = distances(states.numpy())
            others = [greedy(self._model, states[n : n + 1], prompt, limit, plain.ids, check) if moved[n] > SAME else plain for n in range(1, len(ways))]
        found = [plain, *others]
        texts = tuple(self._decode(list(one.ids)).strip() for one in found)
        judged = self._judged(plain.ids, np.stack([one.log_p for one in found]))
        return Hearing(texts, judged, moved, tuple(one.ended for one in found))

    def _judged(self, ids: Sequence[int], log_p: NDArray[np.floating]) -> Judged:
        """log_p [n_ways, n_tokens] of a transcript's tokens."""
        text = self._decode(list(ids)).strip()
        words = word_spans(text)
        return Judged(text, words, summed(words, token_places(self._decode, ids), log_p))

    def judge(self, sample: Waveform, text: str, ways: Sequence[Replace]) -> Judged:
        """One pass of the decoder over the transcript for all ways. Raises BadInput as `cross_entropy` does."""
        ids = self._encode(" " + text.strip())
        return self._judged(ids, -self._losses(sample, ids, ways)[:, :-1])

    def cross_entropy(self, sample: Waveform, text: str, replace: Replace | None = None) -> NDArray[np.float32]:
        """[n_tokens + 1]: -log of the probability, in nats, of each token of a transcript, given those before it, and of its end.

        The decoder begins as it does in `read`. Raises BadInput for a sound of more than one window, or a text longer than the decoder's positions.
        """
        return self._losses(sample, self._encode(" " + text.strip()), [replace or {}])[0]

    def _losses(self, sample: Waveform, ids: Sequence[int], ways: Sequence[Replace]) -> NDArray[np.float32]:
        """[n_ways, n_tokens + 1]"""
        samples = self.heard(sample)
        if len(samples) > N_WINDOW_SAMPLES:
            raise BadInput(f"The sound lasts {sample.duration_s:.1f} s; a transcript is judged over one window of at most {WINDOW_S} s. Bring a shorter one.")
        with torch.inference_mode():
            front: list[Replace] = [{}] if self._finds_language else []
            states = self._encoded(samples, [*front, *ways])
            prompt, end = self._prompt(states[:1]), ends_of(self._model)[0]
            limit = self._model.config.max_target_positions - len(prompt)
            if len(ids) > limit:
                raise BadInput(f"The transcript has {len(ids)} tokens; {self.slug} reads at most {limit} in one window. Bring a shorter one.")
            fed = torch.tensor([[*prompt, *ids]]).expand(len(ways), -1)
            heard = BaseModelOutput(last_hidden_state=states[len(front) :])
            logits = self._model(encoder_outputs=heard, decoder_input_ids=fed).logits[:, len(prompt) - 1 :].float()
        wanted = torch.tensor([*ids, end]).expand(len(ways), -1)
        return F.cross_entropy(logits.transpose(1, 2), wanted, reduction="none").numpy()

    @property
    def _language(self) -> tuple[int | None, int | None]:
        """(language, task) as the model was set to, by name or, in older files, by position; None: what it hears, and transcribing."""
        known: Any = self._model.generation_config
        name, task = getattr(known, "language", None), getattr(known, "task", None)
        if name is None and task is None:
            forced: dict[int, int] = dict(getattr(known, "forced_decoder_ids", None) or ())
            return forced.get(1), forced.get(2)
        code = None if name is None else name.lower().strip("<|>")
        return code and known.lang_to_id[f"<|{TO_LANGUAGE_CODE.get(code, code)}|>"], task and known.task_to_id[task]

    @property
    def _finds_language(self) -> bool:
        """Whether it writes in the language that it hears: several are known, and it was not set to one."""
        return getattr(self._model.generation_config, "is_multilingual", False) and self._language[0] is None

    def _prompt(self, states: Tensor) -> list[int]:
        """What every transcript begins with: start, language and task where there are several, no timestamps. states [1, 1500, width], of the plain run."""
        known: Any = self._model.generation_config
        prompt = [known.decoder_start_token_id]
        if getattr(known, "is_multilingual", False):
            language, task = self._language
            if language is None:
                language = int(self._model.detect_language(encoder_outputs=BaseModelOutput(last_hidden_state=states), generation_config=known))
            prompt += [language, known.task_to_id["transcribe"] if task is None else task]
        without = getattr(known, "no_timestamps_token_id", None)
        return prompt if without is None else [*prompt, without]


def _n_real(window: np.ndarray) -> int:
    """Frames of a window that are no padding."""
    return math.ceil(len(window) / N_HOP_SAMPLES)


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
    decode, encode = partial(tokenizer.decode, skip_special_tokens=True), partial(tokenizer.encode, add_special_tokens=False)
    return Whisper(files.slug, model, extractor, decode, encode)


def _load_openai(slug: str, checkpoint: Path, vocabulary: Path) -> Whisper:
    try:
        saved = torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
        dims, state = saved["dims"], saved["model_state_dict"]
    except CANNOT_READ as error:
        raise MissingWeights(f"{slug}: {checkpoint.name} is no checkpoint of OpenAI's Whisper that can be read safely ({type(error).__name__}).") from None
    model = openai.network(dims, state)
    pieces = openai.Vocabulary(vocabulary)
    return Whisper(slug, model, WhisperFeatureExtractor(feature_size=dims["n_mels"]), pieces, pieces.encode)
