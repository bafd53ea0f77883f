"""What the shelf and the records say of texts, against the traces and tokens that the fixture's tables were made from."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from earmark.__main__ import main
from earmark.api import routes
from earmark.atomic import write_json
from earmark.errors import BadTable, NotFound
from earmark.passages import around, cut, word_around
from earmark.settings import Settings
from earmark.shelf.schema import SAMPLES
from earmark.shelf.store import Store
from earmark.shelf.tables import TableWriter, files_of, read_manifest
from earmark.units import UnitId
from tests.fixtures.shelf import CORPUS as CLIPS
from tests.fixtures.shelf import build_shelf
from tests.fixtures.text_shelf import CORPUS, MONEY, NEURONS, SAE, TEXTS, Texts, add_texts


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    folder = tmp_path_factory.mktemp("texts") / "shelf"
    build_shelf(folder)
    return add_texts(folder)


@pytest.fixture(scope="module")
def store(texts: Texts) -> Store:
    return Store(replace(Settings.from_env({}), data=texts.folder))


@pytest.fixture(scope="module")
def client(store: Store) -> TestClient:
    return TestClient(Starlette(routes=routes(store)))


def test_a_corpus_gives_the_tokens_that_it_was_made_of(texts, store):
    corpus = store.corpus(CORPUS)
    assert corpus.is_text and not store.corpus(CLIPS).is_text
    for name, tokens, text in zip(texts.ids, texts.tokens, TEXTS, strict=True):
        assert corpus.tokens_of(name) == tokens and corpus.transcripts[corpus.row(name)] == text
        assert corpus.durations_s[corpus.row(name)] == len(tokens)
    assert (corpus.provenance("text-03").author, corpus.provenance("text-03").work) == ("Author & 3", "Work 3 <i>")
    assert (corpus.provenance("text-01").author, corpus.provenance("text-01").origin) == ("", "line 100")
    with pytest.raises(NotFound, match="no sound"):
        corpus.audio("text-00")
    with pytest.raises(NotFound, match="is no text"):
        store.corpus(CLIPS).tokens_of("clip-00")
    assert store.corpus(CLIPS).tokens_in(0) is None


def test_examples_stand_at_their_tokens(texts, store):
    for slug in (SAE, NEURONS):
        for unit in (MONEY, 11, 39):
            for e in store.card(UnitId(slug, unit)).examples:
                row = texts.ids.index(e.sample)
                whole = texts.traces[slug][row][unit]
                assert e.tokens == texts.tokens[row] and "".join(e.tokens) == e.transcript == TEXTS[row]
                assert e.at == (whole.argmin() if e.group == "bottom" else whole.argmax()) and e.at_s == e.at
                part = whole[e.start : e.start + len(e.trace)]
                assert np.abs(e.trace - part).max() <= (max(0, part.max()) - min(0, part.min())) / 255
    assert {e.tokens[e.at].strip() for e in store.card(UnitId(SAE, MONEY)).examples} == {"money"}


def test_the_list_knows_the_words_at_the_peaks(texts, store):
    frame = store.units_frame(SAE)
    assert frame["heard"][MONEY] == " · ".join(["money"] * 5)
    for unit in (3, 20):
        for row, at in zip(frame["strongest"][unit], frame["peaks_at"][unit], strict=True):
            assert at == texts.traces[SAE][row][unit].argmax()


def test_words_around_a_place():
    text = "Don't stop, Pozsony! \n x"
    assert [word_around(text, s, e) for s, e in ((0, 3), (3, 4), (5, 10), (10, 11), (11, 15), (20, 22), (0, 0))] == [
        "Don't",
        "Don't",
        "stop",
        ",",
        "Pozsony",
        "",
        "",
    ]
    assert len(word_around("\u4e2d" * 300, 100, 101)) <= 81


def test_a_word_is_found_from_any_of_its_tokens(texts, store):
    corpus = store.corpus(CORPUS)
    row = next(i for i, line in enumerate(texts.tokens) if "" in line)
    at = texts.tokens[row].index("")
    assert corpus.word_at(row, at) == corpus.word_at(row, at - 1) == texts.tokens[row][at - 1].strip()
    assert store.corpus(CLIPS).word_at(0, 3) == ""


@given(st.lists(st.text(max_size=4), max_size=30), st.integers(0, 29), st.integers(0, 9), st.integers(0, 9))
def test_a_cut_text_is_the_text_and_no_character_is_halved(tokens, at, before, after):
    text = "".join(tokens)
    assert list(cut(text, [len(t) for t in tokens])) == tokens
    if tokens:
        at = min(at, len(tokens) - 1)
        start, end = around(tokens, at, before, after)
        assert start <= max(0, at - before) and end >= min(len(tokens), at + after + 1)
        assert start == 0 or tokens[start] or not any(tokens[: start + 1])
        assert end == len(tokens) or tokens[end]


def test_records_of_a_text_have_positions_in_place_of_times(client, texts):
    card = client.get(f"/api/unit/{SAE}/{MONEY}").json()
    for e in card["examples"]:
        assert set(e) == {"rank", "group", "sample", "peak", "at", "start", "tokens", "trace", "text"}
        assert "".join(e["tokens"]) == e["text"] and len(e["trace"]) == min(len(e["tokens"]) - e["start"], e["at"] - e["start"] + 100)
        assert e["trace"][e["at"] - e["start"]] == pytest.approx(e["peak"], rel=1e-2)
    hits = client.get(f"/api/search/{SAE}/{MONEY}?min=1").json()
    assert set(hits[0]) == {"sample", "peak", "at", "tokens", "text"} and hits[0]["tokens"][hits[0]["at"]].strip() == "money"
    for p in client.get(f"/api/montage/{SAE}/{MONEY}").json():
        assert p["tokens"][p["at"] - p["start"]].strip() == "money" and "".join(p["tokens"]) == p["text"]
    pair = client.get(f"/api/compare/{SAE}:{MONEY}/{NEURONS}:3").json()
    assert pair["overlap"]["n_samples"] == len(TEXTS) and {s["sample"] for s in pair["shared"]} <= set(texts.ids)
    rows = client.get(f"/api/units/{SAE}").json()
    assert rows[MONEY]["heard"].split(" · ") == ["money"] * 5 and not {"strongest", "peaks_at"} & set(rows[MONEY])


def test_examples_as_csv(client):
    rows = list(csv.DictReader(io.StringIO(client.get(f"/api/unit/{SAE}/{MONEY}?format=csv").text, newline="")))
    assert list(rows[0]) == ["group", "rank", "sample", "peak", "at", "token", "text"]
    assert {r["token"].strip() for r in rows} == {"money"} and {r["text"] for r in rows} <= set(TEXTS)


def test_a_corpus_made_before_there_were_texts_is_read(store, tmp_path):
    """Files that lack the newer columns: they read as if they held nothing, in every way of reading."""
    old = store.corpus(CLIPS)
    folder = tmp_path / "old"
    folder.mkdir()
    whole = old.table.all()
    assert "printed" in whole.column_names
    bare = whole.drop_columns(["printed"])
    spec = replace(SAMPLES, schema=bare.schema, added=())
    writer = TableWriter(folder, spec)
    writer.write(bare)
    writer.close()
    write_json(folder / "manifest.json", read_manifest(old.place.path) | {"files": files_of(folder)})
    assert "printed" not in pq.read_schema(folder / "samples-000.parquet").names
    corpus = type(old)(folder)
    assert corpus.ids == old.ids and corpus.tokens_in(0) is None and corpus.durations_s == old.durations_s
    assert corpus.table.row(3) == old.table.row(3) and corpus.table.group(0, ["printed", "id"]).column_names == ["printed", "id"]
    lacking = replace(SAMPLES, schema=bare.drop_columns(["speaker"]).schema, added=())
    writer = TableWriter(folder, lacking)
    writer.write(bare.drop_columns(["speaker"]))
    writer.close()
    write_json(folder / "manifest.json", read_manifest(old.place.path) | {"files": files_of(folder)})
    with pytest.raises(BadTable, match="other columns"):
        type(old)(folder)


def test_the_command_line_says_which_token(texts, capsys, monkeypatch):
    monkeypatch.setenv("EARMARK_DATA", str(texts.folder))
    assert main(["search", SAE, str(MONEY), "--n", "2"]) == 0
    for line in capsys.readouterr().out.splitlines():
        assert "at token " in line and "money" in line
    assert main(["unit", SAE, str(MONEY)]) == 0 and "\\n" in capsys.readouterr().out


def test_direct_effects_are_read_where_there_are_any(client, texts, store):
    effects = store.card(UnitId(SAE, MONEY)).effects
    assert effects.top == ((" Hungary", 4.5), ("\n", 2.25)) and effects.bottom == (("<i>", -3.0),) and effects.kurtosis == 5.5
    assert client.get(f"/api/unit/{SAE}/{MONEY}").json()["effects"] == {
        "top": [{"token": " Hungary", "value": 4.5}, {"token": "\n", "value": 2.25}], "bottom": [{"token": "<i>", "value": -3.0}], "kurtosis": 5.5,
    }  # fmt: skip
    assert store.card(UnitId(NEURONS, 3)).effects is None and "effects" not in client.get(f"/api/unit/{NEURONS}/3").json()
