"""A sound, a visitor's own or the corpus's: what was heard in it, and the units that fire on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from earmark.errors import EarmarkError
from earmark.links import Link, media_href, own_href
from earmark.live.analysis import MOMENT, ORDERS, rank
from earmark.live.line.kept import Clip
from earmark.phones import answers_to_silence
from earmark.shelf.catalog import CorpusEntry, DictionaryEntry
from earmark.shelf.store import Store
from earmark.units import UnitHit

from .. import prose
from ..figures import clip_trace, ticks
from .firing import N_HITS, Firing, Firings, firing, known_units, picks_of
from .said import SaidRows, said_rows

N_TRIES = 4
TRY_S = (2.0, 4.0)
"""how long the clips are that one can try"""


@dataclass(frozen=True)
class Try:
    """A clip of the corpus to try at once."""

    sample: str
    transcript: str
    seconds: str
    sound: str


@dataclass(frozen=True)
class FormView:
    """Where a sound is brought."""

    dictionary: str
    tries: tuple[Try, ...]
    max_mb: int
    max_s: int
    kept_minutes: int
    credit: CorpusEntry | None


@dataclass(frozen=True)
class ClipView:
    """The clip itself."""

    token: str
    sound: str
    picture: str
    duration_s: float
    transcript: str
    notices: tuple[str, ...]
    ticks: list[tuple[float, str]]
    credit: CorpusEntry | None
    """where the clip is the corpus's"""
    said: SaidRows = SaidRows()
    """empty where the transcript does not fit the sound"""
    sample: str = ""
    """the corpus's clip that is shown in place of a visitor's own"""
    own_words: bool = True
    """the transcript is the model's own"""
    back: str = ""
    """from a clip of the corpus to where a sound of one's own is brought"""


@dataclass(frozen=True)
class HitRow(Firing):
    """One unit that fires on a sound."""

    at_s: float
    marker: float
    """the peak's place on the time axis, in percent"""


@dataclass(frozen=True)
class HitsView(Firings):
    """The units that fire on a sound."""

    rows: tuple[HitRow, ...] = ()
    quiet: tuple[HitRow, ...] = ()
    elsewhere: bool = False
    """the clip was run through another layer than this dictionary's"""
    waiting: bool = False
    """the model has not heard the corpus's clip yet"""


def form_view(store: Store, link: Link, kept_s: float) -> FormView:
    credit, tries = None, ()
    try:
        slug = store.catalog.dictionary(link.dictionary).corpus or ""
        credit, tries = store.catalog.corpus(slug), tries_of(store, slug)
    except EarmarkError:
        pass
    s = store.settings
    return FormView(link.dictionary, tries, s.max_upload_mb, s.max_audio_s, round(kept_s / 60), credit)


def tries_of(store: Store, slug: str) -> tuple[Try, ...]:
    """Some clips with words, whole sentences of 2 to 4 s where there are enough, far apart in the corpus."""
    corpus = store.corpus(slug)
    spoken = [i for i, text in enumerate(corpus.transcripts) if len(text) > 3 and not prose.NOT_IN_FRONT & set(re.findall(r"\w+", text.casefold()))]
    whole = re.compile(r"[A-Z][^.]{26,50}[.!?]")
    fit = [i for i in spoken if TRY_S[0] <= corpus.durations_s[i] <= TRY_S[1] and whole.fullmatch(corpus.transcripts[i])]
    pool = fit if len(fit) >= N_TRIES else spoken
    chosen = [pool[(2 * k + 1) * len(pool) // (2 * N_TRIES)] for k in range(min(N_TRIES, len(pool)))]
    return tuple(Try(corpus.ids[i], corpus.transcripts[i], prose.seconds(corpus.durations_s[i]), media_href(slug, corpus.ids[i], "audio")) for i in chosen)


def clip_view(store: Store, token: str, clip: Clip, link: Link) -> ClipView:
    """A visitor's own clip under a settled link."""
    corpus = store.catalog.dictionary(link.dictionary).corpus
    credit = store.catalog.corpus(corpus) if clip.sample and corpus else None
    sound, picture = own_href(token, "sound.wav"), own_href(token, "mel.png")
    said = said_rows(clip.speech, clip.duration_s, link=link)
    return ClipView(token, sound, picture, clip.duration_s, clip.transcript, clip.notices, ticks(clip.duration_s), credit, said)


def sample_view(store: Store, link: Link) -> ClipView:
    """The clip of the corpus that a settled link names, whether or not the model has heard it."""
    slug, sample = store.catalog.dictionary(link.dictionary).corpus or "", link.sample or ""
    corpus = store.corpus(slug)
    row = corpus.row(sample)
    duration, text = corpus.durations_s[row], corpus.transcripts[row]
    said, back = said_rows(corpus.speech(sample), duration, link=link), Link("audio", link.dictionary).href()
    sound, picture = media_href(slug, sample, "audio"), media_href(slug, sample, "mel.png")
    own_words = corpus.transcript_by[row] == "model"
    return ClipView(sample, sound, picture, duration, text, (), ticks(duration), store.catalog.corpus(slug), said, sample, own_words, back)


def hits_view(store: Store, link: Link, clip: Clip | None) -> HitsView:
    """The units of a settled link's dictionary that fire on a clip, in its order; None while the model has not heard it."""
    entry = store.catalog.dictionary(link.dictionary)
    picks = picks_of(store, link, clip.problems if clip else {})
    bare = store.is_bare(link.dictionary)
    if clip is None:
        return HitsView(link, entry, picks, waiting=True)
    if link.dictionary not in clip.codes:
        return HitsView(link, entry, picks, problem=clip.problems.get(link.dictionary), elsewhere=link.dictionary not in clip.problems, bare=bare)
    if bare and link.heard.order in prose.NEED_TABLES:
        link = replace(link, heard=replace(link.heard, order="peak"))
    order, at_s, to_s = link.heard.order, link.heard.at_s or 0.0, link.heard.to_s or 0.0
    hits, traces = rank(store, link.dictionary, clip.codes[link.dictionary], clip.grid, top=2 * N_HITS, order=order, at_s=at_s, to_s=to_s)
    listed, quiet = _silence_last(hits, order)
    known = known_units(store, link.dictionary, [h.unit for h in (*listed, *quiet)])
    frame = clip.grid.frame_at(at_s)
    rows, away = (tuple(_row(entry, clip, hit, traces[hit.unit], known.get(hit.unit), order, frame) for hit in part) for part in (listed, quiet))
    return HitsView(link, entry, picks, rows, away, bare=bare)


def _silence_last(hits: Sequence[UnitHit], order: str) -> tuple[Sequence[UnitHit], Sequence[UnitHit]]:
    """The first that fire on a sound, and apart those that answer to silence; in one where a moment or a stretch is asked for, or nothing else fires."""
    quiet = [h for h in hits if h.label and answers_to_silence(h.label)] if order in ORDERS else []
    away = {h.unit for h in quiet}
    others = [h for h in hits if h.unit not in away]
    return (others[:N_HITS], quiet[:N_HITS]) if others else (hits[:N_HITS], [])


def _row(entry: DictionaryEntry, clip: Clip, hit: UnitHit, trace: np.ndarray, known: dict[str, Any] | None, order: str, frame: int) -> HitRow:
    now = {MOMENT: f"then {prose.short(float(trace[frame]))}", "mean": f"mean {prose.short(hit.mean)}"}
    marker = min(100.0, 100 * (hit.at_s + clip.grid.hop_s / 2) / max(clip.duration_s, 1e-3))
    heard, shown = known["heard"] if known else (), clip_trace(trace, clip.grid.hop_s)
    return HitRow(**firing(entry, hit, shown, known, heard, now.get(order, "")), at_s=hit.at_s, marker=marker)
