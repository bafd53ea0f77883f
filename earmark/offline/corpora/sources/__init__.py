"""Where a corpus's sounds come from: one module a kind of source, listed in `SOURCES`.

A module gives two functions, both taking where the source lies (a path, a name, or None) and the same `Options`:

- `read(where, options)` yields an `Entry` for each sound and a `Broken` for each record that cannot be used, in an order that
  is the same every time;
- `about(where, options)` says what is known of the whole before reading it.

What is wrong with the source as a whole (no such folder, no audio column) is raised as an EarmarkError; what is wrong with one
record is yielded as `Broken`, so that the rest goes on.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from ....errors import unknown
from ....speech import Speech

MAX_ID = 100
"""characters of an id before what makes it unique is appended"""


@dataclass(frozen=True)
class Entry:
    """One sound as its source has it."""

    id: str
    """unique within the source: letters, digits, '.', '_' and '-'"""
    data: bytes
    """the sound file's bytes, never changed"""
    media_type: str
    transcript: str | None
    """what is said, from the source; None where it does not tell"""
    class_name: str | None
    speaker: str | None
    origin: str
    """the file or record that it comes from"""
    licence: str
    speech: Speech | None = None
    """words and phones with their times, where the source has them"""


@dataclass(frozen=True)
class Broken:
    """A record that is no sound, or tells of one that is not there."""

    origin: str
    why: str
    """a sentence"""


Record = Entry | Broken


@dataclass(frozen=True)
class Options:
    """What a source may be told; those that a source has no use for are ignored."""

    table: Path | None = None
    """folder: the csv or tsv file that names transcripts or classes"""
    licence: str | None = None
    """licence of every entry, where the source does not say"""
    offline: bool = False
    """never ask the Hub"""


@dataclass(frozen=True)
class About:
    """What a source says of itself."""

    title: str
    licence: str
    count: int | None = None
    """number of records, for the progress bar; None where it is not known beforehand"""
    notices: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """{file name: contents} that must lie beside the corpus"""


class Module(Protocol):
    """What each module in this folder gives."""

    def read(self, where: str | None, options: Options) -> Iterator[Record]: ...

    def about(self, where: str | None, options: Options) -> About: ...


# name on the command line, module, help
SOURCES: tuple[tuple[str, str, str], ...] = (
    ("folder", "folder", "a folder of sound files, with transcripts beside them or in a csv"),
    ("parquet", "parquet", "parquet files with a column of audio, or a Hugging Face audio data set (owner/name)"),
    ("amazon-queen", "amazon_queen", "the speech of the game Flight of the Amazon Queen, from Debian's package"),
)

NO_LICENCE = "not stated"
EFFECT = "sound effect"
"""class of the sounds that a source knows to be no speech"""

_STARTS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AIFF", "audio/aiff"),
    (4, b"ftyp", "audio/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "audio/webm"),
)


def source(name: str) -> Module:
    """The module of a source. Raises NotFound for a name that is not in SOURCES."""
    modules = {n: module for n, module, _ in SOURCES}
    if name not in modules:
        raise unknown("source", name, modules)
    return cast(Module, importlib.import_module(f"{__name__}.{modules[name]}"))


def media_type_of(data: bytes) -> str:
    """A sound file's media type by its first bytes; application/octet-stream when they tell nothing."""
    for at, start, media_type in _STARTS:
        if data[at : at + len(start)] == start:
            return media_type
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:  # an MPEG frame; layer 0 is AAC's
        return "audio/mpeg" if data[1] & 0x06 else "audio/aac"
    return "application/octet-stream"


def safe_id(text: str, taken: set[str]) -> str:
    """An id made of letters, digits, '.', '_' and '-' only, not yet in `taken`, to which it is added.

    Accents are dropped. Where other letters had to be dropped or the text is long, six digits of its hash keep ids apart and
    the same in every run.
    """
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.")
    if not name or len(name) > MAX_ID or not plain.isascii():
        name = f"{name[:MAX_ID]}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}".lstrip("-")
    return unique_id(name, taken)


def unique_id(name: str, taken: set[str]) -> str:
    """The id itself, or with '-2' and so on when it is in `taken`, to which what is returned is added."""
    fresh = name
    if name in taken:
        last, free = 1, 2
        while f"{name}-{free}" in taken:
            last, free = free, 2 * free
        while free - last > 1:  # a million of the same name would else be looked through a million times
            middle = (last + free) // 2
            last, free = (middle, free) if f"{name}-{middle}" in taken else (last, middle)
        fresh = f"{name}-{free}"
    taken.add(fresh)
    return fresh
