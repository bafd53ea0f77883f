"""What the shelf reads, against the traces that the fixture's tables were made from."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from components.views.listing import select_units, shared_words
from earmark.errors import BadInput, BadTable, NotFound
from earmark.links import BrowseView, Link
from earmark.settings import Settings
from earmark.shelf.schema import SWEEP
from earmark.shelf.store import Store
from earmark.shelf.tables import outlives, put_table
from earmark.swept import SweptRun
from earmark.units import UnitId
from earmark.web.search.find import matches
from tests.fixtures.shelf import DEAD_UNIT, LABEL, N_KEPT, N_TOP, NEURONS, RESIDUAL, SAE, TRANSCRIPTS, Shelf, break_table, build_shelf, copy_shelf

ROOT = Path(__file__).resolve().parents[2]
HALF = 2**-10
"""relative error of half precision, doubled"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return build_shelf(tmp_path_factory.mktemp("store") / "shelf")


@pytest.fixture(scope="module")
def store(shelf: Shelf) -> Store:
    return Store(replace(Settings.from_env({}), data=shelf.folder))


def naive_search(shelf: Shelf, slug: str, unit: int, low, high, absolute: bool) -> list[tuple[str, float]]:
    """A scan of everything: (sample, peak), strongest first."""
    found = []
    for name, trace in zip(shelf.ids, shelf.traces[slug], strict=True):
        values = trace[unit]
        if not np.any(values):
            continue
        peak = float(values[np.abs(values).argmax()] if absolute else values.max())
        size = abs(peak) if absolute else peak
        if (low is None or size >= low) and (high is None or size <= high):
            found.append((name, peak, size))
    return [(n, p) for n, p, _ in sorted(found, key=lambda f: -f[2])]


@pytest.mark.parametrize("slug", [SAE, RESIDUAL])
@pytest.mark.parametrize(("low", "high"), [(None, None), (1.0, None), (None, 2.5), (1.5, 2.5), (99.0, None)])
@pytest.mark.parametrize("absolute", [False, True])
def test_search_is_a_scan_of_everything(shelf, store, slug, low, high, absolute):
    for unit in (0, 5, DEAD_UNIT, 39):
        hits = store.search(UnitId(slug, unit), low, high, absolute, 100)
        expected = naive_search(shelf, slug, unit, low, high, absolute)
        assert [h.sample for h in hits] == [name for name, _ in expected]
        assert all(abs(h.peak - p) <= HALF * abs(p) for h, (_, p) in zip(hits, expected, strict=True))


@pytest.mark.parametrize("absolute", [False, True])
def test_search_is_exact_above_the_floor(shelf, store, absolute):
    for unit in (1, 8, 20):
        stats = store.card(UnitId(NEURONS, unit)).stats
        floor = stats.floor_abs if absolute else stats.floor
        hits = store.search(UnitId(NEURONS, unit), floor, None, absolute, 100)
        assert [h.sample for h in hits] == [name for name, _ in naive_search(shelf, NEURONS, unit, floor - 1e-3, None, absolute)]
        assert absolute or len(hits) == N_KEPT


def test_search_refuses_what_is_no_number(store):
    with pytest.raises(BadInput, match="min is nan"):
        store.search(UnitId(SAE, 3), float("nan"))
    with pytest.raises(BadInput, match="1 to 500"):
        store.search(UnitId(SAE, 3), n=0)


@pytest.mark.parametrize("slug", [SAE, NEURONS, RESIDUAL])
def test_examples_are_the_traces_they_were_made_from(shelf, store, slug):
    for unit in (0, 11, 39):
        card = store.card(UnitId(slug, unit))
        top = [e for e in card.examples if e.group == "top"]
        assert [e.sample for e in top] == [name for name, _ in naive_search(shelf, slug, unit, None, None, False)][:N_TOP]
        for e in card.examples:
            whole = shelf.traces[slug][shelf.ids.index(e.sample)][unit]
            assert e.peak == pytest.approx(whole.min() if e.group == "bottom" else whole.max(), rel=1e-6)
            assert e.at_s == pytest.approx(0.02 * (whole.argmin() if e.group == "bottom" else whole.argmax()))
            first = round(e.start_s / 0.02)
            part = whole[first : first + len(e.trace)]
            assert np.abs(e.trace - part).max() <= (max(0, part.max()) - min(0, part.min())) / 255
            assert e.start_s <= e.at_s < e.end_s


def test_stats_are_counts_over_every_frame(shelf, store):
    for slug in (SAE, NEURONS):
        for unit in (2, DEAD_UNIT, 30):
            stats, values = store.card(UnitId(slug, unit)).stats, np.concatenate([t[unit] for t in shelf.traces[slug]])
            assert stats.density == pytest.approx(sum(v > 0 for v in values) / len(values))
            assert stats.dead == (not np.any(values))
            assert stats.peak == pytest.approx(float(values.max()))


def test_a_dead_unit_has_a_card(store):
    card = store.card(UnitId(SAE, DEAD_UNIT))
    assert card.stats.dead and card.examples == () and card.match is None


def test_what_is_not_there_is_named(store):
    with pytest.raises(NotFound, match="units 0 to 39; 40 is none of them"):
        store.card(UnitId(SAE, 40))
    with pytest.raises(NotFound, match="Did you mean 'tiny-l2-sae'"):
        store.card(UnitId("tiny-l2-sea", 1))
    with pytest.raises(NotFound, match="has no sample"):
        store.corpus("tiny-clips").audio("../../etc/passwd")


def test_a_table_that_does_not_fit_its_manifest_is_refused_and_the_rest_works(shelf, tmp_path):
    folder = copy_shelf(shelf, tmp_path / "copy").folder
    break_table(folder, SAE)
    store = Store(replace(Settings.from_env({}), data=folder))
    with pytest.raises(BadTable, match="sha256 differs"):
        store.card(UnitId(SAE, 3))
    assert store.card(UnitId(NEURONS, 3)).stats.peak > 0


def test_heard_is_what_the_five_strongest_samples_say(shelf, store):
    frame = store.units_frame(SAE)
    for unit in (0, 12, 33):
        names = [name for name, _ in naive_search(shelf, SAE, unit, None, None, False)][:5]
        rows = [shelf.ids.index(n) for n in names]
        assert list(frame["strongest"][unit]) == rows
        assert frame["heard"][unit] == " · ".join(TRANSCRIPTS[r] for r in rows if TRANSCRIPTS[r])


@pytest.mark.parametrize("sort", ["peak", "density", "unit", "match", "words", "nonsense"])
def test_the_list_is_sorted_whichever_way(store, sort):
    frame = store.units_frame(SAE)
    frame = frame.assign(common=frame["unit"] * 7 % 40)
    column = {"density": "density", "unit": "unit", "match": "match_correlation", "peak": "peak"}.get(sort, "common")
    for descending in (True, False):
        found = select_units(frame, Link(browse=BrowseView(sort=sort, descending=descending, dead="show")))
        assert len(found) == len(frame)
        values = found[column].dropna().tolist()
        assert values == sorted(values, reverse=descending)


def test_units_whose_clips_share_a_word_lead():
    heard = [
        ("The money!", "Money, now.", "No more.", "Give me that money.", "x"),
        ("No more.", "No more.", "No more.", "No more.", "No more."),
        ("A flying princess", "princess flying", "the princess", "my princess", "oh princess"),
        ("money " * 9, "more", "less", "none", ""),
        ("my virgin princess", "princess", "oh princess", "a princess", "no princess"),
        (),
    ]
    values = shared_words(heard)
    assert values[1] == values[3] == values[5] == 0
    assert 0.6 <= values[0] < 0.8 and 1 <= values[2] < 1.2
    assert values[4] < 0


def test_the_list_keeps_what_the_search_asks_for(store):
    frame = store.units_frame(SAE).assign(common=0.0)

    def units(**view) -> list[int]:
        link = Link(browse=BrowseView(**view))
        return select_units(frame, link, matches(store, SAE, link.browse.text) if link.browse.text else None)["unit"].tolist()

    assert units(dead="only") == [DEAD_UNIT]
    assert DEAD_UNIT not in units()
    said = {u for u in range(40) if "money" in frame["heard"][u].casefold()}
    assert set(units(text="MONEY")) == said and 0 < len(said) < 39
    assert set(units(text="oney")) == set()
    assert set(units(text="größer")) == {u for u in range(40) if "größer" in frame["heard"][u]}
    assert units(text="#23")[0] == 23 and units(text="23") == [23]
    assert units(text=".*(") == []
    assert units(named="1") == [LABEL["unit"]] and units(named="word") == []
    assert set(units(min_density=0.2, max_density=0.23)) == {u for u in range(40) if 0.2 <= frame["density"][u] <= 0.23}


def test_looking_up_units_imports_no_model(shelf):
    """In a fresh process: the whole page, a card, a search, a picture and the list."""
    code = f"""
import os, sys
os.environ["EARMARK_DATA"] = {str(shelf.folder)!r}
import app
from earmark.settings import Settings
from earmark.shelf.schema import SWEEP
from earmark.shelf.store import Store
from earmark.shelf.tables import outlives, put_table
from earmark.swept import SweptRun
from earmark.units import UnitId
from earmark.web.media import share_picture, strip_picture
from components.views.listing import browse_page
from components.views.unit import feature_page
from earmark.links import Link
settings = Settings.from_env()
app.create_app(settings)
store, unit = Store(settings), UnitId("{SAE}", 3)
store.card(unit), store.search(unit), share_picture(store, unit), strip_picture(store, unit)
browse_page(store, Link("browse", "{SAE}")), feature_page(store, Link("feature", "{SAE}", 3))
print([m for m in ("torch", "transformers", "librosa", "plotly", "soundfile") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_sweep_is_read_as_it_was_put_there(shelf: Shelf, tmp_path: Path) -> None:
    folder = copy_shelf(shelf, tmp_path / "shelf").folder
    assert Store(replace(Settings.from_env({}), data=folder)).sweep(SAE) == ()
    assert {f.name for f in fields(SweptRun)} == set(SWEEP.schema.names)
    nothing = dict.fromkeys(SWEEP.schema.names)
    rows = [
        nothing | {"name": "base", "kind": "topk", "n_units": 40, "k": 4, "lr": 8e-4, "fvu": 0.19, "held_share": 0.34, "control": False, "shipped": True},
        nothing | {"name": "neurons", "kind": "neurons", "n_units": 40, "control": False, "shipped": False},
    ]
    put_table(folder / SAE, SWEEP, rows)
    found = Store(replace(Settings.from_env({}), data=folder)).sweep(SAE)
    assert [(r.name, r.k, r.lr, r.fvu, r.shipped) for r in found] == [("base", 4, 8e-4, 0.19, True), ("neurons", None, None, None, False)]
    kept = {p.name for p in (folder / SAE).iterdir() if outlives(p)}
    assert "sweep-000.parquet" in kept and not kept & {"manifest.json", "units-000.parquet", "labels-000.parquet"}
