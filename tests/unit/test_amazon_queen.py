"""The game's speech, from a tiny archive that is put together here byte by byte."""

from __future__ import annotations

import gzip
import io
import struct

import numpy as np
import pytest
import soundfile as sf

from earmark.errors import BadInput, NotFound
from earmark.offline.corpora.build import build_corpus
from earmark.offline.corpora.sources import Broken, Options
from earmark.offline.corpora.sources import amazon_queen as queen
from earmark.shelf.schema import SAMPLES
from earmark.shelf.tables import Table, read_manifest


def mp3(duration_s: float = 0.5, hz: float = 200.0) -> bytes:
    t = np.arange(int(11025 * duration_s)) / 11025
    file = io.BytesIO()
    sf.write(file, (0.3 * np.sin(2 * np.pi * hz * t)).astype(np.float32), 11025, format="MP3")
    return file.getvalue()


def pascal(text: str, align: int, at: int) -> bytes:
    """A length byte and the text, filled up so that what follows starts at a multiple of `align`; nothing after a length of 0."""
    raw = bytes([len(text)]) + text.encode("cp850")
    return raw + b"\0" * (-(at + len(raw)) % align if text else 0)


def dialogue(key: int, opening: str | None, joe: list[tuple[int, str]], person: list[tuple[int, str]], again: tuple[str, str]) -> bytes:
    """A .DOG member with one level: header, tree, Joe's lines, the person's lines, the cutaway, the second greetings."""
    body = bytearray(32 + 96)

    def lines(of: list[tuple[int, str]]) -> int:
        start = len(body)
        for number, text in of:
            body.extend(struct.pack(">Hh", 0, number))
            body.extend(pascal(text, 4, len(body)))
        return start

    first = [(0, opening)] if opening is not None else []
    assert lines(first + joe) == 128
    at_person = lines(person)
    at_cutaway = len(body)
    body.extend(struct.pack(">HH", 0, 0))
    at_again = len(body)
    for text in again:
        body.extend(pascal(text, 2, len(body)))
    struct.pack_into(">5h", body, 0, -1, 1, key, len(first + joe), len(person))
    struct.pack_into(">3H", body, 22, at_person, at_cutaway, at_again)
    return b"H" * 20 + bytes(body)


def scene(sentences: list[str]) -> bytes:
    body = bytearray(struct.pack(">hhhHHH", 0, len(sentences), 0, 0, 12, 0))
    for text in ["*FL", *sentences]:
        body.extend(pascal(text, 2, len(body)))
    return b"H" * 20 + bytes(body)


def archive(members: dict[str, bytes], compression: int = 1) -> bytes:
    offset = 15 + 21 * len(members)
    table, contents = b"", b""
    for name, data in members.items():
        table += name.encode().ljust(12, b"\0") + struct.pack(">BII", 1, offset + len(contents), len(data))
        contents += data
    return b"QTBL" + b"CEM10\0" + b"\0\0" + bytes([compression]) + struct.pack(">H", len(members)) + table + contents


DESCRIPTIONS = ["It's closed*02", 'A label:*14"Antidote" *14', "c2c.CUT"]
NAMES, ROOMS, VERBS = ["door"], ["D1", "D2"], [f"verb{i}" for i in range(12)]
ANSWERS = ["I can't move it*03"] + [f"answer {i}" for i in range(2, 41)]
MEMBERS = {
    "LARIS.DOG": dialogue(
        7,
        "Hello.*WTWhat's up?",
        [(6, "Where am I?*14In*XY00(237,112)Rio."), (0x1E, "Same"), (0x1F, "Not spoken*GD<gulp>*FRSo!"), (-1, "never")],
        [(6, "Here^_."), (0x1E, "One"), (0x1E, "Another"), (0x20, "")],
        ("You again!", "0"),
    ),
    "C2C.CUT": scene(["*", "Look out!*FLDuck!", "#CREDITS"]),
    "BAD.DOG": b"H" * 20 + b"\0\1",
    "QUEEN.JAS": b"H" * 20 + struct.pack(">4H", len(ROOMS), len(NAMES), 0, len(DESCRIPTIONS)),
    "QUEEN2.JAS": "\r\n".join([*DESCRIPTIONS, *NAMES, *ROOMS, *VERBS, *ANSWERS, ""]).encode("cp850"),
}
SAID = {
    "07SSSSJ1": "Hello.", "07SSSSJ2": "What's up?", "070006J1": "Where am I?", "070006J2": "In", "070006J3": "Rio.", "07001EJ1": "Same",
    "07001FJ1": None, "07001FJ2": None, "07001FJ3": "So!", "070006P1": "Here.", "07001EP1": None, "07XXXXP1": "You again!", "07XXXXJ1": None,
    "C2C__021": "Look out!", "C2C__022": "Duck!", "JOE00011": "I can't move it", "JOE00291": "answer 29", "JOE00301": None, "JOE00411": "It's closed",
    "JOE00421": "A label:", "JOE00422": '"Antidote"', "JOE00431": None, "105SSSSS": None, "116BSSSS": None, "MIK_0019": None,
}  # fmt: skip


@pytest.fixture
def package(tmp_path):
    """The archive where Debian's package has it, with its documents."""
    path = tmp_path / "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"
    doc = tmp_path / "usr/share/doc/flight-of-the-amazon-queen"
    path.parent.mkdir(parents=True)
    doc.mkdir(parents=True)
    path.write_bytes(archive(MEMBERS | {f"{name}.SB": mp3() for name in reversed(SAID)}))
    (doc / "copyright").write_text("may be distributed")
    (doc / "readme.txt.gz").write_bytes(gzip.compress(b"Read me."))
    queen._open.cache_clear()
    return path


def test_every_clip_gets_its_own_line_or_none(package):
    entries = list(queen.read(str(package), Options()))
    assert [e.id for e in entries] == sorted(SAID)
    assert {e.id: e.transcript for e in entries} == SAID
    assert all(e.media_type == "audio/mpeg" and e.data == mp3() and e.licence == queen.LICENCE for e in entries)
    assert {e.id for e in entries if e.class_name} == {"105SSSSS", "116BSSSS"}
    joe = {e.id for e in entries if e.speaker == "Joe"}
    assert {"07SSSSJ1", "070006J3", "JOE00411"} <= joe and not joe & {"070006P1", "C2C__021", "MIK_0019"}


@pytest.mark.parametrize(
    "sentence, expected",
    [
        ("A*14B*FLC", [(1, "A"), (2, "B"), (3, "C")]),
        ("*02*10Looks", [(1, ""), (2, ""), (3, "Looks")]),
        ("Go*XY00(237,112)on*24", [(1, "Go"), (2, "on")]),
        ("Quiet*GDloud", [(2, "loud")]),
        ("End*", [(1, "End")]),
        ("", []),
    ],
)
def test_segments(sentence, expected):
    assert queen.segments(sentence) == expected


def test_the_licence_goes_with_the_speech(package, tmp_path):
    about = queen.about(str(package), Options())
    assert about.count == len(SAID) and about.notices["LICENSE"] == b"may be distributed" and about.notices["README.txt"] == b"Read me."
    notice = about.notices["NOTICE"].decode()
    assert all(words in notice for words in ("MODIFIED VERSION: EXCERPTS", "John Passfield and Steven Stamatiadis", "not under Earmark's own licence", "fee"))
    report = build_corpus(
        "queen", queen.read(str(package), Options()), tmp_path / "queen", title=about.title, licence=about.licence, notices=about.notices,
        drop_non_speech=True, transcribe=None, progress=False, work_folder=tmp_path / "work", source="amazon-queen",
    )  # fmt: skip
    rows = Table(tmp_path / "queen", SAMPLES, read_manifest(tmp_path / "queen")).all().to_pylist()
    assert [r["id"] for r in rows] == sorted(set(SAID) - {"105SSSSS", "116BSSSS"}) and report.counts == {"not speech": 2}
    assert {"LICENSE", "README.txt", "NOTICE"} <= read_manifest(tmp_path / "queen")["files"].keys()


def test_without_the_licence_no_corpus(package, tmp_path):
    (tmp_path / "usr/share/doc/flight-of-the-amazon-queen/copyright").unlink()
    with pytest.raises(NotFound, match="licence must stay"):
        queen.notices(str(package))


def test_what_is_no_archive(tmp_path):
    path = tmp_path / "queen.1c"
    queen._open.cache_clear()
    for data, words in ((b"RIFF....", "no queen.1c"), (archive(MEMBERS, compression=0), "uncompressed"), (archive(MEMBERS)[:60], "breaks off")):
        path.write_bytes(data)
        with pytest.raises(BadInput, match=words):
            list(queen.read(str(path), Options()))
    with pytest.raises(NotFound, match="There is no file"):
        list(queen.read(str(tmp_path / "gone"), Options()))
    (tmp_path / "x.deb").write_bytes(b"no package")
    with pytest.raises(NotFound, match="could not be unpacked"):
        list(queen.read(str(tmp_path / "x.deb"), Options()))


def test_a_clip_cut_off_is_listed(tmp_path):
    path = tmp_path / "queen.1c"
    path.write_bytes(archive(MEMBERS | {"070006J1.SB": mp3(), "070006J2.SB": mp3()})[:-50])
    queen._open.cache_clear()
    found = list(queen.read(str(path), Options()))
    assert found[0].transcript == "Where am I?" and isinstance(found[1], Broken) and "ends before" in found[1].why
