"""What a parquet file unpacks to, told from the heads of its pages before anything is unpacked.

A few bytes can say a million equal values, one text can be meant a thousand times, and pages are packed: what becomes of a stranger's file may be any
multiple of its size. Its footer may say anything of that; readers go by the heads of pages, and so does this
(https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift, in Thrift's compact protocol).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

MOST = (50, 32_000_000)
"""what is read at once may unpack to so many times its size, and to so many bytes anyhow"""
FEW_ROWS, ROW_BYTES = 1_000, 8
"""a data set may have so many rows anyhow, and one more for so many of its bytes"""
DATA, DICTIONARY, DATA_2 = 0, 2, 3
"""kinds of pages"""
BY_DICTIONARY, DELTA_LENGTHS, DELTA_TEXTS = (2, 8), 6, 7
"""encodings: numbers of what stands in the dictionary; lengths as differences; each text as what it does not share with the one before"""
WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12, "BYTE_ARRAY": 64}
"""bytes of a value in memory; of a text those of what is put around it"""
MOST_DEEP, MOST_FIELDS = 8, 200
CODECS: dict[str, Literal["gzip", "brotli", "zstd", "snappy"]] = {"GZIP": "gzip", "BROTLI": "brotli", "ZSTD": "zstd", "SNAPPY": "snappy"}
MOST_WORDS = 200_000
"""of a dictionary whose texts are measured one by one"""


@dataclass(frozen=True)
class Chunk:
    """One column of one row group, or several together."""

    n_packed: int
    """bytes in the file"""
    n_unpacked: int
    """bytes in memory, at most, once all of it is read"""
    n_page: int
    """of its largest page, with what is laid down about it before its first value is read"""
    n_page_packed: int
    """bytes of that page in the file"""
    n_value: int
    """of its largest value, at most"""

    def check(self, what: str) -> None:
        """Raise ValueError where reading all of it at once would take more than MOST."""
        if self.n_unpacked > MOST[0] * self.n_packed + MOST[1]:
            raise ValueError(f"{what} takes {self.n_packed:,} bytes and would unpack to {self.n_unpacked / 1e6:,.0f} MB")


def chunks(path: Path, found: pq.FileMetaData, group: int, columns: Sequence[str] | None = None) -> list[Chunk]:
    """Of some columns of a row group. Raises ValueError for pages that are none."""
    row_group = found.row_group(group)
    wanted = None if columns is None else tuple(columns)
    read: list[Chunk] = []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number in range(row_group.num_columns):
            column = row_group.column(number)
            name = str(column.path_in_schema)
            if wanted is None or name in wanted or name.startswith(tuple(f"{one}." for one in wanted)):
                width = WIDTHS.get(column.physical_type) or found.schema.column(number).length or 0  # the length is that of FIXED_LEN_BYTE_ARRAY
                read.append(_chunk(data, column, max(row_group.num_rows, column.num_values), width))
    return read


def together(read: Sequence[Chunk]) -> Chunk:
    """What several take when they are read at once."""
    page = max(read, key=lambda chunk: chunk.n_page - MOST[0] * chunk.n_page_packed, default=Chunk(0, 0, 0, 0, 0))
    packed, unpacked, value = (sum(getattr(chunk, name) for chunk in read) for name in ("n_packed", "n_unpacked", "n_value"))
    return Chunk(packed, unpacked, page.n_page, page.n_page_packed, value)


def rows_at_once(path: Path, found: pq.FileMetaData, most: int) -> int:
    """How many rows of a stranger's file may be read at a time, of at most `most`, so that what they hold fits into memory.

    Raises ValueError for a file that has more rows than it can hold, or a page that unpacks to too much before its first row is read.
    """
    n_bytes, groups = path.stat().st_size, range(found.num_row_groups)
    n_rows = max(found.num_rows, sum(found.row_group(group).num_rows for group in groups))
    if n_rows > FEW_ROWS + n_bytes // ROW_BYTES:
        raise ValueError(f"it says that it has {n_rows:,} rows, more than can be in {n_bytes:,} bytes")
    for group in groups:
        read = together(chunks(path, found, group))
        if read.n_page > MOST[0] * read.n_page_packed + MOST[1]:
            raise ValueError(f"a page of {read.n_page_packed:,} bytes would unpack to {read.n_page / 1e6:,.0f} MB")
        most = min(most, max(1, MOST[1] // max(read.n_value, 1)))
    return most


def _chunk(data: mmap.mmap, column: pq.ColumnChunkMetaData, n_told: int, width: int) -> Chunk:
    n_values = n_bytes = n_meant = n_differences = n_value = 0
    meant: _Page | None = None
    largest = (0, 0)
    for page in _pages(data, column):
        size = page.n_unpacked
        if page.kind == DICTIONARY:
            meant = page
            size += page.n_values * width
        else:
            n_values += page.n_values
            if page.encoding in (DELTA_LENGTHS, DELTA_TEXTS):
                size += 8 * page.n_values
            if column.physical_type == "BYTE_ARRAY":
                by_dictionary = page.encoding in BY_DICTIONARY
                n_value = max(n_value, meant.n_unpacked if by_dictionary and meant else page.n_unpacked)
                n_meant += page.n_values if by_dictionary else 0
                n_differences += page.n_values * page.n_unpacked if page.encoding == DELTA_TEXTS else 0
        n_bytes += size
        largest = max(largest, (size, page.n_packed), key=lambda one: one[0] - MOST[0] * one[1])
    n_repeated = n_meant * meant.n_unpacked if meant else 0
    if meant and n_repeated > MOST[1]:
        n_repeated = n_meant * _longest(data[meant.start : meant.start + meant.n_packed], meant, column.compression)
    unpacked = n_bytes + max(n_values, n_told) * width + n_repeated + n_differences
    return Chunk(column.total_compressed_size, unpacked, *largest, n_value)


def _longest(packed: bytes, page: _Page, codec: str) -> int:
    """Bytes of the longest text in a dictionary, at most: those of all, where it is too large to look, or packed in some other way."""
    known = CODECS.get(codec)
    if page.n_unpacked > MOST[0] * len(packed) + MOST[1] or page.n_values > MOST_WORDS or (known is None and codec != "UNCOMPRESSED"):
        return page.n_unpacked
    try:
        whole = packed if known is None else bytes(pa.Codec(known).decompress(packed, page.n_unpacked, asbytes=True))
    except (pa.ArrowException, OSError, ValueError):
        return page.n_unpacked
    at = longest = 0
    while at + 4 <= len(whole):
        n = int.from_bytes(whole[at : at + 4], "little")
        at, longest = at + 4 + n, max(longest, n)
    return min(longest, page.n_unpacked)


# -- pages ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Page:
    kind: int
    start: int
    """where it begins, behind its head"""
    n_packed: int
    n_unpacked: int
    n_values: int
    encoding: int


def _pages(data: mmap.mmap, column: pq.ColumnChunkMetaData) -> Iterator[_Page]:
    at = column.data_page_offset
    if column.has_dictionary_page and column.dictionary_page_offset is not None and 0 < column.dictionary_page_offset < at:
        at = column.dictionary_page_offset
    end = at + column.total_compressed_size
    if not 0 <= at <= end <= len(data):
        raise ValueError("a column lies outside of its file")
    while at < end:
        head, start = _Thrift(data, at, end).head()
        kind, unpacked, packed = (_whole(head, field) for field in (1, 2, 3))
        own: Any = head.get({DATA: 5, DICTIONARY: 7, DATA_2: 8}.get(kind, -1), {})
        if unpacked < 0 or packed < 0 or start + packed > end:
            raise ValueError("a page lies outside of its column")
        n_values = _whole(own, 1) if own else 0
        if n_values < 0:
            raise ValueError("a page has less than no values")
        yield _Page(kind, start, packed, unpacked, n_values, _whole(own, 4 if kind == DATA_2 else 2) if own else 0)
        at = start + packed


def _whole(fields: Any, number: int) -> int:
    value = fields.get(number)
    if type(value) is not int:
        raise ValueError("the head of a page lacks a number")
    return value


class _Thrift:
    """Thrift's compact protocol, as far as heads of pages have it."""

    def __init__(self, data: mmap.mmap, at: int, end: int):
        self._data, self._at, self._end = data, at, end

    def head(self) -> tuple[dict[int, Any], int]:
        """(its fields by number, where it ends)"""
        return self._struct(0), self._at

    def _struct(self, depth: int) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        for _ in range(MOST_FIELDS):
            told = self._byte()
            if not told:
                return fields
            number = number + (told >> 4) if told >> 4 else self._zigzag()
            fields[number] = self._value(told & 15, depth, field=True)
        raise ValueError("the head of a page does not end")

    def _value(self, kind: int, depth: int, field: bool = False) -> Any:
        if depth > MOST_DEEP:
            raise ValueError("the head of a page is too deep")
        if kind in (1, 2):  # true or false: a field's kind says which, a list's values are bytes
            return kind == 1 if field else self._byte()
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            return self._skip(8)
        if kind == 8:
            return self._skip(self._varint())
        if kind in (9, 10):
            told = self._byte()
            n = self._varint() if told >> 4 == 15 else told >> 4
            if n > self._end - self._at:
                raise ValueError("the head of a page says more than it holds")
            return [self._value(told & 15, depth + 1) for _ in range(n)]
        if kind == 12:
            return self._struct(depth + 1)
        raise ValueError(f"the head of a page holds a value of the kind {kind}")

    def _zigzag(self) -> int:
        n = self._varint()
        return n >> 1 ^ -(n & 1)

    def _varint(self) -> int:
        n = shift = 0
        while shift < 70:
            byte = self._byte()
            n |= (byte & 127) << shift
            if byte < 128:
                return n
            shift += 7
        raise ValueError("the head of a page holds a number without an end")

    def _byte(self) -> int:
        at = self._at
        self._skip(1)
        return self._data[at]

    def _skip(self, n: int) -> None:
        self._at += n
        if self._at > self._end:
            raise ValueError("the head of a page runs over its column")
