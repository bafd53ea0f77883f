"""What each pass over an edited text is given: its edits, and which positions they leave alone.

Left alone are what stands in front of a text and its attention sinks: positions whose norm in the residual stream at the dictionary's layer, in the
plain run, exceeds 4 times the text's median norm, as in `live/texts`. A token that is written behind the text is judged when it is read, in the run
that it belongs to: its norm in that stream, before it is edited there, against the median of the text as far as it goes, with the tokens written
before it. A hook inside a layer is passed before the layer's output is known; there the stream is taken where it enters the layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...edits import Edit
from ...models.base import TextModel
from ...models.capture import Change, Replace, sparing
from ...runtime import Opened, Runtime
from ...tensors import as_floats, length, lengths
from ...units import SINK_NORM, FrameGrid, Hook, TokenSample
from .apply import check_editable, replacing_edits, through_saes


def text_model(runtime: Runtime, slug: str) -> TextModel:
    """A language model that is open, for what takes no run of it."""
    model = runtime.model(slug)
    assert isinstance(model, TextModel), "what the catalog lists as a model of texts"
    return model


class TextEdits:
    """Edits of one text, in one run of it: a plain pass with `noting` comes first, then the edited ones."""

    def __init__(self, model: TextModel, opened: Sequence[Opened], edits: Sequence[Edit], sample: TokenSample):
        """Raises BadInput for edits that cannot be made (apply.check_editable)."""
        check_editable(opened, edits)
        self._opened, self._edits, self._sample = opened, edits, sample
        self._grid = FrameGrid(1.0, float(-sample.n_before), len(sample.ids))
        self._streams = {one.entry.layer: model.hook("residual", one.entry.layer) for one in opened}
        self._ahead = {one.hook: self._judged_at(one, model.width) for one in opened}
        self._norms: dict[Hook, list[float]] = {}
        """of each position in turn, what stands in front of the text included"""
        self._sinks: dict[Hook, bool] = {}
        """whether the token that is being read is one"""

    def _judged_at(self, one: Opened, width: int) -> Hook:
        """The last place of the stream before a dictionary's hook, the hook itself where that is it."""
        stream = self._streams[one.entry.layer]
        return stream if one.hook == stream else Hook(stream.module, "input", width)

    def noting(self) -> Replace:
        """For the plain pass over the text: notes the norms of the stream, and changes nothing."""
        return {hook: self._note(hook) for hook in (*self._streams.values(), *self._ahead.values())}

    def _note(self, hook: Hook) -> Change:
        def note(x: Tensor) -> Tensor:
            self._norms[hook] = as_floats(lengths(x.float()))
            return x

        return note

    def spared(self, layer: int) -> NDArray[np.bool_]:
        """[n_tokens] of the text and of what stands in front of it, where all are."""
        norms = np.array(self._norms[self._streams[layer]][: len(self._sample.ids)])
        found = norms > SINK_NORM * np.median(norms)
        found[: self._sample.n_before] = True
        return found

    @property
    def sinks(self) -> tuple[int, ...]:
        """Of the text's own positions, at any of the layers that are edited."""
        found = np.any([self.spared(layer) for layer in self._streams], axis=0)
        return tuple(np.flatnonzero(found[self._sample.n_before :]).tolist())

    def on_text(self) -> Replace:
        """For the edited pass over the text."""
        return {hook: change for layer in self._streams for hook, change in self._of_layer(layer, self.spared(layer), 0).items()}

    def _of_layer(self, layer: int, spared: NDArray[np.bool_] | None, first: int) -> Replace:
        those = [one for one in self._opened if one.entry.layer == layer]
        slugs = {one.entry.slug for one in those}
        return replacing_edits(those, [edit for edit in self._edits if edit.unit.dictionary in slugs], self._grid, spared, first)

    def through_saes(self) -> Replace | None:
        """For a pass through the SAEs alone, unedited; None where something that is edited is no SAE."""
        whole = through_saes(self._opened)
        return whole and {one.hook: sparing(self.spared(one.entry.layer), whole[one.hook]) for one in self._opened}

    def on_later(self, at: int) -> Replace:
        """For the pass over one token behind the text, number `at` with what stands in front of the text."""
        found: dict[Hook, Change] = {}
        changes = {hook: change for layer in self._streams for hook, change in self._of_layer(layer, None, at).items()}
        for hook, change in changes.items():
            place = self._ahead[hook]
            judge, unless = self._judge(place), self._unless_sink(place, change)
            found |= {hook: lambda x, judge=judge, unless=unless: unless(judge(x))} if place == hook else {place: judge, hook: unless}
        return found

    def _judge(self, place: Hook) -> Change:
        def judge(x: Tensor) -> Tensor:
            norms = self._norms[place]
            norms.append(float(length(x.float())))
            self._sinks[place] = norms[-1] > SINK_NORM * np.median(norms)
            return x

        return judge

    def _unless_sink(self, place: Hook, change: Change) -> Change:
        return lambda x: x if self._sinks[place] else change(x)
