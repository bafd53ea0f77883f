"""What the models' benchmarks share: samples of the corpus, the three dictionaries over a layer, the bare pass, stored activations."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from earmark.offline.passes import Place, Taken, read_sample, take
from earmark.runtime import Opened, Runtime
from earmark.settings import Settings
from earmark.shelf.folders import Corpus
from earmark.units import SAMPLE_RATE_HZ, Activations, Hook, TokenSample, Waveform

from .figures import ROOT

N_STORED = 40
Samples = list[tuple[int, str, Any]]
"""(row in the corpus, id, sound or text) of each"""


class Material:
    """A dictionary, the catalog's default unless another is named, and its siblings, with their model and corpus."""

    def __init__(self, slug: str | None = None) -> None:
        self.settings = Settings.from_env()
        self.runtime = Runtime(self.settings)
        self.default = self.runtime.catalog.dictionary(slug or self.runtime.catalog.default)
        self.opened: list[Opened] = [self.runtime.open(d.slug) for d in self.runtime.catalog.siblings(self.default.slug)]

    @property
    def model(self) -> Any:
        return self.runtime.model(self.default.model)

    @cached_property
    def corpus(self) -> Corpus:
        return Corpus(self.settings.data / str(self.default.corpus))

    @cached_property
    def places(self) -> dict[str, Place]:
        """Where each dictionary reads."""
        return {o.entry.slug: Place(o.entry.site, o.entry.layer, o.hook) for o in self.opened}

    def clips(self, n: int, longest: bool = False) -> Samples:
        """(row, id, sound or text) of n samples, evenly spread over the corpus; `longest`: over those of the greatest length, of texts the whole windows."""
        lengths = np.array(self.corpus.durations_s)
        fitting = np.flatnonzero(lengths == lengths.max()) if longest else np.arange(len(lengths))
        rows: list[int] = fitting[np.linspace(0, len(fitting) - 1, n).astype(int)].tolist()
        return [(row, self.corpus.ids[row], read_sample(self.corpus, self.corpus.ids[row], self.model)) for row in rows]

    def clip_of(self, duration_s: float) -> Waveform:
        """Clips of the corpus, one after the other, cut to a length."""
        n = round(duration_s * SAMPLE_RATE_HZ)
        sound = np.concatenate([sound.samples for _, _, sound in self.clips(20)])
        return Waveform(np.resize(sound, n))

    def capture(self, sample: Any) -> dict[Hook, Activations[Any]]:
        return self.runtime.capture(self.default.model, sample, self.opened)

    def take(self, sample: Any) -> dict[str, Taken]:
        """What a build takes of one sample, for each dictionary."""
        found = take(self.model, sample, list(self.places.values()))
        return {slug: found[place] for slug, place in self.places.items()}

    def bare_pass(self) -> Callable[[Any], torch.Tensor]:
        """The reference: the network up to the hook's layer (of a sound from its mel features on), no hook, nothing kept. [1, n_positions, width]."""
        forward = self._text_pass() if self.model.modality == "text" else self._sound_pass()
        sample = self.clips(1)[0][2]
        residual = next(o.hook for o in self.opened if o.entry.kind == "residual")
        captured = self.capture(sample)[residual].values
        scale = float(np.abs(captured).max())
        assert np.allclose(forward(sample)[0, : len(captured)].numpy(), captured, atol=1e-4 * max(scale, 10)), "the bare pass computes something else"
        return forward

    def _sound_pass(self) -> Callable[[Waveform], torch.Tensor]:
        encoder, last = self.model.root.encoder, self.default.layer

        def forward(sound: Waveform) -> torch.Tensor:
            with torch.inference_mode():
                x = torch.nn.functional.gelu(encoder.conv1(self.model.mel(sound.samples)))
                x = torch.nn.functional.gelu(encoder.conv2(x)).permute(0, 2, 1) + encoder.embed_positions.weight
                for layer in encoder.layers[: last + 1]:
                    x = layer(x, None)
            return x

        return forward

    def _text_pass(self) -> Callable[[TokenSample], torch.Tensor]:
        root, last = self.model.root, self.default.layer

        def forward(text: TokenSample) -> torch.Tensor:
            with torch.inference_mode():
                x = root.embed_tokens(torch.tensor([text.ids]))
                places = torch.arange(x.shape[1])[None]
                turned = root.rotary_emb(x, places)
                for layer in root.layers[: last + 1]:
                    x = layer(x, attention_mask=None, position_ids=places, position_embeddings=turned)
            return x

        return forward


# -- activations in a file: so that what is measured holds no model's pass -----------------------------------------------


def store_activations(path: Path) -> None:
    """Capture some clips in a process of its own: its memory is not the caller's."""
    subprocess.run([sys.executable, "-W", "ignore", "-m", "benchmarks.material", str(path)], cwd=ROOT, check=True)


def replayed(path: Path, n_clips: int) -> Iterator[tuple[int, str, dict[str, np.ndarray]]]:
    """(row, id, {hook: [n_frames, width]}) of n_clips clips: the stored ones over and over, each time with another loudness and noise of its own."""
    with np.load(path) as file:
        stored = {name: file[name] for name in file.files}
    hooks = {name.split("|")[0] for name in stored}
    noise = {hook: np.float32(0.05 * np.concatenate([stored[f"{hook}|{i}"] for i in range(N_STORED)]).std()) for hook in hooks}
    for row in range(n_clips):
        random = np.random.default_rng(row)
        gain = np.float32(random.uniform(0.8, 1.2))
        values = {hook: stored[f"{hook}|{row % N_STORED}"] for hook in sorted(hooks)}
        yield row, f"clip-{row:05d}", {h: v * gain + random.standard_normal(v.shape, np.float32) * noise[h] for h, v in values.items()}


if __name__ == "__main__":
    material = Material()
    found: dict[str, NDArray[np.float32]] = {}
    for place, (_, _, clip) in enumerate(material.clips(N_STORED)):
        found |= {f"{hook}|{place}": taken.values for hook, taken in material.capture(clip).items()}
    np.savez(sys.argv[1], allow_pickle=False, **found)
