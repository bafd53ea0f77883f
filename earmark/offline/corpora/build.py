"""A corpus: the samples that tables are built from, with transcripts and mel pictures, made of any source's entries.

Sounds are kept as their source has them, byte for byte; only those longer than 30 s are cut into pieces, as FLAC. Nothing is
left out in silence: the report and the manifest count what was dropped and cut, and the report says why.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from ...atomic import new_folder, write_json
from ...errors import BadInput
from ...inputs.annotations import fitted
from ...inputs.audio import Limits, decode, sound_file
from ...shelf.schema import SAMPLES, SPEECH, TableSpec
from ...shelf.tables import FORMAT, TableWriter, files_of
from ...speech import Speech
from ...units import Waveform
from .align import speech_row
from .clips import LONGEST_S, SHORTEST_S, is_empty, is_noise, mel_picture, pieces
from .parts import Parts
from .sources import EFFECT, Broken, Entry, Record, unique_id

LIMITS = Limits(max_bytes=500_000_000, max_source_s=3_600.0)
VERSION = 1
"""raised when what is made of an entry changes"""
BROKEN, EMPTY, NOISE = "broken", "empty", "not speech"
N_LISTED = 20

_SAMPLES: list[pa.Field[Any]] = list(SAMPLES.schema)
_WORK = pa.schema([pa.field("reason", pa.string()), pa.field("why", pa.string()), *_SAMPLES])


@dataclass(frozen=True)
class Dropped:
    """A record that did not become a sample."""

    origin: str
    reason: str
    """broken, empty, or not speech"""
    why: str
    """a sentence; empty where the reason says it all"""


@dataclass(frozen=True)
class Report:
    """What became of a source."""

    folder: Path
    n_samples: int
    duration_s: float
    n_cut: int
    """sounds longer than 30 s, which were cut into pieces"""
    transcripts: dict[str, int]
    """samples by who told their transcript: source, model, or none"""
    dropped: tuple[Dropped, ...]
    n_resumed: int
    """records whose results an earlier run had left"""

    @property
    def counts(self) -> dict[str, int]:
        """Dropped records by reason."""
        return dict(sorted(Counter(d.reason for d in self.dropped).items()))

    def __str__(self) -> str:
        told = ", ".join(f"{n} from {who}" if who != "none" else f"{n} none" for who, n in self.transcripts.items())
        lines = [f"{self.folder.name}: {self.n_samples} samples, {self.duration_s / 60:.1f} min. Transcripts: {told}."]
        if self.n_cut:
            lines.append(f"Sounds longer than {LONGEST_S} s, cut into pieces: {self.n_cut}")
        if self.n_resumed:
            lines.append(f"Records taken from an earlier run: {self.n_resumed}")
        return "\n".join([*lines, *listed(self.dropped)])


def listed(dropped: Sequence[Dropped]) -> list[str]:
    """What was dropped, by reason, as lines for people."""
    lines: list[str] = []
    for reason, n in sorted(Counter(d.reason for d in dropped).items()):
        of_these = [d for d in dropped if d.reason == reason]
        lines.append(f"Dropped as {reason}: {n}")
        lines += [f"  {d.origin}{': ' + d.why if d.why else ''}" for d in of_these[:N_LISTED]]
        lines += [f"  ... and {n - N_LISTED} more"] if n > N_LISTED else []
    return lines


def build_corpus(
    slug: str,
    entries: Iterable[Record],
    target_folder: Path,
    *,
    title: str,
    licence: str,
    notices: dict[str, bytes],
    drop_non_speech: bool,
    transcribe: Callable[[Waveform], str] | None,
    progress: bool,
    work_folder: Path,
    source: str,
    transcriber: str = "model",
    total: int | None = None,
) -> Report:
    """Make the corpus `slug` in `target_folder`, which appears, or is replaced, when everything is done.

    Each entry is decoded (mono, 16 kHz). Dropped are broken ones, those shorter than 0.1 s or with no sample above 1e-4, and, with
    `drop_non_speech`, those without a transcript that are effects or noise. Transcripts come from the source, else from
    `transcribe`; `transcriber` names it, so that another one's results aren't mistaken for its own. Finished entries are kept in
    `work_folder` (settings.cache/corpus/slug); a second run goes on from there and gives the same tables. `total` is for the bar.

    Raises BadInput for a bad slug or notice, when another run is at work, and when nothing is left.
    """
    check_names(slug, notices)
    with Parts(work_folder, _WORK) as parts:
        outcomes: list[str | Dropped] = []
        n_resumed = 0
        for record in tqdm(entries, desc=slug, total=total, unit="sound", disable=not progress):
            if isinstance(record, Broken):
                outcomes.append(Dropped(record.origin, BROKEN, record.why))
                continue
            key = _key(record, drop_non_speech, transcriber if transcribe else "")
            if key in parts:
                n_resumed += 1
            else:
                parts.put(key, _rows(record, drop_non_speech, transcribe))
            outcomes.append(key)
        parts.flush()
        report = _write(slug, outcomes, parts, target_folder, {"title": title, "licence": licence, "source": source}, notices)
        parts.forget_others({o for o in outcomes if isinstance(o, str)})
    return dataclasses.replace(report, n_resumed=n_resumed)


def check_names(slug: str, notices: dict[str, bytes]) -> None:
    """Raises BadInput for a corpus or a file beside it that cannot be called so."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", slug):
        raise BadInput(f"The corpus cannot be called '{slug[:80]}': use up to 64 small letters, digits, '.', '_' and '-'.")
    for name in notices:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name) or name.startswith(("samples-", "speech-")) or name == "manifest.json":
            raise BadInput(f"A notice cannot be called '{name[:80]}': use a plain file name other than those of the tables.")


def _key(entry: Entry, drop_non_speech: bool, transcriber: str) -> str:
    told = dataclasses.asdict(entry) | {"data": hashlib.sha256(entry.data).hexdigest()}
    open_questions = None if entry.transcript else [drop_non_speech, transcriber]
    return hashlib.sha256(json.dumps([VERSION, told, open_questions], sort_keys=True).encode()).hexdigest()[:32]


# -- one entry -----------------------------------------------------------------------------------------------------------


def _rows(entry: Entry, drop_non_speech: bool, transcribe: Callable[[Waveform], str] | None) -> list[dict[str, Any]]:
    """The samples made of an entry, or why there is none."""
    try:
        waveform = decode(entry.data, LIMITS).waveform
    except BadInput as error:
        return [{"reason": BROKEN, "why": str(error), "origin": entry.origin}]
    except Exception as error:  # noqa: BLE001 one file that upsets a decoder must not end hours of work
        return [{"reason": BROKEN, "why": f"The sound could not be decoded ({type(error).__name__}: {error}).", "origin": entry.origin}]
    speech, unfit = None, ""
    if entry.speech is not None:
        try:
            speech = fitted(entry.speech, waveform.duration_s)
        except BadInput as error:
            unfit = str(error)
    whole = waveform.duration_s <= LONGEST_S
    rows: list[dict[str, Any]] = []
    for start_s, piece in pieces(waveform):
        origin = entry.origin if whole else f"{entry.origin}, from {start_s} s"
        if is_empty(piece):
            why = f"{piece.duration_s:.2f} s long" if piece.duration_s < SHORTEST_S else "silent"
            rows.append({"reason": EMPTY, "why": why, "origin": origin})
        elif drop_non_speech and not entry.transcript and (entry.class_name == EFFECT or is_noise(piece)):
            rows.append({"reason": NOISE, "why": entry.class_name or "noise", "origin": origin})
        else:
            part = speech if whole or speech is None else speech.within(start_s, start_s + piece.duration_s)
            told = speech_row(0, part, unfit)
            rows.append(_sample(entry, piece, origin, None if whole else start_s, part, transcribe) | {name: told[name] for name in ("words", "phones", "why")})
    return rows


def _sample(
    entry: Entry, piece: Waveform, origin: str, start_s: int | None, speech: Speech | None, transcribe: Callable[[Waveform], str] | None
) -> dict[str, Any]:
    """A row; `start_s` is None for a whole sound. A piece's transcript is what its source has timed within it."""
    given = entry.transcript if start_s is None else " ".join(w.text for w in speech.words) if speech else None
    transcript = given or (" ".join(transcribe(piece).split()) if transcribe else "")
    return {
        "id": entry.id if start_s is None else f"{entry.id}-{start_s:03d}s",
        "audio": entry.data if start_s is None else sound_file(piece, "FLAC"),
        "audio_type": entry.media_type if start_s is None else "audio/flac",
        "duration_s": piece.duration_s,
        "transcript": transcript,
        "transcript_by": "source" if given else "model" if transcript else "",
        "class_name": entry.class_name,
        "speaker": entry.speaker,
        "origin": origin,
        "licence": entry.licence,
        "mel": mel_picture(piece),
    }


# -- the folder ----------------------------------------------------------------------------------------------------------


def _write(slug: str, outcomes: list[str | Dropped], parts: Parts, target: Path, about: dict[str, str], notices: dict[str, bytes]) -> Report:
    dropped: list[Dropped] = []
    told: Counter[str] = Counter()
    taken: set[str] = set()
    speech: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    duration_s, n_cut = 0.0, 0

    def samples() -> Iterator[dict[str, Any]]:
        nonlocal duration_s, n_cut
        for outcome in outcomes:
            if isinstance(outcome, Dropped):
                dropped.append(outcome)
                continue
            rows = parts.rows(outcome)
            n_cut += len(rows) > 1
            for row in rows:
                reason, why = row.pop("reason", None), row.pop("why", None)
                if reason:
                    dropped.append(Dropped(row["origin"], reason, why))
                    continue
                told_of = {"how": "source" if row["words"] is not None else "", "why": why or ""}
                speech.append({"sample": len(taken), "score": None, **told_of, **{name: row.pop(name) for name in ("words", "phones")}})
                row["id"] = unique_id(row["id"], taken)
                digest.update(f"{row['id']} {hashlib.sha256(row['audio']).hexdigest()}\n".encode())
                duration_s += row["duration_s"]
                told[row["transcript_by"] or "none"] += 1
                yield row

    with new_folder(target) as folder:
        _write_rows(folder, SAMPLES, samples())
        if any(row["how"] for row in speech):
            _write_rows(folder, SPEECH, speech)
        if not taken:
            why = f" {dropped[0].origin}: {dropped[0].why}" if dropped else ""
            raise BadInput(f"Nothing is left for the corpus '{slug}': {len(dropped)} records were dropped.{why}")
        for name, contents in notices.items():
            (folder / name).write_bytes(contents)
        report = Report(target, len(taken), duration_s, n_cut, dict(sorted(told.items())), tuple(dropped), 0)
        manifest = {"format": FORMAT, "what": "corpus", "slug": slug, **about, "modality": "audio", "n_samples": len(taken)}
        manifest |= {"duration_s": round(duration_s, 3), "revision": digest.hexdigest()[:12], "dropped": report.counts, "cut": n_cut}
        write_json(folder / "manifest.json", manifest | {"files": files_of(folder)})
    return report


def _write_rows(folder: Path, spec: TableSpec, rows: Iterable[dict[str, Any]]) -> None:
    writer = TableWriter(folder, spec)
    for row in rows:
        writer.write([row])
    writer.close()
