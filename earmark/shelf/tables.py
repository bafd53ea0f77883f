"""Tables, written in parts and read by row group. A folder holds
`NAME-000.parquet`, `NAME-001.parquet`, ... and `manifest.json` with the sha256 of every file. Reading one unit goes through
`read_row_group` and an index of the groups, because a parquet filter costs ten times as much.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..atomic import new_folder, put_back, write_json
from ..errors import BadTable
from ..raw import ParquetFile, is_object, manifest_faults, parquet_file
from ..trust import check_weight, file_in, sha256_of
from .schema import SWEEP, TRIPS, TableSpec

FORMAT, MANIFEST, MANIFEST_BYTES = 1, "manifest.json", 20_000_000
PART_BYTES = 20_000_000
"""a part is closed once it is larger; no shipped file may exceed 25 MB"""
LEVEL = 12
"""of zstd; the default packs a tenth worse"""
GROUP_BYTES = 4_000_000
"""a row group ends early once it is larger, so that large sounds don't overfill a part"""


# -- writing -------------------------------------------------------------------------------------------------------------


class TableWriter:
    """Writes one table into a folder, part by part. Use it inside `new_folder`, which makes the whole appear at once."""

    def __init__(self, folder: Path, spec: TableSpec):
        self._folder, self._spec = folder, spec
        self._part = 0
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
        writer = self._writer or self._new_part(path)
        writer.write_table(table, row_group_size=self._spec.rows_a_group)
        if path.stat().st_size > PART_BYTES:
            self.close_part()

    def _new_part(self, path: Path) -> pq.ParquetWriter:
        names = self._spec.schema.names
        self._writer = pq.ParquetWriter(
            path,
            self._spec.schema,
            compression=(packing := self._spec.packing()),
            compression_level=LEVEL if isinstance(packing, str) else {column: LEVEL for column, how in packing.items() if how == "zstd"},
            use_dictionary=[n for n in names if n in ("unit", "tail", "group")],  # pyright: ignore[reportArgumentType] -- the stubs know of bool alone
            use_byte_stream_split=list(self._spec.splits),
            write_statistics=[self._spec.key] if self._spec.key else False,
        )
        return self._writer

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


def put_table(folder: Path, spec: TableSpec, rows: pa.Table | list[dict[str, Any]], told: dict[str, Any] | None = None) -> None:
    """Put one table beside the others of a folder, and `told` into its manifest, whole or not at all.

    The new folder's other files are hard links to the old one's: files of the shelf are only ever replaced, never written into, so that
    both names can share their bytes until the old name goes.
    """
    manifest = read_manifest(folder)
    mine = f"{spec.name}-"
    kept = {name: file for name, file in manifest["files"].items() if not name.startswith(mine)}
    with new_folder(folder) as fresh:
        for path in folder.iterdir():
            if path.is_file() and path.name != "manifest.json" and not path.name.startswith(mine):
                _link(path, fresh / path.name)
        writer = TableWriter(fresh, spec)
        writer.write(rows)
        writer.close()
        new = files_of(fresh, (p.name for p in fresh.glob(f"{mine}*.parquet")))
        write_json(fresh / "manifest.json", manifest | {"files": dict(sorted({**kept, **new}.items()))} | (told or {}))


def outlives(path: Path, new_weights: bool = False) -> bool:
    """Whether a file stays in a dictionary's folder when its tables are built again: weights and notices do, the table of a sweep, and round trips, unless
    the weights are new."""
    stays = (SWEEP.name,) if new_weights else (SWEEP.name, TRIPS.name)
    return path.is_file() and path.name != "manifest.json" and (path.suffix != ".parquet" or path.name.startswith(tuple(f"{name}-" for name in stays)))


def _link(path: Path, other: Path) -> None:
    try:
        os.link(path, other)
    except OSError:  # a disk that knows no hard links
        shutil.copyfile(path, other)


def files_of(folder: Path, names: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """{file name: {sha256, bytes}} for a manifest: the named files, or all but the manifest."""
    chosen = sorted(names) if names is not None else sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != "manifest.json")
    return {n: {"sha256": sha256_of(folder / n), "bytes": (folder / n).stat().st_size} for n in chosen}


# -- reading -------------------------------------------------------------------------------------------------------------


def read_manifest(folder: Path, within: Path | None = None) -> dict[str, Any]:
    """A folder's manifest. Raises BadTable when it is missing, broken, or of another format. within: see `file_in`."""
    put_back(folder)
    path = file_in(folder, MANIFEST, within)
    try:
        if path.stat().st_size > MANIFEST_BYTES:
            raise BadTable(f"The manifest of '{folder.name}' has more than {MANIFEST_BYTES / 1e6:.0f} MB. Build its tables again.")
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadTable(f"'{folder.name}' has no tables yet: its manifest.json is missing. Build them with `python -m earmark build`.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadTable(f"The manifest of '{folder.name}' cannot be read ({type(error).__name__}). Build its tables again.") from None
    if not is_object(manifest) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if is_object(manifest) else None
        raise BadTable(f"The tables of '{folder.name}' have format {found}, this Earmark reads {FORMAT}. Build them again.")
    if faults := manifest_faults(manifest):
        raise BadTable(f"The manifest of '{folder.name}' lacks {', '.join(faults[:5])}, or has something else there. Build its tables again.")
    return manifest


class Table:
    """One table of a folder, checked against the manifest when opened and read by row group."""

    def __init__(self, folder: Path, spec: TableSpec, manifest: dict[str, Any], path_of: Callable[[str], Path] | None = None):
        """`path_of` gives the path of a file by its name, where it does not simply lie in the folder."""
        self._spec, self._folder = spec, folder.name
        self._lock = threading.Lock()
        names = sorted(n for n in manifest["files"] if n.startswith(spec.name + "-") and n.endswith(".parquet"))
        if not names:
            raise BadTable(f"'{folder.name}' has no table '{spec.name}'. Build its tables again.")
        self._paths = [path_of(n) if path_of else file_in(folder, n) for n in names]
        self._files: list[ParquetFile] = [
            _open_checked(folder.name, path, manifest["files"][n]["sha256"], spec) for path, n in zip(self._paths, names, strict=True)
        ]
        self._weighed: set[tuple[range, tuple[str, ...] | None]] = set()
        self._lacking = frozenset(spec.added).difference(*(file.schema_arrow.names for file in self._files))
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
                    with self._reading():
                        told = group.column(column).statistics
                        if told is None:
                            raise ValueError("nothing is told of the keys")
                        self._first_keys.append(int(str(told.min)))
                        self._last_keys.append(int(str(told.max)))

    @property
    def n_rows(self) -> int:
        return self._starts[-1]

    @property
    def n_groups(self) -> int:
        return len(self._groups)

    def first_row(self, group: int) -> int:
        """The place in the table of a row group's first row."""
        return self._starts[group]

    def group(self, number: int, columns: list[str] | None = None) -> pa.Table:
        with self._reading():
            self._weigh(range(number, number + 1), columns)
            return self._group(number, columns)

    def _group(self, number: int, columns: list[str] | None) -> pa.Table:
        f, g = self._groups[number]
        return self._whole(self._files[f].read_row_group(g, columns=columns, use_threads=False), columns)

    def rows_of(self, key: int, columns: list[str] | None = None) -> pa.Table:
        """All rows whose key column equals `key`."""
        names = None if columns is None else list(dict.fromkeys([str(self._spec.key), *columns]))
        first = last = bisect_left(self._last_keys, key)
        while last < len(self._groups) and self._first_keys[last] <= key:
            last += 1
        parts: list[pa.Table] = []
        with self._reading():
            self._weigh(range(first, last), names)
            for number in range(first, last):
                table = self._group(number, names)
                keys = table.column(str(self._spec.key)).to_numpy()
                lo, hi = (int(end) for end in keys.searchsorted((key, key + 1)))
                parts.append(table.slice(lo, hi - lo))
        return pa.concat_tables(parts) if parts else self._spec.schema.empty_table()

    def row_of(self, key: int) -> dict[str, Any]:
        """The row whose key column equals `key`, the first where there are several. Raises BadTable where there is none."""
        for row in self.rows_of(key).slice(0, 1).to_pylist():
            return row
        raise BadTable(f"The table '{self._spec.name}' of '{self._folder}' has no {self._spec.key} {key}. Fetch or build it again.")

    def row(self, number: int, columns: list[str] | None = None) -> dict[str, Any]:
        """One row by its place in the table."""
        group = bisect_left(self._starts, number + 1) - 1
        return self.group(group, columns).slice(number - self._starts[group], 1).to_pylist()[0]

    def all(self, columns: list[str] | None = None) -> pa.Table:
        """The whole table, or some of its columns."""
        with self._reading():
            self._weigh(range(len(self._groups)), columns)
            return self._whole(pa.concat_tables([file.read(columns=columns, use_threads=False) for file in self._files]), columns)

    def _weigh(self, groups: range, columns: list[str] | None) -> None:
        """What is about to be read at once, before it is read for the first time."""
        what = (groups, None if columns is None else tuple(columns))
        if what not in self._weighed:
            wanted = ((self._paths[f], self._files[f], g) for f, g in self._groups[groups.start : groups.stop])
            check_weight(f"'{self._spec.name}' of '{self._folder}'", wanted, columns)
            self._weighed.add(what)

    @contextmanager
    def _reading(self) -> Generator[None]:
        """One reader at a time. Raises BadTable for pages that are no table's: a manifest from elsewhere may vouch for anything."""
        try:
            with self._lock:
                yield
        except (OSError, pa.ArrowException, AttributeError, ValueError) as error:
            raise BadTable(f"The table '{self._spec.name}' of '{self._folder}' cannot be read ({type(error).__name__}). Fetch or build it again.") from None

    def _whole(self, table: pa.Table, columns: list[str] | None) -> pa.Table:
        """What was read, looked through, with nulls for columns that were asked for and that these files are too old to have."""
        table.validate(full=True)  # offsets, lengths and letters: a wrong one is read without a word, and found much later
        if empty := self._spec.lacking(table):
            raise BadTable(f"The table '{self._spec.name}' of '{self._folder}' has nothing in {', '.join(empty[:3])}. Fetch or build it again.")
        if not self._lacking:
            return table
        names = self._spec.schema.names if columns is None else columns
        return pa.concat_tables([self._spec.schema.empty_table().select(names), table], promote_options="default")


def _open_checked(folder: str, path: Path, sha256: str, spec: TableSpec) -> ParquetFile:
    """A file of a table. Raises BadTable where it is another than its manifest names, no parquet, or has other columns."""
    name = f"'{folder}/{path.name}'"
    try:
        if sha256_of(path) != sha256:
            raise BadTable(f"{name} is not the file that its manifest names (sha256 differs). Fetch or build it again.")
        file = parquet_file(path, memory_map=True)
    except FileNotFoundError:
        raise BadTable(f"{name} is missing. Fetch or build it again.") from None
    except (OSError, pa.ArrowException) as error:
        raise BadTable(f"{name} cannot be read ({type(error).__name__}). Fetch or build it again.") from None
    found = file.schema_arrow
    if found.names != [name for name in spec.schema.names if name in found.names or name not in spec.added]:
        raise BadTable(f"{name} has other columns than this Earmark reads. Build it again.")
    known = dict(zip(spec.schema.names, spec.schema.types, strict=True))
    if other := [name for name, type_ in zip(found.names, found.types, strict=True) if type_ != known[name]]:
        raise BadTable(f"{name} has columns of other types than this Earmark reads: {', '.join(other)}. Build it again.")
    return file
