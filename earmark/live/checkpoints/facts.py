"""What the weights of an opened dictionary say by themselves: its size, its self-check, and the units that write in similar directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...cards import Neighbour
from ...errors import BadInput, EarmarkError
from ...models.base import TextModel
from ...runtime import Opened, Runtime
from ...settings import Settings
from ...shelf.store import Store
from ...tensors import length, lengths
from ...units import Waveform
from .selfcheck import SelfCheck, self_check

CHECK_S = 8.0
"""seconds of sound that a dictionary is tried on"""
TEXT = (
    "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, and dedicated to the proposition "
    "that all men are created equal. Now we are engaged in a great civil war, testing whether that nation, or any nation so conceived and so dedicated, "
    "can long endure. We are met on a great battle-field of that war. We have come to dedicate a portion of that field, as a final resting place for "
    "those who here gave their lives that that nation might live. It is altogether fitting and proper that we should do this."
)
"""Lincoln, 1863: what a dictionary over a language model is tried on"""
N_NEIGHBOURS = 10


@dataclass(frozen=True)
class Facts:
    """Of one dictionary in memory."""

    n_units: int
    width: int
    revision: str
    format: str | None
    """None for neurons and axes"""
    activation: str | None
    k: float | None
    check: SelfCheck | None
    problem: str | None = None
    """why there was no self-check"""


def examine(runtime: Runtime, store: Store, slug: str) -> Facts:
    """Open a dictionary and, for an SAE, run some seconds of input through it; where its file leaves open how its input is read, the best way is kept."""
    opened = runtime.open(slug)
    check, problem = None, None
    if opened.checkpoint is not None:
        try:
            check = self_check(opened.checkpoint, activations(runtime, store, opened))
            if opened.checkpoint.candidates and opened.scale is None:
                opened = runtime.settle(opened, check.scale)
        except EarmarkError as error:
            problem = str(error)
    found = opened.checkpoint
    sae = found.dictionary if found else None
    k = float(sae.k) if sae is not None and isinstance(sae.k, (int, float)) else None
    d = opened.dictionary
    return Facts(d.n_units, d.width, opened.revision, found.format if found else None, sae.activation if sae else None, k, check, problem)


def settle_input(settings: Settings, slug: str) -> None:
    """Find out how a dictionary's input is read before its tables are built, where its file leaves that open and nothing has said it yet."""
    runtime = Runtime(settings)
    entry = runtime.catalog.dictionary(slug)
    if entry.kind == "sae" and entry.scale is None:
        opened = runtime.open(slug)
        if opened.checkpoint is not None and opened.checkpoint.candidates and opened.scale is None:
            examine(runtime, Store(settings), slug)


def activations(runtime: Runtime, store: Store, opened: Opened) -> np.ndarray:
    """float32 [n_positions, width] at a dictionary's hook: some clips of a corpus that is here, or a text. Raises BadInput without any."""
    model = runtime.model(opened.entry.model)
    if isinstance(model, TextModel):
        sample = model.tokenize(TEXT)
        taken = runtime.capture(opened.entry.model, sample, [opened])[opened.hook]
        return taken.values[~taken.sinks()]
    parts: list[np.ndarray] = []
    seconds = 0.0
    for sound in _sounds(store, opened.entry.corpus):
        parts.append(runtime.capture(opened.entry.model, sound, [opened])[opened.hook].values)
        seconds += sound.duration_s
        if seconds >= CHECK_S:
            break
    return np.concatenate(parts)


def _sounds(store: Store, slug: str | None) -> list[Waveform]:
    from ...inputs.audio import Limits, decode

    limits = Limits(1 << 30, 60.0, 30.0)
    for name in dict.fromkeys(filter(None, (slug, store.catalog.dictionary(store.catalog.default).corpus, *store.catalog.corpora))):
        try:
            corpus = store.corpus(name)
            longest = sorted(range(len(corpus.ids)), key=lambda row: -min(corpus.durations_s[row], 4.0))[:8]
            return [decode(corpus.audio(corpus.ids[row])[0], limits).waveform for row in longest]
        except EarmarkError:
            continue
    raise BadInput("No corpus is on this machine, so that there was no sound to try it on.")


def neighbours(opened: Opened, unit: int, n: int = N_NEIGHBOURS) -> tuple[Neighbour, ...]:
    """The units whose directions into the stream are nearest to one unit's, by cosine; none for what has no directions."""
    directions = opened.dictionary.directions()
    if directions is None or not 0 <= unit < len(directions):
        return ()
    with torch.inference_mode():
        own = directions[unit]
        cosines = (directions @ own) / (lengths(directions) * length(own)).clamp_min(1e-12)
        cosines[unit] = -2.0
        values, units = cosines.topk(min(n, len(directions) - 1))
    return tuple(Neighbour(int(u), float(c)) for u, c in zip(units, values, strict=True))
