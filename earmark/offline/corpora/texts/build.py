"""A corpus of texts: windows of tokens of one model, each with author, work, place and licence, made of any source's documents.

What begins every text for the model is no part of a window: the manifest names it (`before`). Windows never cross from one document to
another, and nothing separates what was cut apart. Windows that repeat others are left out, and counted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from ....atomic import new_folder, write_json
from ....errors import BadInput
from ....models.base import TextModel
from ....shelf.schema import SAMPLES
from ....shelf.tables import FORMAT, TableWriter, files_of
from ..build import BROKEN, EMPTY, Dropped, check_names, listed
from ..parts import Parts
from ..sources import Broken, unique_id
from . import Document, TextRecord
from .windows import N_TOKENS, SHORTEST, Repeats, Window, spread, windows

VERSION = 1
"""raised when what is made of a document changes"""
_WORK = pa.schema([("start", pa.int64()), ("ids", pa.list_(pa.int32())), ("tokens", pa.list_(pa.string()))])


@dataclass(frozen=True)
class TextReport:
    """What became of a source of texts."""

    folder: Path
    n_samples: int
    n_tokens: int
    n_documents: int
    n_authors: int
    n_repeated: int
    """windows left out because half of them or more stood in others"""
    n_beyond: int
    """windows left out because their source gives enough of the work"""
    dropped: tuple[Dropped, ...]
    n_resumed: int

    def __str__(self) -> str:
        lines = [f"{self.folder.name}: {self.n_samples:,} windows, {self.n_tokens:,} tokens, of {self.n_documents:,} texts by {self.n_authors:,} authors."]
        if self.n_repeated:
            lines.append(f"Windows left out as repetitions: {self.n_repeated:,}")
        if self.n_beyond:
            lines.append(f"Windows left out because enough of their work is there: {self.n_beyond:,}")
        if self.n_resumed:
            lines.append(f"Texts taken from an earlier run: {self.n_resumed:,}")
        return "\n".join([*lines, *listed(self.dropped)])


def build_text_corpus(
    slug: str,
    documents: Iterable[TextRecord],
    target_folder: Path,
    model: TextModel,
    model_revision: str,
    *,
    title: str,
    licence: str,
    notices: dict[str, bytes],
    source: str,
    work_folder: Path,
    progress: bool = False,
    total: int | None = None,
) -> TextReport:
    """Make the corpus `slug` in `target_folder`, which appears, or is replaced, when everything is done.

    Documents that were cut into windows are kept in `work_folder`; a second run goes on from there and gives the same tables. Raises
    BadInput for a bad slug or notice, when another run is at work, and when nothing is left.
    """
    check_names(slug, notices)
    with Parts(work_folder, _WORK) as parts:
        outcomes: list[tuple[Document, str] | Dropped] = []
        n_resumed = 0
        for record in tqdm(documents, desc=slug, total=total, unit="text", disable=not progress):
            if isinstance(record, Broken):
                outcomes.append(Dropped(record.origin, BROKEN, record.why))
                continue
            key = _key(record, model.slug, model_revision)
            if key in parts:
                n_resumed += 1
            else:
                parts.put(key, _rows(record, model))
            outcomes.append((dataclasses.replace(record, text=""), key))
        parts.flush()
        about = {"title": title, "licence": licence, "source": source, "model": model.slug, "before": list(model.before)}
        report = _write(slug, outcomes, parts, target_folder, about, notices)
        parts.forget_others({o[1] for o in outcomes if not isinstance(o, Dropped)})
    return dataclasses.replace(report, n_resumed=n_resumed)


def _key(document: Document, model: str, revision: str) -> str:
    """All that the windows of a document depend on."""
    told = [VERSION, document.text, model, revision, N_TOKENS, SHORTEST]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32]


def _rows(document: Document, model: TextModel) -> list[dict[str, Any]]:
    """Its windows; a row without tokens stands for none."""
    found = [{"start": w.start, "ids": list(w.ids), "tokens": list(w.tokens)} for w in windows(model.document(document.text))]
    return found or [{"start": 0, "ids": [], "tokens": []}]


def _write(
    slug: str, outcomes: list[tuple[Document, str] | Dropped], parts: Parts, target: Path, about: dict[str, Any], notices: dict[str, bytes]
) -> TextReport:
    dropped: list[Dropped] = []
    taken: set[str] = set()
    seen, digest = Repeats(), hashlib.sha256()
    count: Counter[str] = Counter()
    authors: set[str | None] = set()

    def samples() -> Iterator[dict[str, Any]]:
        for outcome in outcomes:
            if isinstance(outcome, Dropped):
                dropped.append(outcome)
                continue
            document, key = outcome
            whole = [Window(row["start"], tuple(row["ids"]), tuple(row["tokens"])) for row in parts.rows(key) if row["ids"]]
            if not whole:
                dropped.append(Dropped(document.origin, EMPTY, f"fewer than {SHORTEST} tokens"))
                continue
            fresh = [w for w in whole if w.text.strip() and not seen.has(w.text)]
            chosen = spread(fresh, document.most)
            count.update(documents=1, repeated=len(whole) - len(fresh), beyond=len(fresh) - len(chosen))
            authors.add(document.author)
            for window in chosen:
                seen.keep(window.text)
                row = _sample(document, window, taken)
                digest.update(f"{row['id']} {window.ids}\n".encode())
                count.update(tokens=len(window.ids))
                yield row

    with new_folder(target) as folder:
        writer = TableWriter(folder, SAMPLES)
        for row in samples():
            writer.write([row])
        writer.close()
        if not taken:
            why = f" {dropped[0].origin}: {dropped[0].why}" if dropped else ""
            raise BadInput(f"Nothing is left for the corpus '{slug}': {len(dropped)} records were dropped.{why}")
        for name, contents in notices.items():
            (folder / name).write_bytes(contents)
        n = len(taken)
        report = TextReport(
            target, n, count["tokens"], count["documents"], len(authors - {None}), count["repeated"], count["beyond"], tuple(dropped), n_resumed=0
        )
        manifest = {"format": FORMAT, "what": "corpus", "slug": slug, **about, "modality": "text", "window": N_TOKENS, "n_samples": n}
        manifest |= {"n_tokens": report.n_tokens, "n_documents": report.n_documents, "n_authors": report.n_authors, "revision": digest.hexdigest()[:12]}
        manifest |= {"dropped": dict(Counter(d.reason for d in dropped)), "repeated": report.n_repeated}
        write_json(folder / "manifest.json", manifest | {"files": files_of(folder)})
    return report


def _sample(document: Document, window: Window, taken: set[str]) -> dict[str, Any]:
    return {
        "id": unique_id(f"{document.id}-{window.start:07d}", taken),
        "tokens": list(window.ids),
        "printed": [len(token) for token in window.tokens],
        "transcript": window.text,
        "transcript_by": "source",
        "class_name": document.title,
        "speaker": document.author,
        "origin": f"{document.origin}, from token {window.start}",
        "licence": document.licence,
    }
