"""What exists, as data: catalog.toml, read once; an entry that cannot be used is a sentence wherever it is asked for, and the rest goes on."""

from __future__ import annotations

from .entries import (
    Catalog,
    CorpusEntry,
    DictionaryEntry,
    HubFiles,
    HubTables,
    ModelEntry,
    PackageFile,
    Suggestion,
    dictionary_revision,
    licence_text,
    model_revision,
)  # fmt: skip
from .reading import check_inside, check_repo, read_catalog

__all__ = [
    "Catalog", "CorpusEntry", "DictionaryEntry", "HubFiles", "HubTables", "ModelEntry", "PackageFile", "Suggestion", "check_inside", "check_repo",
    "dictionary_revision", "licence_text", "model_revision", "read_catalog",
]  # fmt: skip
