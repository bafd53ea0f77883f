"""The tables: declared once as pyarrow schemas, written atomically in parts, read by row group.

Each column carries its unit and its meaning in the field's metadata; precomputed/README.md is made from them. A folder holds
`NAME-000.parquet`, `NAME-001.parquet`, ... and `manifest.json` with the sha256 of every file. Reading one unit goes through
`read_row_group` and an index of the groups, because a parquet filter costs ten times as much.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import BadTable

FORMAT = 1
PART_BYTES = 20_000_000
"""a part is closed once it is larger; no shipped file may exceed 25 MB"""
GROUP_BYTES = 4_000_000
"""a row group ends early once it is larger, so that large sounds don't overfill a part"""


def _column(name: str, type_: pa.DataType, unit: str, help_: str) -> pa.Field:
    return pa.field(name, type_, metadata={"unit": unit, "help": help_})


@dataclass(frozen=True)
class TableSpec:
    """One kind of table."""

    name: str
    schema: pa.Schema
    key: str | None
    """the column by which rows are sorted and looked up"""
    rows_a_group: int
    compression: str | dict[str, str] = "zstd"
    splits: tuple[str, ...] = ()
    """columns stored as split byte streams, which zstd packs better"""


_SPAN = pa.struct([pa.field("text", pa.string()), pa.field("start_s", pa.float32()), pa.field("end_s", pa.float32())])

SAMPLES = TableSpec(
    "samples",
    pa.schema(
        [
            _column("id", pa.string(), "", "the sample's name within its corpus: letters, digits, '.', '_' and '-'"),
            _column("audio", pa.binary(), "bytes", "the sound file as its source has it; null for text"),
            _column("audio_type", pa.string(), "media type", "such as audio/mpeg"),
            _column("tokens", pa.list_(pa.int32()), "token ids", "the context; null for sound"),
            _column("duration_s", pa.float32(), "s", "length of the sound at 16 kHz"),
            _column("transcript", pa.string(), "", "what is said; empty where nobody and nothing has told"),
            _column("transcript_by", pa.string(), "", "source (given with the sound), model (its own transcript), or empty"),
            _column("words", pa.list_(_SPAN), "s", "words with start and end; null where unknown"),
            _column("phones", pa.list_(_SPAN), "s", "phones with start and end; null where unknown"),
            _column("class_name", pa.string(), "", "the sound's class, such as ESC-50's; null where there is none"),
            _column("speaker", pa.string(), "", "who speaks, where known"),
            _column("origin", pa.string(), "", "file or record that the sample comes from"),
            _column("licence", pa.string(), "", "licence of this sample"),
            _column("mel", pa.binary(), "WebP, grey", "mel spectrogram for pictures: 64 mels up to 8 kHz (row 0 lowest) x 20 ms"),
        ]
    ),
    key=None,
    rows_a_group=64,
    compression={"audio": "none", "mel": "none"},
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
            _column("n_positions", pa.int64(), "positions", "frames or tokens counted; padding never is"),
            _column("n_samples", pa.int32(), "samples", "samples with a non-zero value"),
            _column("floor", pa.float32(), "value", "filters on the peak are exact at or above it; null: everywhere"),
            _column("floor_abs", pa.float32(), "value", "the same for absolute values; null: everywhere"),
            _column("label", pa.string(), "", "what the unit responds to; null while nothing has held up"),
            _column("label_score", pa.float32(), "share", "held-out precision of the label"),
            _column("neighbours", pa.list_(pa.int32()), "units", "nearest decoder directions of the same dictionary"),
            _column("cosines", pa.list_(pa.float32()), "cosine", "of those neighbours, in order"),
            _column("match_dictionary", pa.string(), "", "dictionary of the best-correlated unit over the same layer"),
            _column("match_unit", pa.int32(), "", "that unit"),
            _column("match_correlation", pa.float32(), "Pearson r", "over all positions of the corpus"),
        ]
    ),
    key="unit",
    rows_a_group=256,
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

SPECS = (SAMPLES, UNITS, EXAMPLES, PEAKS)
QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


# -- writing -------------------------------------------------------------------------------------------------------------


class TableWriter:
    """Writes one table into a folder, part by part. Use it inside `new_folder`, which makes the whole appear at once."""

    def __init__(self, folder: Path, spec: TableSpec):
        self._folder, self._spec = folder, spec
        self._part, self._rows = 0, 0
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.Table] = []
        self._n_pending = 0

    def write(self, rows: pa.Table | list[dict[str, Any]]) -> None:
        """Append rows; they are flushed in whole row groups."""
        table = pa.Table.from_pylist(rows, schema=self._spec.schema) if isinstance(rows, list) else rows
        self._pending.append(table)
        self._n_pending += table.num_rows
        if self._n_pending >= self._spec.rows_a_group:
            self._flush(whole_groups_only=True)
        elif sum(t.nbytes for t in self._pending) > GROUP_BYTES:
            self._flush(whole_groups_only=False)

    def _flush(self, whole_groups_only: bool) -> None:
        table = pa.concat_tables(self._pending).cast(self._spec.schema)
        size = self._spec.rows_a_group
        n_now = table.num_rows // size * size if whole_groups_only else table.num_rows
        for start in range(0, n_now, size):
            self._write_group(table.slice(start, min(size, n_now - start)))
        rest = table.slice(n_now)
        self._pending, self._n_pending = [rest], rest.num_rows

    def _write_group(self, table: pa.Table) -> None:
        path = self._folder / f"{self._spec.name}-{self._part:03d}.parquet"
        if self._writer is None:
            compression = self._spec.compression
            if isinstance(compression, dict):
                compression = {n: compression.get(n, "zstd") for n in self._spec.schema.names}
            plain = [n for n in self._spec.schema.names if n not in self._spec.splits and n in ("unit", "tail", "group")]
            self._writer = pq.ParquetWriter(
                path,
                self._spec.schema,
                compression=compression,
                use_dictionary=plain,
                use_byte_stream_split=list(self._spec.splits),
                write_statistics=[self._spec.key] if self._spec.key else False,
            )
        self._writer.write_table(table, row_group_size=self._spec.rows_a_group)
        if path.stat().st_size > PART_BYTES:
            self.close_part()

    def close_part(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._part += 1

    def close(self) -> None:
        if self._n_pending:
            self._flush(whole_groups_only=False)
        if self._writer is None and self._part == 0:
            self._write_group(self._spec.schema.empty_table())
        self.close_part()


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target` that takes its place when the block ends well, and vanishes when it does not."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if target.exists():
            os.rename(target, old)
        os.rename(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON through a temporary file and a rename."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(fresh, path)


def sha256_of(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def files_of(folder: Path, names: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """{file name: {sha256, bytes}} for a manifest: the named files, or all but the manifest."""
    chosen = sorted(names) if names is not None else sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != "manifest.json")
    return {n: {"sha256": sha256_of(folder / n), "bytes": (folder / n).stat().st_size} for n in chosen}


# -- reading -------------------------------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> dict[str, Any]:
    """A folder's manifest. Raises BadTable when it is missing, broken, or of another format."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadTable(f"'{folder.name}' has no tables yet: its manifest.json is missing. Build them with `python -m earmark build`.") from None
    except (OSError, ValueError) as error:
        raise BadTable(f"The manifest of '{folder.name}' cannot be read ({type(error).__name__}). Build its tables again.") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise BadTable(f"The tables of '{folder.name}' have format {found}, this Earmark reads {FORMAT}. Build them again.")
    return manifest


class Table:
    """One table of a folder, checked against the manifest when opened and read by row group."""

    def __init__(self, folder: Path, spec: TableSpec, manifest: dict[str, Any]):
        self._spec = spec
        self._lock = threading.Lock()
        names = sorted(n for n in manifest["files"] if n.startswith(spec.name + "-") and n.endswith(".parquet"))
        if not names:
            raise BadTable(f"'{folder.name}' has no table '{spec.name}'. Build its tables again.")
        self._files = [_open_checked(folder, n, manifest["files"][n]["sha256"], spec) for n in names]
        self._groups: list[tuple[int, int]] = []
        self._first_keys: list[int] = []
        self._last_keys: list[int] = []
        self._starts = [0]
        column = spec.schema.get_field_index(spec.key) if spec.key else None
        for f, file in enumerate(self._files):
            for g in range(file.metadata.num_row_groups):
                group = file.metadata.row_group(g)
                if not group.num_rows:
                    continue
                self._groups.append((f, g))
                self._starts.append(self._starts[-1] + group.num_rows)
                if column is not None:
                    self._first_keys.append(group.column(column).statistics.min)
                    self._last_keys.append(group.column(column).statistics.max)

    @property
    def n_rows(self) -> int:
        return self._starts[-1]

    def group(self, number: int, columns: list[str] | None = None) -> pa.Table:
        f, g = self._groups[number]
        with self._lock:
            return self._files[f].read_row_group(g, columns=columns, use_threads=False)

    def rows_of(self, key: int, columns: list[str] | None = None) -> pa.Table:
        """All rows whose key column equals `key`."""
        first = bisect_left(self._last_keys, key)
        parts = []
        for number in range(first, len(self._groups)):
            if self._first_keys[number] > key:
                break
            names = None if columns is None else list(dict.fromkeys([str(self._spec.key), *columns]))
            table = self.group(number, names)
            keys = table.column(self._spec.key).to_numpy()
            lo, hi = keys.searchsorted(key, "left"), keys.searchsorted(key, "right")
            parts.append(table.slice(lo, hi - lo))
        return pa.concat_tables(parts) if parts else self._spec.schema.empty_table()

    def row(self, number: int, columns: list[str] | None = None) -> dict[str, Any]:
        """One row by its place in the table."""
        group = bisect_left(self._starts, number + 1) - 1
        return self.group(group, columns).slice(number - self._starts[group], 1).to_pylist()[0]

    def all(self, columns: list[str] | None = None) -> pa.Table:
        """The whole table, or some of its columns."""
        with self._lock:
            return pa.concat_tables([file.read(columns=columns, use_threads=False) for file in self._files])


def _open_checked(folder: Path, name: str, sha256: str, spec: TableSpec) -> pq.ParquetFile:
    path = folder / name
    try:
        if sha256_of(path) != sha256:
            raise BadTable(f"'{folder.name}/{name}' is not the file that its manifest names (sha256 differs). Fetch or build it again.")
        file = pq.ParquetFile(path, memory_map=True)
    except FileNotFoundError:
        raise BadTable(f"'{folder.name}/{name}' is missing. Fetch or build it again.") from None
    except (OSError, pa.ArrowException) as error:
        raise BadTable(f"'{folder.name}/{name}' cannot be read ({type(error).__name__}). Fetch or build it again.") from None
    if file.schema_arrow.names != spec.schema.names:
        raise BadTable(f"'{folder.name}/{name}' has other columns than this Earmark reads. Build it again.")
    return file


def read_key_range(table: pa.Table, column: str, low: float | None, high: float | None) -> pa.Table:
    """Rows whose `column` lies within [low, high]; None leaves a side open."""
    mask = None
    for bound, compare in ((low, pc.greater_equal), (high, pc.less_equal)):
        if bound is not None:
            part = compare(pc.cast(table.column(column), pa.float64()), bound)
            mask = part if mask is None else pc.and_(mask, part)
    return table if mask is None else table.filter(mask)
