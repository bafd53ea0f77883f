"""What the figure of a sweep means: the runs that a dictionary was chosen from, in one paragraph."""

from __future__ import annotations

from collections.abc import Sequence

from earmark.swept import SweptRun

from .. import prose
from .whole import Held, differs

MAX_FVU, MAX_DEAD = 0.20, 0.05
"""the sweep's rule: of what reconstructs at least so well, with no more silent units, what holds most"""


def sweep_words(runs: Sequence[SweptRun], narrow: str = "phone or word") -> str:
    """The paragraph; empty where there was no sweep. narrow: the kinds of labels that are counted."""
    told = [run for run in runs if run.held_share is not None]
    trained = [run for run in told if run.fvu is not None and not run.control]
    if not trained:
        return ""
    lead = f"Each point is an autoencoder over the same activations: how much of the variance it misses, how many of its eligible units hold by {narrow}."
    return " ".join(filter(None, (lead, _names(told, trained), _fvu(trained), _chosen(trained), _neurons(told, trained))))


def _names(told: Sequence[SweptRun], trained: Sequence[SweptRun]) -> str:
    """Whether what nobody has trained leads."""
    best = max((run for run in told if run.control and run.fvu is not None), key=_share, default=None)
    if best is None:
        return ""
    leader = max(trained, key=_share)
    there = f"{_told(best.held_share)} at an FVU of {prose.short(best.fvu)}"
    if _share(best) <= _share(leader):
        return f"Of what nobody has trained, {best.name} holds most, {there}."
    return f"Names alone reward not training: {best.name}, which nobody has trained, holds {there}, the trained ones at most {_told(leader.held_share)}."


def _fvu(trained: Sequence[SweptRun]) -> str:
    """How far apart are those that reconstruct alike."""
    shares = [_told(run.held_share) for run in sorted(trained, key=_share) if _fits(run)]
    return f"FVU alone says as little: of those with at most {prose.short(MAX_FVU)}, from {shares[0]} to {shares[-1]} hold." if len(shares) > 1 else ""


def _chosen(trained: Sequence[SweptRun]) -> str:
    shipped = next((run for run in trained if run.shipped), None)
    if shipped is None or not _fits(shipped):
        return "" if shipped is None else f"Shipped is {shipped.name}: {_told(shipped.held_share)} at an FVU of {prose.short(shipped.fvu)}."
    leader = max((run for run in trained if _fits(run) and (run.dead or 0.0) <= MAX_DEAD), key=_share, default=shipped)
    if _share(leader) > _share(shipped):
        return (
            f"So both are judged together: shipped is {shipped.name}, {_told(shipped.held_share)} at an FVU of {prose.short(shipped.fvu)}, "
            f"before {leader.name}, {_told(leader.held_share)} at {prose.short(leader.fvu)}{_by_chance(leader, shipped)}."
        )
    rule = f"the one that holds most among those with an FVU of at most {prose.short(MAX_FVU)} and at most {prose.percent(MAX_DEAD)} silent units"
    return f"So both are judged together: shipped is {rule}, {_told(shipped.held_share)} at an FVU of {prose.short(shipped.fvu)}."


def _by_chance(a: SweptRun, b: SweptRun) -> str:
    """Whether two shares differ by less than two standard errors."""
    held = [Held(round(_share(run) * run.n_eligible), 0, run.n_eligible) for run in (a, b) if run.n_eligible]
    return ", a difference in names that chance often makes" if len(held) == 2 and abs(differs(*held)) < 2 else ""


def _neurons(told: Sequence[SweptRun], trained: Sequence[SweptRun]) -> str:
    neurons = next((run for run in told if run.kind == "neurons"), None)
    if neurons is None:
        return ""
    n_below = sum(_share(run) < _share(neurons) for run in trained)
    below = f"{n_below} of the {len(trained)} trained ones hold fewer" if n_below else "none of the trained ones holds fewer"
    return f"Of the layer's own neurons {_told(neurons.held_share)} hold at the same activity; {below}."


def _fits(run: SweptRun) -> bool:
    return run.fvu is not None and run.fvu <= MAX_FVU


def _share(run: SweptRun) -> float:
    return run.held_share or 0.0


def _told(share: float | None) -> str:
    return prose.rate(share or 0.0)
