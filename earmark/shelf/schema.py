"""The tables' columns, declared once as pyarrow schemas: unit and meaning stand in each field's metadata.

precomputed/README.md is made from them (`describe`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..raw import Compression


def _column(name: str, type_: pa.DataType, unit: str, help_: str) -> pa.Field[Any]:
    return pa.field(name, type_, metadata={"unit": unit, "help": help_})


@dataclass(frozen=True)
class TableSpec:
    """One kind of table."""

    name: str
    schema: pa.Schema
    key: str | None
    """the column by which rows are sorted and looked up"""
    rows_a_group: int
    compression: Compression | dict[str, Compression] = "zstd"
    splits: tuple[str, ...] = ()
    """columns stored as split byte streams, which zstd packs better"""
    added: tuple[str, ...] = ()
    """columns that tables written earlier may lack; there they are null"""
    nulls: tuple[str, ...] | None = None
    """columns in which something may be null; None: in all"""

    def lacking(self, table: pa.Table) -> list[str]:
        """Columns of what was read that have nulls, and must not."""
        return [] if self.nulls is None else [name for name in table.column_names if name not in self.nulls and table.column(name).null_count]

    def packing(self) -> Compression | dict[str, Compression]:
        """`compression` for every column as parquet names them: a list's values are NAME.list.element."""
        if isinstance(self.compression, str):
            return self.compression
        columns = zip(self.schema.names, self.schema.types, strict=True)
        return {leaf: self.compression.get(name, "zstd") for name, type_ in columns for leaf in _leaves(name, type_)}


def _leaves(path: str, type_: pa.DataType) -> list[str]:
    if pa.types.is_list(type_):
        return _leaves(f"{path}.list.element", type_.value_type)
    if pa.types.is_struct(type_):
        parts: list[pa.Field[Any]] = list(type_)
        return [leaf for part in parts for leaf in _leaves(f"{path}.{part.name}", part.type)]
    return [path]


_SPAN = pa.struct([pa.field("text", pa.string()), pa.field("start_s", pa.float32()), pa.field("end_s", pa.float32())])

SAMPLES = TableSpec(
    "samples",
    pa.schema(
        [
            _column("id", pa.string(), "", "the sample's name within its corpus: letters, digits, '.', '_' and '-'"),
            _column("audio", pa.binary(), "bytes", "the sound file as its source has it; null for text"),
            _column("audio_type", pa.string(), "media type", "such as audio/mpeg"),
            _column("tokens", pa.list_(pa.int32()), "token ids", "of a text, without what the model is given in front of it; null for sound"),
            _column(
                "printed", pa.list_(pa.uint16()), "characters", "characters of `transcript` that each token prints, 0 where one before it does; null for sound"
            ),
            _column("duration_s", pa.float32(), "s", "length of the sound at 16 kHz; null for text"),
            _column("transcript", pa.string(), "", "what is said, empty where nobody and nothing has told; of a text, the text itself"),
            _column("transcript_by", pa.string(), "", "source (given with the sound), model (its own transcript), or empty"),
            _column("words", pa.list_(_SPAN), "s", "null: the table `speech` has them"),
            _column("phones", pa.list_(_SPAN), "s", "null: the table `speech` has them"),
            _column("class_name", pa.string(), "", "the sound's class, such as ESC-50's; of a text the title of its work; null where there is none"),
            _column("speaker", pa.string(), "", "who speaks, where known; of a text its author"),
            _column("origin", pa.string(), "", "file or record that the sample comes from, and where in it"),
            _column("licence", pa.string(), "", "licence of this sample"),
            _column("mel", pa.binary(), "WebP, grey", "mel spectrogram for pictures: 64 mels up to 8 kHz (row 0 lowest) x 20 ms"),
        ]
    ),
    key=None,
    rows_a_group=64,
    compression={"audio": "none", "mel": "none"},
    added=("printed",),
)

SPEECH = TableSpec(
    "speech",
    pa.schema(
        [
            _column("sample", pa.int32(), "row", "row of the sample in the samples table; every sample has one row here"),
            _column(
                "words", pa.list_(_SPAN), "s", "words as the transcript writes them, punctuation included, with start and end; null where they are not known"
            ),
            _column(
                "phones",
                pa.list_(_SPAN),
                "s",
                "ARPAbet without stress, SIL for silence (source, ctc: the source's names, the model's letters); null where not known",
            ),
            _column("how", pa.string(), "", "aligned (the transcript, by pocketsphinx), source (given with the sound), ctc (a model's own letters), or empty"),
            _column("score", pa.float32(), "log score a frame", "mean over the phones; 0 at best, wrong text lies below -40; null where nothing was aligned"),
            _column("why", pa.string(), "", "why there is nothing; empty where there is"),
        ]
    ),
    key="sample",
    rows_a_group=256,
)

UNITS = TableSpec(
    "units",
    pa.schema(
        [
            _column("unit", pa.int32(), "", "index, from 0"),
            _column("density", pa.float64(), "share", "positions where the value is above 0"),
            _column("nonzero", pa.float64(), "share", "positions where the value is not 0"),
            _column("dead", pa.bool_(), "", "0 at every position of the corpus"),
            _column("peak", pa.float32(), "value", "largest value"),
            _column("low", pa.float32(), "value", "smallest value"),
            _column("mean", pa.float64(), "value", "mean of the non-zero values"),
            _column("quantiles", pa.list_(pa.float32()), "value", "of the non-zero values at .01 .1 .25 .5 .75 .9 .99, within 3.2 %"),
            _column("edges", pa.list_(pa.float32()), "value", "ascending edges of the histogram's bins"),
            _column("counts", pa.list_(pa.int64()), "positions", "non-zero values in each bin"),
            _column("n_positions", pa.int64(), "positions", "frames or tokens counted; padding and attention sinks never are"),
            _column("n_samples", pa.int32(), "samples", "samples with a non-zero value"),
            _column("floor", pa.float32(), "value", "filters on the peak are exact at or above it; null: everywhere"),
            _column("floor_abs", pa.float32(), "value", "the same for absolute values; null: everywhere"),
            _column("neighbours", pa.list_(pa.int32()), "units", "nearest decoder directions of the same dictionary"),
            _column("cosines", pa.list_(pa.float32()), "cosine", "of those neighbours, in order"),
            _column("match_dictionary", pa.string(), "", "dictionary of the best-correlated unit over the same layer"),
            _column("match_unit", pa.int32(), "", "that unit"),
            _column("match_correlation", pa.float32(), "Pearson r", "over all positions of the corpus"),
        ]
    ),
    key="unit",
    rows_a_group=256,
    nulls=("floor", "floor_abs", "match_dictionary", "match_unit", "match_correlation"),
)

EXAMPLES = TableSpec(
    "examples",
    pa.schema(
        [
            _column("unit", pa.int32(), "", "index, from 0"),
            _column("group", pa.dictionary(pa.int8(), pa.string()), "", "top, bottom (signed units), or a true quantile: q00 q25 q50 q75 q90"),
            _column("rank", pa.int16(), "", "from 0 within the group"),
            _column("sample", pa.int32(), "row", "row of the sample in the corpus's samples table"),
            _column("peak", pa.float32(), "value", "largest value in the sample (smallest in the group bottom)"),
            _column("at", pa.int32(), "position", "position of the peak in the sample"),
            _column("start", pa.int32(), "position", "position of the trace's first value"),
            _column("trace", pa.binary(), "uint8", "values around the peak: low + byte / 255 * (high - low)"),
            _column("low", pa.float32(), "value", "scale of the trace"),
            _column("high", pa.float32(), "value", "scale of the trace"),
        ]
    ),
    key="unit",
    rows_a_group=1024,
    nulls=(),
)

PEAKS = TableSpec(
    "peaks",
    pa.schema(
        [
            _column("unit", pa.int32(), "", "index, from 0"),
            _column("tail", pa.int8(), "", "1: the largest value in the sample, -1: the smallest"),
            _column("sample", pa.int32(), "row", "row of the sample in the corpus's samples table"),
            _column("peak", pa.float16(), "value", "that value, rounded to half precision"),
            _column("at", pa.int32(), "position", "its position in the sample"),
        ]
    ),
    key="unit",
    rows_a_group=16_384,
    splits=("sample", "peak", "at"),
)

TIMELINE_LEVELS = 63
"""steps between a line's smallest and largest value: of all tables this one packs worst, and a line plot shows no finer ones"""

TIMELINE = TableSpec(
    "timeline",
    pa.schema(
        [
            _column("unit", pa.int32(), "", "index, from 0"),
            _column("low", pa.float32(), "value", "smallest value on the line, 0 at most"),
            _column("high", pa.float32(), "value", "largest value on the line, 0 at least"),
            _column(
                "values", pa.binary(), "uint8", f"the corpus's first 10,000 positions in a row, of texts 2,048: low + byte / {TIMELINE_LEVELS} * (high - low)"
            ),
        ]
    ),
    key="unit",
    rows_a_group=64,
)

LABELS = TableSpec(
    "labels",
    pa.schema(
        [
            _column("unit", pa.int32(), "", "index, from 0; units whose label did not hold have no row"),
            _column("kind", pa.string(), "", "phone, word, class or context"),
            _column("label", pa.string(), "", "what is said when the unit is active"),
            _column("lag_s", pa.float32(), "s", "how long after the label the unit is compared with it"),
            _column("precision", pa.float32(), "share", "of the unit's active positions those with the label, on the half that did not choose it"),
            _column("recall", pa.float32(), "share", "of the positions with the label those where the unit is active, on that half"),
            _column("lift", pa.float32(), "ratio", "precision over the label's share of all positions, on that half"),
            _column("f1", pa.float32(), "", "harmonic mean of precision and recall"),
            _column("auroc", pa.float32(), "", "of the unit's peak in a sample for whether the sample contains the label, on that half"),
            _column("n_active", pa.int32(), "positions", "active positions on that half"),
        ]
    ),
    key="unit",
    rows_a_group=1024,
)

SWEEP = TableSpec(
    "sweep",
    pa.schema(
        [
            _column("name", pa.string(), "", "of the run, as the recipe calls it"),
            _column("kind", pa.string(), "", "topk or batchtopk; neurons or residual for what the runs are compared with"),
            _column("n_units", pa.int32(), "units", "how wide it is"),
            _column("k", pa.int32(), "units", "active units at a position; null for neurons and axes, as everything that says how a run was trained"),
            _column("n_activations", pa.int64(), "positions", "seen in training, repetitions counted; 0 for an untrained control"),
            _column("lr", pa.float64(), "", "learning rate"),
            _column("start", pa.string(), "", "where the decoder's rows start: frames (training activations) or random"),
            _column("start_norm", pa.float64(), "", "their length at the start, over normalised inputs"),
            _column("aux", pa.float64(), "", "weight of the loss that brings back dead units; 0: none"),
            _column("l0", pa.float64(), "units", "mean number of non-zero units at a held-out position"),
            _column("fvu", pa.float64(), "share", "variance of the held-out positions that is not explained; null for what reconstructs nothing"),
            _column("fvu_scaled", pa.float64(), "share", "of an untrained control: the same after the one factor on what it decodes that fits best"),
            _column("dead", pa.float64(), "share", "units that are 0 at every held-out position"),
            _column("n_eligible", pa.int32(), "units", "units that are active often enough to be counted; null where nothing is known of what is said"),
            _column("held_phone", pa.int32(), "units", "eligible units whose label is a phone, of texts a token, and holds"),
            _column("held_word", pa.int32(), "units", "the same for a word or a pair of phones"),
            _column("held_class", pa.int32(), "units", "the same for a class of phones"),
            _column("held_context", pa.int32(), "units", "the same for what comes before or after"),
            _column("held_share", pa.float64(), "share", "of the eligible units those that hold by phone (token) or word"),
            _column("held_any_share", pa.float64(), "share", "of the eligible units those that hold at all"),
            _column("control", pa.bool_(), "", "an autoencoder that nobody has trained"),
            _column("shipped", pa.bool_(), "", "the run that the sweep's rule chooses"),
        ]
    ),
    key=None,
    rows_a_group=1024,
)

EFFECTS = TableSpec(
    "effects",
    pa.schema(
        [
            _column("unit", pa.int32(), "", "index, from 0"),
            _column("top_ids", pa.list_(pa.int32()), "token ids", "tokens that the unit makes likelier to come next, by the size of the effect"),
            _column("top_tokens", pa.list_(pa.string()), "", "what these tokens print"),
            _column("top_values", pa.list_(pa.float32()), "spread", "the effect on each: less the mean over the vocabulary, over the standard deviation"),
            _column("bottom_ids", pa.list_(pa.int32()), "token ids", "tokens that it makes less likely, the largest effect first"),
            _column("bottom_tokens", pa.list_(pa.string()), "", "what these tokens print"),
            _column("bottom_values", pa.list_(pa.float32()), "spread", "the effect on each, in the same unit"),
            _column("kurtosis", pa.float32(), "", "excess kurtosis of the effect over the vocabulary: 0 for noise, large where a few tokens stand out"),
        ]
    ),
    key="unit",
    rows_a_group=256,
)

TRIPS = TableSpec(
    "trips",
    pa.schema(
        [
            _column("unit", pa.int32(), "", "index, from 0; only an SAE's units have a way back"),
            _column("own", pa.float32(), "f", "what comes back of it, decoded at the mean of its held-out values above 0: encode(decode(mean · one-hot))"),
            _column("largest", pa.float32(), "f", "largest value that comes back of any unit"),
            _column("largest_unit", pa.int32(), "", "that unit; the unit itself where its own value is the largest"),
            _column("mean", pa.float32(), "f", "mean over all units of what comes back"),
            _column("square", pa.float32(), "f squared", "mean square over all units of what comes back"),
        ]
    ),
    key="unit",
    rows_a_group=1024,
)

SPECS = (SAMPLES, SPEECH, UNITS, EXAMPLES, PEAKS, TIMELINE, LABELS, EFFECTS, SWEEP, TRIPS)
QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
