"""Every format decodes to the samples that went in: in their place within 5 ms, and as close as its codec allows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate, resample_poly

from earmark.inputs.audio import decode
from tests.fixtures.hostile import RATE, encoded, written

CODECS = {
    "wav": (lambda s, r: written(s, r, subtype="PCM_16"), 55),
    "flac": (lambda s, r: written(s, r, format="FLAC"), 55),
    "mp3": (lambda s, r: written(s, r, format="MP3"), 12),
    "ogg": (lambda s, r: written(s, r, format="OGG", subtype="VORBIS"), 12),
    "opus": (lambda s, r: written(s, r, format="OGG", subtype="OPUS"), 12),
    "m4a": (lambda s, r: encoded(s, "mp4", "aac", r), 12),
    "webm": (lambda s, r: encoded(s, "webm", "libopus", r), 12),
}
"""name -> (how samples are written, the least ratio of signal to error, in dB)"""


def melody(rate_hz: int) -> np.ndarray:
    """Tones below 2.4 kHz that come and go softly over 3 s: what every rate and codec here can hold, and what no shift leaves the same."""
    t = np.arange(3 * rate_hz) / rate_hz
    tones = [(300, 0.4), (520, 0.9), (1100, 1.3), (740, 1.9), (2350, 2.3)]
    return sum(0.25 * np.exp(-(((t - at) / 0.12) ** 2)) * np.sin(2 * np.pi * hz * t) for hz, at in tones).astype(np.float32)


@pytest.mark.parametrize(("rate_hz", "stereo"), [(8_000, True), (16_000, False), (44_100, True), (48_000, False)])
@pytest.mark.parametrize("name", CODECS)
def test_what_comes_out_is_what_went_in(name: str, rate_hz: int, stereo: bool) -> None:
    if name in ("opus", "webm") and rate_hz == 44_100:
        pytest.skip("opus holds 8, 12, 16, 24 and 48 kHz")
    write, least_db = CODECS[name]
    source = melody(rate_hz)
    found = decode(write(np.stack([1.2 * source, 0.8 * source], axis=1) if stereo else source, rate_hz)).waveform.samples
    expected = resample_poly(source.astype(np.float64), RATE, rate_hz)
    n = min(len(found), len(expected))
    assert n == pytest.approx(3 * RATE, abs=0.1 * RATE)
    lags = correlate(found, expected, "full", method="fft")
    lag = int(lags.argmax()) - (len(expected) - 1)
    assert abs(lag) <= 0.005 * RATE, f"{name} at {rate_hz} Hz is displaced by {1000 * lag / RATE:.2f} ms"
    shifted = np.roll(found, -lag)[:n]
    inner = slice(RATE // 10, n - RATE // 10)
    error = shifted[inner] - expected[:n][inner]
    assert 10 * np.log10((expected[inner.start : inner.stop] ** 2).sum() / (error**2).sum()) > least_db
