"""A text run through one layer of a language model once: its tokens, attention sinks, and what every dictionary over the layer does on it.

What the model is given in front of a text (a token that begins every text, and takes the sink) is nowhere in what is found: position 0 is the
text's first own token. Attention sinks among the text's own positions, those whose norm in the residual stream at the layer exceeds 4 times
the text's median norm (`Activations.sinks`), are 0 for every unit and are marked. No torch by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput, EarmarkError
from ...shelf.store import Store
from ...units import Activations, FrameGrid, TextAnalysis, TokenGrid, TokenSample, UnitHit
from ..analysis import check_order, rank

if TYPE_CHECKING:
    from ...dictionaries.base import Codes
    from ...models.base import TextModel
    from ...runtime import Opened, Runtime


@dataclass(frozen=True, eq=False)
class Passage:
    """One text, and what every dictionary over one layer of the model did on it."""

    text: str
    """as it was brought; `tokens` may be cut"""
    sample: TokenSample
    sinks: NDArray[np.bool_]
    """[n_positions], without what stands in front"""
    codes: Mapping[str, Codes]
    """dictionary -> values of all its units at the text's own positions; 0 at sinks"""
    model: str
    layer: int
    problems: Mapping[str, str] = field(default_factory=dict[str, str])
    """dictionary -> why it could not be opened"""

    @property
    def tokens(self) -> tuple[str, ...]:
        """What each position prints; '' where it is shown with one before it."""
        return self.sample.tokens[self.sample.n_before :]

    @property
    def grid(self) -> FrameGrid:
        """Positions count tokens."""
        return FrameGrid(1.0, 0.0, len(self.tokens))

    @property
    def n_bytes(self) -> int:
        return len(self.text) * 4 + sum(a.nbytes for c in self.codes.values() for a in (c.values, c.indices) if a is not None)

    def shown_at(self, at: int) -> str:
        """What is printed over a position: the token, or the characters that it is a part of."""
        return next(text for start, end, text in TokenGrid(self.tokens).spans() if start <= at < end)


def check_text_dictionary(store: Store, slug: str) -> None:
    """Raise BadInput for a dictionary over a model that reads no text."""
    entry = store.catalog.dictionary(slug)
    if store.catalog.model(entry.model).modality != "text":
        raise BadInput(f"{entry.model} hears sounds; it reads no text. Choose a dictionary of a language model.")


def read_passage(runtime: Runtime, store: Store, slug: str, text: str, siblings: bool = True) -> Passage:
    """One pass of the model over a text, for a dictionary and, with `siblings`, the others over its layer. Raises BadInput for a text that cannot be used."""
    return _pass(runtime, store, slug, text, lambda model: model.tokenize(text), siblings)


def read_window(runtime: Runtime, store: Store, slug: str, sample: str) -> Passage:
    """The same for a text of the corpus that a dictionary's tables were built from, token by token as it was read then."""
    corpus = store.corpus(store.dictionary(slug).corpus)
    row = corpus.row(sample)
    ids = corpus.table.row(row, ["tokens"])["tokens"]
    return _pass(runtime, store, slug, corpus.transcripts[row], lambda model: model.window(ids), siblings=True)


def _pass(runtime: Runtime, store: Store, slug: str, text: str, read: Callable[[TextModel], TokenSample], siblings: bool) -> Passage:
    check_text_dictionary(store, slug)
    entry = store.catalog.dictionary(slug)
    runtime.open(slug)
    slugs = [slug]
    problems: dict[str, str] = {}
    for other in store.catalog.siblings(slug) if siblings else ():
        try:
            runtime.open(other.slug)
            slugs.append(other.slug)
        except EarmarkError as error:
            problems[other.slug] = str(error)
    with runtime.using(*dict.fromkeys(slugs)) as opened:
        return runtime.run(entry.model, lambda model: _passed(model, opened, text, read(model), problems))


def _passed(model: TextModel, opened: list[Opened], text: str, sample: TokenSample, problems: dict[str, str]) -> Passage:
    entry = opened[0].entry
    stream = model.hook("residual", entry.layer)
    taken = model.capture(sample, list(dict.fromkeys([*(o.hook for o in opened), stream])))
    own = slice(sample.n_before, None)
    sinks = sinks_of(taken[stream], sample)
    codes = {o.entry.slug: o.dictionary.codes(taken[o.hook].values[own][~sinks]).spread(~sinks) for o in opened}
    return Passage(text, sample, sinks, codes, entry.model, entry.layer, problems)


def sinks_of(stream: Activations[TokenGrid], sample: TokenSample) -> NDArray[np.bool_]:
    """[n_positions] of the text's own tokens, judged in the residual stream of all of the sample's, as for the corpus."""
    return stream.sinks()[sample.n_before :]


def analyse_text(runtime: Runtime, store: Store, slug: str, text: str, *, top: int = 20, order: str = "relative") -> TextAnalysis:
    """The `top` units that fire on a text, sorted by `order` (see `rank`). Raises BadInput as `read_passage`, for an unknown order or a top out of range."""
    check_order(top, order)
    return ranked(store, slug, read_passage(runtime, store, slug, text, siblings=False), top, order)


def ranked(store: Store, slug: str, passage: Passage, top: int, order: str, at: int = 0, to: int = 0) -> TextAnalysis:
    """A passage's strongest units of one dictionary; `at` and `to` are positions, where the order wants some."""
    found: tuple[tuple[UnitHit, ...], dict[int, np.ndarray]] = rank(
        store, slug, passage.codes[slug], passage.grid, top=top, order=order, at_s=float(at), to_s=float(to), left_out=passage.sinks
    )
    return TextAnalysis(*found, passage.tokens, tuple(np.flatnonzero(passage.sinks).tolist()), passage.sample.notices)
