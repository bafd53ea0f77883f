"""Routes for programs: what they say, how they refuse, and that nothing on the disk answers to a name in an address."""

from __future__ import annotations

import io
import json
import math
import re
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from earmark.api import card_json, routes
from earmark.live.desk import Desk
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId
from earmark.web.answers import ByteCache
from earmark.web.pictures import PALETTE, window
from tests.fixtures.shelf import CORPUS, DEAD_UNIT, HOSTILE, N_UNITS, NEURONS, RESIDUAL, SAE, Shelf, break_table, build_shelf, copy_shelf


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return build_shelf(tmp_path_factory.mktemp("api") / "shelf")


@pytest.fixture(scope="module")
def store(shelf: Shelf) -> Store:
    return Store(replace(Settings.from_env({}), data=shelf.folder))


@pytest.fixture(scope="module")
def client(store: Store) -> TestClient:
    return TestClient(Starlette(routes=routes(store)))


def test_dictionaries(client):
    found = client.get("/api/dictionaries").json()
    assert found[0] == {"slug": SAE, "kind": "sae", "model": "tiny", "modality": "audio", "n_units": N_UNITS, "tables": True}
    assert found[3] == {"slug": "tiny-l3-unbuilt", "kind": "residual", "model": "tiny", "modality": "audio", "n_units": None, "tables": False}


def test_the_status_says_what_is_there_and_how_busy_the_model_is(client, store: Store):
    assert client.get("/api/status").json() == {"up": True, "dictionaries": 4, "with_tables": 3}
    desk = Desk(store)
    found = TestClient(Starlette(routes=routes(store, desk))).get("/api/status").json()
    assert (found["loaded"], found["waiting"], found["wait_s"]) == ([], 0, 0)
    begun, over = threading.Event(), threading.Event()
    turn = desk.turns.take("sound", lambda: (begun.set(), over.wait(20)))
    assert begun.wait(20)
    busy = TestClient(Starlette(routes=routes(store, desk))).get("/api/status").json()
    over.set()
    turn.done.result(20)
    assert busy["waiting"] == 1 and 0 < busy["wait_s"] <= 3


@pytest.mark.parametrize("slug", [SAE, NEURONS, RESIDUAL])
@pytest.mark.parametrize("unit", [0, 3, DEAD_UNIT, N_UNITS - 1])
def test_a_unit_is_plain_json(client, shelf, slug, unit):
    text = client.get(f"/api/unit/{slug}/{unit}").text
    card = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (card["dictionary"], card["unit"]) == (slug, unit) and isinstance(card["unit"], int)
    values = np.concatenate([t[unit] for t in shelf.traces[slug]])
    assert card["stats"]["density"] == pytest.approx(np.mean(values > 0), rel=1e-5) and 0 <= card["stats"]["density"] <= 1
    assert card["stats"]["dead"] is (unit == DEAD_UNIT)
    assert sum(card["histogram"]["counts"]) == (values != 0).sum()
    assert (card["match"] is None) == (unit == DEAD_UNIT)
    for e in card["examples"]:
        frame = round((e["at_s"] - e["start_s"]) / 0.02)
        assert e["trace"][frame] == pytest.approx(e["peak"], abs=2 * (max(e["trace"]) - min(e["trace"])) / 255)
        assert e["trace"][frame] == (min if e["group"] == "bottom" else max)(e["trace"])


def test_the_command_line_gets_the_same(client, store):
    assert client.get(f"/api/unit/{SAE}/5").json() == card_json(store.card(UnitId(SAE, 5)))


def test_search(client, shelf):
    hits = client.get(f"/api/search/{RESIDUAL}/4?min=2&max=3&n=5").json()
    peaks = {name: float(t[4].max()) for name, t in zip(shelf.ids, shelf.traces[RESIDUAL], strict=True)}
    expected = sorted((n for n, p in peaks.items() if 2 <= np.float16(p) <= 3), key=lambda n: -peaks[n])[:5]
    assert [h["sample"] for h in hits] == expected
    assert set(hits[0]) == {"sample", "peak", "at_s", "transcript"}


@pytest.mark.parametrize("says_no", ["false", "0", "no", "", "False"])
def test_a_flag_that_says_false_is_false(client, says_no):
    plain = client.get(f"/api/search/{RESIDUAL}/4?n=12").json()
    assert client.get(f"/api/search/{RESIDUAL}/4?n=12&absolute={says_no}").json() == plain
    assert client.get(f"/api/search/{RESIDUAL}/4?n=12&absolute=true").json() != plain


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/unit/none/3", 404, "no dictionary 'none'"),
        (f"/api/unit/{SAE}/40", 404, "units 0 to 39"),
        (f"/api/unit/{SAE}/-1", 422, "no unit's number"),
        (f"/api/unit/{SAE}/three", 422, "no unit's number"),
        (f"/api/unit/{SAE}/3.5", 422, "no unit's number"),
        ("/api/unit/tiny-l3-unbuilt/3", 422, "no tables yet"),
        (f"/api/search/{SAE}/3?min=low", 422, "finite number"),
        (f"/api/search/{SAE}/3?max=inf", 422, "finite number"),
        (f"/api/search/{SAE}/3?absolute=maybe", 422, "true or false"),
        (f"/api/search/{SAE}/3?n=0", 422, "1 to 500"),
        (f"/api/search/{SAE}/3?n=two", 422, "whole number"),
        (f"/api/units/{SAE}?format=xls", 422, "json or csv"),
        (f"/api/unit/{SAE}/3?format=xls", 422, "json or csv"),
        (f"/media/{CORPUS}/none/audio", 404, "no sample 'none'"),
        ("/media/none/clip-00/audio", 404, "no corpus 'none'"),
        (f"/media/{CORPUS}/..%2F..%2Fcatalog.toml/audio", 404, ""),
        (f"/media/{CORPUS}/LICENSE/audio", 404, "no sample"),
        (f"/media/..%2F{CORPUS}/clip-00/audio", 404, ""),
        (f"/media/unit/{SAE}/3.exe", 404, "A unit has no 'exe'"),
        (f"/media/unit/{SAE}/{DEAD_UNIT}.strip.png", 404, "nothing to picture"),
        ("/api/nothing", 404, "nothing at"),
        ("/media/a/b/c/d", 404, "nothing at"),
    ],
)
def test_errors_are_sentences(client, path, status, says):
    answer = client.get(path)
    assert answer.status_code == status and says in answer.json()["error"] and answer.json()["error"].endswith(".")


def test_everything_is_read_only(client):
    for path in ("/api/dictionaries", f"/api/unit/{SAE}/3", f"/media/{CORPUS}/clip-00/audio", f"/f/{SAE}/3"):
        assert client.post(path).status_code == 405 and client.delete(path).status_code == 405
        head = client.head(path)
        assert head.status_code == 200 and head.content == b""


def test_sounds_come_as_they_are_with_ranges_and_caching(client, store):
    path = f"/media/{CORPUS}/clip-01/audio"
    whole = client.get(path)
    assert whole.content == store.corpus(CORPUS).audio("clip-01")[0] and whole.headers["content-type"] == "audio/wav"
    assert soundfile.info(io.BytesIO(whole.content)).samplerate == 16_000
    assert "max-age" in whole.headers["cache-control"] and whole.headers["accept-ranges"] == "bytes"
    size = len(whole.content)
    for asked, start, end in (("0-9", 0, 10), ("100-", 100, size), ("-7", size - 7, size), (f"5-{size * 2}", 5, size)):
        part = client.get(path, headers={"range": f"bytes={asked}"})
        assert part.status_code == 206 and part.content == whole.content[start:end]
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    assert client.get(path, headers={"range": f"bytes={size}-"}).status_code == 416
    assert client.get(path, headers={"range": f"bytes={'9' * 5000}-"}).status_code == 200
    assert client.get(path, headers={"if-none-match": "*"}).status_code == 304
    for nonsense in ("bytes=9-2", "bytes=a-b", "bytes=0-1,4-5", "lines=1-2", "bytes=-"):
        assert client.get(path, headers={"range": nonsense}).status_code == 200
    assert client.get(path, headers={"if-none-match": whole.headers["etag"]}).status_code == 304
    assert client.get(path, headers={"range": "bytes=0-9", "if-range": '"old"'}).status_code == 200


def test_spectrograms_have_low_frequencies_at_the_bottom(client, store):
    answer = client.get(f"/media/{CORPUS}/clip-03/mel.png")
    picture, mel = Image.open(io.BytesIO(answer.content)), store.corpus(CORPUS).mel("clip-03")
    assert picture.mode == "P" and picture.size == (mel.shape[1], 64)
    assert np.array_equal(np.asarray(picture.convert("RGB")), PALETTE[mel[::-1]])
    light = PALETTE.astype(int).sum(axis=1)
    assert (np.diff(light) <= 0).all() and light[0] - light[-1] > 500


@pytest.mark.parametrize(("at_s", "duration_s", "expected"), [(1.0, 3.0, (0.76, 1.26)), (0.0, 3.0, (0, 0.5)), (2.98, 3.0, (2.5, 3.0)), (0.1, 0.3, (0, 0.3))])
def test_a_window_lies_within_its_sample(at_s, duration_s, expected):
    assert window(at_s, duration_s) == pytest.approx(expected)


def test_a_montage_is_half_seconds_around_the_best_peaks(client):
    card, pieces = client.get(f"/api/unit/{SAE}/3").json(), client.get(f"/api/montage/{SAE}/3").json()
    top = [e for e in card["examples"] if e["group"] == "top"][:5]
    assert [p["sample"] for p in pieces] == [e["sample"] for e in top]
    for piece, e in zip(pieces, top, strict=True):
        assert piece["start_s"] <= e["at_s"] and piece["end_s"] - piece["start_s"] == pytest.approx(min(0.5, e["duration_s"]))
        assert client.get(piece["url"]).status_code == 200
    assert client.get(f"/api/montage/{SAE}/{DEAD_UNIT}").json() == []


def test_a_unit_has_pictures(client):
    for unit in (3, DEAD_UNIT):
        assert Image.open(io.BytesIO(client.get(f"/media/unit/{NEURONS}/{unit}.png").content)).size == (1200, 630)
    assert Image.open(io.BytesIO(client.get(f"/media/unit/{NEURONS}/3.strip.png").content)).size == (133, 64)


def test_the_clips_of_a_unit_bring_their_licence(client, store):
    answer = client.get(f"/media/unit/{SAE}/3.zip")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    names = archive.namelist()
    assert {"LICENSE", "NOTICE", "README.txt", "examples.csv", "CREDIT.txt"} <= set(names)
    first = next(n for n in names if n.startswith("00-"))
    assert archive.read(first) == store.corpus(CORPUS).audio(store.card(UnitId(SAE, 3)).examples[0].sample)[0]
    assert client.get(f"/media/unit/{SAE}/3.zip").content == answer.content


def test_exports(client):
    lines = client.get(f"/api/unit/{SAE}/3?format=csv").text.splitlines()
    assert lines[0].startswith("group,rank,sample,peak,at_s") and len(lines) == 1 + len(client.get(f"/api/unit/{SAE}/3").json()["examples"])
    rows = client.get(f"/api/units/{SAE}").json()
    assert len(rows) == N_UNITS and rows[DEAD_UNIT]["match_unit"] is None and rows[4]["match_unit"] == 12
    assert all(isinstance(r["unit"], int) and 0 <= r["density"] <= 1 for r in rows)
    assert len(client.get(f"/api/units/{SAE}?format=csv").text.splitlines()) == N_UNITS + 1


def test_a_preview_page_says_what_the_unit_hears_and_leads_on(client):
    answer = client.get(f"/f/{SAE}/3?min=2", headers={"x-forwarded-proto": "https", "x-forwarded-host": "example.org"})
    meta = dict(re.findall(r'<meta property="og:(\w+)" content="([^"]*)"', answer.text))
    assert answer.status_code == 200 and meta["title"].startswith("Feature 3 · tiny")
    assert "before the word “money”" in meta["description"]
    assert meta["image"] == f"https://example.org/media/unit/{SAE}/3.png"
    page = "/?tab=feature&amp;dictionary=tiny-l2-sae&amp;unit=3&amp;min=2"
    assert f'content="0; url={page}"' in answer.text and f'<a href="{page}">' in answer.text
    assert answer.headers["cache-control"] == "private, no-cache" and "X-Forwarded-Host" in answer.headers["vary"]
    assert client.get(f"/f/{SAE}/3", headers={"x-forwarded-host": 'a"><script>'}).text.count("<script") == 0
    assert "http://testserver/media" in client.get(f"/f/{SAE}/3").text


def test_a_bad_preview_link_still_leads_on(client):
    answer = client.get(f"/f/{SAE}/400")
    assert answer.status_code == 404 and "units 0 to 39" in answer.text and "unit=400" in answer.text


def test_previews_escape_what_was_said(client, shelf):
    best = max((u for u in range(N_UNITS) if u != DEAD_UNIT), key=lambda u: shelf.traces[SAE][2][u].max() / max(t[u].max() for t in shelf.traces[SAE]))
    text = client.get(f"/f/{SAE}/{best}").text
    assert HOSTILE[:8] not in text and "&lt;img src=x" in text


def test_a_broken_table_is_a_sentence_and_the_rest_answers(shelf, tmp_path):
    folder = copy_shelf(shelf, tmp_path / "copy").folder
    break_table(folder, SAE)
    client = TestClient(Starlette(routes=routes(Store(replace(Settings.from_env({}), data=folder)))))
    answer = client.get(f"/api/unit/{SAE}/3")
    assert answer.status_code == 422 and "sha256 differs" in answer.json()["error"]
    assert client.get(f"/api/unit/{NEURONS}/3").status_code == 200


def test_the_cache_is_bounded():
    cache = ByteCache(max_bytes=1000)
    for i in range(50):
        cache.put(i, bytes(100))
    assert sum(cache.get(i) is not None for i in range(50)) == 10 and cache.get(49) is not None and cache.get(0) is None
    cache.put(49, bytes(300))
    assert sum(len(cache.get(i) or b"") for i in range(50)) <= 1000


def test_numbers_in_json_are_finite():
    from earmark.web.records import number

    assert number(math.nan) is None and number(math.inf) is None and number(None) is None and number(0.30000001192) == 0.3
