"""A folder of .txt and .md files in UTF-8, read recursively in the order of their paths.

Author and title come from a csv or tsv table (`--table`) with a column of files and columns `author`, `title` or `licence`; without one
the title is the file's name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ....errors import BadInput, NotFound
from ..sources import NO_LICENCE, About, Broken, Options, safe_id
from ..sources.folder import FILE_COLUMNS, LICENCE_FILES
from . import Document, TextRecord

SUFFIXES = (".txt", ".md")


def about(where: str | None, options: Options) -> About:
    """Title, number of files, and the licence files at the top of the folder. Raises NotFound."""
    root = _root(where)
    notices = {name: (root / name).read_bytes() for name in LICENCE_FILES if (root / name).is_file()}
    return About(title=root.name, licence=options.licence or NO_LICENCE, count=len(_texts(root)), notices=notices)


def read(where: str | None, options: Options) -> Iterator[TextRecord]:
    """The folder's texts. Raises NotFound without the folder or the table, BadInput without a text or with a useless table."""
    root = _root(where)
    texts = _texts(root)
    if not texts:
        raise BadInput(f"'{root}' holds no texts. Their names end in {' or '.join(SUFFIXES)}.")
    told = _table(options.table) if options.table else {}
    taken: set[str] = set()
    for path in texts:
        name = path.relative_to(root).as_posix()
        origin = name.encode("utf-8", "replace").decode()
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            yield Broken(origin, f"The file is not in UTF-8 (byte {error.start}). Save it so.")
            continue
        except OSError as error:
            yield Broken(origin, f"The file cannot be read ({error.strerror}).")
            continue
        row = told.get(name) or told.get(path.name) or {}
        yield Document(
            id=safe_id(name[: -len(path.suffix)], taken),
            text=text,
            author=row.get("author") or None,
            title=row.get("title") or path.stem,
            origin=origin,
            licence=row.get("licence") or options.licence or NO_LICENCE,
        )


def _root(where: str | None) -> Path:
    root = Path(where or "").expanduser()
    if where is None or not root.is_dir():
        raise NotFound(f"There is no folder '{where}'. Name a folder that holds texts ({', '.join(SUFFIXES)}).")
    return root.resolve()


def _texts(root: Path) -> list[Path]:
    """Texts below the folder, sorted; hidden ones and the licence files at its top are none."""
    found = [p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()]
    shown = [p for p in found if not any(part.startswith(".") for part in p.relative_to(root).parts)]
    return sorted((p for p in shown if not (p.parent == root and p.name in LICENCE_FILES)), key=lambda p: p.relative_to(root).parts)


def _table(path: Path) -> dict[str, dict[str, str]]:
    """{file: what its row says}. Raises NotFound, and BadInput for a table that names no files."""
    if not path.is_file():
        raise NotFound(f"There is no table '{path}'. Name a csv or tsv file with a column {' or '.join(FILE_COLUMNS)}.")
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as f:
        delimiter = "\t" if "\t" in f.readline() else ","
        f.seek(0)
        rows = [{str(k).strip().lower(): (v or "").strip() for k, v in row.items() if isinstance(v, str)} for row in csv.DictReader(f, delimiter=delimiter)]
    names = next((c for c in FILE_COLUMNS if rows and c in rows[0]), None)
    if names is None:
        raise BadInput(f"The table '{path.name}' has the columns {', '.join(rows[0]) if rows else 'none'}; it needs one of {', '.join(FILE_COLUMNS)}.")
    return {row[names]: row for row in rows if row.get(names)}
