"""precomputed/README.md, made from the tables' schemas: `python scripts/docs.py` (make docs)."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from earmark.shelf.schema import SPECS, TableSpec
from earmark.shelf.tables import FORMAT

_OF = {
    "samples": "Of a corpus: one row a sample.",
    "speech": (
        "Of a corpus: what was said in each sample, and when. A table of its own, because it is made after the samples and again without "
        "touching them; a corpus need not have it."
    ),
    "units": "Of a dictionary: one row a unit.",
    "examples": (
        "Of a dictionary: a unit's strongest samples, true quantiles of its peaks and, for signed units, its weakest; one example a sample. "
        "Quantiles are taken of 200 of the unit's non-zero sample peaks, those whose samples' ids have the lowest hashes."
    ),
    "peaks": (
        "Of a dictionary: the largest value of each unit in each sample (signed units: the smallest, too). Rows are sorted by unit, tail and "
        "peak, so that any range of values is one slice. `floor` and `floor_abs` of the table `units` say down to where it is complete."
    ),
    "labels": (
        "Of a dictionary: what its units respond to, chosen on one half of the corpus (by speaker, else by clip) and judged on the other. A unit is active on "
        "the top fifth of its non-zero positions; neurons and axes on as many positions as the median feature. Units without a row have no label that holds: "
        "precision above 0.5 and lift of 3 or more on both halves."
    ),
    "trips": (
        "Of an SAE: what comes back of each feature that is decoded alone, at the mean of its values, and encoded again, as `health --recompute --save` "
        "computes it."
    ),
    "sweep": (
        "Of an SAE that a sweep has chosen: every run of the sweep, the neurons and residual axes of its layer, and two untrained controls (the same "
        "autoencoder before its first step, its decoder's rows random, or training activations). It stays when the tables are built again."
    ),
    "effects": (
        "Of a language model's dictionary: what each unit adds by itself to the score of the next token, its direction in the residual stream through the "
        "final norm's weights and the unembedding. Layers in between are left out, so that it says most of units in late layers."
    ),
    "timeline": (
        "Of a dictionary: each unit over the first 10,000 positions of the corpus, sample after sample; `tables.timeline_starts` of the manifest says "
        "where each sample begins."
    ),
}


def markdown() -> str:
    """The whole page."""
    parts = [
        "# Tables",
        "<!-- Made by `make docs` from earmark/shelf/schema.py; a test compares the two. -->",
        "`catalog.toml` lists what exists. Every corpus and every dictionary has a folder with its tables, a manifest and its licence. "
        f"This is format {FORMAT}.",
        "- `NAME-000.parquet`, `NAME-001.parquet`, ...: the parts of one table, each at most 25 MB, in the order of their numbers.\n"
        "- `manifest.json`: what the folder is, the revisions of model, dictionary and corpus that it was made from, figures on held-out samples, "
        "and size and sha256 of every file. A file that does not fit its sha256 is refused, and the rest works on.\n"
        "- `LICENSE` and the source's own notices: they stay with the files.\n"
        "- `cfg.json` and `sae_weights.safetensors`: an SAE's weights in SAELens's layout.",
        "Units and positions count from 0. A position is a frame or a token; its time is `offset_s + position * hop_s`, both from the manifest. "
        "Values of an SAE's unit are its activation times the length of its decoder direction. Padding is never counted.",
        *(_table(spec) for spec in SPECS),
    ]
    return "\n\n".join(parts) + "\n"


def _table(spec: TableSpec) -> str:
    order = f" Sorted by `{spec.key}`;" if spec.key else " In the order of the source;"
    lines = [
        f"## {spec.name}",
        "",
        f"{_OF[spec.name]}{order} {spec.rows_a_group:,} rows a row group.",
        "",
        "| column | type | unit | meaning |",
        "|---|---|---|---|",
    ]
    fields: list[pa.Field[Any]] = list(spec.schema)
    for field in fields:
        told = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
        lines.append(f"| `{field.name}` | {_type(field.type)} | {told.get('unit', '')} | {told.get('help', '').replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def _type(kind: pa.DataType) -> str:
    """A type as people say it."""
    if pa.types.is_dictionary(kind):
        return _type(kind.value_type)
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        parts: list[pa.Field[Any]] = list(kind)
        return f"({', '.join(f'{part.name}: {_type(part.type)}' for part in parts)})"
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind))
