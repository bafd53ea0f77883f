"""Sound files: one clip in every format and sample format that soundfile and PyAV write, spoilt; headers that lie; references to other files and addresses."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf

from earmark.inputs.audio import Limits, decode
from earmark.settings import ROOT
from earmark.shelf.folders import Corpus
from tests.fixtures.hostile import dash, encoded, endless_webm, header, patched, pictures, written
from tests.fuzz.harm import EXTREMES, harmed
from tests.fuzz.kinds import Case
from tests.fuzz.watch import Watch

DURATION_S = 0.4
LIMITS = Limits(max_source_s=120.0, max_used_s=60.0, max_decode_s=3.0)
AV = """
mp4 aac, webm libopus, matroska flac, adts aac, mp3 libmp3lame, ogg libopus, ogg flac, wav adpcm_ms, w64 pcm_s16le, aiff pcm_s16be, caf pcm_s24le,
mov alac, avi pcm_s16le, amr libopencore_amrnb
"""
"""container and codec; avi is none that is taken"""


def prepare(folder: Path, watch: Watch) -> Case:
    files = every_format(clip())
    sounds = list(files.values())
    for name in ("WAV PCM_16", "webm libopus", "SDS PCM_16"):
        decode(files[name], LIMITS)  # the libraries are then in memory

    def case(chance: random.Random) -> Callable[[], str]:
        make = chance.choices((spoilt, lying, naming), (20, 3, 1))[0]
        data = make(sounds, chance, watch)
        return lambda: read(data)

    def read(data: bytes) -> str:
        found = decode(data, LIMITS)
        samples = found.waveform.samples
        assert samples.dtype == np.float32 and np.isfinite(samples).all() and np.abs(samples).max() <= 1
        assert 0 < len(samples) <= LIMITS.max_used_s * 16_000 + 1  # type: ignore[operator]
        return "read"

    return case


def clip() -> np.ndarray:
    """float32 [n] at 16 kHz: the beginning of the first shipped clip."""
    corpus = Corpus(ROOT / "precomputed" / "amazon-queen")
    return decode(corpus.audio(corpus.ids[0])[0]).waveform.samples[: round(DURATION_S * 16_000)]


def every_format(samples: np.ndarray) -> dict[str, bytes]:
    """{format: file}, of all that can be written here."""
    files = {}  # SD2 writes a second file of its own accord
    for container in sorted(set(sf.available_formats()) - {"RAW", "SD2"}):
        for subtype in sorted(sf.available_subtypes(container)):
            try:
                rate = 8_000 if subtype in {"GSM610", "G721_32"} or container == "MPC2K" else 44_100 if container in {"SDS"} else 16_000
                files[f"{container} {subtype}"] = written(samples, rate, format=container, subtype=subtype)
            except (sf.LibsndfileError, ValueError, RuntimeError, TypeError):
                continue
    for container, codec in (one.split() for one in AV.strip().replace("\n", " ").split(", ")):
        try:
            rate = 48_000 if codec == "libopus" else 8_000 if "amr" in codec else 16_000
            files[f"{container} {codec}"] = encoded(samples, container, codec, rate)
        except (OSError, ValueError, RuntimeError):
            continue
    files["film mp4"], files["film webm"] = pictures("mp4", "mpeg4", 3), pictures("webm", "libvpx", 3)
    files["endless webm"] = endless_webm(3)
    return files


def spoilt(sounds: list[bytes], chance: random.Random, watch: Watch) -> bytes:
    return harmed(chance.choice(sounds), chance, sounds)


def lying(sounds: list[bytes], chance: random.Random, watch: Watch) -> bytes:
    """A wav header of extremes; chunks, tags and boxes that claim sizes, or lie inside each other a thousand times."""
    size = chance.choice(EXTREMES) & 0xFFFFFFFF
    base = chance.choice(sounds)
    kind = chance.randrange(5)
    if kind == 0:
        return header(chance.choice(EXTREMES) & 0xFFFF, chance.choice(EXTREMES) & 0xFFFFFFFF, size, 4096)
    if kind == 1:  # chunks of the RIFF family before the sound
        marks = (b"LIST", b"JUNK", b"fact", b"cue ", b"smpl", b"bext", b"id3 ", b"fmt ", b"data", b"ds64", b"cart", b"PEAK")
        chunks = b"".join(chance.choice(marks) + struct.pack("<I", chance.choice((8, size))) + b"\1" * 8 for _ in range(chance.choice((1, 3, 400))))
        return base[:12] + chunks + base[12:]
    if kind == 2:  # a tag with a picture, as players write it, in front of anything
        picture = b"APIC" + struct.pack(">I", chance.choice((64, size))) + b"\0\0\0image/png\0\3\0" + chance.randbytes(60)
        claimed = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
        return b"ID3\3\0\0" + chance.choice((claimed, b"\0\0\0\x80")) + picture + base
    if kind == 3:  # boxes inside boxes
        depth, name = chance.choice((10, 1000, 20_000)), chance.choice((b"moov", b"trak", b"udta", b"meta", b"ilst"))
        return (
            struct.pack(">I4s", 20, b"ftyp")
            + b"isom\0\0\0\0isom"
            + b"".join(struct.pack(">I4s", chance.choice((0, 1, 8 * depth, size)), name) for _ in range(depth))
        )
    return b"\x1a\x45\xdf\xa3\x84webm" + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" * chance.choice((1, 5000)) + base


def naming(sounds: list[bytes], chance: random.Random, watch: Watch) -> bytes:
    """Playlists, pointers and pages that name a file here and an address."""
    here, url = str(watch.canary), f"http://127.0.0.1:{watch.port}/x.wav"
    name = chance.choice((here, f"file://{here}", f"file:{here}", url, f"concat:{here}|{here}", f"subfile,,start,0,end,0,,:{here}", f"crypto+{url}", f"tcp://127.0.0.1:{watch.port}",
                          f"hls+{url}", f"cache:{here}", "data:audio/wav;base64,UklGRg==", "../" * 8 + here[1:]))  # fmt: skip
    whole = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXT-X-MAP:URI=\"{name}\"\n#EXTINF:3,\n{name}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{name}'\n",
        f"[playlist]\nFile1={name}\nNumberOfEntries=1\n",
        f"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM '{name}'>]><playlist><trackList><track><location>&e;</location></track></trackList></playlist>",
        dash(name).decode(),
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {watch.port} RTP/AVP 0\n",
        f"RTSPtext\r\n{name}",
        f"<ASX version='3.0'><entry><ref href='{name}'/></entry></ASX>",
        f"TTA1{name}",
        name,
    )  # fmt: skip
    text = chance.choice(whole).encode()
    kind = chance.randrange(3)
    if kind == 0:
        return text
    if kind == 1:
        return chance.choice(sounds)[: chance.choice((4, 12, 44))] + text
    films = [s for s in sounds if b"url " in s[:4000]]
    data = chance.choice(films)
    return patched(data, b"url ", 4, b"\0\0\0\0" + text[:200] + b"\0")
