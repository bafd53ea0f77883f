"""The speech of the game Flight of the Amazon Queen (1995), from Debian's package `flight-of-the-amazon-queen`.

Its `queen.1c` is a flat archive whose `.SB` members are MP3 files: 6,745 clips, 4.6 hours, many actors, 11,025 Hz. The lines that
the clips speak stand in three other kinds of members, and a clip's name says which line it is:

- `.DOG`, dialogues: talk key (two digits), the line's number (four hex digits), J (Joe) or P (the other person), then the segment.
  `SSSSJ` is Joe's opening, `XXXXJ` and `XXXXP` are the greetings of people who have met before.
- `.CUT`, scenes: the scene's name padded with '_' to five letters, the number of the scene's object (two digits), the segment.
- `QUEEN2.JAS`, what Joe says about things: JOE, four digits (his 40 standing answers, then the descriptions), the segment.

Segments count from 1 in hex; a line is cut into segments at its commands: '*' with two letters or digits, such as *14, *FL or
*XY00(237,112). The format is known from the sources of ScummVM, which plays the game: engines/queen/resource.cpp (archive), talk.cpp
(dialogues, commands), cutaway.cpp (scenes), logic.cpp (descriptions), sound.cpp (names of clips). A clip whose name
fits two different lines, a caption of the game's panel, and a line without words get no transcript: none is better than a wrong one.
"""

from __future__ import annotations

import gzip
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ....errors import BadInput, NotFound
from . import EFFECT, About, Broken, Entry, Options, Record, media_type_of

PACKAGE = "flight-of-the-amazon-queen"
INSTALLED = Path("/usr/share/scummvm") / PACKAGE / "queen.1c"
TITLE = "Flight of the Amazon Queen (speech)"
LICENCE = "Flight of the Amazon Queen licence"

N_HEADER = 20
"""bytes before the contents of .DOG, .CUT and QUEEN.JAS members"""
N_ANSWERS, N_ANSWERS_SPOKEN = 40, 29
"""Joe's standing answers; those after the 29th are captions of the panel"""
N_VERBS = 12
SILENT_COMMANDS = ("GD", "GM")
"""Joe bends or reaches; the text before them is not spoken"""
N_LEVEL = 96
"""bytes of one level of a dialogue's tree"""

MISREAD = ("400006J1",)
"""clips that speak only a part of their line, found among those with the most letters a second"""

_EFFECT_NAME = re.compile(r"(?=.{8}$)\d{1,4}[A-C]?S{3,7}")
_NO_WORDS = re.compile(r"<[^>]*>|\([^)]*\)")
_SIGNS = re.compile(r"\^_|@@")
"""in the game's font a trade mark sign and notes"""
_PLAIN = re.compile(r"[A-Za-z0-9 .,;:!?'\"-]+")

NOTICE = """Flight of the Amazon Queen (C) 1995 John Passfield and Steven Stamatiadis

THIS IS A MODIFIED VERSION: EXCERPTS. It holds only the speech of the game, taken out of its archive (queen.1c of the Debian
package flight-of-the-amazon-queen) as separate clips. The sound of each clip is unchanged, as the MP3 file that the archive holds;
transcripts and spectrogram pictures were added beside it.

All game content is by John Passfield and Steven Stamatiadis. It is not under Earmark's own licence, but under the licence of
the game, which stands in the files LICENSE and README.txt beside this one: they have to stay with it. No fee is charged for it, and
none may be charged for the game itself. It is provided "as is", without any warranty.
"""


@dataclass(frozen=True)
class Archive:
    """queen.1c in memory."""

    data: bytes
    members: dict[str, tuple[int, int]]
    """{name: (offset, size)}"""

    def member(self, name: str) -> bytes:
        offset, size = self.members[name]
        return self.data[offset : offset + size]

    def clips(self) -> list[str]:
        return sorted(name.removesuffix(".SB") for name in self.members if name.endswith(".SB"))


@dataclass(frozen=True)
class Line:
    """What a clip says."""

    text: str | None
    """None where the script doesn't tell for certain"""
    by_joe: bool


@dataclass(frozen=True)
class _Game:
    archive: Archive
    copyright: bytes | None
    readme: bytes | None


def about(where: str | None, options: Options) -> About:
    """Title, licence, number of clips and the notices. Raises what `read` raises, and NotFound without the licence's files."""
    return About(TITLE, LICENCE, len(_open(where).archive.clips()), notices(where))


def read(where: str | None, options: Options) -> Iterator[Record]:
    """The clips by name, effects included (class EFFECT). `where`: queen.1c, the .deb, a folder, or None to look for it.

    Raises NotFound when there is no such file or it cannot be downloaded, BadInput when it is something else.
    """
    archive = _open(where).archive
    lines = script(archive)
    for name in archive.clips():
        origin = f"queen.1c, {name}.SB"
        data = archive.member(f"{name}.SB")
        if len(data) < archive.members[f"{name}.SB"][1]:
            yield Broken(origin, "The archive ends before the clip does.")
            continue
        line = lines.get(name)
        yield Entry(
            id=name,
            data=data,
            media_type=media_type_of(data),
            transcript=line.text if line and name not in MISREAD else None,
            class_name=EFFECT if line is None and _EFFECT_NAME.fullmatch(name) else None,
            speaker="Joe" if line and line.by_joe else None,
            origin=origin,
            licence=LICENCE,
        )


def notices(where: str | None) -> dict[str, bytes]:
    """The files that the game's licence wants beside the clips: LICENSE, README.txt, NOTICE. Raises NotFound without them."""
    game = _open(where)
    if game.copyright is None or game.readme is None:
        raise NotFound(
            "The game's licence must stay with its speech, but the files 'copyright' and 'readme.txt' of Debian's package are neither beside "
            "queen.1c nor under ../../doc. Give the .deb instead, or put them there."
        )
    return {"LICENSE": game.copyright, "README.txt": game.readme, "NOTICE": NOTICE.encode()}


# -- finding the archive -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _open(where: str | None) -> _Game:
    if where is None and INSTALLED.is_file():
        return _load(INSTALLED)
    path = Path(where).expanduser() if where is not None else None
    if path is not None and not path.exists():
        raise NotFound(f"There is no file '{where}'. Name queen.1c, the .deb of Debian's package {PACKAGE}, or nothing to have it downloaded.")
    if path is not None and path.is_file() and path.suffix != ".deb":
        return _load(path)
    with tempfile.TemporaryDirectory() as temporary:
        folder = path if path is not None and path.is_dir() else _unpack(path or _download(Path(temporary)), Path(temporary, "x"))
        found = sorted(folder.rglob("queen.1c"))
        if not found:
            raise NotFound(f"'{path or PACKAGE}' holds no queen.1c. Name that file, or the .deb of Debian's package {PACKAGE}.")
        return _load(found[0])


def _load(path: Path) -> _Game:
    docs = [path.parent] + ([path.parents[2] / "doc" / PACKAGE] if len(path.resolve().parents) > 2 else [])
    packed, plain, licence = (next((d / n for d in docs if (d / n).is_file()), None) for n in ("readme.txt.gz", "readme.txt", "copyright"))
    readme = gzip.decompress(packed.read_bytes()) if packed else plain.read_bytes() if plain else None
    return _Game(parse(path.read_bytes()), licence.read_bytes() if licence else None, readme)


def _download(folder: Path) -> Path:
    _run(["apt-get", "download", PACKAGE], folder, f"Debian's package {PACKAGE} could not be downloaded")
    return next(folder.glob("*.deb"))


def _unpack(package: Path, target: Path) -> Path:
    _run(["dpkg-deb", "-x", str(package.resolve()), str(target)], target.parent, f"The package '{package.name}' could not be unpacked")
    return target


def _run(command: list[str], folder: Path, failure: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1] if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"{command[0]}: {type(error).__name__}"
    if reason:
        raise NotFound(f"{failure} ({reason[:200]}). Get it on a Debian machine, or from packages.debian.org, and give the path of the .deb or of queen.1c.")


# -- the archive and the script ------------------------------------------------------------------------------------------


def parse(data: bytes) -> Archive:
    """The archive's table: 'QTBL', version, compression (byte 12), u16 count, then name[12], u8 bundle, u32 offset, u32 size; big-endian.

    Raises BadInput for anything else, and for the original disc's archive, whose clips are not MP3.
    """
    if data[:4] != b"QTBL" or len(data) < 15:
        raise BadInput(f"The file is no queen.1c: it starts with {data[:4]!r} instead of b'QTBL'. Take it from Debian's package {PACKAGE}.")
    if data[12] == 0:
        raise BadInput(f"This queen.1c holds uncompressed sound, which is not read. Take the one from Debian's package {PACKAGE}.")
    try:
        rows = [struct.unpack_from(">12sBII", data, 15 + 21 * i) for i in range(struct.unpack_from(">H", data, 13)[0])]
    except struct.error:
        raise BadInput("The queen.1c breaks off within its table of contents. Download it again.") from None
    return Archive(data, {name.split(b"\0")[0].decode("ascii", "replace"): (offset, size) for name, _, offset, size in rows})


def script(archive: Archive) -> dict[str, Line]:
    """{clip's name: its line} for every line of the game's script, whether or not there is such a clip."""
    told: dict[str, set[Line]] = {}
    for name in sorted(archive.members):
        parts = {".DOG": _dialogue, ".CUT": _scene}.get(name[-4:].upper())
        try:
            for prefix, sentence, by_joe in parts(name, archive.member(name)[N_HEADER:]) if parts else ():
                _add(told, prefix, sentence, by_joe)
        except (struct.error, IndexError):
            continue  # what a damaged member would have told is missing, and its clips go without
    for prefix, sentence in _descriptions(archive):
        _add(told, prefix, sentence, True)
    return {name: next(iter(lines)) if len(lines) == 1 else Line(None, all(x.by_joe for x in lines)) for name, lines in told.items()}


def _add(told: dict[str, set[Line]], prefix: str, sentence: str, by_joe: bool) -> None:
    for number, text in segments(sentence):
        name = f"{prefix}{number:x}"
        told.setdefault((name[:8].replace(" ", "0") + name[8:]).upper(), set()).add(Line(spoken(text), by_joe))


def segments(sentence: str) -> list[tuple[int, str]]:
    """A line cut at its commands: [(number from 1, text)], without the parts that are not spoken."""
    parts: list[tuple[int, str]] = []
    start, at, number = 0, 0, 1
    while (star := sentence.find("*", at)) >= 0:
        command = sentence[star + 1 : star + 3]
        if command not in SILENT_COMMANDS:
            parts.append((number, sentence[start:star]))
        number += 1
        start = at = star + (14 if command == "XY" else 3)
    return [*parts, (number, sentence[start:])] if start < len(sentence) else parts


def spoken(text: str) -> str | None:
    """A segment's words; None for noises in brackets, captions and curses in symbols."""
    text = " ".join(_SIGNS.sub("", text).split())
    if not _PLAIN.fullmatch(text) or not any(c.isalnum() for c in _NO_WORDS.sub("", text)):
        return None
    return text


def _text(data: bytes, at: int, align: int = 2) -> tuple[str, int]:
    """A string with its length before it, and where the next thing begins."""
    n, at = data[at], at + 1
    return data[at : at + n].decode("cp850"), -(-(at + n) // align) * align if n else at


def _dialogue(name: str, data: bytes) -> Iterator[tuple[str, str, bool]]:
    levels, _, key, n_joe, n_person = struct.unpack_from(">5h", data, 0)
    person, _, greetings = struct.unpack_from(">3H", data, 22)
    joe = 32 + abs(levels) * N_LEVEL
    for letter, at, n in (("J", joe, n_joe), ("P", person, n_person)):
        for _ in range(n):
            (number,) = struct.unpack_from(">h", data, at + 2)
            text, at = _text(data, at + 4, align=4)
            if number >= 0:
                yield f"{key:2d}{number:4x}{letter}", text, letter == "J"
    if struct.unpack_from(">H", data, joe + 2)[0] == 0:
        opening = _text(data, joe + 4)[0]
        if not opening.startswith("0"):
            yield f"{key:2d}SSSSJ", opening, True
    text, at = _text(data, greetings)
    for letter, greeting in (("P", text), ("J", _text(data, at)[0])):
        if not greeting.startswith("0"):
            yield f"{key:2d}XXXX{letter}", greeting, letter == "J"


def _scene(name: str, data: bytes) -> Iterator[tuple[str, str, bool]]:
    n_objects = abs(struct.unpack_from(">h", data, 2)[0])
    _, at = _text(data, struct.unpack_from(">H", data, 8)[0])
    for number in range(1, n_objects + 1):
        sentence, at = _text(data, at)
        if sentence != "*" and not sentence.startswith("#"):
            yield f"{name[:-4].ljust(5, '_')}{number:02d}", sentence, False


def _descriptions(archive: Archive) -> Iterator[tuple[str, str]]:
    if not {"QUEEN.JAS", "QUEEN2.JAS"} <= archive.members.keys():
        return
    n_rooms, n_names, _, n_descriptions = struct.unpack_from(">4H", archive.member("QUEEN.JAS"), N_HEADER)
    lines = archive.member("QUEEN2.JAS").decode("cp850").splitlines()
    answers = n_descriptions + n_names + n_rooms + N_VERBS
    for number, line in enumerate(lines[answers : answers + N_ANSWERS_SPOKEN], start=1):
        yield f"JOE{number:04d}", line
    for number, line in enumerate(lines[:n_descriptions], start=N_ANSWERS + 1):
        if not line.upper().endswith((".CUT", ".DOG")):
            yield f"JOE{number:04d}", line
