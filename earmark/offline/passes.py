"""A corpus's samples, and one of them through the model: activations at several places, at the positions that tables count.

Of a text these are its own tokens: what begins every text for the model is run and left out. At each layer the attention sinks among
them are told apart, by the norm of the residual stream there, whatever is read at that layer: statistics, rankings and training pass
over them (`Activations.sinks`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dictionaries.base import Codes, Dictionary
from ..errors import BadInput
from ..inputs.audio import Limits, decode
from ..models.base import LoadedModel, TextModel
from ..shelf.folders import Corpus
from ..units import Hook, TokenSample, Waveform

CORPUS_LIMITS = Limits(max_bytes=1 << 30, max_source_s=3600.0)


@dataclass(frozen=True)
class Place:
    """A site of a layer, and its hook."""

    site: str
    layer: int
    hook: Hook


@dataclass(frozen=True)
class Taken:
    """What one sample gave at one place."""

    values: NDArray[np.float32]
    """[n_positions, width]"""
    sinks: NDArray[np.bool_] | None
    """[n_positions]; None for sounds, which have none"""


def places(model: LoadedModel[Any, Any], sites: Sequence[tuple[str, int]]) -> list[Place]:
    """Each (site, layer) once. Raises NotFound for a site or layer that the model lacks."""
    return [Place(site, layer, model.hook(site, layer)) for site, layer in dict.fromkeys(sites)]


def read_samples(corpus: Corpus, group: int, model: LoadedModel[Any, Any]) -> Iterator[tuple[int, str, Waveform | TokenSample]]:
    """(row, id, sample) of one row group of a corpus. Raises BadInput when its windows are of another model's tokens."""
    _check(corpus, model)
    if isinstance(model, TextModel):
        yield from ((row, name, model.window(ids)) for row, name, ids in _column(corpus, group, "tokens"))
    else:
        yield from read_sounds(corpus, group)


def read_sample(corpus: Corpus, name: str, model: LoadedModel[Any, Any]) -> Waveform | TokenSample:
    """One sample by its id; as `read_samples` reads it."""
    _check(corpus, model)
    if isinstance(model, TextModel):
        return model.window(corpus.table.row(corpus.row(name), ["tokens"])["tokens"])
    return decode(corpus.audio(name)[0], CORPUS_LIMITS).waveform


def _check(corpus: Corpus, model: LoadedModel[Any, Any]) -> None:
    text = isinstance(model, TextModel)
    if corpus.manifest.get("modality", "audio") != model.modality:
        raise BadInput(f"{model.slug} reads {'texts' if text else 'sounds'}; the corpus '{corpus.manifest['slug']}' holds others.")
    if isinstance(model, TextModel) and (corpus.manifest.get("model"), tuple(corpus.manifest.get("before", ()))) != (model.slug, model.before):
        raise BadInput(f"'{corpus.manifest['slug']}' is cut into tokens of {corpus.manifest.get('model')}. Make it again with --model {model.slug}.")


def read_sounds(corpus: Corpus, group: int) -> Iterator[tuple[int, str, Waveform]]:
    """(row, id, sound) of one row group of a corpus of sounds."""
    return ((row, name, decode(audio, CORPUS_LIMITS).waveform) for row, name, audio in _column(corpus, group, "audio"))


def _column(corpus: Corpus, group: int, column: str) -> Iterator[tuple[int, str, Any]]:
    rows = corpus.table.group(group, ["id", column])
    return zip(itertools.count(corpus.table.first_row(group)), map(str, rows.column("id").to_pylist()), rows.column(column).to_pylist())


def codes_of(dictionary: Dictionary, taken: Taken) -> Codes:
    """The values of all units, 0 at sinks."""
    if taken.sinks is None or not taken.sinks.any():
        return dictionary.codes(taken.values)
    return dictionary.codes(taken.values[~taken.sinks]).spread(~taken.sinks)


def take(model: LoadedModel[Any, Any], sample: Any, wanted: Sequence[Place]) -> dict[Place, Taken]:
    """One pass, which ends at the last place. Sinks are judged with what stands in front of the text, as for a visitor's text."""
    if not isinstance(model, TextModel):
        found = model.capture(sample, list(dict.fromkeys(p.hook for p in wanted)))
        return {place: Taken(found[place.hook].values, None) for place in wanted}
    streams = {layer: model.hook("residual", layer) for layer in {p.layer for p in wanted}}
    found = model.capture(sample, list(dict.fromkeys([*(p.hook for p in wanted), *streams.values()])))
    sinks = {layer: found[hook].sinks()[sample.n_before :] for layer, hook in streams.items()}
    return {place: Taken(found[place.hook].values[sample.n_before :], sinks[place.layer]) for place in wanted}
