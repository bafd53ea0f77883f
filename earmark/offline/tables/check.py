"""Do the shipped tables tell the truth? A random part of them is recomputed from the model, by plain loops: never from stored activations.

What follows from every position of the corpus at once (density, mean, quantiles) is held against the histogram and the peaks only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...cards import UnitCard
from ...models.base import TextModel
from ...raw import columns_of
from ...runtime import Runtime
from ...settings import Settings
from ...shelf.store import Store
from ...units import UnitId
from ..passes import Place, codes_of, read_sample, take
from .rows import TRACE_LEVELS

N_SAMPLES, N_EXAMPLES = 12, 24
HALF = 2**-10
"""relative precision of a peak stored in half precision"""
Columns = dict[str, NDArray[Any]]
CLOSE = 2e-3
"""relative tolerance of values recomputed on another machine"""


@dataclass(frozen=True)
class Report:
    """What a check compared, and every difference as a sentence."""

    n_peaks: int
    n_examples: int
    n_units: int
    wrong: tuple[str, ...]


def check(settings: Settings, slug: str, seed: int, n_samples: int = N_SAMPLES, n_examples: int = N_EXAMPLES) -> Report:
    """Recompute every peak of some samples, some examples with their traces, and what follows from the peaks for some units."""
    store, runtime = Store(settings), Runtime(settings)
    d = store.dictionary(slug)
    corpus, opened = store.corpus(d.corpus), runtime.open(slug)
    wrong: list[str] = []
    if d.revision != opened.revision:
        wrong.append(f"the tables were built for revision {d.revision}, the weights here are {opened.revision}")
    if d.manifest["tables"]["corpus_revision"] != corpus.manifest["revision"]:
        wrong.append(f"the tables were built on another version of the corpus {d.corpus}")
    random = np.random.default_rng(seed)

    model, here = runtime.model(opened.entry.model), Place(opened.entry.site, opened.entry.layer, opened.hook)

    def values_of(row: int) -> np.ndarray:
        """[n_positions, n_units]; not a number at sinks, which nothing may rank or count."""
        taken = take(model, read_sample(corpus, corpus.ids[row], model), [here])[here]
        values = codes_of(opened.dictionary, taken).dense().copy()
        if taken.sinks is not None:
            values[taken.sinks] = np.nan
        return values

    n_peaks = 0
    peaks = columns_of(d.table("peaks").all())
    floors = np.array([-np.inf if floor is None else floor for floor in d.table("units").all(["floor"]).column("floor").to_pylist()])
    n_known = min(len(corpus.ids), d.manifest["tables"]["n_samples"])
    for row in random.choice(n_known, size=min(n_samples, n_known), replace=False):
        stored = _where(peaks, peaks["sample"] == row)
        n_peaks += len(stored["unit"])
        wrong += _compare_peaks(f"sample {corpus.ids[row]}", values_of(int(row)), stored, None if opened.dictionary.signed else floors)
    examples = d.table("examples").all()
    for place in random.permutation(examples.num_rows)[:n_examples]:
        row = examples.slice(int(place), 1).to_pylist()[0]
        wrong += _compare_example(row, values_of(row["sample"])[:, row["unit"]])
    chosen = random.choice(d.n_units, size=min(64, d.n_units), replace=False)
    directions = opened.dictionary.directions()
    for unit in map(int, chosen):
        row = d.table("units").row_of(unit)
        wrong += _compare_unit(row, _where(peaks, peaks["unit"] == unit), store.card(UnitId(slug, unit)), complete=not opened.dictionary.signed)
        if directions is not None:
            wrong += _compare_neighbours(row, directions.double().numpy())
    if isinstance(model, TextModel) and model.predicts:
        readout = model.readout().double().numpy()
        axes = np.eye(opened.hook.width) if directions is None else directions.double().numpy()
        wrong += [line for unit in map(int, chosen) for line in _compare_effect(d.table("effects").row_of(unit), readout @ axes[unit])]
    return Report(n_peaks, min(n_examples, examples.num_rows), len(chosen), tuple(wrong))


def _where(columns: Columns, chosen: NDArray[np.bool_]) -> Columns:
    return {name: column[chosen] for name, column in columns.items()}


def _near(a: float, b: float, scale: float) -> bool:
    return abs(a - b) <= (HALF + CLOSE) * max(abs(a), abs(b)) + 1e-3 * scale


def _compare_peaks(where: str, values: np.ndarray, stored: Columns, floors: np.ndarray | None) -> list[str]:
    """Each stored (unit, tail) of one sample against the values [n_positions, n_units]; all above the floors [n_units], if given, must be there."""
    wrong: list[str] = []
    largest, smallest = np.nanmax(values, axis=0), np.nanmin(values, axis=0)
    scale = float(max(largest.max(initial=0.0), -smallest.min(initial=0.0)))
    for unit, tail, peak, at in zip(stored["unit"], stored["tail"], stored["peak"], stored["at"], strict=True):
        true = largest[unit] if tail == 1 else smallest[unit]
        if not 0 <= at < len(values) or not _near(float(peak), float(true), scale) or not _near(float(values[at, unit]), float(true), scale):
            wrong.append(f"{where}, unit {unit}: the table says {peak:.4g} at position {at}, the model {true:.4g} at {np.nanargmax(values[:, unit])}")
    if floors is not None:
        fired = set(np.flatnonzero((largest > 1e-2 * scale) & (largest > floors + (HALF + CLOSE) * np.abs(largest))).tolist())
        missing = fired - set(stored["unit"].tolist())
        if len(missing) > 0.01 * len(fired):  # a unit at the edge of the top k may flip with the last bit of a float
            wrong.append(f"{where}: {len(missing)} of {len(fired)} active units are not in the table, unit {min(missing)} among them")
    return wrong


def _compare_example(row: dict[str, Any], trace: np.ndarray) -> list[str]:
    stored = row["low"] + np.frombuffer(row["trace"], np.uint8) / 255.0 * (row["high"] - row["low"])
    true = np.nan_to_num(trace[row["start"] : row["start"] + len(stored)])
    scale = max(row["high"] - row["low"], 1e-9)
    where = f"unit {row['unit']}, {row['group']} {row['rank']}"
    if len(true) != len(stored):
        return [f"{where}: the trace has {len(stored)} positions, the sample {len(true)} there"]
    off = np.abs(stored - true) > scale * (1 / min(TRACE_LEVELS) + 0.005)
    if off.mean() > 0.02 or not _near(row["peak"], float(trace[row["at"]]), scale):
        return [f"{where}: {off.mean():.0%} of its trace differ, or its peak {row['peak']:.4g} from the model's {trace[row['at']]:.4g}"]
    return []


def _compare_neighbours(row: dict[str, Any], directions: np.ndarray) -> list[str]:
    """The neighbours of a unit against cosines of its direction with all others [n_units, d]."""
    lengths = np.maximum(np.linalg.norm(directions, axis=1), 1e-12)
    cosines = directions @ directions[row["unit"]] / lengths / lengths[row["unit"]]
    cosines[row["unit"]] = -2
    true = np.sort(cosines)[::-1][: len(row["cosines"])]
    if not row["cosines"] or np.abs(true - row["cosines"]).max() > CLOSE or np.abs(cosines[row["neighbours"]] - row["cosines"]).max() > CLOSE:
        return [f"unit {row['unit']}: its neighbours {row['neighbours']} are not the nearest directions"]
    return []


def _compare_effect(row: dict[str, Any], effect: np.ndarray) -> list[str]:
    """A unit's tokens and its kurtosis against its effect on every logit [vocabulary]."""
    effect = (effect - effect.mean()) / max(effect.std(), 1e-12)
    order = np.sort(effect)
    wrong = abs((effect**4).mean() - 3 - row["kurtosis"]) > 1e-2 * (1 + abs(row["kurtosis"]))
    for end, true in (("top", order[::-1]), ("bottom", order)):
        values = np.array(row[f"{end}_values"])
        wrong |= bool(np.abs(true[: len(values)] - values).max() > CLOSE * 10 or np.abs(effect[row[f"{end}_ids"]] - values).max() > CLOSE * 10)
    return [f"unit {row['unit']}: its direct effect on the next token is another"] if wrong else []


def _compare_unit(row: dict[str, Any], stored: Columns, card: UnitCard, complete: bool) -> list[str]:
    """A unit's row and its strongest examples against its own rows of peaks."""
    wrong: list[str] = []
    n_nonzero = round(row["nonzero"] * row["n_positions"])
    if sum(row["counts"]) != n_nonzero:
        wrong.append(f"unit {row['unit']}: the histogram counts {sum(row['counts'])} values, {n_nonzero} are not 0")
    for group, tail, order in (("top", 1, -1), ("bottom", -1, 1)):
        shown = [e.peak for e in card.examples if e.group == group]
        known = np.sort(stored["peak"][stored["tail"] == tail].astype(np.float64))[::order][: len(shown)]
        if len(known) != len(shown) or not all(_near(a, b, abs(row["peak"])) for a, b in zip(shown, known, strict=True)):
            wrong.append(f"unit {row['unit']}: the examples in {group} are not the first of its peaks")
    top = stored["peak"][stored["tail"] == 1]
    peak = float(top.max()) if len(top) else 0.0
    if not _near(peak, row["peak"], abs(row["peak"])):
        wrong.append(f"unit {row['unit']}: its peak is {row['peak']:.4g}, the largest in peaks {peak:.4g}")
    if complete and row["floor"] is None and len(stored["unit"]) != row["n_samples"]:
        wrong.append(f"unit {row['unit']}: n_samples is {row['n_samples']}, peaks has {len(stored['unit'])} rows")
    if row["dead"] != (row["nonzero"] == 0) or not 0 <= row["density"] <= row["nonzero"] <= 1:
        wrong.append(f"unit {row['unit']}: dead {row['dead']}, density {row['density']} and nonzero {row['nonzero']} contradict each other")
    return wrong
