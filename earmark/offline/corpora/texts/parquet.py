"""Parquet files with a column of text: one file, a folder of them, or a Hugging Face data set, named as for sounds. Each row is one text."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

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


def about(where: str | None, options: Options) -> About:
    """The data set's name, its licence where its card tells it, and the number of rows of local files."""
    return sounds.about(where, options)


def read(where: str | None, options: Options) -> Iterator[TextRecord]:
    """The rows, file by file. Raises NotFound, BadInput (no column of text in the first file), MissingWeights (the Hub)."""
    taken: set[str] = set()
    name = sounds.named(where)
    licence = sounds.licence_of(name, options)
    for number, file in enumerate(sounds.parquet_files(name, options)):
        try:
            parquet = pq.ParquetFile(file.fetch())
            text = _text_column(parquet.schema_arrow)
        except (pa.ArrowException, OSError) as error:
            yield Broken(file.name, f"The file cannot be read as parquet ({type(error).__name__}).")
            continue
        except BadInput as error:
            if number == 0:
                raise
            yield Broken(file.name, str(error))
            continue
        yield from _rows(parquet, text, file.name, licence, taken)


def _text_column(schema: pa.Schema) -> str:
    strings = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    found = next((name for name in TEXT_COLUMNS if name in strings), strings[0] if len(strings) == 1 else None)
    if found is None:
        raise BadInput(
            f"The parquet file has no column of text; its columns are {', '.join(schema.names[:12]) or 'none'}. "
            f"One of {', '.join(TEXT_COLUMNS)} is needed, or a single column of strings."
        )
    return found


def _rows(parquet: pq.ParquetFile, text: str, file_name: str, licence: str, taken: set[str]) -> Iterator[TextRecord]:
    author, title, own, own_licence = (sounds.first_of(parquet.schema_arrow, names) for names in (AUTHOR_COLUMNS, TITLE_COLUMNS, ID_COLUMNS, LICENCE_COLUMNS))
    wanted = list(dict.fromkeys(c for c in (text, author, title, own, own_licence) if c))
    row = -1
    batches = parquet.iter_batches(batch_size=N_ROWS_A_BATCH, columns=wanted, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            yield Broken(f"{file_name}, row {row + 1}", f"The rows from here on cannot be read ({type(error).__name__}).")
            return
        if batch is None:
            return
        for values in batch.to_pylist():
            row += 1
            origin = f"{file_name}, row {row}"
            told = {column: str(value).strip() for column, value in values.items() if value is not None}
            if not told.get(text):
                yield Broken(origin, "The row holds no text.")
                continue
            name = told.get(own or "") or f"{file_name.removesuffix('.parquet')}-{row:06d}"
            yield Document(
                id=safe_id(name, taken),
                text=str(values[text]),
                author=told.get(author or ""),
                title=told.get(title or ""),
                origin=origin,
                licence=told.get(own_licence or "") or licence,
            )
