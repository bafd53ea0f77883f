"""Results that outlive a killed run: append-only parts of parquet in a work folder, found again by their key.

A part is written under another name, synced and renamed, so a half-written one is never read; whatever was not yet
in a part is computed again. Keys say all that a result depends on, so a changed input simply isn't found.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from filelock import FileLock, Timeout

from ...atomic import new_file
from ...errors import BadInput
from ...raw import parquet_bytes, parquet_file

PART_S, PART_BYTES = 20.0, 30_000_000
"""a part is closed after this much time or this many bytes"""


def _read(path: Path) -> pa.Table:
    return parquet_file(path).read(use_threads=False)


class Parts:
    """Lists of rows by key. Use it as a context manager: one process at a time, and what is finished is kept on the way out."""

    def __init__(self, folder: Path, schema: pa.Schema):
        """`schema`: of the rows, without their key. Nothing is read or locked before the block is entered."""
        self._folder = folder
        fields: list[pa.Field[Any]] = list(schema)
        self._schema = pa.schema([pa.field("key", pa.string()), *fields])
        self._places: dict[str, tuple[Path, int, int]] = {}
        self._pending: dict[str, list[dict[str, Any]]] = {}
        self._bytes, self._since = 0, time.monotonic()
        self._read = lru_cache(maxsize=2)(_read)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self._folder / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise BadInput(f"Another run is at work in '{self._folder}'. Wait for it to end, or stop it.") from None
        for path in self._paths():
            self._index(path)
        self._since = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.flush()
        finally:
            self._lock.release()

    def __contains__(self, key: str) -> bool:
        return key in self._places or key in self._pending

    def put(self, key: str, rows: list[dict[str, Any]]) -> None:
        """Keep the rows of a key (at least one); they are on disk after the next flush."""
        self._pending[key] = rows
        self._bytes += sum(len(v) for row in rows for v in row.values() if isinstance(v, bytes))
        if self._bytes > PART_BYTES or time.monotonic() - self._since > PART_S:
            self.flush()

    def rows(self, key: str) -> list[dict[str, Any]]:
        """The rows of a key, as they were put."""
        if key in self._pending:
            return self._pending[key]
        path, start, n = self._places[key]
        return self._read(path).slice(start, n).drop_columns("key").to_pylist()

    def flush(self) -> None:
        """Write what is pending as one part."""
        rows = [{"key": key, **row} for key, rows in self._pending.items() for row in rows]
        if rows:
            number = max((int(p.stem.removeprefix("part-")) for p in self._paths()), default=-1) + 1
            path = self._folder / f"part-{number:05d}.parquet"
            with new_file(path) as file:
                file.write(parquet_bytes(pa.Table.from_pylist(rows, schema=self._schema), compression="none", use_dictionary=False))
                file.flush()
                os.fsync(file.fileno())
            self._index(path)
        self._pending, self._bytes, self._since = {}, 0, time.monotonic()

    def forget_others(self, keys: set[str]) -> None:
        """Delete the parts that hold none of the keys."""
        used = {self._places[key][0] for key in keys if key in self._places}
        for path in self._paths():
            if path not in used:
                path.unlink()

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("part-*.parquet"))

    def _index(self, path: Path) -> None:
        try:
            part = parquet_file(path)
            if not part.schema_arrow.equals(self._schema):
                raise ValueError("another schema")
            keys = [str(key) for key in part.read(["key"]).column("key").to_pylist()]
        except (OSError, ValueError, pa.ArrowException):
            path.unlink()  # of another version, or damaged: its results are computed again
            return
        start = 0
        for key, same in groupby(keys):
            self._places[key] = (path, start, len(list(same)))
            start += self._places[key][2]
