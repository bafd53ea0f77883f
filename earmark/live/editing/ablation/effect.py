"""What does this unit do? It is turned off on its own strongest samples, and what became of the words or tokens there is measured.

At each position of a sample the unit's part is taken out of the stream, x - value * direction, and the log-probability of what the corpus has after
the unit's peak is compared with that of the plain run: of a text the next tokens, each given those before it; of a sound the words of its transcript
around the peak, given the words before them. The control takes the same length out along the direction of another unit, drawn at random for each
sample. Whether the two differ is told by swapping them in every subset of the samples: `chance` is the share of all these ways in which their mean
difference is as large as it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ....cards import Example
from ....errors import BadInput, Stopped
from ....runtime import Opened, Runtime
from ....shelf.store import Store
from ....speech import Span
from ....units import UnitId
from ...line.turns import Tell, quiet
from ..passing import text_model
from ..text import Tokens, changed_most
from .samples import N_NEXT_TOKENS, NEAR_S, Ran, run_sound, run_text

N_EXAMPLES = 8
CLEAR = 0.05
"""a difference that chance makes in no more than this share of cases is called clear; with 8 samples it can be 2 in 256"""
SMALL = 0.01
"""nats: a smaller difference, of 1 % of a probability, is no effect, however surely it is there"""
N_AFFECTED = 8


@dataclass(frozen=True)
class Measured:
    """A mean over the samples, beside that of the control; nats."""

    unit: float
    control: float
    chance: float
    """share of the ways to swap both in the samples that part them as far"""

    @property
    def clear(self) -> bool:
        return self.chance <= CLEAR and abs(self.unit - self.control) >= SMALL


@dataclass(frozen=True)
class Affected:
    """A word or token after the unit's peaks, in all samples together."""

    text: str
    """as it stands where it is met first"""
    change: float
    """mean change of its log-probability without the unit, nats"""
    control: float
    n: int
    """how often it stands there"""


@dataclass(frozen=True)
class ExampleEffect:
    """One sample."""

    sample: str
    text: str
    """what was measured: the words or tokens after the peak"""
    change: float
    control: float


@dataclass(frozen=True)
class UnitEffect:
    """What turning a unit off changes on its own strongest samples."""

    unit: UnitId
    of: str
    """word or token: what was measured"""
    likelihood: Measured
    """mean change of the log-probability of what the corpus has there; below 0: without the unit it is less likely"""
    expectation: Measured | None
    """mean KL(plain || without the unit) over what is expected after the peak; None for sounds"""
    affected: tuple[Affected, ...]
    """those that change more than any does under the control, the most changed first"""
    lost: Tokens
    """of a text: next tokens that the model expects less without the unit, probabilities averaged over the peaks"""
    gained: Tokens
    examples: tuple[ExampleEffect, ...]
    how: str
    """how it was measured, as sentences"""

    @property
    def found(self) -> str:
        """What came out, as sentences; that it is noise where it is."""
        return " ".join(filter(None, (_told_likelihood(self.of, self.likelihood), _told_expectation(self.expectation))))

    def json(self) -> dict[str, Any]:
        measures = {
            name: found and {**asdict(found), "clear": found.clear} for name, found in (("likelihood", self.likelihood), ("expectation", self.expectation))
        }
        return {**asdict(self), **measures, "unit": str(self.unit), "found": self.found}


def unit_effect(
    runtime: Runtime,
    store: Store,
    unit: UnitId,
    tell: Tell = quiet,
    stop: Callable[[], bool] = lambda: False,
) -> UnitEffect:
    """Three runs over each of the unit's strongest samples, 8 at most; the model is held for one sample at a time.

    Raises BadInput for a unit that is silent over its corpus, that cannot be edited, or whose samples cannot be judged, NotFound for one that is
    not there, Stopped when `stop` says so between samples.
    """
    examples = _strongest(store, unit)
    run = run_text if store.catalog.model(store.catalog.dictionary(unit.dictionary).model).modality == "text" else run_sound
    done: list[tuple[Example, Ran]] = []
    with runtime.using(unit.dictionary) as (opened,):
        others = _others(store, unit)
        for number, example in enumerate(examples):
            if len(done) == N_EXAMPLES:
                break
            if stop():
                raise Stopped(f"Stopped after {len(done)} of {min(N_EXAMPLES, len(examples))} samples.")
            tell(len(done) / N_EXAMPLES, f"Sample {len(done) + 1} of {min(N_EXAMPLES, len(examples))}")
            other = int(np.random.default_rng((unit.index, number)).choice(others))
            ran = run(runtime, store, opened, unit, other, example)
            done += [(example, ran)] if ran is not None else []
    if not done:
        raise BadInput(f"None of the strongest samples of {unit} has a word or token around the unit's peak that can be judged.")
    return _effect(runtime, opened, unit, done)


def _strongest(store: Store, unit: UnitId) -> list[Example]:
    """The card's strongest samples, one entry each; of a unit that is only ever negative, those of its most negative values."""
    examples = store.card(unit).examples
    for group in ("top", "bottom"):
        found = [example for example in examples if example.group == group]
        if found:
            return found
    raise BadInput(f"{unit} is silent over its corpus: there is nothing to turn off.")


def _others(store: Store, unit: UnitId) -> NDArray[np.int64]:
    """Units that fire somewhere, without this one."""
    table = store.dictionary(unit.dictionary).table("units").all(["unit", "dead"])
    units = table.column("unit").to_numpy()[~table.column("dead").to_numpy(zero_copy_only=False)]
    others = units[units != unit.index]
    if not len(others):
        raise BadInput(f"{unit.dictionary} has no other unit that fires: there is nothing to compare {unit} with.")
    return others


def _effect(runtime: Runtime, opened: Opened, unit: UnitId, done: Sequence[tuple[Example, Ran]]) -> UnitEffect:
    rans = [ran for _, ran in done]
    kls, expected = [ran.kl for ran in rans if ran.kl], [ran.expected for ran in rans if ran.expected]
    gained, lost = (), ()
    if expected:
        means = (torch.stack(each).mean(dim=0, keepdim=True) for each in zip(*expected, strict=True))
        ((gained, lost),) = changed_most(text_model(runtime, opened.entry.model), *means)
    examples = tuple(ExampleEffect(example.sample, _joined(ran.words, bool(kls)), *ran.means) for example, ran in done)
    return UnitEffect(
        unit=unit,
        of="token" if kls else "word",
        likelihood=measured([ran.means for ran in rans]),
        expectation=measured(kls) if kls else None,
        affected=affected(rans),
        lost=lost,
        gained=gained,
        examples=examples,
        how=_how(len(done), bool(kls)),
    )


def _joined(words: Sequence[str], tokens: bool) -> str:
    return ("" if tokens else " ").join(words)


def measured(pairs: Sequence[tuple[float, float]]) -> Measured:
    """From (unit, control) of each sample."""
    unit, control = np.array(pairs, float).T
    flips = np.array(list(itertools.product((1, -1), repeat=len(pairs)))) @ (unit - control)
    as_large = np.abs(flips) >= np.abs(flips[0]) * (1 - 1e-9)  # the first flips nothing
    return Measured(float(unit.mean()), float(control.mean()), float(as_large.mean()))


def affected(rans: Sequence[Ran]) -> tuple[Affected, ...]:
    """Words in any case of letters and without the marks around them, whose changes sum to more than those of any word do under the control."""
    groups: dict[str, list[tuple[float, float]]] = {}
    written: dict[str, str] = {}
    for word, *changes in itertools.chain.from_iterable(zip(ran.words, ran.changes.tolist(), ran.controls.tolist(), strict=True) for ran in rans):
        name = Span(word, 0.0, 0.0).word or word
        groups.setdefault(name, []).append((changes[0], changes[1]))
        written.setdefault(name, word)
    rows: list[Affected] = []
    for name, group in groups.items():
        change, control = np.mean(group, axis=0).tolist()
        rows.append(Affected(written[name], change, control, len(group)))
    limit = max(abs(row.control) * row.n for row in rows)
    beyond = [row for row in rows if abs(row.change) * row.n > limit]
    return tuple(sorted(beyond, key=lambda row: -abs(row.change) * row.n)[:N_AFFECTED])


# -- sentences -------------------------------------------------------------------------------------------------------------


def _how(n: int, text: bool) -> str:
    where = f"its {n} strongest samples" if n > 1 else "its strongest sample"
    if text:
        what = f"the {N_NEXT_TOKENS} tokens behind each peak, each given the text before it"
    else:
        what = f"the words of the transcript that are said from {-NEAR_S[0]:g} s before each peak to {NEAR_S[1]:g} s after it, each given those before it"
    few = " With so few samples none can be." if 2 / 2**n > CLEAR else ""
    return (
        f"The unit was set to 0 throughout {where}, one after the other, and log p compared with the plain run for {what}. The control takes as much out along "
        f"the direction of another unit, drawn at random for each sample. Unit and control were then swapped in every subset of the samples: a difference is "
        f"called clear where it is {SMALL:g} nats or more and at most {CLEAR:.0%} of these {2**n} ways make one as large, which by chance alone is so for one "
        f"unit in {1 / CLEAR:.0f}.{few}"
    )


def _told_likelihood(of: str, found: Measured) -> str:
    what = "tokens after its peaks" if of == "token" else "words around its peaks"
    way = f"{'less' if found.unit < found.control else 'more'} likely" if found.clear else ""
    said = f"Without it the {what} are {way}" if way else f"No clear effect on the {what}"
    return f"{said}: {found.unit:+.3f} nats each on average, {found.control:+.3f} under the control ({_by_chance(found)})."


def _told_expectation(found: Measured | None) -> str:
    if found is None:
        return ""
    more = ("more" if found.unit > found.control else "less") if found.clear else "no more"
    numbers = f"KL {found.unit:.3f} nats against {found.control:.3f} ({_by_chance(found)})"
    return f"What the model expects right after the peak moves {more} than under the control: {numbers}."


def _by_chance(found: Measured) -> str:
    return f"by chance as far apart: {100 * found.chance:.1f} %"
