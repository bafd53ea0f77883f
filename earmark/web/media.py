"""Sounds, pictures and downloads. Every name in an address is looked up in the tables; none of it ever reaches the disk."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..cards import Example
from ..errors import BadTable, NotFound
from ..passages import around, visible
from ..phones import shown_label
from ..shelf.folders import Corpus
from ..shelf.store import Store
from ..units import KIND_NOUNS, UnitId
from .answers import MAX_AGE_S, ByteCache, answered, bytes_response, unit_of
from .pictures import mel_png, share_png, share_text_png, strip_png
from .records import MONTAGE_CLIPS, examples_csv

SUFFIXES = {"audio/mpeg": "mp3", "audio/wav": "wav", "audio/ogg": "ogg", "audio/flac": "flac"}
NOTICES = ("LICENSE", "NOTICE", "README.txt")
ZIP_CLIPS = 20


def place_of(store: Store, slug: str) -> str:
    """Where a dictionary's units sit, in words."""
    entry = store.catalog.dictionary(slug)
    stack = "encoder layer" if modality_of(store, slug) == "audio" else "layer"
    return f"{entry.model} · {stack} {entry.layer} · {entry.title or slug}"


def modality_of(store: Store, slug: str) -> str:
    """audio or text: what a dictionary's model takes."""
    return store.catalog.model(store.catalog.dictionary(slug).model).modality


def unit_title(store: Store, unit: UnitId) -> str:
    return f"{KIND_NOUNS[store.catalog.dictionary(unit.dictionary).kind]} {unit.index}".capitalize()


def share_picture(store: Store, unit: UnitId) -> bytes:
    """The 1200 x 630 picture of link previews."""
    card = store.card(unit)
    top = [e for e in card.examples if e.group == "top"]
    label = shown_label(card.label.kind, card.label.text, ipa=False) if card.label else ""  # the pictures' font has no IPA
    if modality_of(store, unit.dictionary) == "text":
        return share_text_png(unit_title(store, unit), place_of(store, unit.dictionary), label, top)
    mel = None
    if top:
        try:
            mel = store.corpus(store.dictionary(unit.dictionary).corpus).mel(top[0].sample)
        except NotFound:
            pass
    lines = ([label] if label else []) + [f"“{said}”" for said in dict.fromkeys(e.transcript for e in top if e.transcript)]
    return share_png(unit_title(store, unit), place_of(store, unit.dictionary), lines, mel, top[0] if top else None)


def strip_picture(store: Store, unit: UnitId) -> bytes:
    """The half seconds of a unit's montage as one picture."""
    corpus = store.corpus(store.dictionary(unit.dictionary).corpus)
    top = [e for e in store.card(unit).examples if e.group == "top"][:MONTAGE_CLIPS]
    if not top:
        raise NotFound(f"{unit} fires nowhere in the corpus; there is nothing to picture.")
    return strip_png([corpus.mel(e.sample) for e in top], [(e.at_s, e.duration_s) for e in top], MONTAGE_CLIPS)


def clips_zip(store: Store, unit: UnitId) -> bytes:
    """A unit's strongest clips as the corpus has them, with what was heard and the corpus's notices beside them."""
    slug = store.dictionary(unit.dictionary).corpus
    corpus = store.corpus(slug)
    top = [e for e in store.card(unit).examples if e.group == "top"][:ZIP_CLIPS]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for example in top:
            sound, media_type = corpus.audio(example.sample)
            name = re.sub(r"[^A-Za-z0-9._-]+", "_", example.sample)
            _add(archive, f"{example.rank:02d}-{name}.{SUFFIXES.get(media_type, 'bin')}", sound)
        _add(archive, "examples.csv", examples_csv(top).encode())
        for name in NOTICES:
            if name in corpus.manifest["files"]:
                _add(archive, name, _notice(corpus, slug, name))
        entry = store.catalog.corpus(slug)
        _add(archive, "CREDIT.txt", f"{entry.title}\n{entry.credit}\nLicence: {entry.licence}\nSource: {entry.source}\n".encode())
    return out.getvalue()


def _notice(corpus: Corpus, slug: str, name: str) -> bytes:
    try:
        found = corpus.place.file(name).read_bytes()
    except OSError:
        raise BadTable(f"'{slug}/{name}' cannot be read, and clips are not handed out without it. Fetch or build it again.") from None
    if hashlib.sha256(found).hexdigest() != corpus.manifest["files"][name]["sha256"]:
        raise BadTable(f"'{slug}/{name}' is not the file that its manifest names, and clips are not handed out without it. Fetch or build it again.")
    return found


def _add(archive: zipfile.ZipFile, name: str, body: bytes) -> None:
    """Add a file with a fixed date, so that the same clips give the same bytes."""
    archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), body)


def media_routes(store: Store, cache: ByteCache) -> list[Route]:
    def corpus_of(request: Request) -> tuple[Corpus, str]:
        corpus = store.corpus(request.path_params["corpus"])
        sample = request.path_params["sample"]
        corpus.row(sample)
        return corpus, sample

    @answered
    async def audio(request: Request) -> Response:
        corpus, sample = corpus_of(request)
        body, media_type = await run_in_threadpool(corpus.audio, sample)
        return bytes_response(request, body, media_type if media_type in SUFFIXES else "application/octet-stream", max_age_s=MAX_AGE_S)

    @answered
    async def mel(request: Request) -> Response:
        corpus, sample = corpus_of(request)
        key = ("mel", corpus.manifest["slug"], corpus.manifest["revision"], sample)
        return bytes_response(request, await cache.through(key, lambda: mel_png(corpus.mel(sample))), "image/png", max_age_s=MAX_AGE_S)

    @answered
    async def of_unit(request: Request) -> Response:
        number, _, kind = request.path_params["file"].partition(".")
        makers = {"png": share_picture, "strip.png": strip_picture, "zip": clips_zip}
        if kind not in makers:
            raise NotFound(f"A unit has no '{kind[:40]}'; it has {', '.join(makers)}.")
        unit = unit_of(request, number)
        key = (kind, unit, store.dictionary(unit.dictionary).revision)
        body = await cache.through(key, lambda: makers[kind](store, unit))
        if kind == "zip":
            return bytes_response(request, body, "application/zip", f"{unit.dictionary}-{unit.index}.zip")
        return bytes_response(request, body, "image/png")

    return [
        Route("/media/unit/{dictionary}/{file}", of_unit),
        Route("/media/{corpus}/{sample}/audio", audio),
        Route("/media/{corpus}/{sample}/mel.png", mel),
    ]


def description_of(store: Store, unit: UnitId) -> str:
    """One sentence for link previews: what a unit's strongest samples say."""
    card = store.card(unit)
    if card.stats.dead:
        return f"{unit_title(store, unit)} of {place_of(store, unit.dictionary)} is silent over the whole corpus."
    top = [e for e in card.examples if e.group == "top"]
    lines = [_passage(e) for e in top] if modality_of(store, unit.dictionary) == "text" else [e.transcript for e in top]
    heard = list(dict.fromkeys(filter(None, lines)))[:4]
    said = " · ".join(f"“{line}”" for line in heard) if heard else "sounds without words"
    return f"{card.label.shown + '. ' if card.label else ''}Fires on {said}. Active in {card.stats.density:.2%} of positions."


def _passage(example: Example) -> str:
    """The text around a peak, on one line, without what cannot be seen."""
    tokens = example.tokens or ()
    start, end = around(tokens, example.at, 8, 4)
    return visible("".join(tokens[start:end]))
