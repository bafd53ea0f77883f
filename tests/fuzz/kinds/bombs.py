"""Parquet that unpacks to far more than it holds, as a shelf's tables whose manifest vouches for it and as data sets of sounds and texts: equal rows by the
million, one long text meant many times, texts as differences, packed nothing, nulls; and footers that say otherwise."""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from earmark.offline.corpora.sources import parquet as sounds
from earmark.offline.corpora.texts import parquet as texts
from earmark.settings import Settings
from tests.fixtures.shelf import NEURONS, SAE, build_shelf
from tests.fuzz.harm import harmed
from tests.fuzz.kinds import Case
from tests.fuzz.kinds.tables import count, look, vouch
from tests.fuzz.watch import Watch

N_EQUAL, N_LONG = 50_000, 20_000_000


def prepare(folder: Path, watch: Watch) -> Case:
    whole = build_shelf(folder / "whole").folder
    tables = {path.relative_to(whole): pq.read_table(path) for path in sorted(whole.rglob("*.parquet"))}
    sets = {"audio": audio_set(), "text": text_set()}
    made: dict[tuple[object, int], bytes] = {}

    def bomb(name: object, table: pa.Table, chance: random.Random) -> bytes:
        way = chance.randrange(len(WAYS))
        if (name, way) not in made:
            made[name, way] = WAYS[way](table)
        return spoilt(made[name, way], chance)

    settings = replace(Settings.from_env({}), data=folder / "shelf", offline=True)
    look(replace(settings, data=whole), SAE)

    def case(chance: random.Random) -> Callable[[], str]:
        if chance.random() < 0.4:
            (folder / "set.parquet").write_bytes(bomb(name := chance.choice(list(sets)), sets[name], chance))
            source = chance.choice((sounds, texts))
            return lambda: count(source, folder / "set.parquet")
        shutil.rmtree(settings.data, ignore_errors=True)
        shutil.copytree(whole, settings.data)
        table = chance.choice(list(tables))
        (settings.data / table).write_bytes(bomb(table, tables[table], chance))
        vouch(settings.data / table)
        slug = chance.choice((SAE, NEURONS))
        return lambda: look(settings, slug)

    return case


def audio_set() -> pa.Table:
    return pa.table({"audio": pa.array([{"bytes": b"RIFF" * 50, "path": "a.wav"}] * 4), "text": ["a word"] * 4, "label": [1] * 4})


def text_set() -> pa.Table:
    return pa.table({"text": ["a sentence of some words"] * 4, "author": ["me"] * 4, "title": ["mine"] * 4})


def equal(table: pa.Table, n: int = N_EQUAL) -> pa.Table:
    return table.slice(0, 1).take(pa.array([0] * n))


def long(table: pa.Table) -> pa.Table:
    """One row, whose first text, bytes or list is far longer."""
    row = table.slice(0, 1).to_pylist()[0]
    for name, value in row.items():
        if isinstance(value, (str, bytes)) and value:
            return pa.Table.from_pylist([row | {name: value[:1] * N_LONG}], schema=table.schema)
        if isinstance(value, list) and value:
            return pa.Table.from_pylist([row | {name: value[:1] * (N_LONG // 20)}], schema=table.schema)
    return table.slice(0, 1)


def meant_often(table: pa.Table, n: int = 3_000) -> pa.Table:
    """That row, many times: what is long stands in a dictionary."""
    columns = []
    for column in long(table).columns:
        value = column.combine_chunks()
        is_text = pa.types.is_string(value.type) or pa.types.is_binary(value.type)
        of = pa.array([0] * n, pa.int32())
        columns.append(
            pa.DictionaryArray.from_arrays(of, value)
            if is_text and not value.null_count
            else value.slice(0, 1).take(of)
            if value.nbytes < 10_000
            else pa.nulls(n, value.type)
        )
    return pa.table(columns, names=table.column_names)


def nothing(table: pa.Table) -> pa.Table:
    return pa.table([pa.nulls(N_EQUAL, field.type) for field in table.schema], schema=table.schema)


def differences(table: pa.Table) -> bytes:
    names = [field.name for field in table.schema if pa.types.is_string(field.type) or pa.types.is_binary(field.type)]
    return packed([equal(table, 20_000)], compression="zstd", use_dictionary=False, column_encoding=dict.fromkeys(names, "DELTA_BYTE_ARRAY"))


def packed(tables: list[pa.Table], **how: Any) -> bytes:
    """Row groups one behind the other."""
    out = io.BytesIO()
    with pq.ParquetWriter(out, tables[0].schema, store_schema=False, **how) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=len(table) or 1)
    return out.getvalue()


WAYS: tuple[Callable[[pa.Table], bytes], ...] = (
    lambda table: packed([equal(table)], compression="zstd"),
    lambda table: packed([equal(table)] * 40, compression="zstd"),
    lambda table: packed([long(table)], compression="zstd", compression_level=12),
    lambda table: packed([long(table)] * 8, compression="gzip", use_dictionary=False),
    lambda table: packed([meant_often(table)], compression="zstd"),
    lambda table: packed([nothing(table)] * 20, compression="brotli"),
    differences,
)
"""of holding too much in the same columns"""


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """As it is, harmed, or with a footer that speaks of other sizes."""
    kind = chance.randrange(4)
    if kind == 0:
        return harmed(data, chance)
    return footer(data, chance) if kind == 1 else data


def footer(data: bytes, chance: random.Random) -> bytes:
    """Some of the numbers that the footer has of its columns are others, of as many bytes: a varint may be longer than it need be."""
    found = pq.read_metadata(io.BytesIO(data))
    start = len(data) - 8 - found.serialized_size
    head, foot = data[:start], data[start:]
    column = found.row_group(chance.randrange(found.num_row_groups)).column(chance.randrange(found.num_columns))
    for number in (column.num_values, column.total_uncompressed_size, column.total_compressed_size, found.num_rows):
        old = varint(2 * number)
        new = varint(2 * chance.choice((0, 1, number // 2, 4 * number, (1 << 7 * len(old) - 1) // 2 - 1)), len(old))
        if len(new) == len(old) and chance.random() < 0.6:
            foot = foot.replace(old, new) if len(old) > 1 else foot
    return head + foot


def varint(number: int, n_bytes: int = 0) -> bytes:
    found = bytearray()
    while number > 127 or len(found) + 1 < n_bytes:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])
