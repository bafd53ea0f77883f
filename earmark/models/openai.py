"""OpenAI's own form of Whisper (`dims` and a state dict) as transformers' network, for every size and all three vocabularies.

The vocabularies' special tokens follow from their size, as in openai-whisper's tokenizer (whisper/tokenizer.py): 51864 tokens are the
English-only vocabulary, 51865 the multilingual one with 99 languages, 51866 that of large-v3 with 100.
"""

from __future__ import annotations

import base64
import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration
from transformers.models.whisper.configuration_whisper import NON_SPEECH_TOKENS, NON_SPEECH_TOKENS_MULTI
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from ..errors import MissingWeights

N_TIMESTAMPS = 1501
"""<|0.00|> to <|30.00|> in steps of 20 ms, the last tokens of every vocabulary"""
_N_SPECIALS_WITHOUT_LANGUAGES = 8 + N_TIMESTAMPS
# number of ordinary pieces -> tokens that are no speech: symbols that greedy decoding never emits
_SYMBOLS = {50256: NON_SPEECH_TOKENS, 50257: NON_SPEECH_TOKENS_MULTI}
_BLANK = 220
"""a single space, which no transcript begins with"""
_VOCABULARIES = {51864: 50256, 51865: 50257, 51866: 50257}
"""number of tokens -> of which ordinary pieces"""


@dataclass(frozen=True)
class Specials:
    """Ids of a vocabulary's special tokens, which follow its ordinary pieces in this order."""

    end: int
    start: int
    languages: dict[str, int]
    translate: int
    transcribe: int
    start_of_lm: int
    start_of_previous: int
    no_speech: int
    no_timestamps: int

    @property
    def multilingual(self) -> bool:
        return self.end != 50256

    @property
    def suppressed(self) -> list[int]:
        """What greedy decoding never emits: symbols that are no speech, and the task's tokens (openai-whisper, DecodingTask with "-1")."""
        tasks = [self.start, self.translate, self.transcribe, self.start_of_lm, self.start_of_previous, self.no_speech]
        return sorted([i for i in _SYMBOLS[self.end] if i < self.end] + tasks)

    def names(self) -> list[str]:
        """Each special token as it is written, from `end` on."""
        tasks = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
        return [f"<|{name}|>" for name in ["endoftext", "startoftranscript", *self.languages, *tasks, *(f"{i * 0.02:.2f}" for i in range(N_TIMESTAMPS))]]


def specials_of(n_vocab: int) -> Specials:
    """Raises MissingWeights for a size that none of OpenAI's vocabularies has."""
    if n_vocab not in _VOCABULARIES:
        raise MissingWeights(f"The checkpoint has {n_vocab} tokens; OpenAI's vocabularies have {', '.join(map(str, _VOCABULARIES))}.")
    end = _VOCABULARIES[n_vocab]
    n_languages = n_vocab - end - _N_SPECIALS_WITHOUT_LANGUAGES
    languages = {name: end + 2 + i for i, name in enumerate(list(LANGUAGES)[:n_languages])}
    return Specials(end, end + 1, languages, *range(end + 2 + n_languages, end + 8 + n_languages))


def network(dims: dict[str, int], state: dict[str, Tensor]) -> WhisperForConditionalGeneration:
    """transformers' network with OpenAI's weights, in float32 and evaluation mode. Every key must have its place."""
    specials = specials_of(dims["n_vocab"])
    further: dict[str, Any] = {"attn_implementation": "sdpa", **_ids(specials)}
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
        **further,
    )
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    weights = {_rename(name): value.float() for name, value in state.items()}
    weights["proj_out.weight"] = weights["model.decoder.embed_tokens.weight"]
    try:
        model.load_state_dict(weights, strict=True, assign=True)
    except RuntimeError as error:
        raise MissingWeights(f"The checkpoint's tensors do not fit Whisper: {' '.join(str(error).split())[:300]}.") from None
    model.tie_weights()
    model.generation_config = _generation(specials)
    return model.eval()


def _ids(specials: Specials) -> dict[str, Any]:
    return {
        "bos_token_id": specials.start if not specials.multilingual else specials.end,
        "eos_token_id": specials.end,
        "pad_token_id": specials.end,
        "decoder_start_token_id": specials.start,
    }


def _generation(specials: Specials) -> GenerationConfig:
    """Greedy transcripts without timestamps; a multilingual model finds the language by itself."""
    more: dict[str, Any] = {}
    if specials.multilingual:
        languages = {f"<|{name}|>": i for name, i in specials.languages.items()}
        more = {"lang_to_id": languages, "task_to_id": {"translate": specials.translate, "transcribe": specials.transcribe}, "task": "transcribe"}
    return GenerationConfig(
        **_ids(specials),
        no_timestamps_token_id=specials.no_timestamps,
        suppress_tokens=specials.suppressed,
        begin_suppress_tokens=[_BLANK, specials.end],
        is_multilingual=specials.multilingual,
        return_timestamps=False,
        max_length=224,
        **more,
    )


class Vocabulary:
    """Token ids to text and back for OpenAI's `.tiktoken` vocabulary: each line holds a piece's bytes in base64 and its rank."""

    def __init__(self, path: Path):
        lines = (line.split() for line in path.read_bytes().splitlines() if line)
        self._pieces = {int(rank): base64.b64decode(piece) for piece, rank in lines}
        self._ranks = {piece: rank for rank, piece in self._pieces.items()}

    def __call__(self, ids: list[int]) -> str:
        return b"".join(self._pieces.get(i, b"") for i in ids).decode("utf-8", errors="replace")

    def encode(self, text: str) -> list[int]:
        """Byte-pair encoding: the text is cut as GPT-2 cuts it, then of all neighbours those whose joined piece has the lowest rank are joined first."""
        from tokenizers.pre_tokenizers import ByteLevel

        words = ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
        return [i for _, (start, end) in words for i in self._encode_word(text[start:end].encode())]

    def _encode_word(self, word: bytes) -> list[int]:
        parts = [bytes([byte]) for byte in word]
        while len(parts) > 1:
            ranks = [self._ranks.get(a + b, math.inf) for a, b in itertools.pairwise(parts)]
            lowest = min(ranks)
            if lowest == math.inf:
                break
            at = ranks.index(lowest)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self._ranks[part] for part in parts]


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
