"""The page in a real browser: links, Back, sound, filters, small screens. Every visit also asserts that no other host is asked."""

from __future__ import annotations

import json
import urllib.request
from urllib.parse import parse_qsl

import pytest

from tests.fixtures.shelf import DEAD_UNIT, HOSTILE, N_TOP, N_UNITS, NEURONS, RESIDUAL, SAE, Shelf

PHONE = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 1, "has_touch": True, "is_mobile": True}


def ask(base: str, path: str):
    with urllib.request.urlopen(base + path) as answer:
        return json.load(answer)


def test_a_deep_link_opens_its_unit(visitor, base):
    page = visitor.open(f"/?tab=feature&dictionary={NEURONS}&unit=12")
    assert page.locator("#em-feature h1").inner_text() == "Neuron 12"
    assert visitor.query() == {"tab": "feature", "dictionary": NEURONS, "unit": "12", "rev": "0badcafe"}
    assert page.title().startswith("Neuron 12")
    assert not page.locator("#em-browse h1").is_visible()
    expected = [e["sample"] for e in ask(base, f"/api/unit/{NEURONS}/12")["examples"]]
    assert page.locator(".em-ex").evaluate_all("all => all.map(f => f.dataset.sample)") == expected


def test_picking_a_unit_writes_the_address_and_back_restores(visitor):
    page = visitor.open(f"/?dictionary={SAE}&sort=unit&order=asc&q=money")
    row = page.locator(".em-row:not(.head)").nth(2)
    number = row.locator(".em-name").inner_text()
    visitor.does(row.locator(".em-name").click)
    assert visitor.query()["unit"] == number and visitor.query()["tab"] == "feature"
    assert page.locator("#em-feature h1").inner_text() == f"Feature {number}"
    visitor.does(page.locator("a[rel=next]").click)
    assert visitor.query()["unit"] == str(int(number) + 1)
    visitor.does(page.go_back)
    assert page.locator("#em-feature h1").inner_text() == f"Feature {number}"
    visitor.does(page.go_back)
    assert visitor.query() == {"tab": "browse", "dictionary": SAE, "q": "money", "sort": "unit", "order": "asc"}
    assert page.locator("#em-q").is_visible() and page.locator("#em-q").input_value() == "money"
    visitor.does(page.go_forward)
    assert page.locator("#em-feature h1").inner_text() == f"Feature {number}"


def test_the_tabs_remember_where_one_was(visitor):
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit=4")
    visitor.does(page.get_by_role("link", name="About", exact=True).click)
    assert page.locator("#em-about h1").is_visible() and visitor.query()["tab"] == "about"
    visitor.does(page.get_by_role("link", name="Feature", exact=True).click)
    assert visitor.query()["unit"] == "4" and page.locator("[data-tab=feature]").get_attribute("aria-current") == "page"


def test_the_list_is_in_the_address(visitor):
    page = visitor.open("/")
    assert page.locator(".em-row:not(.head)").count() == 24
    visitor.does(lambda: page.select_option("#em-dead", "show"))
    visitor.does(lambda: page.select_option("#em-sort", "unit"))
    visitor.does(lambda: page.select_option("#em-order", "asc"))
    assert page.locator(".em-name").first.inner_text() == "0"
    visitor.does(page.get_by_label("Next page").click)
    assert visitor.query() == {"tab": "browse", "dictionary": SAE, "sort": "unit", "order": "asc", "dead": "show", "page": "2"}
    assert page.locator(".em-name").first.inner_text() == "24"
    visitor.does(lambda: page.locator("#em-q").press_sequentially("pilot"))
    page.wait_for_function("new URLSearchParams(location.search).get('q') === 'pilot'")
    page.wait_for_function("document.querySelector('.em-count').innerText.includes('pilot')")
    assert page.locator("#em-q").input_value() == "pilot" and "page" not in visitor.query()
    assert "pilot" in page.locator(".em-heard").nth(1).inner_text()
    again = visitor.open("/?" + page.evaluate("location.search.slice(1)"))
    assert again.locator("#em-dead").input_value() == "show" and again.locator("#em-q").input_value() == "pilot"


def test_a_number_finds_its_unit_and_nonsense_finds_nothing(visitor):
    page = visitor.open(f"/?dictionary={SAE}&q=23")
    assert page.locator(".em-name").first.inner_text() == "23"
    page = visitor.open(f"/?dictionary={SAE}&q=xylophone")
    assert "Nothing matches" in page.locator("#em-browse").inner_text()
    visitor.does(page.get_by_text("Clear the filters").click)
    assert page.locator(".em-row:not(.head)").count() == 24


def test_the_player_starts_just_before_the_peak(visitor, base):
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit=5")
    examples = ask(base, f"/api/unit/{SAE}/5")["examples"]
    late = next(i for i, e in enumerate(examples) if e["at_s"] > 0.6)
    assert page.locator("audio").nth(late).evaluate("a => a.preload") == "none"
    figure = page.locator(".em-ex").nth(late)
    figure.locator(".em-play").click()
    page.wait_for_function("i => { const a = document.querySelectorAll('.em-ex audio')[i]; return !a.paused && a.readyState > 2 }", arg=late)
    now = figure.locator("audio").evaluate("a => a.currentTime")
    assert examples[late]["at_s"] - 0.26 <= now <= examples[late]["at_s"] + 0.6
    page.wait_for_function("i => parseFloat(document.querySelectorAll('.em-ex .em-cursor')[i].style.left) > 1", arg=late)
    other = page.locator(".em-ex").nth(late + 1)
    other.locator(".em-plot").click(position={"x": 5, "y": 20})
    page.wait_for_function("document.querySelectorAll('.em-ex.playing').length === 1")
    assert figure.locator("audio").evaluate("a => a.paused")
    page.wait_for_function("i => !document.querySelectorAll('.em-ex audio')[i].paused", arg=late + 1)
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelectorAll('.em-ex.playing').length === 0")


def test_the_montage_plays_the_five_best_peaks(visitor, base):
    page = visitor.open(f"/?dictionary={SAE}&sort=unit&order=asc")
    row = page.locator(".em-row:not(.head)").nth(5)
    unit = row.locator(".em-name").inner_text()
    pieces = ask(base, f"/api/montage/{SAE}/{unit}")
    card = ask(base, f"/api/unit/{SAE}/{unit}")
    top = [e for e in card["examples"] if e["group"] == "top"][:5]
    assert all(p["start_s"] <= e["at_s"] <= p["end_s"] <= e["duration_s"] + 1e-6 and p["sample"] == e["sample"] for p, e in zip(pieces, top, strict=True))
    row.locator(".em-montage").click()
    page.wait_for_function("window.earmark.montage?.context.state === 'running'")
    played = page.evaluate("window.earmark.montage.pieces")
    assert [p["sample"] for p in played] == [p["sample"] for p in pieces]
    assert all(abs(p["length"] - (q["end_s"] - q["start_s"])) < 0.06 for p, q in zip(played, pieces, strict=True))
    page.wait_for_selector(".em-montage.playing")
    page.wait_for_selector(".em-heard q.now")
    row.locator(".em-montage").click()
    page.wait_for_function("!document.querySelector('.em-montage.playing, .em-heard q.now')")


def test_filters_are_answered_and_linked(visitor, base):
    page = visitor.open(f"/?tab=feature&dictionary={NEURONS}&unit=9")
    visitor.does(lambda: (page.fill("#em-min", "2.3"), page.press("#em-min", "Enter")))
    assert visitor.query()["min"] == "2.3"
    found = ask(base, f"/api/search/{NEURONS}/9?min=2.3&n=40")
    assert page.locator(".em-ex").evaluate_all("all => all.map(f => f.dataset.sample)") == [h["sample"] for h in found]
    assert "Exact: every clip" in page.locator(".em-group h2").inner_text()
    visitor.does(lambda: (page.fill("#em-min", ""), page.check("#em-abs"), page.get_by_role("button", name="Find").click()))
    assert visitor.query().get("absolute") == "1" and "min" not in visitor.query()
    visitor.does(page.go_back)
    assert page.locator("#em-min").input_value() == "2.3" and not page.locator("#em-abs").is_checked()
    visitor.does(page.get_by_role("link", name="Clear").click)
    assert page.locator(".em-group").count() == 7
    visitor.does(page.locator(".em-hist a[href]").last.click)
    assert "max" in visitor.query()


@pytest.mark.parametrize(
    ("link", "notice", "title"),
    [
        (f"dictionary={SAE}&unit=4000", "units 0 to 39; 4000 is none of them", "Feature 39"),
        (f"dictionary={SAE}&unit=-3", "-3 is none of them", "Feature 0"),
        (f"dictionary={SAE}x&unit=3", f"There is no dictionary '{SAE}x'. This is {SAE}.", "Feature 3"),
        (f"dictionary={SAE}&unit=3&rev=deadbeef", "was rebuilt since this link was made (then deadbeef, now 0badcafe)", "Feature 3"),
        (f"dictionary={SAE}&unit=3&min=9&max=1", "were swapped", "Feature 3"),
        (f"dictionary={SAE}&unit=3&min=<script>", "which is no number", "Feature 3"),
    ],
)
def test_bad_links_open_the_nearest_thing_with_a_notice(visitor, link, notice, title):
    page = visitor.open("/?" + link)
    assert notice in page.locator("#em-notice").inner_text()
    assert page.locator("#em-feature h1").inner_text() == title


def test_a_link_to_nothing_opens_the_list(visitor):
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit=abc")
    assert "which is no whole number" in page.locator("#em-notice").inner_text()
    assert page.locator(".em-row:not(.head)").count() == 24
    visitor.does(page.locator(".em-name").first.click)
    assert page.locator("#em-notice").inner_text().strip() == ""


def test_a_dictionary_without_tables_says_so_and_the_rest_works(visitor):
    page = visitor.open("/?dictionary=tiny-l3-unbuilt")
    assert "has no tables" in page.locator("#em-browse .em-state").inner_text()
    visitor.does(page.locator(".em-picker a").nth(1).click)
    assert visitor.query()["dictionary"] == NEURONS and page.locator(".em-row:not(.head)").count() == 24


def test_a_dead_unit_says_so(visitor):
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit={DEAD_UNIT}")
    assert "there is nothing to hear" in page.locator("#em-feature").inner_text()
    assert page.locator(".em-ex").count() == 0 and page.locator("#em-feature [data-montage]").count() == 0


def test_hostile_transcripts_show_as_text(visitor, shelf: Shelf):
    sample = 2
    best = max(range(N_UNITS), key=lambda u: shelf.traces[SAE][sample][u].max() / max(t[u].max() for t in shelf.traces[SAE]) if u != DEAD_UNIT else 0)
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit={best}")
    assert HOSTILE in page.locator(f".em-ex[data-sample=clip-{sample:02d}] q").first.inner_text()
    page = visitor.open("/?q=" + "%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#em-browse img[src=x]").count() == 0


def test_keys_step_through_units(visitor):
    page = visitor.open(f"/?tab=feature&dictionary={RESIDUAL}&unit=10")
    visitor.does(lambda: page.keyboard.press("ArrowRight"))
    visitor.does(lambda: page.keyboard.press("ArrowRight"))
    assert visitor.query()["unit"] == "12"
    visitor.does(lambda: page.keyboard.press("ArrowLeft"))
    assert page.locator("#em-feature h1").inner_text() == "Residual axis 11"
    page.focus("#em-min")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(200)
    assert visitor.query()["unit"] == "11"


def test_surprise_me_opens_some_unit(visitor):
    page = visitor.open("/")
    visitor.does(page.locator("[data-surprise]").first.click)
    assert visitor.query()["tab"] == "feature" and 0 <= int(visitor.query()["unit"]) < N_UNITS


def test_the_short_link_leads_to_the_card(visitor, base):
    visitor.page.goto(f"{base}/f/{NEURONS}/6?min=1.5")
    visitor.page.wait_for_function("window.earmark && window.earmark.views > 0")
    assert visitor.page.locator("#em-feature h1").inner_text() == "Neuron 6"
    assert visitor.query()["min"] == "1.5"


@pytest.mark.parametrize("visitor", [PHONE], indirect=True)
@pytest.mark.parametrize("path", ["/", f"/?tab=feature&dictionary={NEURONS}&unit=3", f"/?tab=feature&dictionary={SAE}&unit=2&min=1", "/?tab=about"])
def test_nothing_scrolls_sideways_on_a_phone(visitor, path):
    page = visitor.open(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("[...document.querySelectorAll('.em-page')].every(e => e.getBoundingClientRect().right <= 360)")


@pytest.mark.parametrize("visitor", [{"color_scheme": "dark"}], indirect=True)
def test_the_dark_theme_is_dark(visitor):
    page = visitor.open("/")
    light = "c => { const [r, g, b] = getComputedStyle(document.querySelector(c[0]))[c[1]].match(/\\d+/g).map(Number); return (r + g + b) / 765 }"
    assert page.evaluate(light, ["body", "backgroundColor"]) < 0.2
    assert page.evaluate(light, [".em-page h1", "color"]) > 0.8


def test_a_theme_is_chosen_by_the_address_and_stays(visitor):
    page = visitor.open("/?tab=about")
    assert not page.evaluate("document.body.classList.contains('dark')")
    page.click("text=always dark")
    page.wait_for_url("**__theme=dark**")
    page.wait_for_function("document.body.classList.contains('dark') && window.earmark?.query")
    visitor.does(page.locator(".em-bar nav a", has_text="Browse").first.click)
    assert visitor.query()["__theme"] == "dark" and page.evaluate("document.body.classList.contains('dark')")


@pytest.mark.parametrize("visitor", [{"bypass_csp": True}], indirect=True)
def test_in_a_frame_the_parent_is_told_the_address(visitor, base):
    """As on a Space, whose page shows this one in a frame; here an answer of this host that shows none by itself. Who may is `test_headers`' to say."""
    page = visitor.page
    page.goto(base + "/api/dictionaries")
    page.evaluate(
        """base => {
          window.told = [];
          window.addEventListener("message", (event) => { if (event.data?.queryString) window.told.push(event.data.queryString); });
          document.body.innerHTML = `<iframe src="${base}/?dictionary=tiny-l2-sae&unit=4" width=900 height=700></iframe>`;
        }""",
        base,
    )
    page.wait_for_function("window.told.length > 0")
    page.frame_locator("iframe").locator("a[rel=next]").click()
    page.wait_for_function("window.told.length > 1")
    assert [dict(parse_qsl(q.removeprefix("?")))["unit"] for q in page.evaluate("window.told")] == ["4", "5"]


@pytest.mark.parametrize("visitor", [{"permissions": ["clipboard-read", "clipboard-write"]}], indirect=True)
def test_the_copied_link_brings_the_filter(visitor, base):
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit=3&min=2")
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_selector("text=Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"{base}/f/{SAE}/3?min=2&rev=0badcafe"


def test_more_examples_are_shown_when_asked_for(visitor):
    page = visitor.open(f"/?tab=feature&dictionary={SAE}&unit=3")
    assert page.locator(".em-group[data-group=top] .em-ex:visible").count() == 8
    assert page.locator(".em-group[data-group=top] [data-more]").count() == 1
    page.locator(".em-group[data-group=top] [data-more]").click()
    assert page.locator(".em-group[data-group=top] .em-ex:visible").count() == N_TOP


def test_without_its_weights_the_audio_tab_says_so_and_the_rest_works(visitor):
    page = visitor.open(f"/?tab=audio&dictionary={SAE}")
    page.wait_for_selector("[data-model-state][data-state=failed]", timeout=60_000)
    assert "tiny" in page.locator("[data-model-state]").inner_text()
    page.locator("[data-try]").first.click()
    page.wait_for_selector("#em-audio-answer [role=alert]", timeout=30_000)
    visitor.does(page.get_by_role("link", name="Browse", exact=True).click)
    assert page.locator(".em-row:not(.head)").count() == 24
