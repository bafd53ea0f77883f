"""Tables and data sets whose manifest vouches for what they should not hold: a sentence wherever they are looked at."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from earmark.errors import BadTable
from earmark.offline.corpora.sources import Broken, Options
from earmark.offline.corpora.texts import parquet as texts
from earmark.pages import chunks, rows_at_once, together
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId
from earmark.web.media import clips_zip
from tests.fixtures.shelf import CORPUS, SAE, build_shelf
from tests.fuzz.kinds.bombs import WAYS, text_set
from tests.fuzz.kinds.tables import data_sets, vouch


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


def test_a_table_without_a_units_row(store: Store) -> None:
    path = store.settings.data / SAE / "units-000.parquet"
    pq.write_table(pq.read_table(path).slice(0, 3), path)
    vouch(path)
    with pytest.raises(BadTable, match=f"The table 'units' of '{SAE}' has no unit 3. Fetch or build it again."):
        store.card(UnitId(SAE, 3))


@pytest.mark.parametrize(("table", "column"), [("units", "quantiles"), ("units", "density"), ("examples", "trace")])
def test_nothing_where_something_must_be(store: Store, table: str, column: str) -> None:
    path = store.settings.data / SAE / f"{table}-000.parquet"
    column_of(column, pa.nulls(pq.read_metadata(path).num_rows, pq.read_schema(path).field(column).type), path)
    with pytest.raises(BadTable, match=f"The table '{table}' of '{SAE}' has nothing in {column}. Fetch or build it again."):
        store.card(UnitId(SAE, 3))


def test_a_group_of_examples_that_is_none(store: Store) -> None:
    path = store.settings.data / SAE / "examples-000.parquet"
    groups = pa.DictionaryArray.from_arrays(pa.array([0] * pq.read_metadata(path).num_rows, pa.int8()), pa.array(["middle"]))
    column_of("group", groups, path)
    with pytest.raises(BadTable, match="has the group 'middle'; known are top, "):
        store.card(UnitId(SAE, 3))


@pytest.mark.parametrize("sample", [-1, 10_000])
def test_a_sample_that_the_corpus_lacks(store: Store, sample: int) -> None:
    for table, ask in (("examples", lambda: store.card(UnitId(SAE, 3))), ("peaks", lambda: store.search(UnitId(SAE, 3)))):
        path = store.settings.data / SAE / f"{table}-000.parquet"
        column_of("sample", pa.array([sample] * pq.read_metadata(path).num_rows, pa.int32()), path)
        with pytest.raises(BadTable, match=f"The tables of '{SAE}' name the sample {sample} of '{CORPUS}', which has"):
            ask()


# -- what unpacks to more than it holds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_a_table_that_unpacks_to_too_much_is_not_read(store: Store, way: int) -> None:
    path = store.settings.data / CORPUS / "samples-000.parquet"
    path.write_bytes(WAYS[way](pq.read_table(path)))
    vouch(path)
    with pytest.raises(BadTable, match=f"What is read of the table 'samples' of '{CORPUS}' takes [\\d,]+ bytes and would unpack to [\\d,]+ MB, more than"):
        for sample in store.corpus(CORPUS).ids[:1]:
            store.corpus(CORPUS).audio(sample)


def whys(path: Path) -> list[str]:
    return [one.why for one in texts.read(str(path), Options(licence="CC0-1.0", offline=True)) if isinstance(one, Broken)]


def test_data_sets_that_cannot_hold_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    path.write_bytes(WAYS[1](text_set()))
    assert len(whys(path)) == 1 and "it says that it has 2,000,000 rows, more than can be in" in whys(path)[0]
    pq.write_table(pa.table({"text": ["x" * 40_000_000]}), path, compression="zstd")
    assert len(whys(path)) == 1 and whys(path)[0].startswith("The file is not read: a page of ") and whys(path)[0].endswith(" bytes would unpack to 40 MB.")


def test_few_rows_are_read_at_a_time_where_each_may_be_long(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    for size, n in ((100, 64), (1_000_000, 31), (8_000_000, 3)):
        words = np.random.default_rng(0).bytes(size).hex()[:size]
        pq.write_table(pa.table({"text": [words] * 20}), path, compression="zstd")
        assert rows_at_once(path, pq.read_metadata(path), 64) == n and whys(path) == []


def test_nothing_takes_more_than_was_told(store: Store, tmp_path: Path) -> None:
    """Against what pyarrow then holds, of our own tables and of data sets in many layouts; and what is told is not far from it."""
    for number, data in enumerate(data_sets().values()):
        (tmp_path / f"{number}.parquet").write_bytes(data)
    for path in (*tmp_path.glob("*.parquet"), *store.settings.data.rglob("*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.metadata.num_row_groups):
            told = together(chunks(path, file.metadata, group))
            held = file.read_row_group(group).nbytes
            assert held <= told.n_unpacked < 40 * held + 20_000, path
            one = file.schema_arrow.names[0]
            assert together(chunks(path, file.metadata, group, [one])).n_unpacked <= told.n_unpacked


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "brotli", "zstd"])
def test_texts_of_a_dictionary_are_measured_before_they_are_held_against_a_table(tmp_path: Path, codec: str) -> None:
    """Many short ones, each meant a few times, are no bomb; a long one that is meant often is."""
    path = tmp_path / "x.parquet"
    for words, fine in (([f"{n:060d}" for n in range(10_000)] * 3, True), (["x" * 100_000, *"abc"] * 1_000, False)):
        pq.write_table(pa.table({"text": words}), path, compression=codec, dictionary_pagesize_limit=10_000_000)
        told = together(chunks(path, pq.read_metadata(path), 0))
        held = pq.read_table(path).nbytes
        assert held <= told.n_unpacked < 6 * held
        if fine:
            told.check("it")
        else:
            with pytest.raises(ValueError, match="would unpack to"):
                told.check("it")


# -- links -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["outside.parquet", "/dev/zero", ".."])
@pytest.mark.parametrize("name", ["units-000.parquet", "manifest.json"])
def test_links_that_lead_out_of_the_data_folder_are_not_followed(store: Store, tmp_path: Path, name: str, to: str) -> None:
    path = store.settings.data / SAE / name
    shutil.move(path, tmp_path / "outside.parquet")
    path.symlink_to(tmp_path / to if to != ".." else to)
    with pytest.raises(BadTable, match=f"'{SAE}/{name}' is (a link that leads out of the data folder, and is not followed|no file)"):
        store.card(UnitId(SAE, 3))
    path.unlink()
    shutil.move(tmp_path / "outside.parquet", store.settings.data / "elsewhere.parquet")
    path.symlink_to("../elsewhere.parquet")
    assert store.card(UnitId(SAE, 3)).id.index == 3, "within the data folder they are"


def test_the_folder_itself_may_lie_elsewhere(store: Store, tmp_path: Path) -> None:
    """Whoever puts a link beside the catalog says by that where their own folder lies."""
    shutil.move(store.settings.data / SAE, tmp_path / "disk")
    (store.settings.data / SAE).symlink_to(tmp_path / "disk")
    assert store.card(UnitId(SAE, 3)).id.index == 3


def test_a_notice_that_is_another_is_not_handed_out(store: Store) -> None:
    notice = store.settings.data / CORPUS / "LICENSE"
    notice.write_text("mine")
    vouch(notice)
    assert b"mine" in clips_zip(store, UnitId(SAE, 5))
    notice.write_text("other")
    with pytest.raises(BadTable, match=f"'{CORPUS}/LICENSE' is not the file that its manifest names, and clips are not handed out without it"):
        clips_zip(store, UnitId(SAE, 5))
