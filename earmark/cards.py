"""What the shelf tells of a unit, as types: its statistics, examples, neighbours, label, and all of them as its card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .phones import shown_label
from .units import UnitId

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Example:
    """One unit on one sample, with its trace around the peak."""

    rank: int
    group: str
    """top, bottom, or a true quantile such as q50"""
    sample: str
    """the sample's id"""
    peak: float
    at_s: float
    """start of the peak's frame; of a text all times are positions"""
    start_s: float
    """start of the trace's first frame"""
    end_s: float
    trace: NDArray[np.float32]
    transcript: str
    """what is said; of a text, the text"""
    duration_s: float
    at: int = 0
    """position of the peak"""
    start: int = 0
    """position of the trace's first value"""
    tokens: tuple[str, ...] | None = None
    """what each position of the whole sample prints, as in `TokenGrid`; None for sound"""


@dataclass(frozen=True)
class Hit:
    """A sample found by a filter on its peak; fields as in `Example`."""

    sample: str
    peak: float
    at_s: float
    transcript: str = ""
    duration_s: float = 0.0
    at: int = 0
    """position of the peak"""
    tokens: tuple[str, ...] | None = None
    """what each position prints; None for sound"""


@dataclass(frozen=True)
class Neighbour:
    """A unit of the same dictionary whose decoder direction is near."""

    unit: int
    cosine: float


@dataclass(frozen=True)
class Match:
    """The unit of another dictionary over the same layer that correlates best."""

    dictionary: str
    unit: int
    correlation: float


@dataclass(frozen=True)
class Histogram:
    """Counts of non-zero values in bins that grow by a constant factor (edges ascend; [n + 1] edges for [n] counts)."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class UnitStats:
    """A unit over the whole corpus."""

    density: float
    """share of positions where the value is above 0"""
    nonzero: float
    """share of positions where the value is not 0"""
    peak: float
    low: float
    """smallest value; 0 for units that are never negative"""
    mean: float
    """mean of the non-zero values"""
    quantiles: dict[str, float]
    """of the non-zero values, within 3.2 %"""
    n_positions: int
    n_samples: int
    """samples in which the unit is not 0 throughout"""
    dead: bool
    floor: float | None
    """filters on the peak are exact at or above it; None: everywhere"""
    floor_abs: float | None
    """the same for absolute values"""


@dataclass(frozen=True)
class Timeline:
    """A unit over the corpus's first positions, one sample after the other; padding left out."""

    values: NDArray[np.float32]
    """[n_positions], within 1/126 of the way from the smallest to the largest"""
    hop_s: float
    starts: tuple[int, ...]
    """where each sample begins; the last number is the end"""


@dataclass(frozen=True)
class UnitLabel:
    """What a unit responds to: chosen on one half of the corpus, with its figures on the other."""

    kind: str
    """phone, word, class or context"""
    text: str
    lag_s: float
    """how long after the label the unit is compared with it"""
    precision: float
    """share of the unit's active positions that have the label"""
    recall: float
    """share of the label's positions at which the unit is active"""
    lift: float
    """precision over the label's share of all positions"""
    f1: float
    auroc: float | None
    """of the unit's peak in a sample for whether the sample contains the label"""
    n_active: int

    @property
    def shown(self) -> str:
        """As people read it."""
        return shown_label(self.kind, self.text)


@dataclass(frozen=True)
class Effects:
    """What a unit of a language model adds by itself to the score of the next token, less the mean over all tokens, over their spread."""

    top: tuple[tuple[str, float], ...]
    """what the token prints, and the effect on it; largest first"""
    bottom: tuple[tuple[str, float], ...]
    """smallest first"""
    kurtosis: float
    """excess kurtosis of the effect over the vocabulary: 0 for noise"""


@dataclass(frozen=True)
class RoundTrip:
    """What comes back when a unit alone is decoded, at the mean of its values above 0, and encoded again; values as they multiply the decoder's row."""

    own: float
    largest: float
    largest_unit: int
    """the unit itself where its own value is the largest"""
    mean: float
    """over all units"""
    square: float
    """mean square over all units"""


@dataclass(frozen=True)
class UnitCard:
    """Everything a unit's page shows."""

    id: UnitId
    stats: UnitStats
    histogram: Histogram
    examples: tuple[Example, ...]
    neighbours: tuple[Neighbour, ...] = ()
    match: Match | None = None
    label: UnitLabel | None = None
    trip: RoundTrip | None = None
    """None for neurons and axes, and where it has not been computed"""
    effects: Effects | None = None
    """None for what is no language model's, and where it has not been computed"""
