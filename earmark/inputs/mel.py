"""Mel spectrograms for pictures: the same for a corpus's clips and for a visitor's."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..units import SAMPLE_RATE_HZ, Waveform

N_MELS, N_FFT = 64, 512
HOP_S = 0.02
N_HOP = int(HOP_S * SAMPLE_RATE_HZ)
DECADES = 6
"""range of a picture below its loudest spot, in powers of ten of power"""


@cache
def _mel_filters() -> NDArray[np.float32]:
    import librosa

    return librosa.filters.mel(sr=SAMPLE_RATE_HZ, n_fft=N_FFT, n_mels=N_MELS, fmax=SAMPLE_RATE_HZ / 2)


def mel_decades(waveform: Waveform) -> NDArray[np.float32]:
    """Mel power in decades below its largest, float32 [64, ceil(n / 320)] within -6..0.

    Column t stands for [20 t, 20 t + 20) ms: its 32 ms window (Hann) is centred there. Row 0 is the lowest of 64 mels up to 8 kHz.
    """
    import librosa

    n_columns = max(-(-len(waveform.samples) // N_HOP), 1)
    left = (N_FFT - N_HOP) // 2
    padded = np.pad(waveform.samples, (left, (n_columns - 1) * N_HOP + N_FFT - left - len(waveform.samples)))
    power = _mel_filters() @ (np.abs(librosa.stft(padded, n_fft=N_FFT, hop_length=N_HOP, center=False)) ** 2)
    peak = float(power.max())
    if peak <= 0:
        return np.full(power.shape, -DECADES, np.float32)
    return np.log10(np.maximum(power / peak, 10.0**-DECADES)).astype(np.float32)


def mel_grey(waveform: Waveform) -> NDArray[np.uint8]:
    """The same as uint8 [64, ceil(n / 320)]: 0 is 6 decades below the loudest, 255 the loudest."""
    return np.round((mel_decades(waveform) / DECADES + 1) * 255).astype(np.uint8)
