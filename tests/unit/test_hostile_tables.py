"""Tables and data sets whose manifest vouches for what they should not hold: a sentence wherever they are looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from earmark.errors import BadTable
from earmark.offline.corpora.sources import Broken, Options
from earmark.offline.corpora.texts import parquet as texts
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.fixtures.shelf import SAE, build_shelf
from tests.fuzz.kinds.tables import vouch


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(replace(Settings.from_env({}), data=build_shelf(tmp_path / "shelf").folder, offline=True))


def column_of(name: str, values: pa.Array, path: Path) -> None:
    """Another column in place of one of a table, and a manifest that says it is as it should be."""
    table = pq.read_table(path)
    place = table.column_names.index(name)
    pq.write_table(table.set_column(place, name, values), path, row_group_size=16)
    vouch(path)


def test_pages_that_cannot_be_unpacked(store: Store) -> None:
    path = store.settings.data / SAE / "examples-000.parquet"
    page = pq.ParquetFile(path).metadata.row_group(0).column(3).data_page_offset
    data = bytearray(path.read_bytes())
    data[page : page + 60] = b"\xff" * 60
    path.write_bytes(bytes(data))
    vouch(path)
    with pytest.raises(BadTable, match=f"'examples' of '{SAE}' cannot be read"):
        store.card(UnitId(SAE, 3))


def test_a_column_of_another_type(store: Store) -> None:
    path = store.settings.data / SAE / "units-000.parquet"
    column_of("unit", pa.array([str(n) for n in range(pq.read_metadata(path).num_rows)]), path)
    with pytest.raises(BadTable, match="columns of other types.*: unit"):
        store.card(UnitId(SAE, 3))


def no_letters(n: int) -> pa.Array:
    """Texts of a byte that is no letter."""
    return pa.array([b"\xff"] * n, pa.binary()).view(pa.string())


def test_names_of_columns_that_are_no_letters(store: Store, tmp_path: Path) -> None:
    for path in (store.settings.data / SAE / "labels-000.parquet", tmp_path / "set.parquet"):
        pq.write_table(pa.table({"label": ["a"]}), path, store_schema=False)
        path.write_bytes(path.read_bytes().replace(b"label", b"lab\xffl"))
    vouch(store.settings.data / SAE / "labels-000.parquet")
    with pytest.raises(BadTable, match="labels-000.parquet' cannot be read"):
        store.card(UnitId(SAE, 3))
    found = list(texts.read(str(tmp_path / "set.parquet"), Options(licence="CC0-1.0", offline=True)))
    assert [type(one) for one in found] == [Broken] and "cannot be read as parquet" in found[0].why


def test_letters_that_are_none(store: Store, tmp_path: Path) -> None:
    path = store.settings.data / SAE / "labels-000.parquet"
    column_of("label", no_letters(pq.read_metadata(path).num_rows), path)
    with pytest.raises(BadTable, match=f"'labels' of '{SAE}' cannot be read"):
        store.card(UnitId(SAE, 3))
    pq.write_table(pa.table({"text": no_letters(3)}), tmp_path / "set.parquet")
    found = list(texts.read(str(tmp_path / "set.parquet"), Options(licence="CC0-1.0", offline=True)))
    assert len(found) == 1 and isinstance(found[0], Broken) and "cannot be read" in found[0].why
