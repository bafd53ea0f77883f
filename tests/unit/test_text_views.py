"""What cards and previews show of texts, against the traces that the fixture's tables were made from."""

from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from components import about, prose
from components.bridge import Context
from components.card import render
from components.health import SECTIONS
from components.plots import timeline_figure
from components.views.address import settle
from components.views.edits import panel_of_card
from components.views.health import health_page
from components.views.listing import BrowsePage, browse_page, shared_peaks
from components.views.pair import PairPage, pair_page
from components.views.pair_text import text_pair
from components.views.passages import NEAR, SNIPPET, Passage, zones_of
from components.views.passages import passages as passages_of
from components.views.unit import feature_page
from components.views.whole import whole_page
from earmark.api import routes
from earmark.health import BEHAVIOUR, QUALITY
from earmark.links import BrowseView, Filter, Link
from earmark.live.desk import Desk
from earmark.settings import Settings
from earmark.shelf.pairs import compare
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.fixtures.shelf import DEAD_UNIT, HOSTILE, N_UNITS, build_shelf
from tests.fixtures.shelf import SAE as CLIPS_SAE
from tests.fixtures.text_shelf import CORPUS, MONEY, NEURONS, SAE, Texts, add_texts


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Texts:
    folder = tmp_path_factory.mktemp("text-views") / "shelf"
    build_shelf(folder)
    return add_texts(folder)


@pytest.fixture(scope="module")
def store(texts: Texts) -> Store:
    return Store(replace(Settings.from_env({}), data=texts.folder))


def card(store: Store, slug: str, unit: int, **link) -> str:
    at = Link("feature", slug, unit, **link)
    page = feature_page(store, at)
    return render("feature.html", page=replace(page, panel=panel_of_card(store, at, page.card)))


def passages(store: Store, slug: str, unit: int, **link) -> list[Passage]:
    page = feature_page(store, Link("feature", slug, unit, **link))
    return [p for group in ((page.hits,) if page.hits else page.groups) for p in group.figures if isinstance(p, Passage)]


def test_zones_hold_every_token_once_with_its_value(texts):
    for row, tokens in enumerate(texts.tokens):
        values = texts.traces[NEURONS][row][5]
        for at in range(len(tokens)):
            zones = zones_of(tokens, values, 1.0, at)
            assert [i for z in zones for p in z.pieces for i in range(p.start, p.end)] == list(range(len(tokens)))
            assert "".join(p.text for z in zones for p in z.pieces) == "".join(tokens)
            marked = [p for z in zones for p in z.pieces if p.peak]
            assert len(marked) == 1 and marked[0].start <= at < marked[0].end and marked[0] is next(z for z in zones if z.name == "hit").pieces[0]
            shown = sum(p.end - p.start for z in zones if z.name in {"near", "hit"} for p in z.pieces)
            assert shown >= min(len(tokens), at + NEAR[1] + 1) - max(0, at - NEAR[0])
            for z in zones:
                for p in z.pieces:
                    if p.value is not None:
                        inside = values[p.start : p.end]
                        assert p.value == pytest.approx(inside[np.abs(inside).argmax()])


def test_a_snippet_is_what_lies_around_the_peak():
    tokens = [f" w{i}" for i in range(128)]
    zones = zones_of(tokens, np.zeros(128), 1.0, 60)
    assert [(z.name, z.pieces[0].start, z.pieces[-1].end) for z in zones] == [
        ("far", 0, 60 - SNIPPET[0]), ("mid", 60 - SNIPPET[0], 60 - NEAR[0]), ("near", 60 - NEAR[0], 60), ("hit", 60, 61 + NEAR[1]),
        ("mid", 61 + NEAR[1], 61 + SNIPPET[1]), ("far", 61 + SNIPPET[1], 128),
    ]  # fmt: skip


@pytest.mark.parametrize("slug", [SAE, NEURONS])
def test_a_card_shows_the_values_of_its_traces(texts, store, slug):
    for unit in (MONEY, 11):
        page = feature_page(store, Link("feature", slug, unit))
        assert page.is_text and page.groups
        for group in page.groups:
            for p in (f for f in group.figures if isinstance(f, Passage)):
                whole = texts.traces[slug][texts.ids.index(p.sample)][unit]
                for piece in (piece for zone in p.zones for piece in zone.pieces if piece.value is not None):
                    inside = whole[piece.start : piece.end]
                    step = (max(0, whole.max()) - min(0, whole.min())) / 255
                    assert abs(piece.value - inside[np.abs(inside).argmax()]) <= step or piece.peak
        assert ("bottom" in [g.name for g in page.groups]) == (slug == NEURONS)


def test_a_filter_shows_peaks_whose_traces_are_not_stored(texts, store):
    found = passages(store, SAE, 11, filter=Filter(0.5))
    expected = sorted(((float(t[11].max()), name) for name, t in zip(texts.ids, texts.traces[SAE], strict=True) if t[11].max() >= 0.5), reverse=True)
    assert [p.sample for p in found] == [name for _, name in expected]
    hit = store.search(UnitId(SAE, 11), 0.5)[0]
    (bare,) = passages_of(store.corpus(CORPUS), [hit], hit.peak, None)
    assert [(p.value, p.peak, p.start) for z in bare.zones for p in z.pieces if p.value is not None] == [(hit.peak, True, hit.at)] and not bare.traced


def test_no_card_of_a_text_speaks_of_sounds(store):
    for html in (card(store, SAE, MONEY), card(store, NEURONS, 3), card(store, SAE, DEAD_UNIT), card(store, NEURONS, 3, filter=Filter(1.0))):
        plain = re.sub(r"<[^>]+>", " ", html)
        assert not re.search(r"\b(clips?|frames?|hear|listen|spectrogram|seconds)\b", plain, re.IGNORECASE)
        assert "/media/" not in html and "<audio" not in html and "data-montage" not in html
    assert "contexts" in card(store, SAE, MONEY) and "clips" in card(store, CLIPS_SAE, 3)


def test_hostile_texts_stay_texts(store):
    for unit in range(N_UNITS):
        html = card(store, NEURONS, unit, look="whole")
        assert HOSTILE[:8] not in html and "<script" not in html and "<b>bold" not in html and "Work 2 <i>" not in html
        assert "\u202e" not in html and "\x1b" not in html and "\x00" not in html


def test_weak_lists_of_tokens_say_so(store):
    assert "stands out on a few tokens" in card(store, SAE, MONEY) and 'em-effects"' in card(store, SAE, MONEY)
    assert "They say little" in card(store, SAE, 5) and "em-effects unclear" in card(store, SAE, 5)
    assert "em-effects" not in card(store, NEURONS, 5)


def test_the_look_stays_in_the_address(store):
    link, _ = Link.parse({"tab": "feature", "dictionary": SAE, "unit": "4", "view": "stack"})
    settled, _ = settle(store, link)
    assert settled.look == "stack" and "view=stack" in settled.query() and settled.to_unit(5).look == "stack"
    assert Link.parse({"tab": "feature", "unit": "4", "view": "sideways"})[0].look == "snippet"
    assert "view" not in settle(store, replace(link, dictionary=CLIPS_SAE))[0].query()
    html = render("feature.html", page=feature_page(store, settled))
    assert 'em-passages stack"' in html and "unit=5&amp;view=stack" in html


def test_previews_of_texts(store):
    client = TestClient(Starlette(routes=routes(store)))
    for unit in (MONEY, DEAD_UNIT):
        picture = Image.open(io.BytesIO(client.get(f"/media/unit/{SAE}/{unit}.png").content))
        assert picture.size == (1200, 630)
    pixels = np.asarray(Image.open(io.BytesIO(client.get(f"/media/unit/{SAE}/{MONEY}.png").content)).convert("RGB")).astype(int)
    assert (np.abs(pixels - (231, 149, 109)).max(axis=2) < 12).sum() > 1000, "the peaks are shaded"
    page = client.get(f"/f/{SAE}/{MONEY}").text
    assert "there was no money at all" in page and "and read</a>" in page and "listen" not in page and "spectrogram" not in page
    hostile = client.get(f"/f/{NEURONS}/3").text
    assert "<script" not in hostile and "\u202e" not in hostile and "\x1b" not in hostile
    assert client.get(f"/media/unit/{SAE}/{MONEY}.zip").status_code == 404 and client.get(f"/media/unit/{SAE}/{MONEY}.strip.png").status_code == 404


def listed(store: Store, slug: str = SAE, **view) -> BrowsePage:
    return browse_page(store, Link("browse", slug, browse=BrowseView(**view)))


def test_the_list_shows_lines_with_their_peaks(texts, store):
    page = listed(store, NEURONS, sort="unit", descending=False)
    assert page.is_text and [r.unit for r in page.rows[:3]] == [0, 1, 2]
    for row in page.rows:
        best = sorted(range(len(texts.ids)), key=lambda i: -texts.traces[NEURONS][i][row.unit].max())[:3]
        assert len(row.lines) == len(best) and not row.heard
        for line, i in zip(row.lines, best, strict=True):
            marked = [p for z in line for p in z.pieces if p.peak]
            at = int(texts.traces[NEURONS][i][row.unit].argmax())
            assert len(marked) == 1 and marked[0].start <= at < marked[0].end and line[-1].pieces[0] is marked[0]
            assert "".join(p.text for z in line for p in z.pieces) in "".join(texts.tokens[i])


def test_the_list_of_a_language_model_speaks_of_texts(store):
    for page in (listed(store), listed(store, NEURONS, text="money"), listed(store, text="no such word anywhere")):
        plain = re.sub(r"<[^>]+>", " ", render("browse.html", page=page))
        assert not re.search(r"\b(clips?|frames?|listen|hear|heard)\b", plain.replace(prose.TAGLINE, ""), re.IGNORECASE)
    assert "data-montage" not in render("browse.html", page=listed(store))
    assert "data-montage" in render("browse.html", page=listed(store, CLIPS_SAE))
    hero = listed(store).hero
    assert hero is not None and hero.unit == MONEY


def test_models_of_speech_and_of_text_stand_apart(store):
    for slug in (SAE, CLIPS_SAE):
        page = listed(store, slug)
        assert [(title, [c.model for c in found]) for title, found in page.models] == [("Speech and sound", ["Tiny"]), ("Text", ["Tiny text"])]
        assert [c.entry.slug for _, found in page.models for c in found if c.current] == [slug]
        assert {c.modality for c in page.groups[0][1]} == {"text" if slug == SAE else "audio"}


def test_units_whose_peaks_share_a_word_lead():
    words = [["of"] * 5, ["Hungary", "hungary", "Hungary", "Buda", "x"], [","] * 5, ["a", "b", "c", "d", "e"], ["of", "of", "of", "of", "to"], ["of"] * 5]
    around = [["quiet words"] * 5] * 5 + [["drunk", "a", "b", "c", "d"]]
    values = shared_peaks(words, around)
    assert values[0] == pytest.approx(1 + 0.19 * (1 - np.log(3) / np.log(7))) and values[1] == pytest.approx(0.6 + 0.19)
    assert values[2] == values[3] == 0 and 0.8 < values[4] < 1 and values[5] == pytest.approx(values[0] - 2)


def paired(store: Store, a: UnitId, b: UnitId, **link) -> PairPage:
    return pair_page(store, Desk(store), Link("compare", a.dictionary, a.index, other=b, **link))


def test_two_units_over_one_text_have_the_values_of_both(texts, store):
    a, b = UnitId(SAE, 11), UnitId(NEURONS, 5)
    page = paired(store, a, b, sample="text-07")
    tokens, row = texts.tokens[7], 7
    assert page.text is not None and page.chart is None and page.text.sample == "text-07" and not page.text.waiting
    assert [i for found in page.text.pieces for i in range(found.piece.start, found.piece.end)] == list(range(len(tokens)))
    for unit, side in ((a, 0), (b, 1)):
        whole = texts.traces[unit.dictionary][row][unit.index]
        top = max(float(t[unit.index].max()) for t in texts.traces[unit.dictionary])
        for found in page.text.pieces:
            inside = whole[found.piece.start : found.piece.end]
            share = float(inside[np.abs(inside).argmax()]) / top
            assert found.shares[side] == pytest.approx(share if abs(share) >= 0.02 else 0, abs=0.021)
    assert page.text.peaks[1].startswith(prose.short(float(texts.traces[NEURONS][row][5].max()))[:3])


def test_a_trace_that_nobody_knows_is_not_drawn_as_zero(texts, store):
    silent = next(name for name, t in zip(texts.ids, texts.traces[SAE], strict=True) if not t[MONEY].any())
    page = paired(store, UnitId(SAE, MONEY), UnitId(NEURONS, 5), sample=silent)
    assert page.text is not None and page.text.peaks[0] == "0, 0 % of its largest" and not page.text.waiting  # every peak of it is stored, and none is here
    known = compare(store, UnitId(SAE, 11), UnitId(NEURONS, 5))
    first, second = (replace(c, examples=tuple(e for e in c.examples if e.sample != "text-07")) for c in known.cards)
    found = text_pair(store, Desk(store).texts, store.corpus(CORPUS), replace(known, cards=(first, second)), "text-07")
    assert found.peaks == ("", "") and found.waiting
    assert "not read yet" in render("compare.html", page=replace(page, text=found))


def test_comparisons_of_texts_speak_of_texts(store):
    page = paired(store, UnitId(SAE, MONEY), UnitId(NEURONS, 5))
    html = render("compare.html", page=page) + render("compare-examples.html", page=page)
    assert not re.search(r"\b(clips?|frames?|hear|heard|listen|seconds|spectrogram)\b", re.sub(r"<[^>]+>", " ", html), re.IGNORECASE)
    assert HOSTILE[:8] not in html and "<script" not in html and "\u202e" not in html
    assert timeline_figure(store, page.lines).layout.xaxis3.title.text == "tokens of the corpus, context after context"
    assert "<img" not in str(timeline_figure(store, page.lines).data)


def test_a_feature_of_speech_beside_one_of_text(store):
    page = paired(store, UnitId(SAE, MONEY), UnitId(CLIPS_SAE, 3))
    html = render("compare.html", page=page) + render("compare-examples.html", page=page)
    assert page.chart is None and page.text is None and not page.clips and not page.lines and page.words.samples == "samples"
    assert "<audio" in html and 'em-passages snippet"' in html and "of 12 <" not in html and "12 clips" in re.sub(r"<[^>]+>", "", html)


def test_about_tells_of_both(store):
    plain = re.sub(r"<[^>]+>", " ", about.show(Context(store, (), Desk(store)), Link("about", SAE))[0][0])
    assert "attention sinks" in plain and "tokens of a text" in plain and "4 times the median" in plain


# -- health and the whole picture ------------------------------------------------------------------------------------------


def test_what_is_said_of_a_dictionary_of_texts_is_not_about_sounds(texts: Texts, tmp_path: Path):
    """Every figure that a language model's SAE can have, and labels counted."""
    folder = shutil.copytree(texts.folder, tmp_path / "shelf")
    figures = {name: 0.5 for name in QUALITY if name not in {"wer", "wer_spliced", "n_wer_words", "n_sinks"}}
    quality = figures | {"dead": 0.1, "n_positions": 90, "n_sinks": 4, "ce_of": "the next token of a text", "transcripts": None}
    counts = {"token": 5, "word": 3, "class": 2, "context": 1}
    labels = {"n_units": N_UNITS, "n_eligible": 30, "held": counts, "shuffled": dict.fromkeys(counts, 0), "random": counts, "n_active": 20}
    manifest = folder / SAE / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"quality": quality, "labels": labels}))
    store = Store(replace(Settings.from_env({}), data=folder))
    link = Link("health", SAE)
    page, whole = health_page(store, link), whole_page(store, Link("compare", SAE))
    assert len(page.behaviour) == len(BEHAVIOUR) - 3 and page.problem is whole.problem is None
    pages = [render("health.html", page=page), *(render("health-section.html", page=page, name=name) for name in SECTIONS)]
    pages += [render("whole.html", page=whole), render("whole-table.html", page=whole)]
    said = re.sub(r"<select.*?</select>|<[^>]+>", " ", " ".join(pages), flags=re.S)
    assert "tokens" in said and "A label by token or word holds" in said
    assert not re.findall(r"\b(?:sounds?|clips?|frames?|hear[ds]?|listens?|speech|transcripts?|phones?|seconds?|padding)\b", said, re.I)
