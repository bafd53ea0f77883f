"""Words and phones under a clip's axis, and the clip of the corpus on the tab Audio."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

import numpy as np
import pytest

from components.views.address import settle
from components.views.clip import sample_view
from components.views.said import said_rows
from components.views.unit import feature_page
from earmark.links import HeardView, Link
from earmark.settings import Settings
from earmark.shelf.schema import SPEECH
from earmark.shelf.store import Store
from earmark.shelf.tables import put_table
from earmark.speech import Span, Speech
from tests.fixtures.shelf import CORPUS, SAE, TRANSCRIPTS, Shelf, build_shelf

SAID = Speech(
    (Span("Sky,", 0.1, 0.3), Span("<b>", 0.3, 0.5)), (Span("SIL", 0.0, 0.1), Span("S", 0.1, 0.2), Span("AY", 0.2, 0.3), Span("B", 0.3, 0.5)), "aligned"
)


def spans(found: tuple[Span, ...]) -> list[dict[str, object]]:
    return [{"text": s.text, "start_s": s.start_s, "end_s": s.end_s} for s in found]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    made = build_shelf(tmp_path_factory.mktemp("shelf"))
    rows = [{"sample": i, "words": None, "phones": None, "how": "", "score": None, "why": "nothing"} for i in range(len(TRANSCRIPTS))]
    for i in (1, 4, 10):
        rows[i] |= {"words": spans(SAID.words), "phones": spans(SAID.phones), "how": "aligned", "score": -20.0 - i, "why": ""}
    put_table(made.folder / CORPUS, SPEECH, rows)
    return made


@pytest.fixture(scope="module")
def store(shelf: Shelf) -> Store:
    return Store(replace(Settings.from_env({}), data=shelf.folder))


def test_words_and_phones_stand_in_their_places() -> None:
    rows = said_rows(SAID, 2.0, at_s=0.25, link=Link("audio", "d", sample="a"))
    assert [(w.text, w.left, w.width, w.now) for w in rows.words] == [("Sky,", 5.0, 10.0, True), ("<b>", 15.0, 10.0, False)]
    assert [(p.text, p.now) for p in rows.phones] == [("s", False), ("ay", True), ("b", False)]
    assert rows.at_peak == "/ay/ in “Sky,”" and said_rows(SAID, 2.0, at_s=0.05).at_peak == ""
    link, notices = Link.parse(dict(parse_qsl(rows.words[1].href.removeprefix("/?"))))
    assert link == Link("audio", "d", sample="a", heard=HeardView("region", 0.3, 0.5)) and not notices
    assert said_rows(None, 2.0).words == () and not said_rows(SAID, 2.0).words[0].href


def test_what_is_said_is_read_as_it_was_written(store: Store) -> None:
    corpus = store.corpus(CORPUS)
    for row, name in enumerate(corpus.ids):
        found = corpus.speech(name)
        if row not in (1, 4, 10):
            assert found is None
            continue
        assert found is not None and found.how == "aligned" and found.score == -20.0 - row
        for got, want in ((found.words, SAID.words), (found.phones, SAID.phones)):
            assert [s.text for s in got] == [s.text for s in want]
            assert np.allclose([(s.start_s, s.end_s) for s in got], [(s.start_s, s.end_s) for s in want])


def test_a_cards_examples_say_what_is_said_at_the_peak(shelf: Shelf, store: Store) -> None:
    seen = 0
    for unit in (1, 2, 4, 5):
        for figure in (f for g in feature_page(store, Link("feature", SAE, unit)).groups for f in g.figures):
            row = shelf.ids.index(figure.sample)
            assert bool(figure.said.words) == (row in (1, 4, 10))
            if figure.said.words:
                middle = figure.at_s + 0.01
                now = [w.text for w in SAID.words if w.start_s <= middle < w.end_s]
                assert [w.text for w in figure.said.words if w.now] == now and all(f"“{w}”" in figure.caption for w in now)
                seen += 1
            link, _ = Link.parse(dict(parse_qsl(figure.fires.removeprefix("/?"))))
            assert (link.tab, link.dictionary, link.sample, link.heard.order) == ("audio", SAE, figure.sample, "region")
            assert link.heard.at_s is not None and link.heard.to_s is not None
            assert 0 <= link.heard.at_s <= figure.at_s + 1e-3 and figure.at_s <= link.heard.to_s + 0.02 <= figure.duration_s + 0.03
    assert seen > 5


def test_a_clip_of_the_corpus_is_in_the_address(shelf: Shelf, store: Store) -> None:
    link, notices = settle(store, Link("audio", SAE, sample=shelf.ids[4], heard=HeardView("region", 0.4)))
    assert not notices and link.sample == shelf.ids[4] and link.heard == HeardView("region", 0.4, 0.9)
    view = sample_view(store, link)
    assert view.sample == shelf.ids[4] and view.transcript == TRANSCRIPTS[4] and len(view.said.words) == 2 and all(w.href for w in view.said.words)
    assert view.sound.endswith(f"/{shelf.ids[4]}/audio") and not view.own_words
    link, notices = settle(store, Link("audio", SAE, sample="nowhere"))
    assert link.sample is None and "nowhere" in notices[0]
