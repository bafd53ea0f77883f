"""The whole picture of a hook and a dictionary's health on the page: figures against the tables, sentences against the figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from starlette.applications import Starlette
from starlette.testclient import TestClient

from components import charts
from components.compare import whole_figures
from components.views.address import settle
from components.views.health import health_page
from components.views.swept import sweep_words
from components.views.whole import Held, Side, WholePage, differs, whole_page
from earmark.api import routes
from earmark.links import Link
from earmark.settings import Settings
from earmark.shelf.catalog import DictionaryEntry
from earmark.shelf.schema import SWEEP, TRIPS
from earmark.shelf.store import Store
from earmark.shelf.tables import put_table, read_manifest
from earmark.swept import SweptRun
from tests.fixtures.shelf import CORPUS, N_UNITS, NEURONS, RESIDUAL, SAE, Shelf, build_shelf

LABELS = {
    SAE: {
        "n_units": N_UNITS,
        "n_eligible": 30,
        "held": {"phone": 12, "word": 3, "class": 5, "context": 1},
        "shuffled": {"phone": 0, "word": 0, "class": 0, "context": 0},
    },
    NEURONS: {
        "n_units": N_UNITS,
        "n_eligible": 40,
        "held": {"phone": 2, "word": 0, "class": 9, "context": 0},
        "shuffled": {"phone": 0, "word": 0, "class": 1, "context": 0},
    },
}
RANDOM = {"phone": 1, "word": 0, "class": 10, "context": 0}
TRIP_ROWS = [{"unit": u, "own": 1.0 - u / N_UNITS, "largest": 1.0, "largest_unit": u if u < 30 else 0, "mean": 0.1, "square": 0.02} for u in range(N_UNITS)]


def run(name: str, fvu: float | None, share: float | None, kind: str = "topk", control: bool = False, shipped: bool = False) -> SweptRun:
    none = dict.fromkeys(f for f in SweptRun.__dataclass_fields__ if f not in {"name", "kind"})
    known = {
        "n_units": 64,
        "fvu": fvu,
        "held_share": share,
        "control": control,
        "shipped": shipped,
        "k": 8,
        "dead": 0.01,
        "n_activations": 0 if control else 1000,
    }
    return SweptRun(name, kind, **{**none, **known})


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """The synthetic shelf with labels counted for features and neurons, round trips, a sweep, and what the model still does."""
    shelf = build_shelf(tmp_path_factory.mktemp("whole") / "shelf")
    for slug, summary in LABELS.items():
        folder = shelf.folder / slug
        manifest = read_manifest(folder) | {"labels": summary | {"random": RANDOM, "n_active": 20}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    folder = shelf.folder / SAE
    quality = read_manifest(folder)["quality"] | {
        "ce_clean": 3.0,
        "ce_spliced": 3.5,
        "ce_zero": 8.0,
        "ce_mean": 6.0,
        "ce_recovered": 0.9,
        "ce_recovered_mean": 5 / 6,
        "wer": 0.1,
    }
    put_table(folder, TRIPS, TRIP_ROWS, {"quality": quality | {"ce_of": "the next token", "transcripts": "source"}})
    runs = [run("k8", 0.18, 0.30, shipped=True), run("frames", 0.88, 0.40, control=True), run("neurons", None, 0.2, kind="neurons")]
    put_table(folder, SWEEP, [vars(r) for r in runs])
    return shelf


@pytest.fixture(scope="module")
def store(shelf: Shelf) -> Store:
    return Store(replace(Settings.from_env({}), data=shelf.folder))


def side(kind: str, n: int, of: int, vague: int = 0, shifted: int = 0) -> Side:
    entry = DictionaryEntry(f"d-{kind}", "m", kind, 2, "residual", title=kind)  # type: ignore[arg-type]
    counts = {"phone": n, "class": vague}
    return Side(entry, kind, of, np.full(of, 0.1), Held(n, vague, of), Held(shifted, 0, of), counts, np.array([0.6, 0.8])[: 2 * bool(n)])


def page(*sides: Side, random: Held | None = None) -> WholePage:
    return WholePage(Link("compare", "d-sae"), "here", (), sides, random)


# -- sentences -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [((300, 1000), (200, 1000)), ((10, 40), (3, 90)), ((5, 50), (5, 50))])
def test_two_shares_are_told_apart_as_the_chi_squared_test_does(a, b) -> None:
    table = [[a[0], a[1] - a[0]], [b[0], b[1] - b[0]]]
    found = differs(Held(a[0], 0, a[1]), Held(b[0], 0, b[1]))
    assert found**2 == pytest.approx(chi2_contingency(table, correction=False).statistic)
    assert differs(Held(b[0], 0, b[1]), Held(a[0], 0, a[1])) == pytest.approx(-found)


@pytest.mark.parametrize(
    ("features", "neurons", "sentence"),
    [
        (320, 190, "features say more by phone than neurons"),
        (190, 320, "neurons say more by phone than features"),
        (300, 310, "do not differ here by more than chance"),
    ],
)
def test_it_says_who_wins_whoever_it_is(features: int, neurons: int, sentence: str) -> None:
    said = page(side("neurons", neurons, 1000), side("sae", features, 1000), random=Held(30, 0, 1000)).findings
    assert sentence in " ".join(said) and sum("At equal activity" in s for s in said) == 1


def test_what_chance_does_too_is_said() -> None:
    weak = " ".join(page(side("residual", 12, 400), side("sae", 300, 1000, vague=400), random=Held(30, 250, 1000)).findings)
    assert "The residual axes do no better than random directions." in weak and "weak evidence" in weak and "With shifted labels none holds." in weak
    strong = " ".join(page(side("sae", 300, 1000, vague=400, shifted=7), random=Held(30, 20, 1000)).findings)
    assert "no better" not in strong and "weak evidence" not in strong and "With shifted labels 7 hold" in strong


def test_a_hook_without_labels_says_how_to_get_them(store: Store) -> None:
    bare = page(replace(side("sae", 0, 10), held=None, shifted=None, by_kind={}, precisions=np.array([])))
    assert bare.silent == "python -m earmark label d-sae" and len(bare.findings) == 1
    assert charts.held_figure(bare.sides, None, "").layout.annotations[0].text == "Nobody has looked for labels here yet."


# -- the whole picture -----------------------------------------------------------------------------------------------------


def test_the_whole_picture_is_that_of_the_tables(store: Store, shelf: Shelf) -> None:
    whole = whole_page(store, Link("compare", NEURONS))
    assert [s.entry.slug for s in whole.sides] == [RESIDUAL, NEURONS, SAE] and whole.narrow == "phone or word"
    for found in whole.sides:
        assert found.positive == pytest.approx(np.concatenate([t.ravel() > 0 for t in shelf.traces[found.entry.slug]]).mean())
    residual, neurons, features = whole.sides
    assert residual.held is None and whole.silent == f"python -m earmark label {RESIDUAL}"
    assert (neurons.held, features.held) == (Held(2, 9, 40), Held(15, 6, 30)) and whole.random == Held(1, 10, N_UNITS)
    assert "50 % of the features (15 of 30)" in whole.findings[0]


def test_its_figures_show_the_same_numbers(store: Store) -> None:
    whole = whole_page(store, Link("compare", SAE))
    held, scores, positive, densities = whole_figures(whole)
    by_name = dict(zip(held.data[0].y, held.data[0].x, strict=True))
    assert by_name == {s.title: s.held.share for s in whole.sides if s.held} | {
        "Random directions": 1 / N_UNITS,
        f"{whole.sides[2].title}, shifted labels": 0.0,
    }
    assert dict(zip(positive.data[0].y, positive.data[0].x, strict=True)) == {s.title: s.positive for s in whole.sides}
    assert len(densities.data) == 3 and all(sum(curve.y) == pytest.approx(1) for curve in densities.data)
    assert not scores.data and "No label" in scores.layout.annotations[0].text  # the one label of this shelf is a context


def test_compare_without_a_unit_is_the_whole_picture(store: Store) -> None:
    link, said = settle(store, *Link.parse({"tab": "compare", "dictionary": SAE}))
    assert link.whole and link.unit is None and not said and link.query() == f"tab=compare&dictionary={SAE}&rev=0badcafe"
    chosen, _ = settle(store, *Link.parse({"tab": "compare", "dictionary": SAE, "unit": "3"}))
    assert not chosen.whole and chosen.other is not None
    half, _ = settle(store, *Link.parse({"tab": "compare", "dictionary": SAE, "other": NEURONS, "other_unit": "2"}))
    assert half.unit is not None
    _, said = settle(store, *Link.parse({"tab": "health", "dictionary": SAE, "rev": "00000000"}))
    assert "was rebuilt" in said[0]


# -- health ----------------------------------------------------------------------------------------------------------------


def test_the_page_of_health_says_what_the_shelf_says(store: Store) -> None:
    found = health_page(store, Link("health", SAE))
    values = {c.name: c.value for c in (*found.reconstruction, *found.behaviour)}
    assert values["l0"] == "4" and values["fvu"] == "0.2" and values["ce_recovered"] == "90.0 %" and values["wer"] == "10.0 %"
    assert "ce_recovered_all" not in values and "came with the sounds" in found.spliced_words
    assert [c.name for c in found.first] == ["l0", "fvu", "ce_recovered"] and "75.0 % of the 40 features" in found.trip_words
    others = health_page(store, Link("health", NEURONS))
    assert others.features == SAE and not others.behaviour and others.trips is None and others.cosines is not None
    assert "no tables yet" in (health_page(store, Link("health", "tiny-l3-unbuilt")).problem or "")


def test_round_trips_are_drawn_from_the_largest_down(store: Store) -> None:
    figure = charts.trip_figure(store.dictionary(SAE).trips or {})
    own = next(line for line in figure.data if line.name == "the unit itself")
    assert list(own.y) == pytest.approx([1 - u / N_UNITS for u in range(N_UNITS)]) and list(own.customdata) == list(range(N_UNITS))
    assert figure.layout.legend.y > 1, "no line runs through the legend"


def test_cosines_are_counted(store: Store) -> None:
    figure = charts.cosine_figure(store.dictionary(SAE).nearest, "features")
    assert sum(figure.data[0].y) == N_UNITS and np.array(figure.data[0].y)[np.abs(np.array(figure.data[0].x) - 0.8) < 0.0251].sum() == N_UNITS


def test_the_sweep_is_drawn_and_told(store: Store) -> None:
    runs = store.sweep(SAE)
    figure = charts.sweep_figure(runs)
    assert {(d.name, tuple(d.x), tuple(d.y)) for d in figure.data} == {("nobody has trained", (0.88,), (0.40,)), ("shipped", (0.18,), (0.30,))}
    assert figure.layout.shapes[0].y0 == 0.2
    said = sweep_words(runs)
    assert "Names alone reward not training: frames" in said and "none of the trained ones holds fewer" in said and "30.0 % at an FVU of 0.18" in said


def test_a_sweep_that_neurons_and_no_control_leads() -> None:
    said = sweep_words([run("a", 0.15, 0.1), run("b", 0.19, 0.3, shipped=True), run("c", 0.6, 0.05, control=True), run("neurons", None, 0.35, kind="neurons")])
    assert "Of what nobody has trained, c holds most" in said and "from 10.0 % to 30.0 % hold" in said and "2 of the 2 trained ones hold fewer" in said
    assert sweep_words([]) == "" and sweep_words([run("neurons", None, 0.3, kind="neurons")]) == ""


@pytest.mark.parametrize(("n", "chance"), [(1000, True), (100_000, False), (None, False)])
def test_a_sweep_whose_shipped_run_does_not_lead(n: int | None, chance: bool) -> None:
    """32 against 31 % of 1,000 are 0.5 standard errors apart, of 100,000 are 4.8."""
    runs = [replace(run("a", 0.19, 0.32), n_eligible=n), replace(run("b", 0.17, 0.31, shipped=True), n_eligible=n)]
    said = sweep_words(runs)
    assert "shipped is b, 31.0 % at an FVU of 0.17, before a, 32.0 % at 0.19" in said and ("chance often makes" in said) == chance
    assert "holds most among" not in said
    assert "before" not in sweep_words([replace(runs[0], dead=0.06), runs[1]]), "what has too many silent units does not lead"


# -- for programs and previews ---------------------------------------------------------------------------------------------


def test_routes(store: Store, tmp_path: Path) -> None:
    client = TestClient(Starlette(routes=routes(store)))
    assert client.get(f"/api/health/{SAE}").json() == json.loads(json.dumps(store.health(SAE)))
    assert client.get("/api/health/tiny-l2-sea").status_code == 404
    health, whole = client.get(f"/f/{SAE}/health").text, client.get(f"/f/{SAE}/compare").text
    assert "FVU 20.0%" in health and "90.0% of the model" in health and "og:image" not in health and "url=/?tab=health" in health
    assert "50.0% of" in whole and "5.0% of" in whole
    assert client.get("/f/nothing/health").status_code == 404 and client.get(f"/f/{SAE}/3").text.count("og:image") > 1
    assert store.health(SAE)["corpus"] == CORPUS
