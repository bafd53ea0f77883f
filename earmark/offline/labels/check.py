"""Do the labels tell the truth? Some of them judged anew by plain loops over samples, positions and spans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...cards import UnitLabel
from ...runtime import Runtime
from ...settings import Settings
from ...shelf.store import Store
from ...speech import Speech
from .channels import SPEECH, Mark
from .label import Layer

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
    values: dict[int, list[np.ndarray]] = {unit: [] for unit in chosen}
    for x, rows in layer.harvest(entry.site).groups():
        codes = opened.dictionary.codes(x)
        for unit in chosen:
            trace = codes.trace(unit)
            values[unit] += [trace[rows == row] for row in np.unique(rows)]
    d, wrong = store.dictionary(slug), []
    for unit in chosen:
        n_active = None if entry.kind == "sae" else summary["n_active"]
        true = judged_plainly(values[unit], layer.said, layer.half.tolist(), labels[unit], n_active, d.hop_s, d.offset_s)
        told = (labels[unit].precision, labels[unit].recall)
        if any(abs(a - b) > CLOSE for a, b in zip(true, told, strict=True)):
            wrong.append(
                f"unit {unit}, {labels[unit].text}: precision and recall are {true[0]:.3f} and {true[1]:.3f}, the table says {told[0]:.3f} and {told[1]:.3f}"
            )
    return len(chosen), wrong


def judged_plainly(
    values: Sequence[np.ndarray], said: Sequence[Speech | None], half: Sequence[int], label: UnitLabel, n_active: int | None, hop_s: float, offset_s: float
) -> tuple[float, float]:
    """(precision, recall) of a label on the second half; values [n_positions] of each sample, n_active None for a fifth of those that are not 0."""
    known = [i for i, speech in enumerate(said) if speech is not None]
    moments = [(-float(v), i, t) for i in known for t, v in enumerate(values[i]) if v != 0]
    moments.sort()
    active = {(i, t) for _, i, t in moments[: -(-len(moments) // 5) if n_active is None else n_active]}
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
