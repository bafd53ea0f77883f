"""Edits as changes of what passes the model's hooks: x + sum_i (new_i - value_i) * direction_i at each position of a stretch.

value_i is the unit's value there, all from the same x of that hook, and new_i = factor_i * value_i + added_i. What an SAE does not explain of x stays
as it is, so that an edit that changes nothing leaves x, bit by bit, and several edits of one hook add up. direction_i is the unit's row of the decoder
at length 1, stretched at each position as the SAE's input norm is undone there; of a neuron or an axis it is the value's own place in x.
"Through the SAE alone" is another thing: x^ in place of x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...dictionaries.base import Dictionary, SparseAutoencoder
from ...edits import Edit, check_apart
from ...errors import BadInput
from ...models.capture import Change, Replace
from ...runtime import Opened
from ...shelf.catalog import Catalog
from ...units import FrameGrid, Hook

_Steps = list[tuple[Dictionary, list[Edit]]]
_SENSES = {
    "text": ("hears sounds; it reads no text", "Edit units of a language model, or bring a sound."),
    "audio": ("reads texts; it hears no sound", "Edit units of a speech model, or bring a text."),
}
_EDGE = 1e-9
"""of a position: a time that stands on the edge between two belongs to the second, however it was rounded"""


def replacing_edits(opened: Sequence[Opened], edits: Sequence[Edit], grid: FrameGrid, spared: NDArray[np.bool_] | None = None, first: int = 0) -> Replace:
    """{hook: what edits make of [n_positions, width] there}; hooks that no edit changes are left out.

    The first position that a change sees is number `first` of the grid, such as 1500 in the second window of a sound, or the number of a
    token that was just made; the grid's `n_frames` does not bound it. Of a text whose first n tokens stand in front of it the grid is
    FrameGrid(1, -n, ...). Positions of `spared`, counted as the grid counts, pass as they are, and so do none beyond its end. Raises
    BadInput as `check_editable` does.
    """
    check_editable(opened, edits)
    by_hook: dict[Hook, _Steps] = {}
    for one in opened:
        own = [edit for edit in edits if edit.unit.dictionary == one.entry.slug and not edit.changes_nothing]
        if own:
            by_hook.setdefault(one.hook, []).append((one.dictionary, own))
    return {hook: _change(steps, grid, spared, first) for hook, steps in by_hook.items()}


def model_of_edits(catalog: Catalog, edits: Sequence[Edit], modality: Literal["audio", "text"]) -> tuple[str, tuple[str, ...]]:
    """(model, dictionaries) of edits. Raises BadInput for no edits, for those of several models, and for a model of another modality."""
    slugs = tuple(dict.fromkeys(edit.unit.dictionary for edit in edits))
    models = list(dict.fromkeys(catalog.dictionary(slug).model for slug in slugs))
    if not models:
        raise BadInput("There is no edit. Write DICTIONARY:UNIT=FACTOR, such as whisper-tiny.en-l2-sae:1301=0.")
    model, *others = models
    if others:
        raise BadInput(f"The edits are of {len(models)} models, {' and '.join(models)}. Edit units of one at a time.")
    if catalog.model(model).modality != modality:
        does, wants = _SENSES[modality]
        raise BadInput(f"{model} {does}. {wants}")
    return model, slugs


def check_editable(opened: Sequence[Opened], edits: Sequence[Edit]) -> None:
    """Raise BadInput for edits of dictionaries that are not among the opened, of units that they lack, of one unit twice at a place, and
    for SAEs whose units have no value at a position by itself, or no direction at the place that they read."""
    check_apart(edits)
    known = {one.entry.slug: one for one in opened}
    for edit in edits:
        one = known.get(edit.unit.dictionary)
        if one is None:
            raise BadInput(f"{edit.unit} is edited, but {edit.unit.dictionary} is not open. Open: {', '.join(known) or 'none'}.")
        if not edit.unit.index < one.dictionary.n_units:
            raise BadInput(f"There is no unit {edit.unit}. The units of {edit.unit.dictionary} are 0 to {one.dictionary.n_units - 1:,}.")
        sae = one.dictionary
        if isinstance(sae, SparseAutoencoder) and sae.width_out != sae.width:
            raise BadInput(f"{one.entry.slug} predicts another place of the model than the one it reads, so that its units cannot be edited there.")
        if isinstance(sae, SparseAutoencoder) and sae.reads_batches:
            raise BadInput(
                f"The features of {one.entry.slug} at a position depend on all others that are read with it (batchtopk without threshold), "
                "so that they cannot be edited one by one. Choose an SAE with a threshold."
            )


def through_saes(opened: Sequence[Opened]) -> Replace | None:
    """{hook: x -> x^} of SAEs alone; None where a dictionary is none, or where several read one hook."""
    reading = {one.hook: one.dictionary.reconstruct for one in opened if isinstance(one.dictionary, SparseAutoencoder)}
    return reading if len(reading) == len(opened) else None


def places(edit: Edit, grid: FrameGrid) -> tuple[float, float]:
    """The first and the last position that an edit changes, both included; infinite where it has no bound."""

    def at(place: float | None, without: float) -> float:
        return without if place is None else math.floor((place - grid.offset_s) / grid.hop_s + _EDGE)

    return at(edit.start, -math.inf), at(edit.end, math.inf)


def _change(steps: _Steps, grid: FrameGrid, spared: NDArray[np.bool_] | None, first: int) -> Change:
    bounds = torch.tensor([places(edit, grid) for _, edits in steps for edit in edits], dtype=torch.float64)

    def inside(n: int) -> Tensor:
        """[n, n_edits]: whether each edit acts at each of the positions that are seen."""
        numbers = torch.arange(first, first + n)[:, None]
        acts = (numbers >= bounds[:, 0]) & (numbers <= bounds[:, 1])
        if spared is not None:
            passing = spared[first : first + n]
            acts[: len(passing)] &= torch.as_tensor(~passing)[:, None]
        return acts

    def changed(x: Tensor) -> Tensor:
        acts = inside(len(x))
        at = acts.any(dim=1)
        if not at.any():
            return x
        here, acts = x[at].float(), acts[at]
        new = x.clone()
        new[at] = (here + _added(steps, here, acts)).to(x.dtype)
        return new

    return changed


def _added(steps: _Steps, x: Tensor, acts: Tensor) -> Tensor:
    """[n_positions, width]: what all edits of a hook add to x."""
    added, start = torch.zeros_like(x), 0
    for dictionary, edits in steps:
        own = acts[:, start : start + len(edits)]
        added += _step_of_sae(dictionary, edits, x, own) if isinstance(dictionary, SparseAutoencoder) else _step_of_values(edits, x, own)
        start += len(edits)
    return added


def _step_of_sae(sae: SparseAutoencoder, edits: list[Edit], x: Tensor, acts: Tensor) -> Tensor:
    units = [edit.unit.index for edit in edits]
    codes = sae.encode(x)
    f = torch.as_tensor(np.stack([codes.trace(unit) for unit in units], axis=1))
    per_shown = 1.0 / sae.norms[units].clamp_min(1e-12)  # shown values are f * |W_dec|
    return sae.step(x, units, _new_less_old(edits, f, per_shown) * acts)


def _step_of_values(edits: list[Edit], x: Tensor, acts: Tensor) -> Tensor:
    units = torch.tensor([edit.unit.index for edit in edits])
    return torch.zeros_like(x).index_add_(1, units, _new_less_old(edits, x[:, units], 1.0) * acts)


def _new_less_old(edits: list[Edit], values: Tensor, per_shown: Tensor | float) -> Tensor:
    """(factor - 1) * value + added, [n_positions, n_edits]."""
    factors, added = (torch.tensor([getattr(edit, name) for edit in edits]) for name in ("factor", "added"))
    return (factors - 1.0) * values + added * per_shown
