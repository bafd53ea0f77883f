"""What files of JSON, TOML and parquet hold, told apart before anybody relies on it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol, TypeGuard, cast

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Compression = Literal["gzip", "brotli", "lz4", "zstd", "snappy", "none"]


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a value is a JSON object, or a table of TOML: values by names."""
    return isinstance(value, dict) and all(isinstance(key, str) for key in cast("dict[object, object]", value))


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a value is a list."""
    return isinstance(value, list)


def part(of: object, name: str) -> dict[str, Any]:
    """The object that lies under a name in another one; an empty one where none does."""
    found = of.get(name) if is_object(of) else None
    return found if is_object(found) else {}


_NEEDED: dict[str, dict[str, type]] = {
    "dictionary": {"files": dict, "revision": str, "n_units": int},
    "corpus": {"files": dict, "revision": str, "slug": str},
    "tables": {"corpus": str, "corpus_revision": str, "hop_s": float, "offset_s": float, "n_samples": int, "n_positions": int, "timeline_starts": list},
    "file": {"sha256": str},
}


def manifest_faults(manifest: dict[str, Any]) -> list[str]:
    """The entries that every manifest must have, and this one lacks or has as something else."""
    what, tables, files = str(manifest.get("what")), manifest.get("tables"), manifest.get("files")
    if what not in ("dictionary", "corpus"):
        return ["what"]
    parts = [("", what, manifest), *([("tables.", "tables", tables)] if "tables" in manifest else [])]
    parts += [(f"files.{name}.", "file", file) for name, file in files.items()] if is_object(files) else []
    return [where + key for where, kind, part in parts for key, type_ in _NEEDED[kind].items() if not _fits(part, key, type_)]


def _fits(part: Any, key: str, type_: type) -> bool:
    value = part.get(key) if is_object(part) else None
    if type_ is list:  # of whole numbers, or not there
        return value is None or (is_list(value) and all(type(n) is int for n in value))
    if type_ in (int, float):
        return isinstance(value, (int, type_)) and not isinstance(value, bool) and 0 <= value < 1 << 53
    return isinstance(value, type_)


class ParquetFile(Protocol):
    """pyarrow's, as far as it is used here; its stubs leave open what `columns` are."""

    @property
    def metadata(self) -> pq.FileMetaData: ...
    @property
    def schema_arrow(self) -> pa.Schema: ...
    def read_row_group(self, i: int, columns: list[str] | None, use_threads: bool = True) -> pa.Table: ...
    def read(self, columns: list[str] | None = None, use_threads: bool = True) -> pa.Table: ...
    def iter_batches(self, batch_size: int, *, columns: list[str], use_threads: bool = True) -> Iterator[pa.RecordBatch]: ...


def parquet_file(path: Path, memory_map: bool = False) -> ParquetFile:
    """A parquet file, open for reading. Raises OSError, or pyarrow's errors for what is none or has columns without readable names."""
    try:
        return pq.ParquetFile(path, memory_map=memory_map)
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"the name of a column is not UTF-8: {error.object[:80]!r}") from None


def parquet_bytes(table: pa.Table, compression: Compression = "snappy", use_dictionary: bool = True) -> bytes:
    """A table as the content of a parquet file."""
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, compression=compression, use_dictionary=use_dictionary) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def columns_of(table: pa.Table) -> dict[str, NDArray[Any]]:
    """The columns of a table of numbers as arrays by name."""
    return {name: table.column(name).to_numpy() for name in table.column_names}
