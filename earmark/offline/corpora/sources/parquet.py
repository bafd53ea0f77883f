"""Parquet files with a column of audio: one file, a folder of them, or a Hugging Face data set.

A data set is named `owner/name`, or `owner/name:part/part` with parts of the paths of the wanted files, such as
`hf-internal-testing/librispeech_asr_dummy:clean/validation`. Its files are downloaded one by one. The audio column is a struct of
bytes and path, as the datasets library stores it, or plain binary; names of classes are in the schema's metadata. Rows are read
in small batches, so memory stays bounded by one row group.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import pyarrow as pa

from ....errors import BadInput, MissingWeights, NotFound
from ....pages import rows_at_once
from ....raw import ParquetFile, is_list, is_object, parquet_file, part
from ....shelf.hub.download import fetched
from . import NO_LICENCE, About, Broken, Entry, Options, Record, media_type_of, safe_id

C = TypeVar("C")
T = TypeVar("T")

TEXT_COLUMNS = ("text", "transcript", "transcription", "sentence")
CLASS_COLUMNS = ("label", "category", "class_name", "class")
SPEAKER_COLUMNS = ("speaker_id", "speaker", "client_id")
ID_COLUMNS = ("id", "utterance_id", "segment_id")
N_ROWS_A_BATCH = 16
CONVERTED = "refs/convert/parquet"
"""the branch where the Hub keeps a parquet copy of data sets that have none of their own"""


@dataclass(frozen=True)
class _File:
    """One parquet file, fetched when it is its turn."""

    name: str
    fetch: Callable[[], Path]


@dataclass(frozen=True)
class _Columns:
    """Which column holds what."""

    audio: str
    text: str | None
    class_name: str | None
    class_names: tuple[str, ...] | None
    """of an integer column of classes, by number"""
    speaker: str | None
    id: str | None

    def wanted(self) -> list[str]:
        return list(dict.fromkeys(c for c in (self.audio, self.text, self.class_name, self.speaker, self.id) if c))


def about(where: str | None, options: Options) -> About:
    """The data set's name, its licence where its card tells it, and the number of rows of local files."""
    name = named(where)
    if not Path(name).expanduser().exists():
        return About(title=name, licence=licence_of(name, options))
    count = 0
    for file in parquet_files(name, options):
        try:
            count += parquet_file(file.fetch()).metadata.num_rows
        except (pa.ArrowException, OSError):
            count += 1
    return About(title=Path(name).expanduser().resolve().stem, licence=licence_of(name, options), count=count)


def read(where: str | None, options: Options) -> Iterator[Record]:
    """The rows, file by file. Raises NotFound, BadInput (no audio column in the first file), MissingWeights (the Hub)."""
    taken: set[str] = set()
    name = named(where)
    licence = licence_of(name, options)
    for found in opened(name, options, find_columns, N_ROWS_A_BATCH):
        if isinstance(found, Broken):
            yield found
            continue
        file_name, parquet, columns, n_at_once = found
        for row in rows(parquet, columns.wanted(), file_name, n_at_once):
            yield row if isinstance(row, Broken) else _record(row, columns, licence, taken)


def _record(row: Row, columns: _Columns, licence: str, taken: set[str]) -> Record:
    data, path = _sound(row.values[columns.audio])
    if not data:
        return Broken(row.origin, f"The row names the file '{path[:80]}' but does not hold its sound." if path else "The row holds no sound.")
    own = row.values[columns.id] if columns.id else None
    name = str(own) if own not in (None, "") else PurePosixPath(path).stem if path else row.name
    return Entry(
        id=safe_id(name, taken),
        data=data,
        media_type=media_type_of(data),
        transcript=_text(row.values, columns.text),
        class_name=_class(row.values, columns),
        speaker=_text(row.values, columns.speaker),
        origin=row.origin,
        licence=licence,
    )


# -- files and their rows, of sounds and of texts --------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One row of a parquet file."""

    origin: str
    """its file and its number there, from 0"""
    name: str
    """for a row that has no name of its own"""
    values: dict[str, Any]


def opened(name: str, options: Options, find: Callable[[pa.Schema], C], n_at_once: int) -> Iterator[tuple[str, ParquetFile, C, int] | Broken]:
    """(name, file, what `find` makes of its columns, rows that are read at a time: at most n_at_once) of each file.

    Those that cannot be read are told. The BadInput of the first file is raised.
    """
    for number, file in enumerate(parquet_files(name, options)):
        path = file.fetch()
        try:
            parquet = parquet_file(path)
            yield file.name, parquet, find(parquet.schema_arrow), rows_at_once(path, parquet.metadata, n_at_once)
        except (pa.ArrowException, OSError) as error:
            yield Broken(file.name, f"The file cannot be read as parquet ({type(error).__name__}).")
        except ValueError as error:
            yield Broken(file.name, f"The file is not read: {error}.")
        except BadInput as error:
            if number == 0:
                raise
            yield Broken(file.name, str(error))


def rows(parquet: ParquetFile, columns: list[str], file_name: str, n_at_once: int) -> Iterator[Row | Broken]:
    """Some columns of a file's rows, read `n_at_once` at a time; where they cannot be read any further, that is the last that is told."""
    number, stem = -1, PurePosixPath(file_name).with_suffix("").as_posix()
    batches = parquet.iter_batches(batch_size=n_at_once, columns=columns, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
            if batch is not None:
                batch.validate(full=True)  # letters that are none would be found only when they are looked at
        except (pa.ArrowException, OSError) as error:
            yield Broken(f"{file_name}, row {number + 1}", f"The rows from here on cannot be read ({type(error).__name__}).")
            return
        if batch is None:
            return
        for values in batch.to_pylist():
            number += 1
            yield Row(f"{file_name}, row {number}", f"{stem}-{number:06d}", values)


def _sound(value: Any) -> tuple[bytes | None, str]:
    if is_object(value):
        return value.get("bytes"), str(value.get("path") or "")
    return value, ""


def _text(values: dict[str, Any], column: str | None) -> str | None:
    value = values[column] if column else None
    return " ".join(str(value).split()) or None if value is not None else None


def _class(values: dict[str, Any], columns: _Columns) -> str | None:
    value = values[columns.class_name] if columns.class_name else None
    if columns.class_names is not None and isinstance(value, int):
        return columns.class_names[value] if 0 <= value < len(columns.class_names) else None
    return str(value) if value is not None else None


def find_columns(schema: pa.Schema) -> _Columns:
    """Which columns of a parquet file hold what. Raises BadInput when none holds sound."""
    try:
        told = part(part(json.loads((schema.metadata or {}).get(b"huggingface", b"{}")), "info"), "features")
    except ValueError:
        told = {}
    features = {name: f for name, f in told.items() if is_object(f) and name in schema.names}
    fitting = [name for name, type_ in zip(schema.names, schema.types, strict=True) if _holds_bytes(type_)]
    first = [name for name in fitting if features.get(name, {}).get("_type") == "Audio"] + [name for name in fitting if name == "audio"]
    audio = next(iter(first + fitting), None)
    if audio is None:
        raise BadInput(
            f"The parquet file has no column of audio; its columns are {', '.join(schema.names[:12]) or 'none'}. "
            "A column of binary, or of struct with bytes and path, is needed."
        )
    labels = [name for name, f in features.items() if f.get("_type") == "ClassLabel" and isinstance(f.get("names"), list)]
    class_name = next(iter(sorted(labels, key=lambda n: n not in CLASS_COLUMNS)), None) or first_of(schema, CLASS_COLUMNS)
    names = tuple(map(str, features[class_name]["names"])) if class_name in labels else None
    return _Columns(audio, first_of(schema, TEXT_COLUMNS), class_name, names, first_of(schema, SPEAKER_COLUMNS), first_of(schema, ID_COLUMNS))


def _holds_bytes(type_: pa.DataType) -> bool:
    if pa.types.is_struct(type_):
        parts: list[pa.Field[Any]] = list(type_)
        return any(p.name == "bytes" and _holds_bytes(p.type) for p in parts)
    return pa.types.is_binary(type_) or pa.types.is_large_binary(type_)


def first_of(schema: pa.Schema, wanted: tuple[str, ...]) -> str | None:
    plain = [name for name, type_ in zip(schema.names, schema.types, strict=True) if not pa.types.is_nested(type_)]
    return next((name for name in wanted if name in plain), None)


def named(where: str | None) -> str:
    if not where:
        raise NotFound("Name a parquet file, a folder of them, or a Hugging Face data set as owner/name.")
    return where


def parquet_files(name: str, options: Options) -> list[_File]:
    path = Path(name).expanduser()
    if path.is_file():
        return [_File(path.name, lambda: path)]
    if path.is_dir():
        found = sorted(path.rglob("*.parquet"))
        if not found:
            raise NotFound(f"The folder '{name}' holds no parquet files.")
        return [_File(p.relative_to(path).as_posix(), lambda p=p: p) for p in found]
    repo, _, parts = name.partition(":")
    if repo.count("/") != 1 or name.startswith((".", "/", "~")) or name.endswith(".parquet"):
        raise NotFound(f"There is no parquet file or folder '{name}', and it is no name of a Hugging Face data set (owner/name).")
    return _hub_files(repo, [p for p in parts.split("/") if p], options)


def _parquet_names(repo: str, revision: str | None) -> list[str]:
    from huggingface_hub import HfApi

    listed = _ask_hub(repo, lambda: HfApi().list_repo_files(repo, repo_type="dataset", revision=revision), None if revision is None else [])
    return sorted(n for n in listed if n.endswith(".parquet"))


def _hub_files(repo: str, parts: list[str], options: Options) -> list[_File]:
    if options.offline:
        raise MissingWeights(f"The data set '{repo}' is on the Hub, and EARMARK_OFFLINE keeps Earmark from asking it. Give parquet files by their path.")
    revision: str | None = None
    names = _parquet_names(repo, revision)
    if not names:
        revision = CONVERTED
        names = _parquet_names(repo, revision)
    chosen = [n for n in names if all(part in n for part in parts)]
    if not chosen:
        have = f" It has {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}." if names else ""
        raise NotFound(f"The data set '{repo}' has no parquet files{' whose path contains ' + ' and '.join(parts) if parts else ''}.{have}")

    def fetch(name: str) -> Path:
        return _ask_hub(repo, lambda: fetched(repo, name, "dataset", revision))

    return [_File(f"{repo}/{n}", lambda n=n: fetch(n)) for n in chosen]


def _ask_hub(repo: str, ask: Callable[[], T], missing: T | None = None) -> T:
    """What the Hub answers; `missing`, where one is given, for a revision that it lacks."""
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        return ask()
    except Exception as error:  # noqa: BLE001 what a failed connection raises differs between versions of huggingface_hub
        if missing is not None and isinstance(error, RevisionNotFoundError):
            return missing
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise MissingWeights(
            f"The data set '{repo}' cannot be had from the Hub ({reason}). Check its name and the connection, log in if it is "
            "gated, or give parquet files by their path."
        ) from None


def licence_of(name: str, options: Options) -> str:
    """What the options say, else what the data set's card says."""
    repo = name.partition(":")[0]
    if options.licence or options.offline or Path(name).expanduser().exists() or repo.count("/") != 1:
        return options.licence or NO_LICENCE
    from huggingface_hub import HfApi

    card = _ask_hub(repo, lambda: HfApi().dataset_info(repo)).card_data
    licence: object = card.get("license") if card is not None else None
    return ", ".join(map(str, licence)) if is_list(licence) else str(licence or NO_LICENCE)
