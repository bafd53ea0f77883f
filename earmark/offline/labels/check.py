"""Do the labels tell the truth? Some of them judged anew by plain loops over samples, positions and spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ...cards import UnitLabel
from ...dictionaries.base import Dictionary
from ...runtime import Runtime
from ...settings import Settings
from ...shelf.store import Store
from ...speech import Speech
from ..training.harvest import Harvest
from .channels import SPEECH, Mark
from .label import Layer
from .texts import TEXT, tokens_of

N_LABELS = 24
CLOSE = 0.01
"""of a share: a position whose value ties with the threshold's may fall on either side of it"""


def check_labels(settings: Settings, slug: str, seed: int, n_workers: int, n: int = N_LABELS) -> tuple[int, list[str]]:
    """(labels judged anew, differences as sentences)."""
    store, runtime = Store(settings), Runtime(settings)
    summary, labels = store.label_summary(slug), store.dictionary(slug).labels
    entry, opened = store.catalog.dictionary(slug), runtime.open(slug)
    layer = Layer(settings, entry.model, entry.layer, str(entry.corpus), n_workers)
    chosen = np.random.default_rng(seed).permutation(sorted(labels))[:n].tolist()
    values, sinks = _traces(layer.harvest(entry.site), opened.dictionary, chosen)
    n_active = None if entry.kind == "sae" else summary["n_active"]
    d, half = store.dictionary(slug), layer.half.tolist()
    if layer.corpus.is_text:
        texts = [layer.corpus.tokens_in(row) or () for row in range(len(half))]
        true = judged_in_texts(values, texts, sinks, half, {unit: labels[unit] for unit in chosen}, n_active)
    else:
        true = {unit: judged_plainly(values[unit], layer.said, half, labels[unit], n_active, d.hop_s, d.offset_s) for unit in chosen}
    wrong: list[str] = []
    for unit, found in true.items():
        told = (labels[unit].precision, labels[unit].recall)
        if any(abs(a - b) > CLOSE for a, b in zip(found, told, strict=True)):
            wrong.append(
                f"unit {unit}, {labels[unit].text}: precision and recall are {found[0]:.3f} and {found[1]:.3f}, the table says {told[0]:.3f} and {told[1]:.3f}"
            )
    return len(chosen), wrong


def _traces(harvest: Harvest, dictionary: Dictionary, units: Sequence[int]) -> tuple[dict[int, list[np.ndarray]], list[np.ndarray]]:
    """({unit: its values in each sample, 0 at sinks}, which positions of each sample are sinks)."""
    values: dict[int, list[np.ndarray]] = {unit: [] for unit in units}
    sinks: list[np.ndarray] = []
    for number in range(harvest.n_groups):
        stored = harvest.stored(number)
        out = np.zeros(len(stored.rows), bool) if stored.sinks is None else stored.sinks
        codes = dictionary.codes(stored.values)
        samples = [stored.rows == row for row in np.unique(stored.rows)]
        sinks += [out[here] for here in samples]
        for unit in units:
            trace = np.where(out, 0, codes.trace(unit))
            values[unit] += [trace[here] for here in samples]
    return values, sinks


def judged_plainly(
    values: Sequence[np.ndarray], said: Sequence[Speech | None], half: Sequence[int], label: UnitLabel, n_active: int | None, hop_s: float, offset_s: float
) -> tuple[float, float]:
    """(precision, recall) of a label on the second half; values [n_positions] of each sample, n_active None for a fifth of those that are not 0."""
    known = [i for i, speech in enumerate(said) if speech is not None]
    active = _active({i: values[i] for i in known}, n_active)
    marks = {
        i: [m for _, kind, mark in SPEECH if kind == label.kind for m in [mark(speech)] if _may_hold(m, label.text)] for i, speech in enumerate(said) if speech
    }
    n_both = n_judged = n_there = 0
    lag = round(label.lag_s / hop_s)
    for i in known:
        for t in range(len(values[i])) if half[i] == 1 else ():
            if not 0 <= t - lag < len(values[i]):
                continue
            middle_s = offset_s + (t - lag + 0.5) * hop_s
            there = any(_text_at(m, middle_s) == label.text for m in marks[i])
            n_there += there
            n_judged += (i, t) in active
            n_both += there and (i, t) in active
    return n_both / max(n_judged, 1), n_both / max(n_there, 1)


def _may_hold(marks: Mark, text: str) -> bool:
    return any(label == text for _, _, label in marks)


def _text_at(marks: Mark, time_s: float) -> str | None:
    """What is marked at a time; of two marks the later one."""
    found = None
    for start_s, end_s, label in marks:
        if start_s - 1e-9 <= time_s < end_s - 1e-9:
            found = label
    return found


def judged_in_texts(
    values: Mapping[int, Sequence[np.ndarray]],
    texts: Sequence[Sequence[str]],
    sinks: Sequence[np.ndarray],
    half: Sequence[int],
    labels: Mapping[int, UnitLabel],
    n_active: int | None,
) -> dict[int, tuple[float, float]]:
    """{unit: (precision, recall)} of labels on the second half of a corpus of texts; values by unit, [n_positions] of each text."""
    active = {unit: _active(dict(enumerate(values[unit])), n_active) for unit in labels}
    wanted = {(label.kind, label.text) for label in labels.values()}
    both, judged, there = Counter[int](), Counter[int](), Counter[int]()
    for i, printed in enumerate(texts):
        if half[i] != 1:
            continue
        tokens = tokens_of(printed)
        told = {(kind, text, t) for _, kind, _, mark in TEXT for t, text in enumerate(mark(tokens)) if (kind, text) in wanted}
        for unit, label in labels.items():
            for t in np.flatnonzero(~sinks[i]).tolist():
                has, fires = (label.kind, label.text, t) in told, (i, t) in active[unit]
                there[unit] += has
                judged[unit] += fires
                both[unit] += has and fires
    return {unit: (both[unit] / max(judged[unit], 1), both[unit] / max(there[unit], 1)) for unit in labels}


def _active(values: Mapping[int, np.ndarray], n_active: int | None) -> set[tuple[int, int]]:
    """(sample, position) of a unit's highest values: n_active of them, a fifth of those that are not 0 for None."""
    moments = sorted((-float(v), i, t) for i, own in values.items() for t, v in enumerate(own) if v != 0)
    return {(i, t) for _, i, t in moments[: -(-len(moments) // 5) if n_active is None else n_active]}
