"""Sound files of every format and kind give the same samples; bad ones give a sentence, in bounded time."""

from __future__ import annotations

import io
import struct
import time
from fractions import Fraction
from typing import Literal

import av
import numpy as np
import pytest
import soundfile as sf
from scipy.signal import resample_poly

from earmark.errors import BadInput
from earmark.inputs.audio import Limits, decode, sound_file
from earmark.units import Waveform

RATE = 16_000


def burst(duration_s: float = 2.0, rate_hz: int = RATE, at_s: float = 1.2) -> np.ndarray:
    """A 1 kHz tone of 0.2 s at a known time, in faint noise."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    tone = np.where((t >= at_s) & (t < at_s + 0.2), 0.5 * np.sin(2 * np.pi * 1000 * t), 0)
    return (tone + np.random.default_rng(0).normal(0, 1e-3, len(t))).astype(np.float32)


def wav(samples: np.ndarray, rate_hz: int = RATE, **options: str) -> bytes:
    file = io.BytesIO()
    sf.write(file, samples, rate_hz, **{"format": "WAV", **options})
    return file.getvalue()


def with_av(samples: np.ndarray, container: str, codec: str, rate_hz: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate_hz, frame_size=stream.codec_context.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


def energy_s(samples: np.ndarray) -> tuple[float, float]:
    """(first, last) time at which a 5 ms frame is loud."""
    frames = samples[: len(samples) // 80 * 80].reshape(-1, 80)
    loud = np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > 0.1)
    return loud[0] * 0.005, (loud[-1] + 1) * 0.005


@pytest.mark.parametrize(
    ("make", "tolerance_s"),
    [
        (lambda: wav(burst()), 0.006),
        (lambda: wav(burst(), subtype="FLOAT"), 0.006),
        (lambda: wav(burst(), format="FLAC"), 0.006),
        (lambda: wav(burst(), format="OGG", subtype="VORBIS"), 0.02),
        (lambda: wav(burst(), format="OGG", subtype="OPUS"), 0.02),
        (lambda: wav(burst(), format="MP3"), 0.06),
        (lambda: with_av(burst(), "mp4", "aac", RATE), 0.02),
        (lambda: with_av(burst(rate_hz=48_000), "webm", "libopus", 48_000), 0.02),
        (lambda: wav(burst(rate_hz=8_000), 8_000), 0.006),
        (lambda: wav(burst(rate_hz=44_100), 44_100), 0.006),
        (lambda: wav(np.stack([burst(rate_hz=22_050), np.zeros(44_100, np.float32)], axis=1) * 1.6, 22_050), 0.006),
    ],
)
def test_a_tone_is_found_at_its_time_whatever_the_format(make, tolerance_s: float) -> None:
    sound = decode(make())
    assert sound.waveform.rate_hz == RATE and sound.waveform.samples.dtype == np.float32
    assert sound.waveform.duration_s == pytest.approx(2.0, abs=0.1)
    first, last = energy_s(sound.waveform.samples)
    assert first == pytest.approx(1.2, abs=tolerance_s) and last == pytest.approx(1.4, abs=tolerance_s)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_a_waveform_becomes_a_file_that_another_library_reads_alike(kind: Literal["WAV", "FLAC"]) -> None:
    waveform = Waveform(burst().astype(np.float32))
    with av.open(io.BytesIO(sound_file(waveform, kind))) as container:
        stream = container.streams.audio[0]
        read = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(stream)])
        assert (container.format.name, stream.rate, stream.channels, read.dtype) == (kind.lower(), RATE, 1, np.int16)
    assert read / 2**15 == pytest.approx(waveform.samples, abs=2**-15)


def test_channels_are_averaged_and_loudness_is_left_alone() -> None:
    left, right = 0.3 * np.ones(RATE, np.float32), np.linspace(-0.2, 0.2, RATE, dtype=np.float32)
    mono = decode(wav(np.stack([left, right], axis=1), subtype="FLOAT")).waveform.samples
    assert mono == pytest.approx((left + right) / 2, abs=1e-6)
    assert decode(wav(0.01 * burst(), subtype="FLOAT")).waveform.samples == pytest.approx(0.01 * burst(), abs=1e-7)


def test_resampling_keeps_out_what_the_lower_rate_cannot_hold() -> None:
    t = np.arange(48_000 * 2) / 48_000
    low, high = np.sin(2 * np.pi * 1000 * t), np.sin(2 * np.pi * 11_000 * t)
    ours = decode(wav(0.4 * (low + high), 48_000, subtype="FLOAT")).waveform.samples
    reference = resample_poly(0.4 * low, 1, 3)
    assert np.abs(ours[1000:-1000] - reference[1000:-1000]).max() < 0.01


def test_eight_channels_are_fine_and_a_hundred_are_refused() -> None:
    assert decode(wav(np.zeros((RATE, 8), np.float32) + 0.1)).waveform.duration_s == 1.0
    with pytest.raises(BadInput, match="100 channels"):
        decode(wav(np.zeros((RATE, 100), np.float32)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"this is text that somebody named .wav", "cannot be read as sound"),
        (wav(np.zeros(1, np.float32)), "1 samples"),
        (wav(np.zeros(0, np.float32)), "no sound|0 samples"),
        (wav(burst())[:30], "cannot be read|no sound|breaks off"),
        (bytes(range(256)) * 50, "cannot be read"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes(2000), "cannot be read|no sound|breaks off"),
        (b"<svg onload=alert(1)>", "cannot be read"),
        (wav(burst(rate_hz=2_000), 2_000), "2000 samples a second"),
    ],
)
def test_bad_files_get_a_sentence(data: bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        decode(data)
    assert str(caught.value).endswith(".")


def test_samples_that_are_not_numbers_become_silence_with_a_notice() -> None:
    samples = burst()
    samples[100:110] = np.nan
    samples[200] = np.inf
    sound = decode(wav(samples, subtype="FLOAT"))
    assert "11 samples" in sound.notices[0]
    assert np.isfinite(sound.waveform.samples).all() and not sound.waveform.samples[100:110].any()


def test_long_sounds_are_cut_with_a_notice_and_too_long_ones_refused() -> None:
    limits = Limits(max_source_s=10, max_used_s=3)
    sound = decode(wav(burst(duration_s=5, rate_hz=8_000), 8_000), limits)
    assert sound.waveform.duration_s == pytest.approx(3.0, abs=1e-3)
    assert "5.0 s" in sound.notices[0] and "first 3 s" in sound.notices[0]
    with pytest.raises(BadInput, match="minutes"):
        decode(wav(np.zeros(11 * 8_000, np.float32), 8_000), limits)
    with pytest.raises(BadInput, match="MB"):
        decode(bytes(2_000_000), Limits(max_bytes=1_000_000))


def test_two_hours_are_refused_quickly() -> None:
    two_hours = wav(np.zeros(2 * 3600 * 4_000, np.int8).astype(np.int16), 4_000, subtype="PCM_U8")
    start = time.monotonic()
    with pytest.raises(BadInput, match="longer than 20 minutes"):
        decode(two_hours, Limits(max_bytes=100_000_000))
    assert time.monotonic() - start < 20


def test_a_header_that_promises_more_than_there_is_costs_nothing() -> None:
    data = bytearray(wav(burst()))
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
    assert decode(bytes(data)).waveform.duration_s == pytest.approx(2.0, abs=0.01)
