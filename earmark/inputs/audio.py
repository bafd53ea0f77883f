"""Sound files into waveforms, mono, 16 kHz, loudness left alone, every limit in one place; and waveforms into files.

soundfile reads wav, mp3, flac, ogg and opus; PyAV (ffmpeg's libraries inside a wheel) reads what it cannot: m4a, webm, aac.
Decoding goes block by block and ends at the limit, so that neither time nor memory follows a header that lies.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile as sf

from ..errors import BadInput
from ..units import SAMPLE_RATE_HZ, Waveform

N_BLOCK = 1 << 20
"""values decoded at a time; soundfile seeks after each block, which some MP3 decoders complain about"""
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 192_000
MAX_CHANNELS = 16
LOUDEST = 1_000.0
"""60 dB above full scale: what is louder is damage, and would overflow where the rate is converted"""
MIN_DURATION_S = 0.025
"""one 25 ms analysis window of a speech model"""
AV_OPTIONS = {"format_whitelist": "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,aac,mp3,ogg,flac,wav,w64,aiff,caf,amr,asf", "protocol_whitelist": ""}
"""containers of sound only, and no protocol: playlists and references, which name other files and addresses, are not followed"""
FORMATS = "wav, mp3, flac, ogg, opus, m4a or webm"


@dataclass(frozen=True)
class Limits:
    """What is accepted, and how much of it is used."""

    max_bytes: int = 25_000_000
    max_source_s: float = 1_200.0
    """longer sounds are refused"""
    max_used_s: float | None = None
    """longer sounds are cut to this, with a notice; what lies behind it is counted, not kept"""
    max_decode_s: float = 60.0
    """reading that takes longer than this is given up"""


@dataclass(frozen=True)
class Sound:
    """A decoded file."""

    waveform: Waveform
    notices: tuple[str, ...] = ()
    """sentences for the person who brought it: what was cut or mended"""


def decode(data: bytes, limits: Limits = Limits()) -> Sound:
    """Any sound file's bytes as mono float32 at 16 kHz.

    Channels are averaged; the sample rate is converted by soxr, with its anti-alias filter. Samples that are not
    finite become silence, with a notice. Raises BadInput, whose text says what was wrong and what would work.
    """
    if not data:
        raise BadInput(f"The file is empty. Bring a recording as {FORMATS}.")
    if len(data) > limits.max_bytes:
        raise BadInput(f"The file has {len(data) / 1e6:.1f} MB; at most {limits.max_bytes / 1e6:.0f} MB are taken. Cut it or compress it, as mp3 for example.")
    rate_hz, samples, n_samples, broke_off = _mono(data, limits)
    notices = [f"The file breaks off after {n_samples / rate_hz:.1f} s; what could be read is used."] if broke_off else []
    return _finish(rate_hz, samples, limits, notices, n_samples)


def read_file(path: Path, limits: Limits = Limits()) -> bytes:
    """A file's bytes for `decode`. Raises BadInput when it cannot be read or is too large to try."""
    try:
        if path.stat().st_size > limits.max_bytes:
            raise BadInput(f"'{path.name}' has {path.stat().st_size / 1e6:.1f} MB; at most {limits.max_bytes / 1e6:.0f} MB are taken. Cut it or compress it.")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"'{path.name}' cannot be read: {error.strerror or type(error).__name__}.") from None


def sound_file(waveform: Waveform, kind: Literal["WAV", "FLAC"]) -> bytes:
    """A waveform as a file: 16 bits, mono."""
    file = io.BytesIO()
    sf.write(file, waveform.samples, waveform.rate_hz, format=kind, subtype="PCM_16")
    return file.getvalue()


def _finish(rate_hz: int, samples: np.ndarray, limits: Limits, notices: list[str], n_samples: int | None = None) -> Sound:
    """`n_samples` is how many there were, where fewer were kept."""
    if len(samples) and not np.isfinite(samples).any():
        raise BadInput("None of the sound's samples is a finite number. Save it again, as wav for example.")
    if not np.isfinite(samples).all():
        notices.append(f"{int((~np.isfinite(samples)).sum())} samples were not finite numbers and were taken as silence.")
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    duration_s = (n_samples or len(samples)) / rate_hz
    if duration_s < MIN_DURATION_S:
        raise BadInput(f"The sound lasts {duration_s * 1000:.1f} ms ({len(samples)} samples); at least {MIN_DURATION_S * 1000:.0f} ms are needed.")
    if limits.max_used_s is not None and duration_s > limits.max_used_s:
        notices.append(f"The sound lasts {duration_s:.1f} s; the first {limits.max_used_s:.0f} s are used.")
        samples = samples[: math.ceil(limits.max_used_s * rate_hz)]
    samples = np.clip(to_rate(np.clip(samples, -LOUDEST, LOUDEST), rate_hz), -1.0, 1.0)
    return Sound(Waveform(np.ascontiguousarray(samples, dtype=np.float32)), tuple(notices))


def to_rate(samples: np.ndarray, rate_hz: int, target_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """Convert the sample rate: float32 [n] -> [ceil(n * target_hz / rate_hz)]."""
    if rate_hz == target_hz:
        return samples
    import soxr

    found = soxr.resample(samples, rate_hz, target_hz, quality="soxr_hq")
    n = math.ceil(len(samples) * target_hz / rate_hz)
    return np.pad(found[:n], (0, max(n - len(found), 0)))


def _mono(data: bytes, limits: Limits) -> tuple[int, np.ndarray, int, bool]:
    """(samples a second, the mono samples that are used, how many there were, whether the file breaks off)"""
    for read in (_with_soundfile, _with_av):
        blocks = read(data)
        try:
            rate_hz, n_channels = (int(n) for n in next(blocks))
        except (StopIteration, _CannotRead):
            continue
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise BadInput(f"The sound has {rate_hz} samples a second; {MIN_RATE_HZ} to {MAX_RATE_HZ} are taken. Convert it to 16000.")
        if not 1 <= n_channels <= MAX_CHANNELS:
            raise BadInput(f"The sound has {n_channels} channels; 1 to {MAX_CHANNELS} are taken. Mix it down to mono.")
        return rate_hz, *_gather(blocks, rate_hz, limits)
    raise BadInput(f"The file cannot be read as sound. Bring a recording as {FORMATS}.")


def _gather(blocks: Iterator[np.ndarray], rate_hz: int, limits: Limits) -> tuple[np.ndarray, int, bool]:
    parts: list[np.ndarray] = []
    n, broke_off = 0, False
    end = time.monotonic() + limits.max_decode_s
    try:
        for block in blocks:
            if limits.max_used_s is None or n <= limits.max_used_s * rate_hz:
                parts.append(block.mean(axis=1, dtype=np.float32))
            n += len(block)
            if time.monotonic() > end:
                raise BadInput(f"Reading the file took longer than {limits.max_decode_s:.0f} s and was given up. Cut it, or save it as wav.")
            if n > limits.max_source_s * rate_hz:
                raise BadInput(f"The sound is longer than {limits.max_source_s / 60:.0f} minutes, the most that is decoded. Cut out the part you want.")
    except _CannotRead as error:
        broke_off = True
        if not parts:
            raise BadInput(f"The file breaks off before any sound ({error}). Bring a recording as {FORMATS}.") from None
    if not n:
        raise BadInput(f"The file holds no sound. Bring a recording as {FORMATS}.")
    return np.concatenate(parts), n, broke_off


class _CannotRead(Exception):
    pass


def _with_soundfile(data: bytes) -> Iterator[np.ndarray]:
    """Yields [rate, channels], then float32 blocks [n, channels]."""
    try:
        with sf.SoundFile(io.BytesIO(data)) as file:
            yield np.array((file.samplerate, file.channels))
            if file.channels > MAX_CHANNELS:
                return
            while len(block := file.read(N_BLOCK // file.channels, dtype="float32", always_2d=True)):
                yield block
    except (sf.LibsndfileError, RuntimeError, ValueError, TypeError) as error:
        raise _CannotRead(type(error).__name__) from None


def _with_av(data: bytes) -> Iterator[np.ndarray]:
    """Yields [rate, channels], then float32 blocks [n, channels]."""
    import av

    try:
        with av.open(io.BytesIO(data), "r", options=AV_OPTIONS) as container:
            if not container.streams.audio:
                raise _CannotRead("no sound in it")
            stream = container.streams.audio[0]
            if getattr(stream, "codec_context", None) is None:  # its stubs know of no such stream
                raise _CannotRead("no decoder for it")
            yield np.array((stream.rate, stream.channels))
            to_float = av.AudioResampler(format="fltp")
            for frame in container.decode(stream):
                for piece in to_float.resample(frame):
                    yield piece.to_ndarray().T
    except (av.FFmpegError, ValueError, MemoryError, OSError) as error:
        raise _CannotRead(type(error).__name__) from None
