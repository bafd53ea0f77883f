"""Two units beside each other, against plain loops over the traces that the tables were made from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from earmark.__main__ import main
from earmark.errors import BadInput, BadTable, NotFound
from earmark.settings import Settings
from earmark.shelf.pairs import compare, correlations, partner, three_kinds, unit_id
from earmark.shelf.schema import TIMELINE_LEVELS
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.fixtures.shelf import DEAD_UNIT, N_UNITS, NEURONS, RESIDUAL, SAE, Shelf, build_shelf, copy_shelf


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return build_shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="module")
def store(shelf: Shelf) -> Store:
    return Store(Settings.from_env({"EARMARK_DATA": str(shelf.folder)}))


def line_of(shelf: Shelf, slug: str, unit: int) -> np.ndarray:
    return np.concatenate([t[unit] for t in shelf.traces[slug]])


@pytest.mark.parametrize(("a", "b"), [((SAE, 4), (RESIDUAL, 11)), ((NEURONS, 2), (NEURONS, 3)), ((RESIDUAL, 8), (SAE, 10))])
def test_the_correlation_of_any_pair_is_that_of_the_first_positions(store: Store, shelf: Shelf, a: tuple[str, int], b: tuple[str, int]) -> None:
    pair = compare(store, UnitId(*a), UnitId(*b))
    true = np.corrcoef(line_of(shelf, *a), line_of(shelf, *b))[0, 1]
    assert pair.correlation == pytest.approx(true, abs=0.01) and pair.n_correlated == len(line_of(shelf, *a))


def test_a_best_match_keeps_the_correlation_over_the_whole_corpus_from_either_side(store: Store) -> None:
    match = store.card(UnitId(SAE, 4)).match
    assert match is not None
    other = UnitId(match.dictionary, match.unit)
    for pair in (compare(store, UnitId(SAE, 4), other), compare(store, other, UnitId(SAE, 4))):
        assert pair.correlation == match.correlation and pair.n_correlated == pair.cards[0].stats.n_positions


def test_a_silent_unit_correlates_with_nothing(store: Store) -> None:
    pair = compare(store, UnitId(SAE, DEAD_UNIT), UnitId(RESIDUAL, 1))
    assert pair.correlation is None and pair.shared == () and pair.n_correlated > 0


def test_shared_samples_are_the_intersection_of_the_strongest(store: Store, shelf: Shelf) -> None:
    pair = compare(store, UnitId(SAE, 4), UnitId(RESIDUAL, 11))
    tops = []
    for slug, unit in ((SAE, 4), (RESIDUAL, 11)):
        peaks = {name: float(t[unit].max()) for name, t in zip(shelf.ids, shelf.traces[slug], strict=True) if t[unit].any()}
        n = len([e for e in store.card(UnitId(slug, unit)).examples if e.group == "top"])
        tops.append(dict(sorted(peaks.items(), key=lambda p: -p[1])[:n]))
    assert {s.sample for s in pair.shared} == set(tops[0]) & set(tops[1]) and pair.shared
    for s in pair.shared:
        assert s.peaks == pytest.approx((tops[0][s.sample], tops[1][s.sample]), rel=1e-3)


def test_shares_of_positive_values_are_those_of_all_units_and_positions(store: Store, shelf: Shelf) -> None:
    shares = compare(store, UnitId(SAE, 1), UnitId(NEURONS, 1)).positive
    assert list(shares) == [SAE, NEURONS, RESIDUAL]
    for slug, share in shares.items():
        assert share == pytest.approx(np.mean([np.concatenate(list(shelf.traces[slug]), axis=1) > 0]), rel=1e-6)


def test_the_third_kind_is_the_unit_that_follows_best(store: Store, shelf: Shelf) -> None:
    found = three_kinds(store, (UnitId(SAE, 4), UnitId(NEURONS, 12)))
    assert [u.dictionary for u in found] == [SAE, NEURONS, RESIDUAL]
    lines = np.stack([line_of(shelf, RESIDUAL, unit) for unit in range(N_UNITS)])
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.nan_to_num([np.corrcoef(line_of(shelf, SAE, 4), line)[0, 1] for line in lines])
    assert r[found[2].index] == pytest.approx(r.max(), abs=0.01)


def test_steps_of_the_stored_lines_do_not_lower_a_correlation() -> None:
    """Rare spikes stored in few steps: the plain formula says too little, the corrected one does not."""
    random = np.random.default_rng(0)
    n = 200_000
    common = random.normal(0, 1, n)
    pair = [common + random.normal(0, 0.5, n), common + random.normal(0, 0.5, n)]
    for values in pair:
        values[0] = 90  # one spike makes the steps coarse
    true = np.corrcoef(pair[0], pair[1])[0, 1]
    stored = [np.round((v - v.min()) / np.ptp(v) * TIMELINE_LEVELS) * np.ptp(v) / TIMELINE_LEVELS for v in pair]
    ours = correlations(stored[0], stored[1][None])[0]
    assert abs(ours - true) < 0.004 < abs(np.corrcoef(stored[0], stored[1])[0, 1] - true)


def test_partners(store: Store) -> None:
    match = store.card(UnitId(SAE, 4)).match
    assert match is not None and partner(store, UnitId(SAE, 4)) == UnitId(match.dictionary, match.unit)
    assert partner(store, UnitId(SAE, DEAD_UNIT)) is None


@pytest.mark.parametrize("text", ["", "sae", "sae:", ":3", "sae:x", "sae:-1", "sae:³"])
def test_what_is_no_unit_is_told(text: str) -> None:
    with pytest.raises(BadInput, match="DICTIONARY:UNIT"):
        unit_id(text)


def test_unknown_units_are_told(store: Store) -> None:
    with pytest.raises(NotFound):
        compare(store, UnitId(SAE, 999), UnitId(SAE, 1))
    with pytest.raises(NotFound):
        compare(store, UnitId(SAE, 1), UnitId("nothing", 1))


def test_tables_without_lines_still_compare(shelf: Shelf, tmp_path: Path) -> None:
    """Tables of an older build: no correlation but for best matches; a sentence for the line itself."""
    folder = copy_shelf(shelf, tmp_path / "old").folder
    path = folder / RESIDUAL / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = {n: v for n, v in manifest["files"].items() if not n.startswith("timeline")}
    path.write_text(json.dumps(manifest))
    store = Store(Settings.from_env({"EARMARK_DATA": str(folder)}))
    pair = compare(store, UnitId(SAE, 4), UnitId(RESIDUAL, 11))
    assert pair.correlation is None and pair.shared
    with pytest.raises(BadTable, match="Build its tables again"):
        store.timeline(UnitId(RESIDUAL, 11))


def test_the_command(store: Store, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EARMARK_DATA", str(shelf.folder))
    assert main(["compare", f"{SAE}:4", f"{RESIDUAL}:11", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    pair = compare(store, UnitId(SAE, 4), UnitId(RESIDUAL, 11))
    assert found["correlation"] == pytest.approx(pair.correlation, abs=1e-4) and found["overlap"]["n_shared"] == len(pair.shared)
    assert [(u["dictionary"], u["unit"]) for u in found["units"]] == [(SAE, 4), (RESIDUAL, 11)]
    assert main(["compare", f"{SAE}:4", "neither"]) == 1 and "DICTIONARY:UNIT" in capsys.readouterr().err
