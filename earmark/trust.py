"""Files of the shelf, looked at before anybody relies on them: they lie where they say, are what their manifest names, and unpack to what memory has room for.

A manifest from elsewhere may vouch for anything, and a folder from elsewhere may hold links.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import BadTable
from .pages import chunks, together
from .raw import ParquetFile


def file_in(folder: Path, name: str, within: Path | None = None) -> Path:
    """The path of a folder's file, which may not be there. Raises BadTable for what is no file, and for a link that leads out of the data folder.

    within: where links may lead, if that is not what the folder lies in. The folder itself may be a link: it lies beside the catalog, its owner's work.
    """
    path, told = folder / name, f"'{folder.name}/{name[:80]}'"
    try:
        real, homes = Path(os.path.realpath(path)), [Path(os.path.realpath(home)) for home in (within or folder.parent, folder)]
        if not any(real.is_relative_to(home) for home in homes):
            raise BadTable(f"{told} is a link that leads out of the data folder, and is not followed. Put the file itself there.")
        if real.exists() and not real.is_file():
            raise BadTable(f"{told} is no file. Fetch or build it again.")
    except (OSError, ValueError) as error:
        raise BadTable(f"{told} cannot be read ({type(error).__name__}). Fetch or build it again.") from None
    return path


def sha256_of(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def check_weight(table: str, groups: Iterable[tuple[Path, ParquetFile, int]], columns: Sequence[str] | None) -> None:
    """Some columns of row groups, each of one of a table's files, which are about to be read. Raises BadTable where they would unpack to more than they may."""
    read = together([chunk for path, file, group in groups for chunk in chunks(path, file.metadata, group, columns)])
    try:
        read.check(f"what is read of the table {table}")
    except ValueError as error:
        raise BadTable(f"{str(error)[:1].upper()}{str(error)[1:]}, more than a table of its size can hold. Fetch or build it again.") from None
