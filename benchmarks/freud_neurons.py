"""Three neurons that FREUD's authors name in Whisper tiny, looked up over the shipped clips; not part of `make bench`.

FREUD (https://github.com/ksadov/FREUD) shows FFN neurons after their activation, `encoder.blocks.2.mlp.1` of OpenAI's code: blocks count from 0, so
that is the input of `encoder.layers.2.fc2` here. Its worked examples: neuron 0 'm', 1110 the pause before a comma, 38 the start of an exclamation.

`collect` runs the real multilingual tiny over the clips in a random order and notes every neuron's peak and its time; stopped and started
again, it goes on, and any part of it is a random sample. `report` takes the 20 clips in which a neuron is strongest, aligns the words of their
transcripts (openai-whisper's own word timing with the weights of tiny.en, so that another model says where the words are) and counts how many
peaks lie where the claim says. The same is counted for all 1,536 neurons of the layer over the first 150 clips, and for random times within the same clips.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from earmark.inputs.audio import decode
from earmark.models import whisper
from earmark.models.base import ModelFiles
from earmark.offline.passes import CORPUS_LIMITS
from earmark.settings import Settings
from earmark.shelf.hub import find_model
from earmark.shelf.store import Store
from earmark.units import Waveform

from .figures import tell

LAYERS = (2, 1)
"""the claims' layer; the one before it as well, in case its authors counted from 1"""
CHUNK = 100
N_TOP, N_POOL = 20, 150
NEAR_S = 0.15
"""what a peak may lie beside a word, and an alignment be off"""
START_S = 0.4
"""what counts as the start of a sentence"""
CORPUS = "amazon-queen"


@dataclass(frozen=True)
class Word:
    text: str
    start_s: float
    end_s: float


# -- collecting ----------------------------------------------------------------------------------------------------------


def sounds() -> tuple[list[str], list[str], Callable[[str], Waveform]]:
    """(ids in a random order, their transcripts, what opens one)"""
    corpus = Store(Settings.from_env()).corpus(CORPUS)
    order = np.random.default_rng(0).permutation(len(corpus.ids)).tolist()
    return [corpus.ids[i] for i in order], [corpus.transcripts[i] for i in order], lambda name: decode(corpus.audio(name)[0], CORPUS_LIMITS).waveform


def collect(folder: Path, out: Path, n_clips: int) -> None:
    """Write parts of 100 clips: peaks_L float16 [clips, neurons] and at_L uint16, the frame of 20 ms, for each layer L."""
    torch.set_num_threads(1)
    model = whisper.load(ModelFiles("whisper-tiny", {"folder": folder}))
    hooks = {layer: model.hook("neurons", layer) for layer in LAYERS}
    ids, _, sound = sounds()
    out.mkdir(parents=True, exist_ok=True)
    for start in range(0, min(n_clips, len(ids)), CHUNK):
        part = out / f"part-{start:05d}.npz"
        if part.exists():
            continue
        found: dict[str, list[np.ndarray]] = {f"{what}_{layer}": [] for what in ("peaks", "at") for layer in LAYERS}
        for name in ids[start : start + CHUNK]:
            taken = model.capture(sound(name), list(hooks.values()))
            for layer, hook in hooks.items():
                values = taken[hook].values
                found[f"peaks_{layer}"].append(values.max(axis=0).astype(np.float16))
                found[f"at_{layer}"].append(values.argmax(axis=0).astype(np.uint16))
        fresh = part.with_suffix(".fresh.npz")
        np.savez_compressed(fresh, allow_pickle=False, **{name: np.stack(rows) for name, rows in found.items()})
        fresh.rename(part)
        tell(f"{start + CHUNK} clips")


# -- reporting -----------------------------------------------------------------------------------------------------------


@cache
def _aligner() -> tuple[Any, Any, Any]:
    """openai-whisper, a model of its own, and its tokenizer; the package tells no types."""
    openai_whisper = import_module("whisper")
    entry = Store(Settings.from_env()).catalog.model("whisper-tiny.en")
    model = openai_whisper.load_model(str(find_model(entry, Settings.from_env())["checkpoint"]), device="cpu")
    model.set_alignment_heads(openai_whisper._ALIGNMENT_HEADS["tiny.en"])
    return openai_whisper, model, openai_whisper.tokenizer.get_tokenizer(multilingual=False)


class Aligned:
    """Words of clips with their times; kept in a file, for each takes a second."""

    def __init__(self, path: Path):
        self.path = path
        self.known: dict[str, list[tuple[str, float, float]]] = json.loads(path.read_text()) if path.exists() else {}
        self.sound = sounds()[2]

    def __call__(self, name: str, transcript: str) -> tuple[Word, ...]:
        """The transcript's words and punctuation; a comma's own stretch is the pause after the word before it."""
        if name not in self.known:
            self.known[name] = self._align(name, transcript)
            self.path.write_text(json.dumps(self.known))
        return tuple(Word(*word) for word in self.known[name])

    def _align(self, name: str, transcript: str) -> list[tuple[str, float, float]]:
        package, model, tokenizer = _aligner()
        sound = self.sound(name)
        mel = package.log_mel_spectrogram(package.pad_or_trim(torch.as_tensor(sound.samples)))
        found = import_module("whisper.timing").find_alignment(model, tokenizer, tokenizer.encode(" " + transcript.strip()), mel, int(sound.duration_s * 100))
        return [(w.word, float(w.start), float(w.end)) for w in found if w.word != "<|endoftext|>"]


def holds_m(words: tuple[Word, ...], at_s: float) -> bool:
    """A word with the letter m is being said."""
    return any("m" in w.text.lower() and w.start_s - NEAR_S <= at_s <= w.end_s + NEAR_S for w in words)


def before_comma(words: tuple[Word, ...], at_s: float) -> bool:
    """At the end of a word that a comma follows, or in the pause there."""
    return any(w.text.strip().startswith(",") and w.start_s - NEAR_S <= at_s <= w.end_s + NEAR_S for w in words)


def ends_phrase(words: tuple[Word, ...], at_s: float) -> bool:
    """The same for any punctuation mark, the end of the clip included: a wider reading of the claim."""
    return any(re.match(r"\s*[,.?!]", w.text) and w.start_s - NEAR_S <= at_s <= w.end_s + NEAR_S for w in words)


def starts_exclamation(words: tuple[Word, ...], at_s: float) -> bool:
    """Within the first 0.4 s of a sentence that ends with an exclamation mark."""
    start = None
    for word in words:
        start = word.start_s if start is None else start
        if re.search(r"[.?!]", word.text):
            if "!" in word.text and start - NEAR_S <= at_s <= start + START_S:
                return True
            start = None
    return False


CLAIMS: tuple[tuple[int, str, Callable[[tuple[Word, ...], float], bool]], ...] = (
    (0, "m", holds_m),
    (1110, "the pause before a comma", before_comma),
    (1110, "the pause before any punctuation mark", ends_phrase),
    (38, "the start of an exclamation", starts_exclamation),
)


def top(peaks: np.ndarray, at: np.ndarray, neuron: int) -> Iterator[tuple[int, float, float]]:
    """(place in the order, peak, time in s of the middle of its frame) of the clips in which a neuron is strongest."""
    for place in np.argsort(-peaks[:, neuron].astype(np.float32), kind="stable")[:N_TOP]:
        yield int(place), float(peaks[place, neuron]), (int(at[place, neuron]) + 0.5) * whisper.HOP_S


def around(words: tuple[Word, ...], at_s: float) -> str:
    """The words around a moment; the one being said in brackets."""
    if not words:
        return "(no words)"
    near = min(range(len(words)), key=lambda i: max(words[i].start_s - at_s, at_s - words[i].end_s))
    return "".join(f" [{w.text.strip()}]" if i == near else w.text for i, w in enumerate(words))[:90].strip()


def share(test: Callable[[tuple[Word, ...], float], bool], found: list[tuple[tuple[Word, ...], float]]) -> float:
    return float(np.mean([test(words, at_s) for words, at_s in found]))


def report(out: Path) -> None:
    """Print what the parts hold: a line for each of the top clips, then the shares."""
    parts = [np.load(p, allow_pickle=False) for p in sorted(out.glob("part-?????.npz"))]
    if not parts:
        sys.exit(f"There are no parts in {out}: run `collect` first.")
    ids, transcripts, _ = sounds()
    aligned = Aligned(out / "words.json")
    random = np.random.default_rng(1)
    pool = [aligned(ids[place], transcripts[place]) for place in range(N_POOL)]
    for layer in LAYERS:
        peaks, at = (np.concatenate([part[f"{what}_{layer}"] for part in parts]) for what in ("peaks", "at"))
        print(f"\nlayer {layer}, counted from 0; {len(peaks)} clips")
        for neuron, claim, test in CLAIMS:
            hits = [(peak, at_s, ids[place], aligned(ids[place], transcripts[place])) for place, peak, at_s in top(peaks, at, neuron)]
            print(f"\nneuron {neuron}, '{claim}'")
            for peak, at_s, name, words in hits:
                print(f"  {peak:6.2f} at {at_s:5.2f} s  {'yes' if test(words, at_s) else ' no'}  {name}  {around(words, at_s)}")
            own = share(test, [(words, at_s) for _, at_s, _, words in hits])
            chance = share(test, [(words, random.uniform(0, words[-1].end_s)) for _, _, _, words in hits * 100 if words])
            among = np.array([share(test, [(pool[p], s) for p, _, s in top(peaks[:N_POOL], at[:N_POOL], n)]) for n in range(peaks.shape[1])])
            place = f"{among[neuron]:.2f}, mean of all neurons {among.mean():.2f}, largest {among.max():.2f}, {int((among > among[neuron]).sum())} above it"
            print(f"  {own:.2f} of its {N_TOP} peaks; random moments of these clips {chance:.2f}. Over {N_POOL} clips: {place}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.freud_neurons", description="Neurons 0, 1110 and 38 of Whisper tiny.")
    parser.add_argument("what", choices=("collect", "report"))
    parser.add_argument("--model", type=Path, help="folder that scripts/convert_ggml.py wrote (collect)")
    parser.add_argument("--out", type=Path, default=Settings.from_env().cache / "freud-neurons", help="folder of the parts")
    parser.add_argument("--clips", type=int, default=1_000_000, help="at most so many")
    arguments = parser.parse_args()
    if arguments.what == "report":
        report(arguments.out)
    elif arguments.model is None:
        sys.exit("collect needs --model FOLDER, as scripts/convert_ggml.py writes it.")
    else:
        collect(arguments.model, arguments.out, arguments.clips)


if __name__ == "__main__":
    main()
