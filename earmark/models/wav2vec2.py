"""wav2vec 2.0, HuBERT and WavLM, with the base models' layer norm after each sublayer or, `do_stable_layer_norm`, before it.

A frame sees 400 samples every 320: frame t covers samples [320 t, 320 t + 400), its centre lies at 20 t + 12.5 ms, and the grid draws it as the
20 ms around that centre. A sound of n samples has floor((n - 400) / 320) + 1 frames. The whole sound goes through in one pass, alone and unpadded,
because every frame sees all others: that is the definition, and what comes from longer padded batches of the base models differs, for
their first normalisation runs over time. Memory grows with the sound (WavLM's with its square), so at most two minutes are read.
A layer's output is normed already in the base models; the stable ones give the raw residual stream.
Papers: arXiv:2006.11477, 2106.07447, 2110.13900.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..errors import BadInput, MissingWeights
from ..inputs.annotations import ctc_speech
from ..speech import Speech
from ..units import SAMPLE_RATE_HZ, Activations, FrameGrid, Hook, Waveform
from .base import AudioModel, ModelFiles, ModelType
from .capture import Replace, forking, taking
from .folder import has_head, load_network, load_part, open_folder
from .hearing import Hearing, Judged, Ways, distances, letter_log_p, summed, word_spans

FAMILY = "wav2vec2"
MODEL_TYPES = (
    ModelType("wav2vec2", "wav2vec 2.0", "https://huggingface.co/docs/transformers/model_doc/wav2vec2"),
    ModelType("hubert", "HuBERT", "https://huggingface.co/docs/transformers/model_doc/hubert"),
    ModelType("wavlm", "WavLM", "https://huggingface.co/docs/transformers/model_doc/wavlm"),
)
MAX_S = 120


class Wav2Vec2(AudioModel):
    """An encoder of this family, with its CTC letters where it has them."""

    sites: ClassVar = {
        "residual": ("encoder.layers.{i}", "output"),
        "preactivation": ("encoder.layers.{i}.feed_forward.intermediate_dense", "output"),
        "neurons": ("encoder.layers.{i}.feed_forward.output_dense", "input"),
    }

    def __init__(self, slug: str, model: Any, extractor: Any, spelling: Any):
        """spelling: the tokenizer of its CTC letters; None for a model without letters."""
        super().__init__(slug, model.base_model, model)
        self._model, self._extractor, self._spelling = model, extractor, spelling
        self.has_letters = self.predicts = spelling is not None
        self._n_hop = math.prod(model.config.conv_stride)
        steps = [math.prod(model.config.conv_stride[:i]) for i in range(len(model.config.conv_stride))]
        self._n_field = 1 + sum((kernel - 1) * step for kernel, step in zip(model.config.conv_kernel, steps, strict=True))

    @property
    def grid(self) -> tuple[float, float]:
        return self._n_hop / SAMPLE_RATE_HZ, (self._n_field - self._n_hop) / 2 / SAMPLE_RATE_HZ

    @property
    def n_layers(self) -> int:
        return self._model.config.num_hidden_layers

    @property
    def width(self) -> int:
        return self._model.config.hidden_size

    def capture(self, sample: Waveform, hooks: Sequence[Hook]) -> dict[Hook, Activations[FrameGrid]]:
        """float32 [n_frames, width] at each hook. Raises BadInput for a sound of less than a frame or more than two minutes."""
        with torch.inference_mode(), taking(self.root, hooks) as taken:
            self.root(self._inputs(sample))
        parts = {hook: value[0].float().numpy() for hook, value in taken.items()}
        return {hook: Activations(values, FrameGrid(*self.grid, len(values))) for hook, values in parts.items()}

    def _inputs(self, sample: Waveform) -> Tensor:
        """[1, n_samples], with zero mean and unit variance where the model was trained so."""
        samples = self.heard(sample)
        if not self._n_field <= len(samples) <= MAX_S * SAMPLE_RATE_HZ:
            least_s = self._n_field / SAMPLE_RATE_HZ
            raise BadInput(f"The sound lasts {sample.duration_s:.3f} s; {self.slug} reads {least_s:.3f} to {MAX_S} s in one pass. Bring another length.")
        return self._extractor(samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").input_values

    def read(self, sample: Waveform, replace: Replace | None = None) -> str:
        """The letters that are likeliest at each frame, repetitions and blanks taken out (CTC); empty for a model without letters."""
        return "" if self._spelling is None else self._written(self._logits(sample, [replace or {}])[0])

    def _written(self, logits: NDArray[np.float32]) -> str:
        """[n_frames, n_letters]"""
        return self._spelling.decode(logits.argmax(axis=1).tolist()).strip()

    def letters(self, sample: Waveform) -> Speech | None:
        """By its best path, a letter lasting as long as the frames in a row that name it."""
        return None if self._spelling is None else self._timed(self._logits(sample, [{}])[0])

    def _timed(self, logits: NDArray[np.float32]) -> Speech | None:
        names = self._spelling.convert_ids_to_tokens(range(self._model.config.vocab_size))
        return ctc_speech(logits, names, self._spelling.pad_token_id, *self.grid, separator=self._spelling.word_delimiter_token)

    def hear(self, sample: Waveform, ways: Ways, limit: Callable[[float], int], check: Callable[[], None] = lambda: None) -> Hearing:
        """The whole sound in one pass, which ends by itself: no limit is needed."""
        if self._spelling is None:
            raise BadInput(f"{self.slug} has no letters, so that it hears no words. Choose a dictionary over a speech model that writes.")
        check()
        logits = self._logits(sample, ways(0))
        texts = tuple(map(self._written, logits))
        judged = self._judged(texts[0], *self._spelled(texts[0]), logits)
        return Hearing(texts, judged, distances(logits), (True,) * len(logits), tuple(map(self._timed, logits)))

    def judge(self, sample: Waveform, text: str, ways: Sequence[Replace]) -> Judged:
        """Along the likeliest path that spells the text plainly. Raises BadInput as `cross_entropy` does."""
        found = self._judged(text, *self._spelled(text, needed=True), self._logits(sample, [{}, *ways]))
        return Judged(found.text, found.words, found.log_p[1:])

    def _judged(self, text: str, letters: Sequence[int], places: Sequence[int], logits: NDArray[np.float32]) -> Judged:
        """logits [n_ways, n_frames, n_letters of the model], plain ones first."""
        log_p = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
        words = tuple(word for word in word_spans(text) if word[0] in places)
        return Judged(text, words, summed(words, places, letter_log_p(log_p, letters, self._spelling.pad_token_id)))

    def cross_entropy(self, sample: Waveform, text: str, replace: Replace | None = None) -> NDArray[np.float32]:
        """[n_letters]: -log of the probability, in nats, of a transcript over all ways to spell it in time (CTC), in equal parts to its letters.

        Letters that the model does not have are left out. Raises BadInput for a text without any that it has, and for one too long for the sound.
        """
        ids, _ = self._spelled(text, needed=True)
        steps = torch.as_tensor(self._logits(sample, [replace or {}])[0]).log_softmax(dim=1)[:, None]
        loss = F.ctc_loss(steps, torch.tensor([ids]), torch.tensor([len(steps)]), torch.tensor([len(ids)]), blank=self._spelling.pad_token_id, reduction="sum")
        if not torch.isfinite(loss):
            raise BadInput(f"The transcript has {len(ids)} letters, too many for {len(steps)} frames of sound. Bring the sound's own transcript.")
        return np.full(len(ids), float(loss) / len(ids), np.float32)

    def _spelled(self, text: str, needed: bool = False) -> tuple[list[int], list[int]]:
        """Ids of a transcript's letters, in whichever case the model has them, words apart by its own mark; and where the word of each begins, -1 for marks.

        Letters that the model does not have are left out. `needed`: raises BadInput where none is left.
        """
        known: dict[str, int] = {} if self._spelling is None else self._spelling.get_vocab()
        mark = getattr(self._spelling, "word_delimiter_token", None) or " "
        ids: list[int] = []
        places: list[int] = []
        for start, end in word_spans(text):
            cases = [(letter, letter.upper(), letter.lower()) for letter in text[start:end]]
            own = [known[next(c for c in case if c in known)] for case in cases if not known.keys().isdisjoint(case)]
            before = [known[mark]] if ids and own and mark in known else []
            ids += before + own
            places += [-1] * len(before) + [start] * len(own)
        if needed and not ids:
            raise BadInput(f"Of '{text[:60]}' {self.slug} has no letter. Bring a transcript in its language.")
        return ids, places

    def _logits(self, sample: Waveform, ways: Sequence[Replace]) -> NDArray[np.float32]:
        """[n_ways, n_frames, n_letters]"""
        inputs = self._inputs(sample)
        if self._model.config.model_type == "wavlm":  # its first layer makes positions for the others, of as many samples as it sees itself
            inputs = inputs.expand(len(ways), -1)
        with torch.inference_mode(), forking(self.root, ways):
            logits = self._model(inputs).logits.float()
        return logits.expand(len(ways), -1, -1).numpy()


def load(files: ModelFiles) -> Wav2Vec2:
    """From `folder`, a transformers folder with preprocessor_config.json, and vocab.json where it has letters."""
    from transformers import AutoModel, AutoModelForCTC, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor

    folder, config = open_folder(files, FAMILY, MODEL_TYPES)
    extractor = load_part(Wav2Vec2FeatureExtractor, folder, files.slug, "feature extractor")
    if extractor.sampling_rate != SAMPLE_RATE_HZ:
        raise MissingWeights(f"{files.slug} hears {extractor.sampling_rate} samples a second; only models of {SAMPLE_RATE_HZ} are read.")
    if not has_head(config, "ForCTC"):
        return Wav2Vec2(files.slug, load_network(AutoModel, folder, files.slug), extractor, None)
    model = load_network(AutoModelForCTC, folder, files.slug)
    spelling = load_part(Wav2Vec2CTCTokenizer, folder, files.slug, "vocabulary") if (folder / "vocab.json").is_file() else None
    return Wav2Vec2(files.slug, model, extractor, spelling)
