"""Corpora from folders and parquet files: what is kept, dropped, cut and resumed."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf
from PIL import Image

from earmark.errors import BadInput, MissingWeights, NotFound
from earmark.offline.corpora import clips
from earmark.offline.corpora.build import build_corpus
from earmark.offline.corpora.parts import Parts
from earmark.offline.corpora.sources import SOURCES, Broken, Entry, Options, folder, media_type_of, parquet, safe_id, source
from earmark.shelf.schema import SAMPLES
from earmark.shelf.tables import Table, read_manifest
from earmark.units import SAMPLE_RATE_HZ, Waveform


def tone(duration_s: float, hz: float = 220.0, rate_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(int(duration_s * rate_hz)) / rate_hz)).astype(np.float32)


def sound(samples: np.ndarray, format_: str = "WAV", rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    file = io.BytesIO()
    sf.write(file, samples, rate_hz, format=format_)
    return file.getvalue()


def entry(id_: str, data: bytes, transcript: str | None = None, class_name: str | None = None) -> Entry:
    return Entry(id_, data, media_type_of(data), transcript, class_name, None, f"{id_}.wav", "CC0")


@pytest.fixture
def build(tmp_path):
    """build_corpus with the arguments that most tests share."""

    def run(entries, target=None, **options):
        given = {"title": "Test", "licence": "CC0", "notices": {"LICENSE": b"free"}, "drop_non_speech": False, "transcribe": None}
        given |= {"progress": False, "work_folder": tmp_path / "work", "source": "test"}
        return build_corpus("trial", entries, target or tmp_path / "trial", **given | options)

    return run


def rows_of(folder_):
    return Table(folder_, SAMPLES, read_manifest(folder_)).all().to_pylist()


def records(module, where, **options):
    found = list(module.read(str(where), Options(**options)))
    return [r for r in found if isinstance(r, Entry)], [r for r in found if isinstance(r, Broken)]


# -- sources -------------------------------------------------------------------------------------------------------------


def test_every_source_is_listed():
    here = os.path.dirname(folder.__file__)
    assert {module for _, module, _ in SOURCES} == {n[:-3] for n in os.listdir(here) if n.endswith(".py")} - {"__init__"}
    for name, _, help_ in SOURCES:
        assert callable(source(name).read) and callable(source(name).about) and help_
    with pytest.raises(NotFound, match="Did you mean 'parquet'"):
        source("parket")


def test_ids_are_safe_unique_and_stable():
    taken: set[str] = set()
    ids = [safe_id(text, taken) for text in ("a b/c", "a b/c", "café", "привет", "мир", "", "x" * 300)]
    assert ids[:3] == ["a-b-c", "a-b-c-2", "cafe"]
    assert len(set(ids)) == 7 and all(i and len(i) < 120 and set(i) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") for i in ids)
    assert safe_id("привет", set()) == ids[3]


@pytest.mark.parametrize("format_, expected", [("WAV", "audio/wav"), ("FLAC", "audio/flac"), ("OGG", "audio/ogg"), ("MP3", "audio/mpeg")])
def test_media_types(format_, expected):
    assert media_type_of(sound(tone(0.5), format_)) == expected


def test_folder_with_transcripts_beside(tmp_path):
    for name in ("84/1/84-1-0000.flac", "84/1/84-1-0001.flac", "b/one.wav", ".hidden/no.wav", "b/._one.wav", "A.mp3"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sound(tone(0.2), {"flac": "FLAC", "wav": "WAV", "mp3": "MP3"}[name.rsplit(".", 1)[1]]))
    (tmp_path / "84/1/84-1.trans.txt").write_text("84-1-0000 GO DO YOU HEAR\n84-1-0001 BUT IN LESS\n")
    (tmp_path / "b/one.txt").write_text(" one \n more ")
    (tmp_path / "LICENSE").write_text("free")
    entries, broken = records(folder, tmp_path, licence="CC0")
    assert [(e.id, e.transcript, e.speaker) for e in entries] == [
        ("84-1-84-1-0000", "GO DO YOU HEAR", "84"),
        ("84-1-84-1-0001", "BUT IN LESS", "84"),
        ("A", None, None),
        ("b-one", "one more", None),
    ]
    assert not broken and entries[0].licence == "CC0" and entries[3].origin == "b/one.wav"
    about = folder.about(str(tmp_path), Options())
    assert about.count == 4 and about.notices == {"LICENSE": b"free"}


def test_folder_with_the_table_of_esc50(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").mkdir()
    for name in ("1-100032-A-0.wav", "1-100038-A-14.wav"):
        (tmp_path / "audio" / name).write_bytes(sound(tone(0.2)))
    (tmp_path / "meta/esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n1-100032-A-0.wav,1,0,dog,True,100032,A\n"
        "1-100038-A-14.wav,1,14,chirping_birds,False,100038,A\n1-gone.wav,1,0,dog,True,1,A\n"
    )
    entries, broken = records(folder, tmp_path)
    assert [(e.class_name, e.transcript) for e in entries] == [("dog", None), ("chirping_birds", None)]
    assert [(b.origin, "1-gone.wav" in b.why) for b in broken] == [("esc50.csv, line 4", True)]


def test_folder_with_a_table_named_by_hand(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/x.wav").write_bytes(sound(tone(0.2)))
    table = tmp_path / "my.tsv"
    table.write_text('\ufeffclient_id\tpath\tsentence\nanna\tx.wav\t"Hello", you there\n')
    entries, _ = records(folder, tmp_path / "s", table=table)
    assert (entries[0].transcript, entries[0].speaker) == ('"Hello", you there', "anna")
    table.write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="columns a, b; it needs one of file"):
        records(folder, tmp_path / "s", table=table)
    with pytest.raises(NotFound, match="no table"):
        records(folder, tmp_path / "s", table=tmp_path / "none.csv")
    with pytest.raises(NotFound, match="no folder"):
        records(folder, tmp_path / "nowhere")


def test_parquet_as_hugging_face_stores_it(tmp_path):
    wav = sound(tone(0.3))
    features = {"audio": {"_type": "Audio"}, "label": {"_type": "ClassLabel", "names": ["yes", "no"]}, "text": {"_type": "Value"}}
    audio = pa.array([{"bytes": wav, "path": "a/first.wav"}, {"bytes": None, "path": "gone.wav"}, {"bytes": wav, "path": None}])
    table = pa.table({"audio": audio, "label": pa.array([1, 0, None]), "text": ["well  then", "x", None], "speaker_id": [7, 8, 9]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "train-00000.parquet", row_group_size=2)
    (tmp_path / "zz.parquet").write_bytes(b"no parquet")
    entries, broken = records(parquet, tmp_path)
    assert [(e.id, e.transcript, e.class_name, e.speaker) for e in entries] == [("first", "well then", "no", "7"), ("train-00000-000002", None, None, "9")]
    assert all(e.data == wav and e.media_type == "audio/wav" for e in entries)
    assert [b.origin for b in broken] == ["train-00000.parquet, row 1", "zz.parquet"] and "gone.wav" in broken[0].why
    assert parquet.about(str(tmp_path / "train-00000.parquet"), Options()).count == 3


def test_parquet_with_plain_binary_and_without_audio(tmp_path):
    pq.write_table(pa.table({"id": ["p", "q"], "wav": [sound(tone(0.2))] * 2, "sentence": ["hi", "ho"]}), tmp_path / "a.parquet")
    assert [(e.id, e.transcript) for e in records(parquet, tmp_path / "a.parquet")[0]] == [("p", "hi"), ("q", "ho")]
    pq.write_table(pa.table({"n": [1]}), tmp_path / "b.parquet")
    with pytest.raises(BadInput, match="no column of audio; its columns are n"):
        records(parquet, tmp_path / "b.parquet")
    with pytest.raises(NotFound, match="no parquet file or folder"):
        records(parquet, tmp_path / "c.parquet")
    with pytest.raises(MissingWeights, match="EARMARK_OFFLINE"):
        records(parquet, "owner/name", offline=True)


# -- what is made of a sound ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1600, 1601, 1919, 1920, 16000, 480000])
def test_mel_picture_has_a_column_for_every_20_ms(n):
    picture = Image.open(io.BytesIO(clips.mel_picture(Waveform(tone(30)[:n]))))
    assert picture.size == (-(-n // 320), 64) and picture.format == "WEBP"


def test_mel_is_librosas_and_in_its_place():
    import librosa

    samples = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    ours = clips.mel_decades(Waveform(samples))
    shifted = np.pad(samples, (0, 1000))[160:]  # librosa centres its first window on the first sample
    theirs = librosa.feature.melspectrogram(y=shifted, sr=16000, n_fft=512, hop_length=320, n_mels=64, fmax=8000)[:, : ours.shape[1]]
    theirs = np.log10(np.maximum(theirs / theirs.max(), 1e-6))
    assert ours.shape == (64, 50)
    np.testing.assert_allclose(ours[:, 1:-1] - ours[:, 1:-1].mean(), theirs[:, 1:-1] - theirs[:, 1:-1].mean(), atol=1e-3)
    click = np.zeros(16000, np.float32)
    click[int(0.53 * 16000)] = 1.0
    assert clips.mel_decades(Waveform(click)).sum(axis=0).argmax() == 26  # 520 to 540 ms
    rows = [int(clips.mel_decades(Waveform(tone(1, hz)))[:, 25].argmax()) for hz in (200, 1000, 4000)]
    centres = librosa.mel_frequencies(66, fmax=8000)[1:-1]
    np.testing.assert_allclose(rows, [np.abs(centres - hz).argmin() for hz in (200, 1000, 4000)], atol=1)
    assert clips.mel_decades(Waveform(np.zeros(3200, np.float32))).max() == -6


def test_noise_is_told_from_a_voice():
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    t = np.arange(16000) / 16000
    voice = sum(np.sin(2 * np.pi * k * (120 * t + 20 * np.sin(3 * t))) / k for k in range(1, 20)).astype(np.float32) * 0.1
    assert clips.is_noise(Waveform(noise))
    assert not clips.is_noise(Waveform(voice))
    assert not clips.is_noise(Waveform((voice + noise * 0.2).astype(np.float32)))


# -- building ------------------------------------------------------------------------------------------------------------


def test_kept_dropped_and_listed(build, tmp_path):
    mp3 = sound(tone(0.5, rate_hz=11025), "MP3", 11025)
    entries = [
        entry("a", mp3, "hello"),
        Broken("row 2", "The row holds no sound."),
        entry("b", b"RIFF and nothing more"),
        entry("c", sound(tone(0.05))),
        entry("d", sound(np.zeros(16000, np.float32))),
        entry("e", sound(tone(0.4)), None, "dog"),
    ]
    report = build(entries)
    rows = rows_of(tmp_path / "trial")
    assert [(r["id"], r["transcript"], r["transcript_by"], r["class_name"]) for r in rows] == [("a", "hello", "source", None), ("e", "", "", "dog")]
    assert rows[0]["audio"] == mp3 and rows[0]["audio_type"] == "audio/mpeg"
    assert rows[1]["duration_s"] == pytest.approx(0.4) and rows[1]["licence"] == "CC0" and rows[1]["words"] is None
    assert report.counts == {"broken": 2, "empty": 2}
    assert [d.origin for d in report.dropped] == ["row 2", "b.wav", "c.wav", "d.wav"]
    assert "cannot be read as sound" in report.dropped[1].why and "c.wav: 0.05 s long" in str(report) and "d.wav: silent" in str(report)
    manifest = read_manifest(tmp_path / "trial")
    assert (manifest["what"], manifest["slug"], manifest["n_samples"], manifest["dropped"]) == ("corpus", "trial", 2, {"broken": 2, "empty": 2})
    assert len(manifest["revision"]) == 12 and manifest["files"]["LICENSE"]["bytes"] == 4


def test_long_sounds_are_cut_and_counted(build, tmp_path):
    long = tone(70.0)
    long[35 * 16000] = 0.9
    report = build([entry("a", sound(long), "much is said"), entry("b", sound(tone(30.0)))], transcribe=lambda waveform: f"{waveform.duration_s:.0f} s")
    rows = rows_of(tmp_path / "trial")
    assert [(r["id"], round(r["duration_s"]), r["audio_type"]) for r in rows] == [
        ("a-000s", 30, "audio/flac"),
        ("a-030s", 30, "audio/flac"),
        ("a-060s", 10, "audio/flac"),
        ("b", 30, "audio/wav"),
    ]
    assert [(r["transcript"], r["transcript_by"]) for r in rows] == [("30 s", "model"), ("30 s", "model"), ("10 s", "model"), ("30 s", "model")]
    assert report.n_cut == 1 and read_manifest(tmp_path / "trial")["cut"] == 1 and rows[1]["origin"] == "a.wav, from 30 s"
    piece, rate_hz = sf.read(io.BytesIO(rows[1]["audio"]), dtype="float32")
    assert rate_hz == 16000 and piece.argmax() == 5 * 16000
    np.testing.assert_allclose(piece, long[30 * 16000 : 60 * 16000], atol=1e-4)


def test_effects_and_noise_are_dropped_on_request_only(build, tmp_path):
    noise = sound(np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32))
    entries = [entry("a", noise), entry("b", noise, "shh"), entry("c", sound(tone(0.5)), None, "sound effect"), entry("d", sound(tone(0.5)))]
    assert build(entries).n_samples == 4
    report = build(entries, drop_non_speech=True)
    assert [r["id"] for r in rows_of(tmp_path / "trial")] == ["b", "d"] and report.counts == {"not speech": 2}


def test_a_killed_run_goes_on_and_gives_the_same_bytes(build, tmp_path):
    entries = [entry(f"s{i:02d}", sound(tone(0.2 + i / 100, 100 + 9 * i))) for i in range(9)] + [Broken("x", "It is broken.")]
    heard: list[float] = []

    def transcribe(waveform):
        heard.append(waveform.duration_s)
        return f"tone of {waveform.duration_s:.2f} s"

    def breaking():
        yield from entries[:5]
        raise RuntimeError("killed")

    build(entries, tmp_path / "straight", transcribe=transcribe, work_folder=tmp_path / "other")
    assert len(heard) == 9
    with pytest.raises(RuntimeError):
        build(breaking(), transcribe=transcribe)
    assert len(heard) == 14 and not (tmp_path / "trial").exists()
    (tmp_path / "work/.part-00001.parquet.0123abcd.new").write_bytes(b"half a")
    (tmp_path / "work/part-00002.parquet").write_bytes(b"a damaged one")
    report = build(entries, transcribe=transcribe)
    assert len(heard) == 18 and report.n_resumed == 5 and report.n_samples == 9
    for name in read_manifest(tmp_path / "straight")["files"]:
        assert (tmp_path / "trial" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    assert (tmp_path / "trial/manifest.json").read_bytes() == (tmp_path / "straight/manifest.json").read_bytes()
    build(entries, transcribe=transcribe, transcriber="another")
    assert len(heard) == 27  # another model's transcripts are not taken for its own


def test_parts_survive_without_the_way_out(tmp_path):
    schema = pa.schema([("n", pa.int64())])
    parts = Parts(tmp_path / "w", schema).__enter__()
    parts.put("a", [{"n": 1}, {"n": 2}])
    parts.flush()
    parts.put("b", [{"n": 3}])
    parts._lock.release()  # as when the process is killed: b was never written
    with pytest.raises(BadInput, match="Another run"), Parts(tmp_path / "w", schema), Parts(tmp_path / "w", schema):
        pass
    with Parts(tmp_path / "w", schema) as again:
        assert "a" in again and "b" not in again and again.rows("a") == [{"n": 1}, {"n": 2}]


def test_refusals(build, tmp_path):
    with pytest.raises(BadInput, match="cannot be called 'My Corpus'"):
        build_corpus("My Corpus", [], tmp_path / "x", title="", licence="", notices={}, drop_non_speech=False, transcribe=None,
                     progress=False, work_folder=tmp_path / "w", source="")  # fmt: skip
    with pytest.raises(BadInput, match=r"Nothing is left.*1 records"):
        build([entry("a", b"no sound")])
    assert not (tmp_path / "trial").exists()
    with pytest.raises(BadInput, match="notice"):
        build([], notices={"../x": b""})


def test_groups_and_parts_stay_small(build, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 30 * 16000)).astype(np.float32)
    report = build(entry(f"n{i}", sound(noise[i % 2])) for i in range(30))
    sizes = [f["bytes"] for n, f in read_manifest(report.folder)["files"].items() if n.startswith("samples-")]
    assert len(sizes) == 2 and max(sizes) < 25_000_000
    assert Table(report.folder, SAMPLES, read_manifest(report.folder)).row(29, ["id"]) == {"id": "n29"}
