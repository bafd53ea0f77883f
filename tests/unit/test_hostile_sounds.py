"""Hostile files: each gets a sentence, in bounded time and memory, and none makes us open anything else."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from earmark.errors import BadInput
from earmark.inputs.audio import Limits, decode
from tests.fixtures.hostile import RATE, encoded, hostile, lying, tone, written

LONG_S = 150.0
NAMES = tuple(hostile(Path("/x"), 1, LONG_S))
Files = dict[str, tuple[Callable[[], bytes], str]]
LIMITS = Limits(max_source_s=120.0, max_used_s=60.0, max_decode_s=12.0)
MOST_MB, MOST_S = 150, 15


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, socket.socket]]:
    """A fine sound and an open port that nothing may touch."""
    canary = tmp_path_factory.mktemp("canary") / "canary.wav"
    canary.write_bytes(written(tone(3.0)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield canary, server


@pytest.fixture(scope="module")
def files(trap: tuple[Path, socket.socket]) -> Files:
    canary, server = trap
    found = hostile(canary, server.getsockname()[1], LONG_S)
    assert decode(canary.read_bytes()).waveform.duration_s == pytest.approx(3)
    decode(written(tone(0.1, 8_000), 8_000))  # the libraries are then in memory
    return found


def peak_mb() -> float:
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")) / 1024


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_gets_a_sentence_in_bounded_time_and_memory(name: str, files: Files, trap: tuple[Path, socket.socket]) -> None:
    make, words = files[name]
    data = make()
    assert len(data) < LIMITS.max_bytes
    Path("/proc/self/clear_refs").write_text("5")
    before, start = peak_mb(), time.monotonic()
    with pytest.raises(BadInput, match=words) as caught:
        decode(data, LIMITS)
    assert time.monotonic() - start < MOST_S
    assert peak_mb() - before < MOST_MB
    assert re.search(r"[.]$", str(caught.value)) and len(str(caught.value)) < 200
    with pytest.raises(BlockingIOError):
        trap[1].accept()


@pytest.mark.parametrize("name", tuple(lying()))
def test_what_a_lying_or_broken_file_really_holds_is_used(name: str) -> None:
    found = decode(lying()[name], LIMITS)
    assert 0.7 < found.waveform.duration_s < 1.2
    heard = np.abs(np.fft.rfft(found.waveform.samples[: RATE // 2])).argmax() * 2
    assert heard == pytest.approx(440, abs=4)


def test_a_stream_that_nothing_decodes_is_no_sound() -> None:
    data = encoded(tone(0.5, 48_000), "webm", "libopus", 48_000)
    with pytest.raises(BadInput, match="cannot be read as sound"):
        decode(data.replace(b"A_OPUS", b"A_ZZZZ"))


def test_samples_far_beyond_full_scale_stay_finite_at_another_rate() -> None:
    samples = np.where(np.arange(8_000) % 2, 3e38, -3e38).astype(np.float32)
    assert np.abs(decode(written(samples, 8_000, subtype="FLOAT")).waveform.samples).max() == 1


def test_eight_channels_at_192_khz_are_given_up_in_time() -> None:
    data = written(np.zeros((20 * 192_000, 8), np.int16), 192_000, format="FLAC")
    assert len(data) < 2_000_000
    with pytest.raises(BadInput, match="took longer than"):
        decode(data, Limits(max_used_s=60.0, max_decode_s=0.05))


def test_damaged_files_raise_nothing_else() -> None:
    rng = np.random.default_rng(0)
    for name in sorted(set(NAMES) - {"bomb.ogg", "bomb.opus", "bomb.flac", "endless.webm"}):
        data = hostile(Path("/x"), 1, LONG_S)[name][0]()
        for _ in range(5):
            bad = bytearray(data[:4000])
            for at in rng.integers(0, len(bad), 12):
                bad[at] = int(rng.integers(256))
            try:
                decode(bytes(bad), LIMITS)
            except BadInput as error:
                assert str(error).endswith(".")
