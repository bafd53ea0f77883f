"""The words of the house as types: units, hooks, grids, activations and what fired on a visitor's sample. Cards have theirs in `cards`.

Units count from 0. Positions are frames or tokens; between modules audio positions travel as seconds. Whatever holds for one
unit holds for every kind of dictionary (`KINDS`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["sae", "neurons", "residual"]
KINDS: tuple[Kind, ...] = ("sae", "neurons", "residual")
KIND_NOUNS: dict[str, str] = {"sae": "feature", "neurons": "neuron", "residual": "residual axis"}
SIGNED_KINDS: tuple[Kind, ...] = ("neurons", "residual")

SAMPLE_RATE_HZ = 16_000
SINK_NORM = 4.0
"""a position whose norm exceeds the median norm by this factor is an attention sink"""


@dataclass(frozen=True)
class Hook:
    """A place in a model where activations are read."""

    module: str
    """dotted path below the part of the model that the family hooks, such as `encoder.layers.2.fc2`"""
    side: Literal["input", "output"]
    width: int
    """number of values at one position"""

    def __str__(self) -> str:
        return f"{self.side} of {self.module}"


@dataclass(frozen=True, order=True)
class UnitId:
    """One feature, neuron or axis of one dictionary."""

    dictionary: str
    index: int

    def __str__(self) -> str:
        return f"{self.dictionary}:{self.index}"


@dataclass(frozen=True)
class Waveform:
    """Mono sound, float32 [n] within -1..1."""

    samples: NDArray[np.float32]
    rate_hz: int = SAMPLE_RATE_HZ

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True)
class FrameGrid:
    """Positions in time: frame t covers [offset_s + t * hop_s, offset_s + (t + 1) * hop_s)."""

    hop_s: float
    offset_s: float
    n_frames: int

    def start_s(self, frame: int) -> float:
        return self.offset_s + frame * self.hop_s

    def frame_at(self, time_s: float) -> int:
        """The frame that covers a time, clamped to the grid."""
        return min(max(int((time_s - self.offset_s) / self.hop_s + 1e-9), 0), self.n_frames - 1)


@dataclass(frozen=True)
class TokenSample:
    """Text as a model reads it: one position a token."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    """what each position prints, as in `TokenGrid`"""
    n_before: int = 0
    """positions in front of the text: 1 where the model is given a token that begins every text"""
    notices: tuple[str, ...] = ()
    """sentences for the person who brought it: what was cut"""

    @property
    def text(self) -> str:
        """What was read, without what was put in front of it."""
        return "".join(self.tokens[self.n_before :])


@dataclass(frozen=True)
class TokenGrid:
    """Positions in a text."""

    tokens: tuple[str, ...]
    """what each position prints; '' where its bytes are no text alone and are shown with the positions before it"""

    def spans(self) -> tuple[tuple[int, int, str], ...]:
        """(first position, past the last, text) of what is shown as one; they cover every position once, in order."""
        starts = [i for i, token in enumerate(self.tokens) if token or i == 0]
        return tuple((start, end, self.tokens[start]) for start, end in zip(starts, [*starts[1:], len(self.tokens)], strict=False))


Grid = TypeVar("Grid", FrameGrid, TokenGrid)


@dataclass(frozen=True)
class Activations(Generic[Grid]):
    """What a hook gave for one sample: float32 [n_positions, width]."""

    values: NDArray[np.float32]
    grid: Grid

    def sinks(self) -> NDArray[np.bool_]:
        """[n_positions]: the positions whose norm exceeds 4 times the sample's median norm.

        In a text model's residual stream these are attention sinks (the first position, some separators; Xiao et al. 2023,
        arXiv:2309.17453): statistics, rankings and training leave them out.
        """
        norms = np.linalg.norm(self.values, axis=1)
        return norms > SINK_NORM * np.median(norms)


@dataclass(frozen=True)
class UnitHit:
    """A unit that fired on a visitor's sample."""

    unit: int
    peak: float
    relative: float | None
    """peak over the unit's own largest value in the corpus; None without tables"""
    at_s: float
    mean: float
    """mean over all positions of the sample"""
    density: float | None
    """share of the corpus's positions where the unit is above 0; None without tables"""
    label: str | None = None
    """what the unit responds to, where a label holds"""
    shown: str | None = None
    """the label as people read it"""


@dataclass(frozen=True)
class Analysis:
    """One visitor's sample: the units that fired on it."""

    hits: tuple[UnitHit, ...]
    traces: dict[int, NDArray[np.float32]]
    """[n_positions] for each hit's unit"""
    grid: FrameGrid
    duration_s: float
    transcript: str | None


@dataclass(frozen=True)
class TextAnalysis:
    """One visitor's text: the units that fired on it."""

    hits: tuple[UnitHit, ...]
    """`at_s` of each is a position"""
    traces: dict[int, NDArray[np.float32]]
    """[n_positions] for each hit's unit"""
    tokens: tuple[str, ...]
    """what each position prints; put together they are the text that was read"""
    left_out: tuple[int, ...]
    """positions of attention sinks, where every unit is 0"""
    notices: tuple[str, ...] = ()
    """sentences: what was cut"""
