"""The command `align`: words and phones with their times for a corpus's samples, in the table `speech` beside its samples.

Samples keep what their source gave; the others' transcripts are aligned; where that gives nothing, a CTC model's own letters can serve.
Finished row groups lie in the cache, one file each, whole or not at all; a second run goes on from there. The corpus's revision stays,
because the samples do: no dictionary's tables are out of date.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...atomic import new_file, remove_folder
from ...errors import BadInput
from ...inputs.alignment import attempt
from ...models.base import AudioModel
from ...raw import parquet_bytes, parquet_file
from ...runtime import Runtime
from ...settings import Settings
from ...shelf.folders import Corpus
from ...shelf.schema import SPEECH
from ...shelf.tables import put_table
from ...speech import Span, Speech
from ..passes import read_sounds
from ..workers import Share, alone, run, work_folder

VERSION = 2
"""raised when what is made of a sample changes"""
N_LISTED = 20


@dataclass(frozen=True)
class Alignments:
    """What became of a corpus's samples."""

    slug: str
    outcomes: dict[str, dict[str, int]]
    """who told the transcript (source, model, none) -> {aligned, source, ctc, or why there is nothing: samples}"""
    unknown: dict[str, int]
    """words that the dictionary lacks -> samples, most frequent first"""
    n_bytes: int

    def __str__(self) -> str:
        lines: list[str] = []
        for who, found in self.outcomes.items():
            total = sum(found.values())
            told = ", ".join(f"{name} {n} ({n / total:.1%})" for name, n in sorted(found.items(), key=lambda p: -p[1]))
            lines.append(f"{self.slug}, {total} samples, transcript by {who}: {told}")
        if self.unknown:
            some = ", ".join(f"{word} ({n})" for word, n in list(self.unknown.items())[:N_LISTED])
            lines.append(f"Unknown words: {some}{', ...' if len(self.unknown) > N_LISTED else ''}")
        return "\n".join([*lines, f"Table 'speech': {self.n_bytes / 1e6:.2f} MB"])


def align_corpus(settings: Settings, slug: str, n_workers: int = 1, letters: str | None = None) -> Alignments:
    """Align every sample of a corpus and put the table beside its samples.

    `letters` names the model whose letters serve where nothing else is there. Raises BadTable for what is no corpus, BadInput for one of
    text and for a model without letters.
    """
    if letters is not None:
        _lettered(settings, letters)
    folder = settings.data / slug
    with alone(settings.cache, f"align-{slug}"):
        corpus = Corpus(folder)
        if corpus.manifest.get("modality", "audio") != "audio":
            raise BadInput(f"'{slug}' is a corpus of {corpus.manifest['modality']}; only sounds have times to align.")
        work = work_folder(settings.cache, "align", slug, _key(corpus, letters))
        done = [g for g in range(corpus.table.n_groups) if _path(work, g).exists()]
        n_done = sum(corpus.table.group(g, ["id"]).num_rows for g in done)
        if len(done) < corpus.table.n_groups:
            run(_job, (settings, folder, work, letters), n_workers, len(corpus.ids), n_done, f"align {slug}")
        table = pa.concat_tables([parquet_file(_path(work, g)).read() for g in range(corpus.table.n_groups)])
        put_table(folder, SPEECH, table)
        report = _report(slug, corpus, table, folder)
        remove_folder(work.parent)
    return report


def _lettered(settings: Settings, slug: str) -> AudioModel:
    model = Runtime(settings).model(slug)
    if not isinstance(model, AudioModel) or not model.has_letters:
        raise BadInput(f"{slug} names no letters. --letters takes a CTC model with its vocabulary, such as wav2vec2-base-960h.")
    return model


def speech_row(sample: int, speech: Speech | None, why: str = "", score: float | None = None) -> dict[str, Any]:
    """A row of the table `speech`."""
    told = {"sample": sample, "how": speech.how if speech else "", "score": score, "why": why}
    return told | {name: _spans(getattr(speech, name)) if speech else None for name in ("words", "phones")}


def _spans(spans: tuple[Span, ...]) -> list[dict[str, Any]]:
    return [{"text": s.text, "start_s": s.start_s, "end_s": s.end_s} for s in spans]


def _key(corpus: Corpus, letters: str | None) -> str:
    told = [VERSION, letters, corpus.manifest["revision"], corpus.table.n_groups, corpus.transcripts]
    told.append(corpus.speech_table.all(["how"]).column("how").to_pylist() if corpus.speech_table else None)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _path(work: Path, group: int) -> Path:
    return work / f"group-{group:05d}.parquet"


def _job(share: Share, settings: Settings, folder: Path, work: Path, letters: str | None) -> None:
    corpus, model = Corpus(folder), _lettered(settings, letters) if letters else None
    for group in range(share.worker, corpus.table.n_groups, share.n_workers):
        if _path(work, group).exists():
            continue
        rows: list[dict[str, Any]] = []
        for row, name, waveform in read_sounds(corpus, group):
            given = corpus.speech(name)
            if given is not None and given.how == "source":
                rows.append(speech_row(row, given, score=given.score))
            else:
                found = attempt(waveform, corpus.transcripts[row])
                spelt = model.letters(waveform) if model and found.speech is None else None
                rows.append(speech_row(row, spelt) if spelt else speech_row(row, found.speech, found.why, found.score))
            share.report(1)
        with new_file(_path(work, group)) as file:
            file.write(parquet_bytes(pa.Table.from_pylist(rows, schema=SPEECH.schema)))


def _report(slug: str, corpus: Corpus, table: pa.Table, folder: Path) -> Alignments:
    outcomes: dict[str, Counter[str]] = {}
    unknown: Counter[str] = Counter()
    hows, whys = (table.column(name).to_pylist() for name in ("how", "why"))
    for by, transcript, how, why in zip(corpus.transcript_by, corpus.transcripts, hows, whys, strict=True):
        reason, _, words = str(why).partition(": ")
        outcomes.setdefault(by if transcript else "none", Counter())[how or reason] += 1
        unknown.update(set(words.split()))
    n_bytes = sum(p.stat().st_size for p in folder.glob(f"{SPEECH.name}-*.parquet"))
    return Alignments(slug, {who: dict(found) for who, found in sorted(outcomes.items())}, dict(unknown.most_common()), n_bytes)
