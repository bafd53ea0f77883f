"""Alignments that sources carry, letters of CTC models, and the table `speech` of a corpus."""

from __future__ import annotations

import itertools
import json
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.errors import BadInput, BadTable, EarmarkError
from earmark.inputs.annotations import ctc_speech, fitted, parse, read_beside
from earmark.inputs.audio import Limits, decode
from earmark.offline.corpora.align import align_corpus
from earmark.offline.corpora.command import make_corpus
from earmark.offline.labels.channels import speech_channels
from earmark.settings import Settings
from earmark.shelf.folders import Corpus, flat_spans
from earmark.shelf.schema import SPEECH
from earmark.shelf.tables import files_of, put_table
from earmark.speech import Span, Speech
from tests.fixtures.models import LETTERS, make_speech

from .test_align import SPOKEN, TRUTH

HTK = "0 2500000 sil\n2500000 3100000 HH\n3100000 4000000 AH0\n"
FESTVOX = "separator ;\nnfields 1\n#\n0.250 100 pau\n0.310 100 hh\n0.400 100 ax ; name\n"
TIMIT = "0 4000 h#\n4000 4960 hh\n4960 6400 ax-h\n"
SECONDS = "0.0 0.25 sil\n0.25 0.31 HH\n0.31 0.4 AH1\n"
CTM = ";; made by hand\nother 1 0.0 0.5 nobody\none 1 0.31 0.09 you\none 1 0.25 0.06 hello, 0.98\n"
LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.4
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "Anna - words"
        xmin = 0
        xmax = 0.4
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = ""
        intervals [2]:
            xmin = 0.25
            xmax = 0.4
            text = "say ""5"" [2]"
    item [2]:
        class = "TextTier"
        name = "notes"
        xmin = 0
        xmax = 0.4
        points: size = 1
        points [1]:
            number = 0.3
            mark = "here"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 0.4
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = "sil"
        intervals [2]:
            xmin = 0.25
            xmax = 0.4
            text = "EY1"
"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
0.4
<exists>
3
"IntervalTier"
"Anna - words"
0
0.4
2
0
0.25
""
0.25
0.4
"say ""5"" [2]"
"TextTier"
"notes"
0
0.4
1
0.3
"here"
"IntervalTier"
"phones"
0
0.4
2
0
0.25
"sil"
0.25
0.4
"EY1"
"""


def beside(folder: Path, text: str | bytes, suffix: str) -> Speech | None:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / f"one{suffix}").write_bytes(data)
    return read_beside(folder / "one.wav")


@pytest.mark.parametrize(("text", "suffix"), [(HTK, ".lab"), (FESTVOX, ".lab"), (SECONDS, ".lab"), (TIMIT, ".phn")])
def test_label_files(tmp_path: Path, text: str, suffix: str) -> None:
    found = beside(tmp_path, text, suffix)
    assert found is not None and found.how == "source" and not found.words
    assert [p.text for p in found.phones][:2] in (["SIL", "HH"], ["SIL", "hh"])
    assert found.phones[-1].text in ("AH", "ax", "ax-h")
    assert [t for p in found.phones for t in (p.start_s, p.end_s)] == pytest.approx([0, 0.25, 0.25, 0.31, 0.31, 0.4])


@pytest.mark.parametrize("text", [LONG, SHORT, LONG.replace("\n", "\r\n"), "\ufeff" + SHORT, SHORT.encode("utf-16")])
def test_textgrids(tmp_path: Path, text: str | bytes) -> None:
    assert beside(tmp_path, text, ".TextGrid") == Speech((Span('say "5" [2]', 0.25, 0.4),), (Span("SIL", 0.0, 0.25), Span("EY", 0.25, 0.4)), "source")


def test_ctm_and_two_files_beside_one_sound(tmp_path: Path) -> None:
    found = beside(tmp_path, CTM, ".ctm")
    assert found is not None and [(w.text, w.start_s, w.end_s) for w in found.words] == [("hello,", 0.25, 0.31), ("you", 0.31, pytest.approx(0.4))]
    both = beside(tmp_path, HTK, ".lab")
    assert both is not None and (len(both.words), len(both.phones)) == (2, 3)
    assert read_beside(tmp_path / "two.wav") is None


@pytest.mark.parametrize(
    ("text", "suffix", "sentence"),
    [
        (LONG[:400], ".TextGrid", "breaks off"),
        (SHORT[:-20], ".TextGrid", "breaks off"),
        (SHORT.replace("0.25\n0.4", '"0.25"\n0.4'), ".TextGrid", "where a number should stand"),
        (SHORT.replace("ooTextFile", "ooBinaryFile"), ".TextGrid", "no TextGrid in text form"),
        (SHORT.replace('"phones"', '"tones"').replace("words", "tunes"), ".TextGrid", "the tiers anna - tunes|the tiers tunes, tones"),
        (SHORT.replace("\n3\n", "\n-3\n"), ".TextGrid", "a number of tiers"),
        (SHORT.replace("<exists>", "<absent>"), ".TextGrid", "no tiers"),
        ("0 100\n", ".lab", "Line 1 is '0 100'"),
        ("0 nan sil\n", ".lab", "Line 1 has 'nan'"),
        ("0 0.3 a\n0.2 0.4 b\n", ".lab", "must ascend"),
        ("-1 0.3 a\n", ".lab", "must ascend"),
        ("#\n0.3 100 a\n0.2 100 b\n", ".lab", "must ascend"),
        ("#\nhello\n", ".lab", "Line 2 is 'hello'"),
        ("one 1 0.0 -0.5 word\n", ".ctm", "must ascend"),
        ("one 1 0.0\n", ".ctm", "Line 1 is 'one 1 0.0'"),
        ("two 1 0 1 word\n", ".ctm", "No line is about 'one'"),
        (b"\xff\xfe\x00", ".lab", "no text in UTF-8"),
        (b"\x80\x81", ".ctm", "no text in UTF-8"),
    ],
)
def test_damaged_files_get_a_sentence(tmp_path: Path, text: str | bytes, suffix: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence) as error:
        beside(tmp_path, text, suffix)
    assert f"'one{suffix}' cannot be used. " in str(error.value)


def test_alignments_that_outlast_the_sound() -> None:
    speech = Speech((Span("a", 0.0, 1.05),), (), "source")
    assert fitted(speech, 1.0).words == (Span("a", 0.0, 1.0),)
    with pytest.raises(BadInput, match=r"reaches to 1\.05 s, but the sound ends at 0\.50 s"):
        fitted(speech, 0.5)


def test_every_ending_is_parsed() -> None:
    assert parse(HTK.encode(), ".wrd", "one")[0]
    assert parse(HTK.encode(), ".lab", "one")[1]


def test_letters_of_a_ctc_model() -> None:
    letters = ["<pad>", "|", "A", "B", "<unk>"]
    path = [0, 2, 2, 0, 2, 3, 1, 1, 4, 0, 3, 3]
    logits = np.full((len(path), 5), -5.0, np.float32)
    logits[np.arange(len(path)), path] = 0.0
    found = ctc_speech(logits, letters, blank=0, hop_s=0.02, offset_s=0.0125)
    assert found is not None and found.how == "ctc"
    assert [(s.text, round(s.start_s, 4), round(s.end_s, 4)) for s in found.phones] == [
        ("A", 0.0325, 0.0725),
        ("A", 0.0925, 0.1125),
        ("B", 0.1125, 0.1325),
        ("B", 0.2125, 0.2525),
    ]
    assert [(w.text, round(w.start_s, 4), round(w.end_s, 4)) for w in found.words] == [("AAB", 0.0325, 0.1325), ("B", 0.2125, 0.2525)]
    assert ctc_speech(logits[:1], letters, 0, 0.02) is None
    assert ctc_speech(logits[:0], letters, 0, 0.02) is None
    with pytest.raises(BadInput, match="there are 4 letters"):
        ctc_speech(logits, letters[:4], 0, 0.02)


# -- a corpus ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A corpus of six sounds: right text, wrong text, an unknown word, none, a label file, a damaged TextGrid."""
    folder = tmp_path_factory.mktemp("aligned")
    sounds = folder / "sounds"
    sounds.mkdir()
    for name in ("a-right", "b-wrong", "c-unknown", "d-none", "e-label", "f-damaged", "g-late"):
        shutil.copy(SPOKEN / "hello.flac", sounds / f"{name}.flac")
    texts = {"a-right": TRUTH["hello"]["text"], "b-wrong": TRUTH["call"]["text"], "c-unknown": "Hello almaxaquottl", "f-damaged": TRUTH["hello"]["text"]}
    for name, text in texts.items():
        (sounds / f"{name}.txt").write_text(text)
    ends = TRUTH["hello"]["phones"]
    (sounds / "e-label.lab").write_text("#\n" + "".join(f"{end} 100 {phone}\n" for phone, end in ends))
    (sounds / "f-damaged.TextGrid").write_text(LONG[:400])
    (sounds / "g-late.ctm").write_text("g-late 1 90.0 1.0 hello\n")
    settings = Settings(folder / "data", folder / "cache", True, 25, 60, 1200)
    args = Namespace(model=None, table=None, transcribe=None, drop_non_speech=False, licence="CC0", title="Said")
    report = make_corpus(settings, "said", "folder", str(sounds), args)
    assert report.n_samples == 7
    assert [(d.origin, d.why[:42]) for d in report.dropped] == [("f-damaged.flac", "'f-damaged.TextGrid' cannot be used. The T")]
    return settings


def test_what_the_source_gave_is_there_at_once(settings: Settings, tmp_path: Path) -> None:
    corpus = Corpus(settings.data / "said")
    given = corpus.speech("e-label")
    assert given is not None and given.how == "source"
    assert [(p.text, round(p.end_s, 3)) for p in given.phones] == [("SIL" if p == "pau" else p, min(end, 3.575)) for p, end in TRUTH["hello"]["phones"]]
    assert corpus.speech("a-right") is None
    assert corpus.speech_table is not None
    assert "reaches to 91.00 s" in corpus.speech_table.row(6)["why"]


def test_a_corpus_is_aligned_beside_its_samples(settings: Settings) -> None:
    folder = settings.data / "said"
    before, samples = Corpus(folder), (folder / "samples-000.parquet").stat()
    given = before.speech("e-label")
    report = align_corpus(settings, "said", 1)
    corpus = Corpus(folder)
    assert report.outcomes == {
        "none": {"source": 1, "no transcript": 1},
        "source": {"aligned": 2, "does not fit": 2, "unknown words": 1},
    }
    assert report.unknown == {"almaxaquottl": 1}
    assert corpus.ids == before.ids, "clips that do not align stay"
    assert corpus.manifest["revision"] == before.manifest["revision"]
    assert (folder / "samples-000.parquet").stat().st_ino == samples.st_ino, "samples are neither copied nor changed"
    assert corpus.manifest["files"] == files_of(folder)

    told = corpus.speech("a-right")
    assert told is not None and told.how == "aligned" and told.score is not None and told.score > -25
    assert [w.word for w in corpus.words("a-right")][:2] == ["hello", "there"]
    assert [p.text for p in corpus.phones("f-damaged")] == [p.text for p in told.phones]
    assert corpus.words("b-wrong") == corpus.phones("d-none") == ()
    assert corpus.speech("e-label") == given, "the source's own times stay"
    assert corpus.speech_table is not None
    sample, text, start_s, end_s = flat_spans(corpus.speech_table.all(), "phones")
    one_by_one = [(row, p.text, p.start_s, p.end_s) for row, name in enumerate(corpus.ids) for p in corpus.phones(name)]
    assert list(zip(sample.tolist(), text.to_pylist(), start_s.tolist(), end_s.tolist(), strict=True)) == one_by_one
    whys = corpus.speech_table.all(["why"]).column("why").to_pylist()
    assert whys[:4] == ["", "does not fit", "unknown words: almaxaquottl", "no transcript"]


def test_a_table_that_does_not_fit_is_refused(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "said"
    shutil.copytree(settings.data / "said", folder)
    corpus = Corpus(folder)
    assert corpus.speech_table is not None
    put_table(folder, SPEECH, corpus.speech_table.all().slice(0, 3))
    with pytest.raises(BadTable, match="has 7 samples, its table 'speech' 3"):
        Corpus(folder).speech("a-right")
    (folder / "speech-000.parquet").write_bytes(b"junk")
    with pytest.raises(BadTable, match="sha256 differs"):
        Corpus(folder).words("a-right")
    assert Corpus(folder).audio("a-right")[1] == "audio/flac", "the rest works on"


def test_a_corpus_without_the_table(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "said"
    shutil.copytree(settings.data / "said", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["speech-000.parquet"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    corpus = Corpus(folder)
    assert corpus.speech_table is None and corpus.speech("a-right") is None and corpus.words("a-right") == ()


def test_what_ships_is_aligned() -> None:
    corpus = Corpus(Settings.from_env({}).data / "amazon-queen")
    assert corpus.speech_table is not None
    rows = corpus.speech_table.all(["sample", "words", "phones", "how", "why", "score"])
    hows = rows.column("how").to_pylist()
    assert rows.column("sample").to_pylist() == list(range(len(corpus.ids)))
    assert set(hows) == {"aligned", ""} and hows.count("aligned") > 0.85 * len(hows)
    assert all(bool(how) != bool(why) for how, why in zip(hows, rows.column("why").to_pylist(), strict=True))
    durations = np.array(corpus.durations_s)
    for name in ("words", "phones"):
        sample, _, start_s, end_s = flat_spans(rows, name)
        assert (start_s >= 0).all() and (start_s < end_s).all() and (end_s <= durations[sample] + 1e-4).all()
        assert ((start_s[1:] >= end_s[:-1] - 1e-6) | (sample[1:] != sample[:-1])).all()
    for row in range(0, len(corpus.ids), 97):
        speech = corpus.speech(corpus.ids[row])
        assert speech is None or " ".join(w.text for w in speech.words).split() == corpus.transcripts[row].split()


def test_a_models_letters_serve_where_nothing_else_is_there(settings: Settings, tmp_path: Path) -> None:
    shutil.copytree(settings.data / "said", tmp_path / "data" / "said")
    network = make_speech(tmp_path / "data" / "ctc", "wav2vec2", False)
    make_speech(tmp_path / "data" / "plain", "wav2vec2", False, letters=False)
    models = "".join(f'[models.{name}]\nfamily = "wav2vec2"\nmodality = "audio"\npath = "{name}"\n' for name in ("ctc", "plain"))
    (tmp_path / "data" / "catalog.toml").write_text(models)
    house = replace(settings, data=tmp_path / "data", cache=tmp_path / "cache")
    report = align_corpus(house, "said", 1, "ctc")
    assert report.outcomes == {"none": {"source": 1, "ctc": 1}, "source": {"aligned": 2, "ctc": 3}}

    sound = decode(SPOKEN.joinpath("hello.flac").read_bytes(), Limits(1 << 30, 60, 60)).waveform.samples
    with torch.no_grad():
        best = network(torch.from_numpy((sound - sound.mean()) / np.sqrt(sound.var() + 1e-7))[None]).logits[0].argmax(-1).tolist()
    naive, at = [], 0
    for letter, run in itertools.groupby(best):
        n = len(list(run))
        if LETTERS[letter] not in {"<pad>", "|", "<unk>", "<s>", "</s>"}:
            naive.append((LETTERS[letter], 0.02 * at + 0.0025, 0.02 * (at + n) + 0.0025))
        at += n
    found = Corpus(tmp_path / "data" / "said").speech("d-none")
    assert found is not None and found.how == "ctc" and len(naive) > 3
    assert [p.text for p in found.phones] == [letter for letter, _, _ in naive]
    assert np.allclose([(p.start_s, p.end_s) for p in found.phones], [(a, b) for _, a, b in naive], atol=1e-5)
    channels = {c.name: c for c in speech_channels([found], [len(best)], 0.02, 0.0025)}
    assert set(channels["letter"].labels) == {f"letter {letter.lower()}" for letter, _, _ in naive} and not channels["phone"].labels
    for slug, sentence in (("plain", "plain names no letters"), ("nobody", "nobody")):
        with pytest.raises(EarmarkError, match=sentence):
            align_corpus(house, "said", 1, slug)
    assert align_corpus(house, "said", 1).outcomes["none"] == {"source": 1, "no transcript": 1}, "without the model its letters go again"
