"""What models of true size cost: random weights of the real shapes, saved and loaded as people's are; not part of `make bench`.

    OMP_NUM_THREADS=2 .venv/bin/python -m benchmarks.whole_size

Each model runs in a process of its own, through its own family: time to import and to load (files in the system's cache, of which safetensors are
mapped: their pages count when they are first used), the most memory above the bare libraries, and the time of a second capture of the residual
stream, the neurons and the pre-activations in a middle layer. Needs 12 GB of memory and 7 GB of disk for a while.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .figures import ROOT, child_environment, forget_peak, memory_mb, tell

LAYER_OF = {"wav2vec2-base": 5, "wavlm-base": 5, "whisper-large-v3": 16, "gpt2": 6}
"""the layer whose hooks are read, counted from 0; nothing behind it is computed"""
SOUNDS_S = {"wav2vec2-base": (10, 60), "wavlm-base": (10, 60), "whisper-large-v3": (5, 60)}
N_TOKENS = 1_000


def make(name: str, folder: Path) -> None:
    """Save a model of the real shape with random weights, and what belongs to it."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    t: Any = transformers
    torch.default_generator.manual_seed(0)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({"<|endoftext|>": 0, **{letter: i + 1 for i, letter in enumerate(letters)}}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    words = t.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **dict.fromkeys(("bos_token", "eos_token"), "<|endoftext|>"))
    if name == "gpt2":
        t.GPT2LMHeadModel(t.GPT2Config()).save_pretrained(folder)
        words.save_pretrained(folder)
    elif name == "whisper-large-v3":
        sizes: dict[str, Any] = {"vocab_size": 51866, "num_mel_bins": 128, "d_model": 1280, "encoder_layers": 32, "decoder_layers": 32}
        heads = {"encoder_attention_heads": 20, "decoder_attention_heads": 20, "encoder_ffn_dim": 5120, "decoder_ffn_dim": 5120}
        torch.set_default_dtype(torch.float16)  # as it is published
        t.WhisperForConditionalGeneration(t.WhisperConfig(**sizes, **heads)).save_pretrained(folder)
        torch.set_default_dtype(torch.float32)
        t.WhisperFeatureExtractor(feature_size=128).save_pretrained(folder)
        words.save_pretrained(folder)
    else:
        kind, config = (t.Wav2Vec2ForCTC, t.Wav2Vec2Config()) if name == "wav2vec2-base" else (t.WavLMModel, t.WavLMConfig())
        kind(config).save_pretrained(folder)
        t.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)


def measure(name: str, folder: Path) -> None:
    """Print one JSON line."""
    importing = time.perf_counter()
    import numpy as np

    from earmark.models import FAMILIES, supported
    from earmark.models.base import ModelFiles
    from earmark.units import SAMPLE_RATE_HZ, Waveform

    imported_s = time.perf_counter() - importing
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    family = next(m["family"] for m in supported() if m["name"] == kind)
    before = memory_mb()
    forget_peak()
    start = time.perf_counter()
    model = FAMILIES[family](ModelFiles(name, {"folder": folder}))
    found: dict[str, Any] = {"model": name, "import_s": round(imported_s, 1), "load_s": round(time.perf_counter() - start, 1)}
    found["loading_peak_mb"] = round(memory_mb("VmHWM") - before)
    hooks = [model.hook(site, LAYER_OF[name]) for site in model.sites]
    random = np.random.default_rng(0)

    def took(sample: Any) -> dict[str, float]:
        forget_peak()
        model.capture(sample, hooks)
        cpu, wall = time.process_time(), time.perf_counter()
        model.capture(sample, hooks)
        return {
            "cpu_s": round(time.process_time() - cpu, 2),
            "wall_s": round(time.perf_counter() - wall, 2),
            "peak_mb": round(memory_mb("VmHWM") - before),
        }

    for duration_s in SOUNDS_S.get(name, ()):
        found[f"sound_{duration_s}_s"] = took(Waveform(random.normal(0, 0.1, duration_s * SAMPLE_RATE_HZ).astype(np.float32)))
    if name not in SOUNDS_S:
        found[f"{N_TOKENS}_tokens"] = took(model.sample(random.integers(0, 50, N_TOKENS).tolist()))
    found["kept_mb"] = round(memory_mb() - before)
    print(json.dumps(found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_size", description="Costs of models of true size.")
    parser.add_argument("--only", choices=LAYER_OF, action="append")
    parser.add_argument("--step", nargs=3, metavar=("STEP", "MODEL", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step, name, folder = arguments.step
        (make if step == "make" else measure)(name, Path(folder))
        return
    tell(f"{os.environ.get('OMP_NUM_THREADS', 'all')} threads")
    for name in arguments.only or LAYER_OF:
        with tempfile.TemporaryDirectory() as folder:
            for step in ("make", "measure"):
                command = [sys.executable, "-W", "ignore", "-m", "benchmarks.whole_size", "--step", step, name, folder]
                subprocess.run(command, cwd=ROOT, env=child_environment(one_thread=False), check=True)


if __name__ == "__main__":
    main()
