"""Parquet files with a column of text: one file, a folder of them, or a Hugging Face data set, named as for sounds. Each row is one text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from ....errors import BadInput
from ..sources import About, Broken, Options, safe_id
from ..sources import parquet as sounds
from . import Document, TextRecord

TEXT_COLUMNS = ("text", "content", "document", "article", "body", "sentence")
AUTHOR_COLUMNS = ("author", "authors", "speaker")
TITLE_COLUMNS = ("title", "name", "book", "url", "source")
ID_COLUMNS = ("id", "doc_id", "url")
LICENCE_COLUMNS = ("licence", "license")
N_ROWS_A_BATCH = 64


@dataclass(frozen=True)
class _Columns:
    """Which column holds what."""

    text: str
    author: str | None
    title: str | None
    id: str | None
    licence: str | None

    def wanted(self) -> list[str]:
        return list(dict.fromkeys(c for c in (self.text, self.author, self.title, self.id, self.licence) if c))


def about(where: str | None, options: Options) -> About:
    """The data set's name, its licence where its card tells it, and the number of rows of local files."""
    return sounds.about(where, options)


def read(where: str | None, options: Options) -> Iterator[TextRecord]:
    """The rows, file by file. Raises NotFound, BadInput (no column of text in the first file), MissingWeights (the Hub)."""
    taken: set[str] = set()
    name = sounds.named(where)
    licence = sounds.licence_of(name, options)
    for found in sounds.opened(name, options, find_columns, N_ROWS_A_BATCH):
        if isinstance(found, Broken):
            yield found
            continue
        file_name, parquet, columns, n_at_once = found
        for row in sounds.rows(parquet, columns.wanted(), file_name, n_at_once):
            yield row if isinstance(row, Broken) else _document(row, columns, licence, taken)


def find_columns(schema: pa.Schema) -> _Columns:
    """Which columns of a parquet file hold what. Raises BadInput when none holds text."""
    columns = zip(schema.names, schema.types, strict=True)
    strings = [name for name, type_ in columns if pa.types.is_string(type_) or pa.types.is_large_string(type_)]
    text = next((name for name in TEXT_COLUMNS if name in strings), strings[0] if len(strings) == 1 else None)
    if text is None:
        raise BadInput(
            f"The parquet file has no column of text; its columns are {', '.join(schema.names[:12]) or 'none'}. "
            f"One of {', '.join(TEXT_COLUMNS)} is needed, or a single column of strings."
        )
    author, title, own, licence = (sounds.first_of(schema, names) for names in (AUTHOR_COLUMNS, TITLE_COLUMNS, ID_COLUMNS, LICENCE_COLUMNS))
    return _Columns(text, author, title, own, licence)


def _document(row: sounds.Row, columns: _Columns, licence: str, taken: set[str]) -> TextRecord:
    told = {column: str(value).strip() for column, value in row.values.items() if value is not None}
    if not told.get(columns.text):
        return Broken(row.origin, "The row holds no text.")
    return Document(
        id=safe_id(told.get(columns.id or "") or row.name, taken),
        text=str(row.values[columns.text]),
        author=told.get(columns.author or ""),
        title=told.get(columns.title or ""),
        origin=row.origin,
        licence=told.get(columns.licence or "") or licence,
    )
