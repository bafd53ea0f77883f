"""A folder of sound files, read recursively in the order of their paths.

Transcripts, classes and speakers come from, in this order: a csv or tsv table (`--table`, or one that is found under a usual
name, such as ESC-50's meta/esc50.csv and Common Voice's validated.tsv), LibriSpeech's `*.trans.txt`, a text file of the same
name beside the sound, the words of an alignment. Files that no table names are taken too, without a transcript. Alignments (HTK and
festvox labels, TextGrids, CTM) lie beside the sound under its name.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ....errors import BadInput, NotFound
from ....inputs.annotations import read_beside
from . import NO_LICENCE, About, Broken, Entry, Options, Record, media_type_of, safe_id

SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".webm", ".aac")
TABLES = ("metadata.csv", "metadata.tsv", "esc50.csv", "validated.tsv", "transcripts.csv", "transcripts.tsv", "UrbanSound8K.csv")
FILE_COLUMNS = ("file", "filename", "file_name", "path", "slice_file_name")
TEXT_COLUMNS = ("transcript", "transcription", "text", "sentence")
CLASS_COLUMNS = ("class_name", "class", "category", "label")
SPEAKER_COLUMNS = ("speaker", "speaker_id", "client_id")
LICENCE_FILES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING", "README", "README.txt", "README.md", "NOTICE")


@dataclass(frozen=True)
class _Told:
    """What a table or a transcript file says of one sound."""

    transcript: str | None = None
    class_name: str | None = None
    speaker: str | None = None


@dataclass
class _Index:
    """What is told of the files of one folder."""

    by_path: dict[str, _Told] = field(default_factory=dict[str, _Told])
    """by the real path of the file"""
    by_stem: dict[str, _Told] = field(default_factory=dict[str, _Told])
    """by the folder and the stem, for LibriSpeech"""
    broken: list[Broken] = field(default_factory=list[Broken])


def about(where: str | None, options: Options) -> About:
    """Title, number of sounds, and the licence and readme files at the top of the folder. Raises NotFound, BadInput."""
    root = _root(where)
    notices = {name: (root / name).read_bytes() for name in LICENCE_FILES if (root / name).is_file()}
    return About(title=root.name, licence=options.licence or NO_LICENCE, count=len(_sounds(root)), notices=notices)


def read(where: str | None, options: Options) -> Iterator[Record]:
    """The folder's sounds. Raises NotFound without the folder or the table, BadInput without a sound or with a useless table."""
    root = _root(where)
    sounds = _sounds(root)
    if not sounds:
        raise BadInput(f"'{root}' holds no sound files. Sounds end in {', '.join(SUFFIXES)}.")
    index = _index(root, sounds, options.table)
    yield from index.broken
    taken: set[str] = set()
    for path in sounds:
        name = path.relative_to(root).as_posix()
        origin = name.encode("utf-8", "replace").decode()
        try:
            told, data = _told(path, index), path.read_bytes()
        except OSError as error:
            yield Broken(origin, f"The file cannot be read ({error.strerror}).")
            continue
        speech = None
        try:
            speech = read_beside(path)
        except BadInput as error:
            yield Broken(origin, f"{error} The sound stays, without it.")
        words = " ".join(w.text for w in speech.words) if speech else None
        yield Entry(
            id=safe_id(name[: -len(path.suffix)], taken),
            data=data,
            media_type=media_type_of(data),
            transcript=told.transcript or words or None,
            class_name=told.class_name,
            speaker=told.speaker,
            origin=origin,
            licence=options.licence or NO_LICENCE,
            speech=speech,
        )


def _root(where: str | None) -> Path:
    root = Path(where or "").expanduser()
    if where is None or not root.is_dir():
        raise NotFound(f"There is no folder '{where}'. Name a folder that holds sound files ({', '.join(SUFFIXES)}).")
    return root.resolve()


def _sounds(root: Path) -> list[Path]:
    return [p for p in _files(root) if p.suffix.lower() in SUFFIXES]


def _files(root: Path) -> list[Path]:
    """Every file below the folder, sorted, without hidden ones."""
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".")]
        found += [Path(folder, n) for n in names if not n.startswith(".")]
    return sorted(found, key=lambda p: p.relative_to(root).parts)


def _told(path: Path, index: _Index) -> _Told:
    told = index.by_path.get(str(path)) or _Told()
    beside = index.by_stem.get(str(path.with_suffix(""))) or _Told()
    transcript = told.transcript or beside.transcript
    text = path.with_suffix(".txt")
    if transcript is None and text.is_file():
        transcript = _clean(text.read_text(encoding="utf-8", errors="replace"))
    return _Told(transcript, told.class_name, told.speaker or beside.speaker)


def _clean(text: str | None) -> str | None:
    """White space made single; None for nothing."""
    return " ".join((text or "").removeprefix("\ufeff").split()) or None


def _index(root: Path, sounds: list[Path], table: Path | None) -> _Index:
    index = _Index()
    if table is not None:
        if not table.is_file():
            raise NotFound(f"There is no table '{table}'. Name a csv or tsv file with a column {' or '.join(FILE_COLUMNS)}.")
        _read_table(table.resolve(), root, sounds, index)
    for path in _files(root):
        if table is None and path.name in TABLES:
            try:
                _read_table(path, root, sounds, index)
            except BadInput as error:
                index.broken.append(Broken(path.relative_to(root).as_posix(), str(error)))
        elif path.name.endswith(".trans.txt"):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                name, _, text = line.partition(" ")
                index.by_stem[str(path.parent / name)] = _Told(_clean(text), speaker=name.split("-")[0] or None)
    return index


def _read_table(table: Path, root: Path, sounds: list[Path], index: _Index) -> None:
    """Adds a table's rows to the index. Raises BadInput when it names no files, or nothing about them."""
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as f:
        tabs = "\t" in f.readline()
        f.seek(0)
        try:
            rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.DictReader(f))
        except csv.Error as error:
            raise BadInput(f"The table '{table.name}' cannot be read ({error}). It must be a csv or tsv file.") from None
    columns = {str(c).strip().lower(): c for c in (rows[0] if rows else {}) if c is not None}
    names, texts, classes, speakers = (_column(columns, n) for n in (FILE_COLUMNS, TEXT_COLUMNS, CLASS_COLUMNS, SPEAKER_COLUMNS))
    if names is None or (texts is None and classes is None):
        raise BadInput(
            f"The table '{table.name}' has the columns {', '.join(columns) or 'none'}; it needs one of {', '.join(FILE_COLUMNS)}, "
            f"and one of {', '.join(TEXT_COLUMNS)} or of {', '.join(CLASS_COLUMNS)}."
        )
    known = {str(p) for p in sounds}
    by_name: dict[str, list[str]] = {}
    for path in sounds:
        by_name.setdefault(path.name, []).append(str(path))
    for number, row in enumerate(rows, start=2):
        name = (row[names] or "").strip()
        here = [str(p) for p in (table.parent / name, root / name) if str(p) in known] or by_name.get(Path(name).name, [])
        if not name or len(set(here)) != 1:
            why = "no such sound file is in the folder" if not here else "several files have that name; give its folder too"
            index.broken.append(Broken(f"{table.name}, line {number}", f"The table names '{name[:80]}', but {why}."))
            continue
        index.by_path[here[0]] = _Told(*(_clean(row[c]) if c is not None else None for c in (texts, classes, speakers)))


def _column(columns: dict[str, str], wanted: tuple[str, ...]) -> str | None:
    return next((columns[w.lower()] for w in wanted if w.lower() in columns), None)
