"""A visitor's own clip: nothing displaced, nothing mixed, nothing kept for long."""

from __future__ import annotations

import io
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf

from components.audio import answer_to, ticket_for
from components.card import render
from components.host.uploads import uploaded
from components.views.clip import HitsView, form_view, hits_view
from components.views.firing import N_HITS
from earmark.errors import BadInput, EarmarkError, NotFound
from earmark.inputs.audio import Limits, decode
from earmark.links import HeardView, Link
from earmark.live.analysis import rank
from earmark.live.desk import Desk
from earmark.live.line.decoder import Decoders
from earmark.live.line.kept import Clip, Kept
from earmark.live.line.sounds import N_READERS
from earmark.settings import Settings
from earmark.shelf.schema import LABELS
from earmark.shelf.store import Store
from earmark.shelf.tables import put_table
from earmark.units import FrameGrid
from earmark.web.records import analysis_json
from tests.fixtures.hostile import HARM
from tests.fixtures.shelf import LABEL
from tests.fixtures.toy import N_UNITS, K, make_model, make_sae, settings_for, sound

BURST_S = 0.3


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The toy model and its SAE, without any tables."""
    from tests.fixtures import toy

    settings = settings_for(tmp_path_factory.mktemp("bare"))
    settings.data.mkdir(parents=True)
    (settings.data / "catalog.toml").write_text(toy.CATALOG)
    make_model(settings.data / "toy-model")
    make_sae(settings)
    return settings


@pytest.fixture(scope="module")
def desk(bare: Settings) -> Desk:
    return Desk(Store(bare))


def test_a_clip_carries_its_words_with_their_times(bare: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy model reads nonsense, so its reading is given; capture, alignment and the desk are the real ones."""
    from earmark.runtime import Runtime
    from tests.unit.test_align import SPOKEN, TRUTH

    texts = iter([TRUTH["hello"]["text"], "Something else altogether, my dear crocodile."])
    monkeypatch.setattr(Runtime, "read", lambda *_: next(texts))
    desk, data = Desk(Store(bare)), (SPOKEN / "hello.flac").read_bytes()
    speech = heard(desk, data).speech
    assert speech is not None and [w.word for w in speech.words][:3] == ["hello", "there", "my"]
    assert heard(desk, data).speech is None, "a reading that does not fit leaves the clip without times"


def heard(desk: Desk, data: bytes, slug: str = "toy-sae") -> Clip:
    clip = desk.kept.get(desk.listen(slug, desk.bring(data)))
    assert clip is not None
    return clip


# -- time ------------------------------------------------------------------------------------------------------------------


def bursts(duration_s: float, rate_hz: int, n_channels: int, starts_s: tuple[float, ...], pitch_hz: float = 1000) -> bytes:
    """Tones of 0.3 s at known times in faint noise, without clicks; the channels carry the tone at different levels."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    ramp = sum(np.clip(np.minimum(t - s, s + BURST_S - t) / 0.008, 0, 1) for s in starts_s)
    tone = np.sin(2 * np.pi * pitch_hz * t) * (1 - np.cos(np.pi * ramp)) / 2
    noise = np.random.default_rng(0).normal(0, 3e-3, len(t))
    file = io.BytesIO()
    sf.write(file, np.stack([0.5 * tone / (1 + c) + noise for c in range(n_channels)], axis=1), rate_hz, format="FLAC" if rate_hz < 96_000 else "WAV")
    return file.getvalue()


@pytest.mark.parametrize(
    ("duration_s", "rate_hz", "n_channels", "starts_s"),
    [
        (3.0, 44_100, 1, (1.0,)),
        (12.34, 22_050, 2, (0.5, 11.5)),
        (29.99, 48_000, 1, (4.0, 29.0)),
        (45.0, 8_000, 2, (4.0, 26.0, 33.3, 44.0)),
        (59.9, 16_000, 3, (12.01, 29.2, 30.5, 59.1)),
        (75.0, 11_025, 1, (0.2, 29.6, 30.1, 58.7)),
        (31.0, 96_000, 2, (17.77, 30.3)),
    ],
)
def test_a_tone_is_found_at_its_time_in_every_window(desk: Desk, duration_s: float, rate_hz: int, n_channels: int, starts_s: tuple[float, ...]):
    clip = heard(desk, bursts(duration_s, rate_hz, n_channels, starts_s))
    assert clip.duration_s == pytest.approx(min(duration_s, 60.0), abs=1e-3)
    assert clip.mel.shape[1] == clip.grid.n_frames == round(clip.duration_s / 0.02 + 0.499)
    other = heard(desk, bursts(duration_s, rate_hz, n_channels, starts_s, 1600))  # as loud, or Whisper lifts the floor of all frames
    row = clip.mel[:, round((starts_s[0] + 0.15) / 0.02)].argmax()
    parted = clip.codes["toy-residual"].dense() - other.codes["toy-residual"].dense()
    difference = np.linalg.norm(parted, axis=1)
    # a column of the picture sees 32 ms; a frame of the model 65 ms: 25 of each mel frame, and 20 on either side through its convolutions
    for loud, edge in ((np.flatnonzero(clip.mel[row] > 128), 1), (np.flatnonzero(difference > difference.max() / 2), 2)):
        left = loud
        for start in starts_s:
            ours = left[np.abs(left * 0.02 + 0.01 - start - BURST_S / 2) < BURST_S / 2 + 0.1]
            assert abs((ours[0] + ours[-1] + 1) * 0.01 - (start + BURST_S / 2)) <= 0.02, "its middle, within one frame"
            assert abs(ours[0] - int(start / 0.02 + 1e-6)) <= edge, "the frame in which the tone begins"
            assert abs(ours[-1] - int((start + BURST_S) / 0.02 - 1e-6)) <= edge, "the frame in which it ends"
            left = np.setdiff1d(left, ours)
        assert not len(left), "nothing is found anywhere else"


def test_a_moment_lists_the_values_of_its_frame(desk: Desk):
    clip = heard(desk, sound(1, 3.0))
    values = clip.codes["toy-sae"].dense()
    link = Link("audio", "toy-sae", heard=HeardView("moment", 1.234))
    page = hits_view(desk.store, link, clip)
    now = values[61]
    assert [r.unit for r in page.rows] == sorted(np.flatnonzero(now > 0), key=lambda u: -now[u]) and 1 <= len(page.rows) <= K
    assert page.rows[0].detail.startswith("then ")


def test_the_orders_are_those_of_the_values(desk: Desk):
    clip = heard(desk, sound(2, 2.0))
    values = clip.codes["toy-neurons"].dense()
    for order, expected in (("peak", values.max(axis=0)), ("mean", values.mean(axis=0))):
        hits, traces = rank(desk.store, "toy-neurons", clip.codes["toy-neurons"], clip.grid, top=10, order=order)
        best = sorted(np.flatnonzero(values.max(axis=0) > 0), key=lambda u: -expected[u])[:10]
        assert [h.unit for h in hits] == best
        assert all(np.array_equal(traces[h.unit], values[:, h.unit]) and h.at_s == pytest.approx(0.02 * values[:, h.unit].argmax()) for h in hits)


# -- one run for all dictionaries -------------------------------------------------------------------------------------------


def test_one_run_serves_every_dictionary_of_the_layer(desk: Desk):
    clip = heard(desk, sound(3, 1.5))
    assert set(clip.codes) == {"toy-sae", "toy-neurons", "toy-residual"} and not clip.problems
    alone = desk.analyse("toy-neurons", sound(3, 1.5), 10, "peak")
    hits, _ = rank(desk.store, "toy-neurons", clip.codes["toy-neurons"], clip.grid, top=10, order="peak")
    assert hits == alone.hits


def test_without_tables_the_list_is_there_and_says_less(desk: Desk):
    clip = heard(desk, sound(3, 1.5))
    page = hits_view(desk.store, Link("audio", "toy-sae"), clip)
    assert page.rows and len(page.rows) <= N_HITS and all(r.relative is None and r.silent and r.heard == () for r in page.rows)
    assert [p.current for p in page.picks] == [True, False, False]
    assert form_view(desk.store, Link("audio", "toy-sae"), 2400).tries == ()


def test_with_tables_the_default_order_is_the_share_of_the_largest(house: Settings):
    desk = Desk(Store(house))
    clip = heard(desk, sound(11, 1.2))
    page = hits_view(desk.store, Link("audio", "toy-neurons"), clip)
    shares = [r.relative for r in page.rows]
    assert shares == sorted(shares, reverse=True, key=lambda s: s or 0) and any(r.heard for r in page.rows)
    for row in page.rows[:3]:
        largest = desk.store.units_frame("toy-neurons").loc[row.unit, "peak"]
        assert row.relative == pytest.approx(row.peak / largest, rel=1e-5)
    assert len(form_view(desk.store, Link("audio", "toy-sae"), 2400).tries) == 4


# -- what is kept -------------------------------------------------------------------------------------------------------------


def made(n_bytes: int = 1000) -> Clip:
    codes = {"d": SimpleNamespace(values=np.zeros(n_bytes, np.uint8), indices=None)}
    return Clip(b"", np.zeros((64, 0), np.uint8), FrameGrid(0.02, 0, 1), 1.0, "", codes)  # type: ignore[arg-type]


def test_a_clip_is_found_by_its_token_only_and_forgotten_when_asked():
    kept = Kept()
    first, second = made(), made()
    a, b = kept.put(first), kept.put(second)
    assert a != b and len(a) >= 32 and kept.get(a) is first and kept.get(b) is second
    assert kept.get("") is None and kept.get(a[:-1]) is None
    kept.drop(a)
    assert kept.get(a) is None and kept.get(b) is second


def test_clips_leave_by_age_though_nobody_asks():
    now = [0.0]
    kept = Kept(max_age_s=0.2, clock=lambda: now[0])
    token = kept.put(made())
    now[0] = 0.19
    assert kept.get(token) is not None
    now[0] = 0.21
    end = time.monotonic() + 10
    while len(kept) and time.monotonic() < end:
        time.sleep(0.05)
    assert len(kept) == 0


def test_the_longest_unused_makes_room():
    kept = Kept(max_bytes=3500)
    tokens = [kept.put(made()) for _ in range(3)]
    assert kept.get(tokens[0]) is not None
    tokens.append(kept.put(made()))
    assert [kept.get(t) is not None for t in tokens] == [True, False, True, True]


def test_clips_are_kept_for_less_than_an_hour():
    from components.host.doors import FORGET_S

    assert Kept().max_age_s < 3600 and sum(FORGET_S) < 3600


# -- what strangers bring ------------------------------------------------------------------------------------------------------


def test_only_what_was_uploaded_is_read(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "up"))
    outside = tmp_path / "secret.wav"
    outside.write_bytes(sound(1, 1.0))
    inside = tmp_path / "up" / "a" / "b.wav"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(sound(1, 1.0))
    (tmp_path / "up" / "link.wav").symlink_to(outside)
    for path in (str(outside), str(tmp_path / "up" / ".." / "secret.wav"), str(tmp_path / "up" / "link.wav"), "", "\0", str(tmp_path / "up")):
        assert "not here any more" in ticket_for(desk, {"path": path, "dictionary": "toy-sae"})
    assert outside.is_file() and uploaded(str(inside)) == inside.resolve()
    assert "data-ticket" in ticket_for(desk, {"path": str(inside), "dictionary": "toy-sae"})
    assert not inside.exists()


def test_what_cannot_be_read_is_deleted_too(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"<script>alert(1)</script>")
    said = ticket_for(desk, {"path": str(bad), "dictionary": "toy-sae"})
    assert "cannot be read as sound" in said and not bad.exists()


@pytest.mark.parametrize(
    "asked", [{}, {"dictionary": "<b>none</b>", "sample": "s"}, {"dictionary": "toy-sae", "sample": "../x"}, {"dictionary": "toy-sae", "path": None}]
)
def test_nonsense_gets_a_sentence(desk: Desk, asked: dict):
    for said in (ticket_for(desk, asked), answer_to(desk, asked | {"ticket": "nobody's"}, lambda *_: None)):
        assert 'role="alert"' in said and "<b>none" not in said


def test_a_file_that_takes_too_long_is_given_up():
    long = sound(1, 20.0, 8000)
    with pytest.raises(BadInput, match="took longer than 0 s"):
        decode(long, Limits(max_decode_s=0))


def test_no_more_is_kept_of_a_long_file_than_is_used():
    """Twenty minutes at 48 kHz would be 230 MB; of a minute 12 are kept."""
    import tracemalloc

    file = io.BytesIO()
    sf.write(file, np.zeros(1100 * 48_000, np.int16), 48_000, format="FLAC")
    tracemalloc.start()
    found = decode(file.getvalue(), Limits(max_used_s=60.0))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.waveform.duration_s == pytest.approx(60) and "1100.0 s" in found.notices[0]
    assert most < 120e6


def test_a_ticket_is_good_once(desk: Desk):
    ticket = desk.bring(sound(1, 0.5))
    token = desk.listen("toy-sae", ticket)
    assert desk.kept.get(token) is not None and desk.kept.get(ticket) is None
    with pytest.raises(BadInput, match="not here any more"):
        desk.listen("toy-sae", ticket)


def test_files_that_take_long_hold_up_neither_the_model_nor_other_files(bare: Settings):
    desk = Desk(Store(bare), decode_s=30)
    desk._decoders = decoders = Decoders(N_READERS, HARM)
    ticket = desk.bring(sound(1, 0.5))

    def hang() -> None:
        with suppress(BadInput):
            desk.bring(b"hang")

    slow = [threading.Thread(target=hang, daemon=True) for _ in range(N_READERS - 1)]
    for visitor in slow:
        visitor.start()
    while decoders._free._value > 1:
        time.sleep(0.01)
    assert desk.kept.get(desk.listen("toy-sae", ticket)) and desk.kept.get(desk.listen("toy-sae", desk.bring(sound(2, 0.5))))
    assert all(visitor.is_alive() for visitor in slow)


def test_a_run_that_takes_too_long_is_given_up_with_a_sentence(bare: Settings):
    desk = Desk(Store(bare), run_s=0.05)
    with pytest.raises(BadInput, match="took longer than 0 s.*Bring less"):
        desk.run(lambda: time.sleep(0.5), "sound")
    with pytest.raises(BadInput, match="busy with something that takes too long"):
        desk.run(lambda: "next", "sound")
    time.sleep(0.6)
    assert desk.run(lambda: "next", "sound") == "next"


def test_the_state_of_the_model_is_told(bare: Settings):
    desk = Desk(Store(bare))
    assert desk.state("toy-sae").name == "idle"
    assert desk.warm("toy-sae").name in ("loading", "ready")
    desk._loading["toy-sae"].result(60)
    assert desk.state("toy-sae").name == "ready"
    with pytest.raises(NotFound, match="toy-nothing"):
        desk.warm("toy-nothing")


def test_errors_are_those_that_visitors_read(desk: Desk):
    for call in (lambda: desk.analyse("nope", b"", 5, "peak"), lambda: desk.analyse("toy-sae", sound(1, 1), 0, "peak"), lambda: desk.sample("toy-sae", "x")):
        with pytest.raises(EarmarkError):
            call()
    assert N_UNITS == 24


def test_what_fires_carries_its_label(house: Settings, tmp_path: Path) -> None:
    shutil.copytree(house.data, tmp_path / "data")
    named = {unit: f"word {unit}" for unit in range(0, 40, 2)}
    rows = [LABEL | {"unit": unit, "label": text} for unit, text in named.items()]
    put_table(tmp_path / "data" / "toy-neurons", LABELS, rows, {"labels": {}})
    desk = Desk(Store(replace(house, data=tmp_path / "data")))
    page = hits_view(desk.store, Link("audio", "toy-neurons"), heard(desk, sound(11, 1.2)))
    assert [r.label for r in page.rows] == [named.get(r.unit) for r in page.rows] and any(r.label for r in page.rows)
    found = analysis_json(desk.analyse("toy-neurons", sound(11, 1.2), 10, "relative"))
    assert [h["label"] for h in found["hits"]] == [named.get(h["unit"]) for h in found["hits"]]


def test_units_that_answer_to_silence_stand_behind_the_others_and_none_is_lost(house: Settings, tmp_path: Path) -> None:
    shutil.copytree(house.data, tmp_path / "data")
    desk = Desk(Store(house))
    clip = heard(desk, sound(11, 1.2))
    names = {unit: ("silence", "pause at a comma", "/s/", "before silence")[unit % 4] for unit in range(40)}

    def seen(named: dict[int, str], heard_view: HeardView) -> HitsView:
        rows = [LABEL | {"unit": unit, "label": text} for unit, text in named.items()]
        put_table(tmp_path / "data" / "toy-neurons", LABELS, rows, {"labels": {}})
        return hits_view(Store(replace(house, data=tmp_path / "data")), Link("audio", "toy-neurons", heard=heard_view), clip)

    quiet = {"silence", "pause at a comma"}
    plain, page = seen({}, HeardView("mean")), seen(names, HeardView("mean"))
    whole = [h.unit for h in rank(desk.store, "toy-neurons", clip.codes["toy-neurons"], clip.grid, top=2 * N_HITS, order="mean")[0]]
    assert [r.unit for r in page.rows] == [unit for unit in whole if names.get(unit) not in quiet] and page.rows
    assert [r.unit for r in page.quiet] == [unit for unit in whole if names.get(unit) in quiet] and page.quiet
    assert {r.unit for r in plain.rows} <= {r.unit for r in (*page.rows, *page.quiet)} and not plain.quiet
    html = render("audio-hits.html", page=page)
    folded = html[html.index('<details class="em-quiet"') :]
    assert f"and {len(page.quiet)} that answer to silence" in folded and folded.count("<article") == len(page.quiet)
    assert html.count("<article") == len(page.rows) + len(page.quiet)
    assert not seen(names, HeardView("moment", 0.5)).quiet and not seen(dict.fromkeys(names, "silence"), HeardView("mean")).quiet
