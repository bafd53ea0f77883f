"""Words and phones that a source or a model has timed already: HTK and festvox label files, Praat TextGrids, CTM, letters of a CTC model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..speech import Span, Speech

SUFFIXES = (".TextGrid", ".textgrid", ".ctm", ".lab", ".phn", ".wrd")
"""endings of the files beside a sound that are looked for, in this order"""
HTK_UNIT_S = 1e-7
TIMIT_RATE_HZ = 16_000
WORD_TIERS, PHONE_TIERS = ("words", "word"), ("phones", "phone", "phonemes", "phoneme", "segments", "segment")
SILENT = {"", "sil", "sp", "spn", "pau", "<eps>", "#", "h#", "_", "<sil>", "<p:>"}
LATE_S = 0.1
"""how far a span may reach beyond the sound's end, where files were cut by others"""
ROUNDING_S = 1e-3

Spans = list[tuple[float, float, str]]


def read_beside(sound: Path) -> Speech | None:
    """The alignment in the files beside a sound that share its stem; None where there is none.

    Raises BadInput, a sentence that names the file, for one that is damaged. Whether it fits the sound is seen later (`fitted`).
    """
    words: tuple[Span, ...] = ()
    phones: tuple[Span, ...] = ()
    for suffix in SUFFIXES:
        path = sound.with_suffix(suffix)
        if not path.is_file():
            continue
        try:
            found_words, found_phones = map(_checked, parse(path.read_bytes(), suffix.lower(), sound.stem))
        except OSError as error:
            raise BadInput(f"'{path.name}' cannot be read ({error.strerror}).") from None
        except BadInput as error:
            raise BadInput(f"'{path.name}' cannot be used. {error}") from None
        words, phones = words or _words(found_words), phones or _phones(found_phones)
    return Speech(words, phones, "source") if words or phones else None


def fitted(speech: Speech, duration_s: float) -> Speech:
    """The same with spans cut at the sound's end. Raises BadInput when they reach further beyond it than by a moment."""
    last_s = max(s.end_s for spans in (speech.words, speech.phones) for s in spans)
    if last_s > duration_s + LATE_S:
        raise BadInput(f"The alignment reaches to {last_s:.2f} s, but the sound ends at {duration_s:.2f} s.")

    def cut(spans: tuple[Span, ...]) -> tuple[Span, ...]:
        return tuple(Span(s.text, s.start_s, min(s.end_s, duration_s)) for s in spans if s.start_s < duration_s)

    return Speech(cut(speech.words), cut(speech.phones), speech.how, speech.score)


def parse(data: bytes, suffix: str, stem: str) -> tuple[Spans, Spans]:
    """(words, phones) of a file by its ending, as (start in s, end in s, text), silence included. Raises BadInput."""
    text = _decode(data)
    if suffix == ".textgrid":
        return _textgrid(text)
    if suffix == ".ctm":
        return _ctm(text, stem), []
    spans = _lab(text, TIMIT_RATE_HZ if suffix in (".phn", ".wrd") else None)
    return (spans, []) if suffix == ".wrd" else ([], spans)


def _decode(data: bytes) -> str:
    for start, name in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if data.startswith(start):
            try:
                return data.decode(name)
            except UnicodeDecodeError:
                raise BadInput("It is no text in UTF-8 or UTF-16. Save it as UTF-8.") from None
    raise AssertionError


def _number(text: str, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f"Line {line} has '{text[:40]}' where a time should stand.")
    return value


def _lab(text: str, rate_hz: int | None) -> Spans:
    """HTK's `start end name` in units of 100 ns (or in seconds, or at TIMIT's `rate_hz` in samples), and festvox's `end colour name` below a #."""
    lines = [(n, line.split()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    festvox = next((k for k, (_, parts) in enumerate(lines) if parts == ["#"]), None)
    spans: Spans = []
    if festvox is not None:
        start_s = 0.0
        for n, parts in lines[festvox + 1 :]:
            if len(parts) < 2:
                raise BadInput(f"Line {n} is '{' '.join(parts)[:40]}'; below '#', a line is the end in seconds, a number, and a name.")
            end_s = _number(parts[0], n)
            spans.append((start_s, end_s, parts[2] if len(parts) > 2 else ""))
            start_s = end_s
        return spans
    for n, parts in lines:
        if len(parts) < 3:
            raise BadInput(f"Line {n} is '{' '.join(parts)[:40]}'; a line is a start, an end and a name.")
        spans.append((_number(parts[0], n), _number(parts[1], n), parts[2]))
    whole = all(re.fullmatch(r"\d+", p) for _, parts in lines for p in parts[:2])
    unit_s = 1 / rate_hz if rate_hz else HTK_UNIT_S if whole else 1.0
    return [(a * unit_s, b * unit_s, name) for a, b, name in spans]


def _ctm(text: str, stem: str) -> Spans:
    """`recording channel start duration word [confidence]`, in seconds; the recording is the sound's stem."""
    spans: Spans = []
    for n, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts or parts[0].startswith(";;"):
            continue
        if len(parts) < 5:
            raise BadInput(f"Line {n} is '{line[:40]}'; a line is the recording, its channel, a start, a duration and a word.")
        if parts[0] == stem:
            start_s = _number(parts[2], n)
            spans.append((start_s, start_s + _number(parts[3], n), parts[4]))
    if not spans:
        raise BadInput(f"No line is about '{stem[:60]}'; the first column must be the sound's name without its ending.")
    return sorted(spans)


# -- TextGrid --------------------------------------------------------------------------------------------------------------

_TOKENS = re.compile(r'"(?:[^"]|"")*"|<exists>|<absent>|(?<![\w.\[])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w\]])')


def _textgrid(text: str) -> tuple[Spans, Spans]:
    """Both forms: the long one differs by names and brackets only, which carry nothing that the order does not.

    See https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
    """
    tokens = [t for line in text.splitlines() for t in _TOKENS.findall(line)]
    place = 0

    def take(quoted: bool) -> str:
        nonlocal place
        if place >= len(tokens):
            raise BadInput("The TextGrid breaks off in the middle.")
        token = tokens[place]
        if (token[0] == '"') != quoted:
            raise BadInput(f"The TextGrid has {token[:40]} where {'a text' if quoted else 'a number'} should stand.")
        place += 1
        return token[1:-1].replace('""', '"') if quoted else token

    if [take(True), take(True)] != ["ooTextFile", "TextGrid"]:
        raise BadInput("It is no TextGrid in text form. Save it in Praat as a text file.")
    for _ in ("xmin", "xmax"):
        take(False)
    if place >= len(tokens) or tokens[place] != "<exists>":
        raise BadInput("The TextGrid has no tiers.")
    place += 1
    tiers: dict[str, Spans] = {}
    for _ in range(_count(take(False))):
        kind, name = take(True), take(True)
        for _ in ("xmin", "xmax"):
            take(False)
        spans: Spans = []
        for _ in range(_count(take(False))):
            start_s = float(take(False))
            end_s = float(take(False)) if kind == "IntervalTier" else start_s
            spans.append((start_s, end_s, take(True).strip()))
        if kind == "IntervalTier":
            tiers.setdefault(name.lower().split(" - ")[-1].strip(), spans)
    none: Spans = []
    words, phones = (next((tiers[n] for n in names if n in tiers), none) for names in (WORD_TIERS, PHONE_TIERS))
    if not words and not phones:
        raise BadInput(f"The TextGrid has the tiers {', '.join(tiers) or 'none'}; one must be called {WORD_TIERS[0]} or {PHONE_TIERS[0]}.")
    return words, phones


def _count(text: str) -> int:
    if not text.isdigit():
        raise BadInput(f"The TextGrid has {text[:40]} where a number of tiers or intervals should stand.")
    return int(text)


# -- into spans --------------------------------------------------------------------------------------------------------------


def _checked(found: Spans) -> Spans:
    """The same without empty spans. Raises BadInput where times do not ascend from 0 on."""
    before_s = 0.0
    for start_s, end_s, text in found:
        if start_s < before_s - ROUNDING_S or end_s < start_s:
            raise BadInput(f"'{text[:40]}' lies at {start_s:.3f} to {end_s:.3f} s, behind {before_s:.3f} s; times must ascend from 0.")
        before_s = end_s
    return [(max(start_s, 0.0), end_s, text) for start_s, end_s, text in found if end_s > start_s]


def _words(found: Spans) -> tuple[Span, ...]:
    return tuple(Span(text, start_s, end_s) for start_s, end_s, text in found if text.lower() not in SILENT)


def _phones(found: Spans) -> tuple[Span, ...]:
    """Silence as SIL; a vowel's stress digit is dropped."""
    return tuple(Span("SIL" if t.lower() in SILENT else re.sub(r"^([A-Z]{2})[012]$", r"\1", t), start_s, end_s) for start_s, end_s, t in found)


def ctc_speech(logits: NDArray[np.float32], letters: Sequence[str], blank: int, hop_s: float, offset_s: float = 0.0, separator: str = "|") -> Speech | None:
    """A CTC model's own letters and words with their times, by its best path; None where it hears nothing.

    `logits` [n_frames, n_letters], in the order of `letters`; `blank` is the index of the blank, and `separator` the letter between words. A
    letter lasts for the frames in a row that name it, which is short: CTC names a letter at its clearest (Graves et al. 2006). Signs in
    angle brackets, such as <unk>, are left out.
    """
    if logits.ndim != 2 or logits.shape[1] != len(letters) or not 0 <= blank < len(letters):
        raise BadInput(f"The logits have the shape {tuple(logits.shape)} and the blank is {blank}; there are {len(letters)} letters.")
    best: NDArray[np.intp] = logits.argmax(axis=1)
    edges = np.flatnonzero(np.diff(best)) + 1
    starts, ends = np.r_[0, edges], np.r_[edges, len(best)]
    spans: list[Span] = []
    words: list[list[Span]] = [[]]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        named = int(best[start]) if end > start else blank
        letter = "" if named == blank else letters[named]
        if letter == separator:
            words.append([])
        elif letter and not re.fullmatch(r"<.*>", letter):
            spans.append(Span(letter, offset_s + start * hop_s, offset_s + end * hop_s))
            words[-1].append(spans[-1])
    whole = tuple(Span("".join(s.text for s in w), w[0].start_s, w[-1].end_s) for w in words if w)
    return Speech(whole, tuple(spans), "ctc") if spans else None
