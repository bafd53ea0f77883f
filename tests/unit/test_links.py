"""Addresses: whatever a link says comes back from its address, and no address is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

import components
from components.views.address import settle
from earmark.edits import MAX_EDITS, Edit
from earmark.experiments import GUEST, Experiment, Size
from earmark.links import TABS, BrowseView, Filter, HeardView, Link, ReadView, api_href, media_href, short_link, unit_media_href
from earmark.lists import UnitList
from earmark.parameters import flag
from earmark.presets import LabView
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.fixtures.shelf import N_UNITS, NEURONS, SAE, Shelf, build_shelf, copy_shelf
from tests.fixtures.text_shelf import SAE as TEXT_SAE
from tests.fixtures.text_shelf import add_texts

ROOT = Path(__file__).resolve().parents[2]

ONE_OFF = Edit(UnitId("d", 1), 0.0)
EIGHT_OFF = tuple(Edit(UnitId("d", n), 0.0) for n in range(MAX_EDITS))

LAB = Experiment("m", "neurons", 2, "topk", Size(2, True), Size(0.25, True), l1=0.05, n_steps=7)

LINKS = (
    (Link(), "tab=browse"),
    (Link("feature", "d", 3), "tab=feature&dictionary=d&unit=3"),
    (Link("feature", "d", 0, Filter(-1.5, 2, True), sample="a b/c"), "tab=feature&dictionary=d&unit=0&min=-1.5&max=2&absolute=1&sample=a+b%2Fc"),
    (Link("feature", "d", 12, revision="0badcafe"), "tab=feature&dictionary=d&unit=12&rev=0badcafe"),
    (Link("feature", "d", 12, look="whole"), "tab=feature&dictionary=d&unit=12&view=whole"),
    (Link("browse", "d", browse=BrowseView("ö & <b>", "density", False, 1e-5, 0.1, "only", 3)), None),
    (Link("about"), "tab=about"),
    (Link("audio", "d"), "tab=audio&dictionary=d"),
    (Link("compare", "d", 3, other=UnitId("e", 7), sample="s", revision="a.b"), "tab=compare&dictionary=d&unit=3&other=e&other_unit=7&sample=s&rev=a.b"),
    (Link("audio", "d", heard=HeardView("moment", 1.24)), "tab=audio&dictionary=d&sort=moment&at=1.24"),
    (Link("audio", "d", heard=HeardView("region", 0.5, 1.0)), "tab=audio&dictionary=d&sort=region&at=0.5&to=1"),
    (Link("browse", "d", browse=BrowseView("sk", "label", named="1")), "tab=browse&dictionary=d&q=sk&sort=label&named=1"),
    (Link("browse", "d", browse=BrowseView(sort="label", named="word")), "tab=browse&dictionary=d&sort=label&named=word"),
    (Link("text", "d", 3, heard=HeardView("region", 2.0, 7.0)), "tab=text&dictionary=d&unit=3&sort=region&at=2&to=7"),
    (Link("text", "d", read=ReadView("a b\n日 & <b>")), "tab=text&dictionary=d&text=a+b%0A%E6%97%A5+%26+%3Cb%3E"),
    (Link("text", "d", read=ReadView("x", "Hungary, Greece", "corpus", "ratio")), "tab=text&dictionary=d&words=Hungary%2C+Greece&in=corpus&by=ratio&text=x"),
    (
        Link("audio", "d", edits=(Edit(UnitId("d", 1301), 0.0), Edit(UnitId("e", 40), 1.0, 12.5, 0.5, 1.25))),
        "tab=audio&dictionary=d&edits=1301%3D0%2Ce%3A40%3D1%2B12.5%400.5..1.25",
    ),
    (Link("feature", "d", 3, edits=(Edit(UnitId("d", 3), 2.5),)), "tab=feature&dictionary=d&unit=3&edits=3%3D2.5"),
    (Link("text", "d", edits=(Edit(UnitId("d", 3), 1.0, -2.0, 3.0),)), "tab=text&dictionary=d&edits=3%3D1-2%403.."),
    (Link("find", browse=BrowseView("/s k/")), "tab=find&q=%2Fs+k%2F"),
    (Link("list"), "tab=list"),
    (
        Link("list", collected=UnitList("Ends & <b>", (UnitId("d", 3), UnitId("d", 7), UnitId("e", 0), UnitId("d", 1)))),
        "tab=list&name=Ends+%26+%3Cb%3E&units=d%3A3%2C7%3Be%3A0%3Bd%3A1",
    ),
    (Link("lab"), "tab=lab"),
    (
        Link("lab", unit=3, sample="s", lab=LabView("sentence", LAB, "a b", words="b", order="density", by="auroc")),
        "tab=lab&unit=3&sample=s&preset=sentence&model=m&site=neurons&layer=2&kind=topk&latents=2x&k=d%2F4&steps=7&sort=density&words=b&by=auroc&text=a+b",
    ),
)


@pytest.mark.parametrize(("link", "address"), LINKS)
def test_a_link_survives_its_address(link, address):
    if address is not None:
        assert link.query() == address
    assert Link.parse(dict(parse_qsl(link.query()))) == (link, ())


@pytest.mark.parametrize(
    ("query", "expected", "n_notices"),
    [
        ({"tab": "nowhere"}, Link(), 1),
        ({"unit": "7"}, Link("feature", unit=7), 0),
        ({"tab": "feature", "unit": "seven"}, Link("browse"), 1),
        ({"tab": "feature", "unit": "-2"}, Link("feature", unit=-2), 0),
        ({"tab": "feature", "unit": "9" * 400}, Link("feature", unit=int("9" * 12)), 0),
        ({"min": "nan", "max": "inf", "dmin": "1e999", "dmax": "x"}, Link(), 4),
        ({"absolute": "false"}, Link(), 0),
        (
            {"tab": "text", "text": "é" * 501, "in": "space", "by": "luck", "sort": "moment", "at": "x"},
            Link("text", heard=HeardView("moment"), read=ReadView("é" * 500)),
            2,
        ),
        ({"tab": "text", "text": "a\ud800b", "words": "w" * 2000}, Link("text", read=ReadView("a?b", "w" * 1000)), 0),
        ({"tab": "audio", "text": "a", "words": "b"}, Link("audio"), 0),
        ({"tab": "audio", "dictionary": "d", "edits": "1=0,,x,2=nan,2=inf,3=21,1=3,2=5"}, Link("audio", "d", edits=(ONE_OFF, Edit(UnitId("d", 2), 5.0))), 5),
        ({"tab": "text", "edits": "1=0"}, Link("text"), 1),
        ({"tab": "audio", "dictionary": "d", "edits": ",".join(f"{n}=0" for n in range(99))}, Link("audio", "d", edits=EIGHT_OFF), 1),
        ({"tab": "audio", "dictionary": "d", "edits": "=" * 5000 + ",1=0"}, Link("audio", "d", edits=(ONE_OFF,)), 1),
        ({"tab": "browse", "dictionary": "d", "edits": "1=0"}, Link(dictionary="d"), 0),
        ({"dead": "perhaps", "page": "-4", "order": "up"}, Link(), 0),
        ({"dictionary": "x" * 500}, Link(dictionary="x" * 80), 0),
        ({"something": "else", "__theme": "dark"}, Link(), 0),
    ],
)
def test_no_address_is_refused(query, expected, n_notices):
    link, notices = Link.parse(query)
    assert link == expected and len(notices) == n_notices


def test_names_in_addresses_are_quoted():
    assert short_link("a/../b", 3) == "/f/a%2F..%2Fb/3"
    assert media_href("c", "../x y", "audio") == "/media/c/..%2Fx%20y/audio"
    assert unit_media_href("d", 3, "strip.png") == "/media/unit/d/3.strip.png"
    assert api_href("unit", "d", 3, format="csv") == "/api/unit/d/3?format=csv"


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("no", False), ("false", False), ("0", False), ("", False), ("perhaps", None)])
def test_a_flag_that_says_false_is_false(text, value):
    assert flag(text) is value


def test_the_tabs_of_addresses_are_the_tabs_of_the_page():
    assert tuple(tab.NAME for tab in components.TABS) == TABS


def test_every_form_field_is_a_name_that_links_know():
    """The page's forms write addresses by the names of their fields."""
    known = {name for link, _ in LINKS for name, _ in parse_qsl(link.query())}
    for template in (ROOT / "components/templates").glob("*.html"):
        for form in re.findall(r"<form.*?</form>", template.read_text(encoding="utf-8"), re.DOTALL):
            assert set(re.findall(r'\bname="(\w+)"', form)) <= known, template.name


def test_only_links_builds_addresses():
    """No template or module of the page writes a query string by hand."""
    for path in [*(ROOT / "components").rglob("*.py"), *(ROOT / "components/templates").glob("*.html"), *(ROOT / "earmark/web").glob("*.py")]:
        assert not re.search(r"""["'](/\?|/api/|/media/)\w""", path.read_text(encoding="utf-8")) or path.name in {"media.py"}, path


# -- settling --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return build_shelf(tmp_path_factory.mktemp("links") / "shelf")


@pytest.fixture(scope="module")
def store(shelf: Shelf) -> Store:
    return Store(replace(Settings.from_env({}), data=shelf.folder))


def test_a_good_link_gets_its_revision_and_no_notice(store):
    link, notices = settle(store, Link("feature", NEURONS, 3))
    assert (link.dictionary, link.unit, link.revision, notices) == (NEURONS, 3, "0badcafe", ())


def test_what_was_trained_in_the_lab_is_known_while_it_is_there(store):
    slug = GUEST + "0badcafe"
    store.catalog.guests[slug] = replace(store.catalog.dictionary(SAE), slug=slug)
    assert settle(store, Link("audio", slug)) == (Link("audio", slug), ())
    del store.catalog.guests[slug]
    link, notices = settle(store, Link("audio", slug))
    assert link.dictionary == SAE and "trained in the Lab can be opened for a while only" in notices[0]


def test_no_dictionary_is_the_default_and_an_unknown_one_the_nearest(store):
    assert settle(store, Link())[0].dictionary == SAE
    link, notices = settle(store, Link("feature", "tiny-l2-neuron", 3))
    assert link.dictionary == NEURONS and NEURONS in notices[0]


@pytest.mark.parametrize(("unit", "shown"), [(-1, 0), (N_UNITS, N_UNITS - 1), (10**11, N_UNITS - 1)])
def test_a_unit_out_of_range_is_the_nearest(store, unit, shown):
    link, notices = settle(store, Link("feature", SAE, unit))
    assert link.unit == shown and str(unit) in notices[0]


def test_an_older_revision_says_that_the_numbers_may_mean_others(store):
    link, notices = settle(store, Link("feature", SAE, 3, revision="deadbeef"))
    assert link.revision == "0badcafe" and "rebuilt" in notices[0] and "deadbeef" in notices[0]
    assert settle(store, Link("feature", SAE, 3, revision="0bad"))[1] == ()


def test_a_feature_link_without_a_unit_picks_a_live_one(store):
    units = {settle(store, Link("feature", SAE))[0].unit for _ in range(60)}
    assert len(units) > 5 and 7 not in units


def test_a_link_into_a_dictionary_without_tables_stays(store):
    assert settle(store, Link("feature", "tiny-l3-unbuilt", 3))[0].dictionary == "tiny-l3-unbuilt"


def test_without_the_default_another_readable_dictionary_opens(shelf, tmp_path):
    folder = copy_shelf(shelf, tmp_path / "copy").folder
    (folder / SAE / "manifest.json").unlink()
    assert settle(Store(replace(Settings.from_env({}), data=folder)), Link())[0].dictionary == NEURONS


def test_sounds_and_texts_have_dictionaries_of_their_own(tmp_path):
    """On the tabs for a sample of one's own the dictionary is one whose model takes it; a notice only where another was asked for."""
    build_shelf(tmp_path / "shelf")
    add_texts(tmp_path / "shelf")
    both = Store(replace(Settings.from_env({}), data=tmp_path / "shelf"))
    link, notices = settle(both, Link("text"))
    assert (link.dictionary, notices) == (TEXT_SAE, ())
    link, notices = settle(both, Link("text", NEURONS, 3, heard=HeardView("region", 4.0)))
    assert (link.dictionary, link.unit) == (TEXT_SAE, None) and f"The model of {NEURONS} hears sounds" in notices[0]
    assert link.heard == HeardView("region", 4.0, 11.0), "a stretch without an end is some tokens long"
    link, notices = settle(both, Link("audio", TEXT_SAE))
    assert link.dictionary == SAE and "reads texts" in notices[0]
    assert settle(both, Link("text", TEXT_SAE, N_UNITS))[0].unit is None, "no unit that there is not shades a text"
    assert settle(both, Link("text", TEXT_SAE, 3, heard=HeardView("moment", 2.7)))[0].heard.at_s == 2.0


def test_edits_are_of_units_that_there_are_in_the_model_that_is_shown(tmp_path):
    build_shelf(tmp_path / "shelf")
    add_texts(tmp_path / "shelf")
    both = Store(replace(Settings.from_env({}), data=tmp_path / "shelf"))
    good = (Edit(UnitId(SAE, 3), 0.0), Edit(UnitId(NEURONS, N_UNITS - 1), 2.0, start=0.5))
    bad = (Edit(UnitId("nobody", 3), 0.0), Edit(UnitId(TEXT_SAE, 3), 0.0), Edit(UnitId(SAE, N_UNITS), 0.0))
    link, notices = settle(both, Link("audio", SAE, edits=(*good, *bad)))
    assert link.edits == good and len(notices) == 3
    assert all(str(edit) in notice for edit, notice in zip(bad, notices, strict=True))
    assert settle(both, Link("text", SAE, edits=good))[0].edits == (), "another model reads texts"


@pytest.mark.parametrize("tab", TABS)
def test_half_a_surrogate_pair_is_written_back_as_a_question_mark(tab: str) -> None:
    names = ("q", "dictionary", "sample", "text", "words", "rev", "edits", "sort", "name", "units", "other")
    link, _ = Link.parse({"tab": tab, "unit": "1", "other_unit": "2", **dict.fromkeys(names, "\ud800")})
    again, notices = Link.parse(dict(parse_qsl(link.query())))
    assert again.query() == link.query() and not notices
    assert link.browse.text == link.dictionary == link.sample == link.revision == "?"
