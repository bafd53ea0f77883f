"""What an autoencoder of the Lab is trained on: the activations of one text or sound at one hook, without attention sinks. No torch by itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ...experiments import MAX_POSITIONS, Experiment
from ...shelf.store import Store
from ...units import FrameGrid, Hook, TokenSample, Waveform
from ..line.kept import Brought
from ..texts.passage import sinks_of

if TYPE_CHECKING:
    from ...runtime import Runtime

MIN_POSITIONS = 3


@dataclass(frozen=True, eq=False)
class Source:
    """A text, or a sound: exactly one of the two."""

    text: str = ""
    sound: Brought | None = None

    @property
    def name(self) -> str:
        """What it is, as a digest that nobody guesses who does not have the text or the sound; a clip of the corpus by its own name."""
        if self.sound is None:
            return "text:" + hashlib.blake2b(self.text.encode("utf-8", "replace"), digest_size=24).hexdigest()
        if self.sound.sample:
            return f"sample:{self.sound.sample}"
        return "sound:" + hashlib.blake2b(self.sound.waveform.samples.tobytes(), digest_size=24).hexdigest()


@dataclass(frozen=True, eq=False)
class Material:
    """Activations at a hook, and where they come from."""

    values: NDArray[np.float32]
    """[n_positions, width]"""
    counted: NDArray[np.bool_]
    """[n_positions]: no attention sink"""
    hook: Hook
    layer: int
    n_layers: int
    tokens: TokenSample | None = None
    """of a text; what stands in front of it has no position here"""
    waveform: Waveform | None = None
    """of a sound: as much of it as is used"""
    grid: FrameGrid | None = None
    notices: tuple[str, ...] = ()

    @property
    def x(self) -> NDArray[np.float32]:
        """[n, width] what is trained on."""
        return self.values[self.counted]


def check_model(store: Store, experiment: Experiment, source: Source) -> None:
    """Raise NotFound for a model that is not listed, and BadInput for one that cannot take the source."""
    model = store.catalog.model(experiment.model)
    if (model.modality == "text") != (source.sound is None):
        does, what = ("reads texts; it hears no sound", "text") if model.modality == "text" else ("hears sounds; it reads no text", "sound")
        raise BadInput(f"{model.title or model.slug} {does}. Bring a {what}, or choose another model.")


def take(runtime: Runtime, experiment: Experiment, source: Source) -> Material:
    """One pass of the model. Raises BadInput for a source that cannot be used or is too short, NotFound for a layer that the model lacks."""
    return _enough(runtime.run(experiment.model, lambda model: _taken(model, experiment, source)))


def _taken(model: Any, experiment: Experiment, source: Source) -> Material:
    layer = model.n_layers // 2 if experiment.layer is None else experiment.layer
    hook, stream = model.hook(experiment.site, layer), model.hook("residual", layer)
    experiment.sizes(hook.width)
    if source.sound is None:
        tokens = model.tokenize(source.text, MAX_POSITIONS)
        taken = model.capture(tokens, list(dict.fromkeys((hook, stream))))
        counted, values = ~sinks_of(taken[stream], tokens), taken[hook].values[tokens.n_before :]
        return Material(values, counted, hook, layer, model.n_layers, tokens=tokens, notices=tokens.notices)
    waveform, notices = _cut(source.sound, MAX_POSITIONS * model.grid[0])
    found = model.capture(waveform, [hook])[hook]
    values, grid = found.values[:MAX_POSITIONS], found.grid
    grid = FrameGrid(grid.hop_s, grid.offset_s, len(values))
    return Material(values, np.ones(len(values), bool), hook, layer, model.n_layers, waveform=waveform, grid=grid, notices=notices)


def _cut(sound: Brought, most_s: float) -> tuple[Waveform, tuple[str, ...]]:
    n = round(most_s * sound.waveform.rate_hz)
    if len(sound.waveform.samples) <= n:
        return sound.waveform, sound.notices
    told = f"The sound is {sound.waveform.duration_s:.1f} s long; its first {most_s:.1f} s are used."
    return Waveform(sound.waveform.samples[:n], sound.waveform.rate_hz), (*sound.notices, told)


def _enough(material: Material) -> Material:
    n = int(material.counted.sum())
    if n < MIN_POSITIONS:
        raise BadInput(f"Only {n} position{'s' if n != 1 else ''} can be used here; at least {MIN_POSITIONS} are needed. Bring a longer text or sound.")
    return material
