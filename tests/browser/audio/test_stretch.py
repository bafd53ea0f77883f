"""A stretch that is drawn over a spectrogram, a visitor's or the corpus's, lists what is specific to it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.browser.audio.conftest import PHONE, bring, drawn_along, save
from tests.browser.conftest import Visitor
from tests.browser.inside import Inside
from tests.fixtures.toy import sound


def test_a_stretch_that_is_dragged_over_lists_what_is_specific_to_it(visitor: Visitor, app: Inside, tmp_path):
    page = visitor.open("/?tab=audio&dictionary=toy-sae")
    bring(page, save(tmp_path, "mine.wav", sound(3, 2.0)))
    box = page.locator("#em-audio-clip .em-plot").bounding_box()
    assert box

    def drag() -> None:
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 40, steps=4)
        page.mouse.up()

    visitor.does(drag)
    query = visitor.query()
    assert query["sort"] == "region" and (float(query["at"]), float(query["to"])) == pytest.approx((0.5, 1.0), abs=0.01)
    clip = app.desk.kept.get(page.evaluate("window.earmark.clip"))
    values, largest = clip.codes["toy-sae"].dense(), app.desk.store.units_frame("toy-sae")["peak"].to_numpy()
    inside = [clip.grid.frame_at(float(query["at"])) <= t <= clip.grid.frame_at(float(query["to"])) for t in range(len(values))]
    outside = [not i for i in inside]
    score = {u: (values[inside, u].mean() - values[outside, u].mean()) / largest[u] for u in range(values.shape[1]) if largest[u] > 0}
    expected = [str(u) for u, s in sorted(score.items(), key=lambda p: -p[1]) if s > 0]
    assert page.locator("#em-audio-hits .em-name").all_inner_texts() == expected
    assert not page.evaluate("document.querySelector('#em-audio-clip .em-ex').classList.contains('playing')"), "a drag does not play"
    visitor.does(page.go_back)
    assert "sort" not in visitor.query()


def test_a_stretch_of_a_cards_example_lists_what_is_specific_to_it(visitor: Visitor, app: Inside):
    page = visitor.open("/?tab=feature&dictionary=toy-sae&unit=3")
    figure = page.locator("#em-feature .em-ex").nth(1)
    sample, duration = figure.get_attribute("data-sample"), float(figure.get_attribute("data-duration"))
    visitor.does(lambda: drawn_along(page, figure.locator(".em-plot"), 0.3, 0.6))
    query = visitor.query()
    assert (query["tab"], query["sample"], query["sort"]) == ("audio", sample, "region")
    assert (float(query["at"]), float(query["to"])) == pytest.approx((0.3 * duration, 0.6 * duration), abs=0.02)
    page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=60_000)
    assert "playing" not in (figure.get_attribute("class") or ""), "a drag is no click"

    clip = app.desk.heard("toy-sae", sample)
    units, values = clip.codes["toy-sae"].active()
    first, last = (clip.grid.frame_at(float(query[name])) for name in ("at", "to"))
    inside = [first <= t <= last for t in range(len(values))]
    largest = app.desk.store.units_frame("toy-sae")["peak"].to_numpy()[units]
    gain = (values[inside].mean(axis=0) - values[[not i for i in inside]].mean(axis=0)) / largest
    shown = [int(t) for t in page.locator("#em-audio-hits .em-name").all_inner_texts()]
    assert shown == [int(units[i]) for i in np.argsort(-gain, kind="stable") if gain[i] > 0][: len(shown)] and shown

    n_runs = len(app.runs)
    visitor.does(lambda: page.fill("#em-heard-to", f"{0.9 * duration:.2f}"))
    assert float(visitor.query()["to"]) == pytest.approx(0.9 * duration, abs=0.01) and visitor.query()["sample"] == sample
    assert page.locator("#em-audio-clip .em-moment.stretch").is_visible()
    visitor.does(page.get_by_role("link", name="Your own sound").click)
    assert visitor.query() == {"tab": "audio", "dictionary": "toy-sae"} and len(app.runs) == n_runs


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
def test_a_finger_draws_a_stretch(visitor: Visitor):
    page = visitor.open("/?tab=feature&dictionary=toy-sae&unit=3")
    plot = page.locator("#em-feature .em-plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    finger = page.context.new_cdp_session(page)

    def draw() -> None:
        for kind, share in (("touchStart", 0.2), ("touchMove", 0.3), ("touchMove", 0.5), ("touchMove", 0.7), ("touchEnd", None)):
            points = [] if share is None else [{"x": box["x"] + share * box["width"], "y": box["y"] + 30}]
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    visitor.does(draw)
    assert visitor.query()["sort"] == "region" and visitor.query()["tab"] == "audio"
    page.wait_for_selector("#em-audio-hits article.em-hit.drawn", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_link_to_a_clip_that_is_not_there_says_so(visitor: Visitor):
    page = visitor.open("/?tab=audio&dictionary=toy-sae&sample=nowhere&sort=region&at=0.1&to=0.4")
    assert "has no sample 'nowhere'" in page.locator("#em-notice").inner_text() and "Nothing yet" in page.locator("#em-audio-clip").inner_text()
