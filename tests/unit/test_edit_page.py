"""The page of edits without a browser: sliders and stretches, runs on the desk that stop, are late, are forgotten and let others in between."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import zip_longest
from urllib.parse import parse_qsl

import pytest

from components.bridge import Context
from components.card import render
from components.editing import answer_to, growing, read_edits
from components.text import show
from components.views.edited import runs_of, speech_result, text_result
from components.views.edits import EditPanel, excerpt, panel_of_card, panel_on
from components.views.unit import feature_page
from earmark.edits import Edit
from earmark.errors import BadInput
from earmark.links import MAX_LINK_TEXT, HeardView, Link, ReadView
from earmark.live.desk import Desk
from earmark.live.editing import text as editing_text
from earmark.live.editing.continuation import continue_text
from earmark.live.editing.desk import N_STOPPED, Editing, Wanted
from earmark.live.editing.speech import EditedSpeech, Heard, WordChange
from earmark.live.editing.text import edit_text
from earmark.shelf.store import Store
from earmark.speech import Span, Speech
from earmark.units import UnitId
from tests.fixtures.shelf import HOSTILE
from tests.fixtures.text_house import SINK, make_text_house
from tests.fixtures.text_shelf import NEURONS, SAE

SENTENCE = f"the cat sat on {SINK} the mat: no money"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(Store(make_text_house(tmp_path_factory.mktemp("edits"))))


def edit(unit: int, factor: float = 0.0, added: float = 0.0, start: float | None = None, end: float | None = None, slug: str = SAE) -> Edit:
    return Edit(UnitId(slug, unit), factor, added, start, end)


def link_of(*edits: Edit, text: str = SENTENCE, heard: HeardView = HeardView()) -> Link:
    return Link("text", SAE, read=ReadView(text), edits=edits, heard=heard)


def ask(desk: Desk, link: Link, run: str = "r") -> str:
    return answer_to(desk, {"query": link.query(), "run": run}, read_edits, lambda share, words: None)


def shown(desk: Desk, link: Link, passage: str = "") -> str:
    """The tab's HTML of the edits and of the continuations."""
    values = show(Context(desk.store, (), desk, passage=passage), link).values
    return values[2] + values[3]


def firing(desk: Desk, text: str = SENTENCE) -> int:
    """A feature that fires on a text."""
    codes = desk.texts.kept.get(desk.texts.read(SAE, text)).codes[SAE]
    return int(codes.active()[0][0])


# -- the list ---------------------------------------------------------------------------------------------------------------


def test_a_row_offers_the_whole_the_stretch_it_has_and_the_one_selected(desk: Desk) -> None:
    panel = panel_on(desk.store, link_of(edit(1, 2.5, 3.0, 0, 1), edit(2), heard=HeardView("region", 2.0, 4.0)), None, True, False)
    assert [(s.value, s.chosen) for s in panel.rows[0].stretches] == [("", False), ("0..1", True), ("2..4", False)]
    assert [(s.value, s.chosen) for s in panel.rows[1].stretches] == [("", True), ("2..4", False)]
    assert panel.rows[0].stretches[2].title == "tokens 2 to 4, the stretch selected"
    assert panel.said == "Feature 1 × 2.5 + 3, tokens 0 to 1; feature 2 off"
    assert panel.rows[0].without == link_of(edit(2), heard=HeardView("region", 2.0, 4.0)).href()
    one = panel_on(desk.store, link_of(edit(1), heard=HeardView("moment", 2.0)), None, True, False).rows[0]
    assert one.stretches[1].value == "2..2" and "token 2" in one.stretches[1].title


def test_units_of_another_dictionary_are_named_with_it(desk: Desk) -> None:
    row = panel_on(desk.store, link_of(edit(1, slug=NEURONS)), None, True, False).rows[0]
    assert (row.key, row.name) == (f"{NEURONS}:1", f"Neuron 1 of {NEURONS}")


def test_a_unit_that_is_silent_here_is_offered_a_constant(desk: Desk) -> None:
    loud, passage = firing(desk), desk.texts.kept.get(desk.texts.read(SAE, SENTENCE))
    quiet = next(u for u in range(passage.codes[SAE].n_units) if not passage.codes[SAE].trace(u).any())
    rows = panel_on(desk.store, link_of(edit(loud), edit(quiet)), passage, True, False).rows
    assert [row.silent for row in rows] == [False, True] and rows[0].peak == pytest.approx(passage.codes[SAE].trace(loud).max())
    html = shown(desk, link_of(edit(quiet)))
    assert "a factor changes nothing here" in html and "a factor changes nothing here" not in shown(desk, link_of(edit(quiet, 1.0, 2.0)))


def test_a_card_has_its_unit_at_one_and_leads_on_to_its_examples(desk: Desk) -> None:
    card = desk.store.card(UnitId(SAE, 2))
    panel = panel_of_card(desk.store, Link("feature", SAE, 2), card)
    assert [str(row.edit) for row in panel.rows] == [f"{SAE}:2=1"] and panel.places
    for place in panel.places:
        there, notices = Link.parse(dict(parse_qsl(place.href.removeprefix("/?"))))
        assert (there.tab, there.dictionary, notices) == ("text", SAE, ())
    own = panel_of_card(desk.store, Link("feature", SAE, 2, edits=(edit(2, 3.0), edit(5))), card)
    assert [str(row.edit) for row in own.rows] == [f"{SAE}:2=3", f"{SAE}:5=0"]


@pytest.mark.parametrize("at", [0, 60, 119])
def test_an_excerpt_fits_an_address_and_holds_its_token(at: int) -> None:
    tokens = [f" word{n}" for n in range(120)]
    text = excerpt(tokens, at)
    assert len(text) <= MAX_LINK_TEXT and f"word{at}" in text.split() and set(text.split()) <= {t.strip() for t in tokens}
    assert excerpt([" a", " b"], 1) == "a b"


def test_runs_of_a_transcript_are_the_transcript() -> None:
    text = "a bad word at last"
    runs = runs_of(text, [(14, 18), (2, 5)])
    assert "".join(run.text for run in runs) == text and [run.text for run in runs if run.differs] == ["bad", "last"]
    assert runs_of("", ()) == ()


def test_what_is_heard_is_shown_with_the_words_that_differ_and_a_models_letters() -> None:
    letters = tuple(Speech((Span("b", 1.0, 2.0),), (Span(letter, 0.0, 0.5), Span("B", 1.0, 2.0)), "ctc") for letter in "AX")
    changes = (WordChange("<i>a", 0.9, 0.91, 0, 4), WordChange("b", 0.8, 0.1, 5, 6), WordChange("c", 0.1, 0.4, 7, 8))
    heard = (Heard("<i>a b c", ((5, 6),)), Heard("<i>a b c"), Heard("<i>a x c", ((5, 6),)))
    result = speech_result(EditedSpeech(*heard, changes, 1 / 3, 0.0, letters, ("Something was cut.",)), 2.0)
    assert [(t.name, [r.text for r in t.runs if r.differs], t.wer) for t in result.transcripts] == [
        ("plain", ["b"], None), ("spliced", [], 0.0), ("edited", ["x"], 1 / 3),
    ]  # fmt: skip
    assert [w.moved for w in result.words] == ["", "down", "up"] and not result.same
    shown = [[(s.text, s.left, s.width) for s in t.letters.phones] for t in result.transcripts]
    assert shown == [[("a", 0.0, 25.0), ("b", 50.0, 50.0)], [], [("x", 0.0, 25.0), ("b", 50.0, 50.0)]]
    link = Link("audio", "d")
    html = render("audio-edits.html", panel=EditPanel(link, (), "", False), result=result)
    assert "&lt;i&gt;a <mark>x</mark> c" in html and "<i>a" not in html and "WER against the plain run 33 %" in html and "Something was cut." in html


# -- runs -------------------------------------------------------------------------------------------------------------------


def test_the_page_shows_what_edit_text_gives(desk: Desk) -> None:
    link = link_of(edit(firing(desk), 4.0), edit(3, added=5.0, slug=NEURONS))
    assert "data-edited" not in shown(desk, link)
    assert "alert" not in ask(desk, link)
    expected = edit_text(desk.runtime(), desk.store, link.edits, SENTENCE)
    found = desk.editing.found(SAE, link.edits, SENTENCE)
    assert found == expected and found.kl > 0
    result = text_result(found)
    assert "".join(piece.text for piece in result.pieces) == SENTENCE
    assert result.high == max(p.kl for p in expected.positions) and found.positions[result.most].kl == pytest.approx(result.high)
    step = next(s for s in result.steps if s.at == result.most)
    assert [e.token.text for e in step.gained] == [g.token for g in expected.positions[result.most].gained]
    html = shown(desk, link)
    assert "data-edited" in html and "Run again" in html and "data-same" not in html
    assert "data-edited" not in shown(desk, link_of(edit(firing(desk), 3.0))), "other edits have no result yet"


def test_a_factor_of_one_says_that_nothing_is_changed(desk: Desk) -> None:
    link = link_of(edit(firing(desk), 1.0))
    assert "data-nothing" in shown(desk, link)
    ask(desk, link)
    assert text_result(desk.editing.found(SAE, link.edits, SENTENCE)).same and "data-same" in shown(desk, link)


def test_a_run_stops_at_a_word_and_only_at_its_own(desk: Desk) -> None:
    link = link_of(edit(firing(desk), 0.25))
    desk.editing.stop("mine")
    answer = ask(desk, link, "mine")
    assert "data-stopped" in answer and 'data-run="mine"' in answer and desk.editing.found(SAE, link.edits, SENTENCE) is None
    desk.editing.stop("")
    assert "alert" not in ask(desk, link, ""), "a run without a name is stopped by nobody"
    assert desk.editing.found(SAE, link.edits, SENTENCE) is not None


def test_stopped_runs_are_not_remembered_for_ever(desk: Desk) -> None:
    editing = Editing(desk, desk.texts)
    for n in range(N_STOPPED + 10):
        editing.stop(str(n))
    assert len(editing._stopped) == N_STOPPED and str(N_STOPPED + 9) in editing._stopped


def test_a_run_that_takes_too_long_is_given_up_with_a_sentence(desk: Desk) -> None:
    hasty = Editing(desk, desk.texts, edit_s=-1.0)
    with pytest.raises(BadInput, match="was given up"):
        hasty.read(SAE, (edit(1),), SENTENCE, "r", lambda share, words: None)


def test_what_cannot_be_run_is_a_sentence(desk: Desk) -> None:
    assert "Nothing is edited" in ask(desk, link_of())
    assert "no longer kept" in ask(desk, link_of(edit(1), text=""))


def test_a_long_text_is_found_by_its_token_alone_and_forgotten_with_it(desk: Desk) -> None:
    text = "the cat sat on the mat. " * 30
    assert len(text) > MAX_LINK_TEXT
    token, link = desk.texts.read(SAE, text), link_of(edit(1), text="")
    answer = answer_to(desk, {"query": link.query(), "run": "r", "passage": token}, read_edits, lambda share, words: None)
    assert "alert" not in answer
    assert "data-edited" in shown(desk, link, token) and "data-edited" not in shown(desk, link, "somebody's else")
    desk.texts.forget(token)
    assert desk.editing.found(SAE, link.edits, text) is None


@pytest.mark.parametrize("going_on", [False, True])
def test_what_is_found_on_a_text_that_was_forgotten_meanwhile_is_not_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch, going_on: bool) -> None:
    link = link_of(edit(firing(desk), 0.5), text="a text to forget at once")
    token, real = desk.texts.read(SAE, link.read.text), editing_text.edit_text
    if going_on:
        pages = growing(desk, {"query": link.query(), "run": "going", "n": "60"})
        next(pages)
        desk.texts.forget(token)
        assert "of 60 tokens" not in last(pages)
    else:
        monkeypatch.setattr(editing_text, "edit_text", lambda *args, **more: (desk.texts.forget(token), real(*args, **more))[1])
        assert "alert" not in ask(desk, link)
    assert desk.editing.found(SAE, link.edits, link.read.text) is None and desk.editing.continued(SAE, link.edits, link.read.text) is None


def test_hostile_texts_stay_texts(desk: Desk) -> None:
    link = link_of(edit(1, 1.0, 9.0), text=HOSTILE + " <img src=x onerror=alert(1)> \u202e")
    desk.texts.read(SAE, link.read.text)
    ask(desk, link)
    html = shown(desk, link) + last(growing(desk, {"query": link.query(), "run": "r", "n": "20", "seed": "0"}))
    assert "data-edited" in html and "<img" not in html and "\u202e" not in html


def test_two_visitors_edits_never_mix(desk: Desk) -> None:
    one = firing(desk)
    ways = [link_of(edit(one, factor, added)) for factor, added in ((0.0, 0.0), (5.0, 0.0), (1.0, 7.0))] + [link_of(edit(2, 3.0, slug=NEURONS))]
    alone = [edit_text(desk.runtime(), desk.store, link.edits, SENTENCE) for link in ways]
    fresh = Desk(desk.store)
    with ThreadPoolExecutor(len(ways)) as visitors:
        assert not [answer for answer in visitors.map(lambda link: ask(fresh, link, str(link.edits)), ways) if "alert" in answer]
    assert [fresh.editing.found(SAE, link.edits, SENTENCE) for link in ways] == alone and alone[0] != alone[1]


# -- going on ----------------------------------------------------------------------------------------------------------------


def last(pages: Iterator[str]) -> str:
    return list(pages)[-1]


def test_a_continuation_grows_and_lets_others_in_between(desk: Desk) -> None:
    link = link_of(edit(firing(desk), 4.0))
    pages = growing(desk, {"query": link.query(), "run": "r", "n": "20", "seed": "5"})
    seen = []
    for page in pages:
        wanted, grown = desk.editing.continued(SAE, link.edits, SENTENCE)
        seen.append(grown)
        assert desk.run(lambda: "mine", "text") == "mine", "the line is free between two steps"
        assert f"{grown.n} of 20 tokens" in page
    assert wanted == Wanted(20, 5) and [grown.n for grown in seen[:3]] == [1, 2, 3] and seen[-1].done
    assert all(after.plain.startswith(before.plain) for before, after in itertools.pairwise(seen))
    assert "data-done" in page and 'value="5"' in page
    assert "20 of 20 tokens" in shown(desk, link) or seen[-1].n < 20, "it is still there when the view is drawn anew"


def test_two_continuations_step_by_turns_and_are_what_each_is_alone(desk: Desk) -> None:
    links = [link_of(edit(firing(desk), factor, 3.0)) for factor in (5.0, -4.0)]
    alone = [list(continue_text(desk.runtime(), desk.store, link.edits, SENTENCE, n_tokens=20, seed=1))[-1] for link in links]
    both = [growing(desk, {"query": link.query(), "run": str(n), "n": "20", "seed": "1"}) for n, link in enumerate(links)]
    assert list(zip_longest(*both)), "each takes a step, then the other"
    assert [desk.editing.continued(SAE, link.edits, SENTENCE)[1] for link in links] == alone


def test_a_continuation_stops_and_keeps_what_it_has(desk: Desk) -> None:
    link = link_of(edit(firing(desk), 3.5))
    pages = growing(desk, {"query": link.query(), "run": "this one", "n": "60", "seed": "x"})
    next(pages), next(pages)
    desk.editing.stop("this one")
    over = last(pages)
    assert "2 of 60 tokens, stopped" in over and "data-done" in over


def test_a_continuation_of_nothing_is_a_sentence(desk: Desk) -> None:
    assert "no longer kept" in last(growing(desk, {"query": link_of(edit(1), text="").query(), "run": "r"}))


def test_a_card_shows_its_strongest_examples_before_what_can_be_tried_with_them(desk: Desk) -> None:
    link = Link("feature", SAE, 12)
    page = feature_page(desk.store, link)
    html = render("feature.html", page=replace(page, panel=panel_of_card(desk.store, link, page.card)))
    assert 0 < html.index('data-group="top"') < html.index("data-edits") < html.index("data-effect") < html.index('data-group="q90"')
