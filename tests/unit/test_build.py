"""Tables against a brute-force recomputation over a toy model and a small corpus; stopped builds; damaged tables are found."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from earmark.__main__ import main
from earmark.dictionaries.base import Codes
from earmark.errors import BadInput, BadTable
from earmark.inputs.audio import decode
from earmark.offline.tables import timeline
from earmark.offline.tables.accumulate import sample_hash
from earmark.offline.tables.build import build
from earmark.offline.tables.check import check
from earmark.offline.tables.timeline import N_POSITIONS
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.shelf.folders import line_values
from earmark.shelf.schema import TIMELINE_LEVELS
from earmark.shelf.store import Store
from earmark.shelf.tables import files_of
from earmark.units import UnitId
from tests.fixtures.toy import N_UNITS, K, make_house

SLUGS = ("toy-sae", "toy-neurons", "toy-residual")


@pytest.fixture(scope="module")
def truth(house: Settings) -> dict[str, list[np.ndarray]]:
    """{dictionary: [values [n_positions, n_units] of each sample]}, one sample at a time."""
    runtime, corpus = Runtime(house), Store(house).corpus("sounds")
    found: dict[str, list[np.ndarray]] = {slug: [] for slug in SLUGS}
    for name in corpus.ids:
        sound = decode(corpus.audio(name)[0]).waveform
        for slug in SLUGS:
            o = runtime.open(slug)
            x = runtime.model("toy").capture(sound, [o.hook])[o.hook].values
            if slug == "toy-sae":
                pre = (x.astype(np.float64) @ o.dictionary.W_enc.double().numpy() + o.dictionary.b_enc.double().numpy()).astype(np.float32)
                f = np.zeros_like(pre)
                for row, values in enumerate(pre):
                    for unit in np.argsort(-values)[:K]:
                        f[row, unit] = max(values[unit], 0)
                x = f * np.linalg.norm(o.dictionary.W_dec.numpy(), axis=1)
            found[slug].append(x)
    return found


@pytest.mark.parametrize("slug", SLUGS)
def test_unit_statistics_equal_a_plain_loop(house: Settings, truth: dict[str, list[np.ndarray]], slug: str) -> None:
    store = Store(house)
    values = np.concatenate(truth[slug])
    for unit in range(values.shape[1]):
        v = values[:, unit]
        nonzero = v[v != 0]
        stats = store.card(UnitId(slug, unit)).stats
        assert stats.n_positions == len(v)
        assert stats.density == pytest.approx((v > 0).mean(), abs=1e-9)
        assert stats.nonzero == pytest.approx((v != 0).mean(), abs=1e-9)
        assert stats.dead == (len(nonzero) == 0)
        if len(nonzero):
            assert stats.peak == pytest.approx(max(s[:, unit].max() for s in truth[slug] if s[:, unit].any()), rel=1e-4)
            assert stats.mean == pytest.approx(nonzero.mean(), rel=1e-3, abs=1e-6)
            for share, name in ((0.1, "q10"), (0.5, "q50"), (0.9, "q90")):
                exact = np.quantile(nonzero, share, method="inverted_cdf")
                assert stats.quantiles[name] == pytest.approx(exact, rel=0.033, abs=1e-4)


def test_the_histogram_counts_every_non_zero_value_in_its_bin(house: Settings, truth: dict[str, list[np.ndarray]]) -> None:
    store = Store(house)
    for slug in SLUGS:
        v = np.concatenate(truth[slug])[:, 7]
        shown = store.card(UnitId(slug, 7)).histogram
        assert sum(shown.counts) == (v != 0).sum()
        expected, _ = np.histogram(v[v != 0], bins=np.array(shown.edges, np.float64))
        assert np.abs(np.array(shown.counts) - expected).sum() <= 2 + 0.002 * len(v)  # values on an edge


@pytest.mark.parametrize("slug", SLUGS)
def test_examples_are_the_true_best_with_their_traces(house: Settings, truth: dict[str, list[np.ndarray]], slug: str) -> None:
    store = Store(house)
    names = store.corpus("sounds").ids
    for unit in range(0, truth[slug][0].shape[1], 3):
        peaks = {names[i]: v[:, unit].max() for i, v in enumerate(truth[slug]) if v[:, unit].any()}
        lows = {names[i]: v[:, unit].min() for i, v in enumerate(truth[slug]) if v[:, unit].any()}
        card = store.card(UnitId(slug, unit))
        for group, order in (("top", sorted(peaks.values(), reverse=True)), ("bottom", sorted(lows.values()))):
            found = [e for e in card.examples if e.group == group]
            if group == "top" or slug != "toy-sae":
                assert [e.peak for e in found] == pytest.approx(order[:20], rel=1e-3, abs=1e-4)
            assert len({e.sample for e in found}) == len(found)
        for e in card.examples:
            v = truth[slug][names.index(e.sample)][:, unit]
            first = round(e.start_s / 0.02)
            assert e.trace == pytest.approx(v[first : first + len(e.trace)], abs=float(v.max() - min(v.min(), 0)) / 255 + 1e-3)
            assert v[round(e.at_s / 0.02)] == pytest.approx(e.peak, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("slug", SLUGS)
def test_lines_are_the_first_positions_in_the_corpus_order(house: Settings, truth: dict[str, list[np.ndarray]], slug: str) -> None:
    """150 sounds have some 6,700 frames, fewer than a line holds: here it is the whole corpus. The next test cuts one."""
    values = np.concatenate(truth[slug])[:N_POSITIONS]
    store = Store(house)
    for unit in range(values.shape[1]):
        line = store.timeline(UnitId(slug, unit))
        step = np.ptp(np.append(values[:, unit], 0)) / TIMELINE_LEVELS
        assert line.values == pytest.approx(values[:, unit], abs=step / 2 + 1e-4)
        assert line.starts == tuple(np.cumsum([0, *(len(v) for v in truth[slug])]).tolist()) and line.hop_s == 0.02


@pytest.mark.parametrize("n_workers", [1, 3])
def test_a_line_ends_within_a_sample_however_many_workers_kept_it(tmp_path: Path, n_workers: int) -> None:
    random = np.random.default_rng(0)
    samples = [random.normal(0, 1, (n, 5)).astype(np.float32) for n in random.integers(1, 30, 40)]
    for worker in range(n_workers):
        beginning = timeline.Beginning(tmp_path / "line", 100)
        for row in [r for r in range(40) if r // 4 % n_workers == worker]:
            beginning.add(row, Codes(samples[row], None, 5))
    assert len(list(tmp_path.iterdir())) < 40, "no worker keeps more than it may need"
    rows = [r for block in timeline.timeline_rows(tmp_path / "line", 5, 100) for r in block]
    expected = np.concatenate(samples)[:100]
    for row in rows:
        assert line_values(row["values"], row["low"], row["high"]) == pytest.approx(expected[:, row["unit"]], abs=(row["high"] - row["low"]) / 126 + 1e-6)
    assert [r["unit"] for r in rows] == list(range(5))
    starts = np.cumsum([0, *map(len, samples)])
    assert timeline.timeline_starts(tmp_path / "line", 100) == [*starts[starts < 100].tolist(), 100]


def test_quantile_examples_are_true_quantiles_of_the_drawn_samples(house: Settings, truth: dict[str, list[np.ndarray]]) -> None:
    store = Store(house)
    names = store.corpus("sounds").ids
    for unit in range(N_UNITS):
        peaks = {names[i]: v[:, unit].max() for i, v in enumerate(truth["toy-sae"]) if v[:, unit].any()}
        drawn = np.array(sorted(peaks[n] for n in sorted(peaks, key=sample_hash)[:200]))
        card = store.card(UnitId("toy-sae", unit))
        for name, share in (("q00", 0.0), ("q25", 0.25), ("q50", 0.5), ("q75", 0.75), ("q90", 0.9)):
            places = [np.abs(drawn - e.peak).argmin() / max(len(drawn) - 1, 1) for e in card.examples if e.group == name]
            assert all(abs(place - share) <= 8 / max(len(drawn), 1) for place in places)


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize(("low", "high", "absolute"), [(None, None, False), (0.5, None, False), (None, 1.0, False), (0.2, 1.5, True), (None, None, True)])
def test_filters_equal_a_scan_of_everything(house: Settings, truth: dict[str, list[np.ndarray]], slug: str, low: float, high: float, absolute: bool) -> None:
    store = Store(house)
    names = store.corpus("sounds").ids
    for unit in (0, 5, 11):
        scan = []
        for i, v in enumerate(truth[slug]):
            v = v[:, unit]
            if not v.any():
                continue
            peak = v[np.abs(v).argmax()] if absolute else v.max()
            half = float(np.float16(peak))
            size = abs(half) if absolute else half
            if (low is None or size >= low) and (high is None or size <= high):
                scan.append((size, names[i]))
        scan.sort(key=lambda found: -found[0])
        hits = store.search(UnitId(slug, unit), low, high, absolute, n=500)
        assert len(hits) == pytest.approx(len(scan), abs=1)  # a value within a rounding step of the bound
        sizes = [abs(h.peak) if absolute else h.peak for h in hits]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[:10] == pytest.approx([s for s, _ in scan[:10]], rel=2e-3, abs=1e-3)
        assert len({h.sample for h in hits}) == len(hits)


def test_matches_are_the_highest_correlations(house: Settings, truth: dict[str, list[np.ndarray]]) -> None:
    store = Store(house)
    features, neurons = (np.concatenate(truth[s]).astype(np.float64) for s in ("toy-sae", "toy-neurons"))
    for unit in range(N_UNITS):
        match = store.card(UnitId("toy-sae", unit)).match
        if not features[:, unit].any():
            assert match is None
            continue
        r = np.array([np.corrcoef(features[:, unit], n)[0, 1] for n in neurons.T])
        assert match is not None and match.dictionary == "toy-neurons"
        assert match.correlation == pytest.approx(np.nanmax(r), abs=1e-3)
        assert r[match.unit] == pytest.approx(np.nanmax(r), abs=1e-3)


def test_neighbours_are_the_nearest_decoder_rows(house: Settings) -> None:
    W = Runtime(house).open("toy-sae").dictionary.W_dec.double().numpy()
    for unit in range(N_UNITS):
        cosines = {j: W[unit] @ W[j] / np.linalg.norm(W[unit]) / np.linalg.norm(W[j]) for j in range(N_UNITS) if j != unit}
        found = Store(house).card(UnitId("toy-sae", unit)).neighbours
        assert [n.cosine for n in found] == pytest.approx(sorted(cosines.values(), reverse=True)[:8], abs=1e-5)


def test_check_passes_on_true_tables_and_says_where_a_wrong_one_is(house: Settings, tmp_path: Path) -> None:
    for slug in SLUGS:
        report = check(house, slug, seed=1)
        assert report.wrong == () and report.n_peaks > 20 and report.n_examples == 24
    copy = Settings(**{**house.__dict__, "data": tmp_path / "data"})
    shutil.copytree(house.data, copy.data)
    path = copy.data / "toy-sae" / "peaks-000.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(3, table.schema.field("peak"), [np.float16(1.5) * table.column("peak").to_numpy()]), path)
    manifest = json.loads((copy.data / "toy-sae" / "manifest.json").read_text())
    manifest["files"] = files_of(copy.data / "toy-sae")
    (copy.data / "toy-sae" / "manifest.json").write_text(json.dumps(manifest))
    wrong = check(copy, "toy-sae", seed=1).wrong
    assert any("sample s" in line and "the model" in line for line in wrong)


def test_a_table_that_does_not_fit_its_manifest_is_refused_and_the_rest_works(house: Settings, tmp_path: Path) -> None:
    copy = Settings(**{**house.__dict__, "data": tmp_path / "data"})
    shutil.copytree(house.data, copy.data)
    path = copy.data / "toy-sae" / "units-000.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    store = Store(copy)
    with pytest.raises(BadTable, match="sha256"):
        store.card(UnitId("toy-sae", 0))
    assert store.card(UnitId("toy-neurons", 0)).stats.n_positions > 0


def running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_build_goes_on_and_ends_with_the_same_tables(house: Settings, tmp_path: Path) -> None:
    copy = Settings(data=tmp_path / "data", cache=tmp_path / "cache", offline=True, max_upload_mb=25, max_audio_s=60, max_source_s=1200)
    shutil.copytree(house.data, copy.data)
    for slug in SLUGS:
        for path in (copy.data / slug).glob("*.parquet"):
            path.unlink()
    code = f"""
if __name__ == "__main__":
    from pathlib import Path
    from earmark.offline.tables.build import build
    from earmark.settings import Settings
    build(Settings(data=Path({str(copy.data)!r}), cache=Path({str(copy.cache)!r}), offline=True, max_upload_mb=25, max_audio_s=60, max_source_s=1200),
          "toy-sae", None, n_workers=2, checkpoint_s=0.0)
"""
    script = tmp_path / "run.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script)], stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(Path.cwd())}, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(copy.cache.glob("build/*/shard-*.npz")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers and not any(running(worker) for worker in workers), "workers outlive the build that was killed"
    assert list(copy.cache.glob("build/*/shard-*.npz")), "the build ended or hung before its first checkpoint"
    next(copy.cache.glob("build/*/plan.json")).write_text("")  # as a full disk would leave it
    build(copy, "toy-sae", None, n_workers=2)
    for slug in SLUGS:
        for path in sorted((house.data / slug).glob("*.parquet")):
            assert pq.read_table(path).equals(pq.read_table(copy.data / slug / path.name)), f"{slug}/{path.name}"
    assert not list(copy.cache.glob("build/*")), "finished work is cleared away"


def test_a_pass_that_missed_samples_replaces_nothing(house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from earmark.offline import workers

    copy = Settings(**{**house.__dict__, "data": tmp_path / "data", "cache": tmp_path / "cache"})
    shutil.copytree(house.data, copy.data)
    before = (copy.data / "toy-sae" / "manifest.json").read_bytes()
    monkeypatch.setattr(workers, "run", lambda *_: None)
    with pytest.raises(BadInput, match="nothing was replaced"):
        build(copy, "toy-sae", None, n_workers=2)
    assert (copy.data / "toy-sae" / "manifest.json").read_bytes() == before


def test_a_corpus_of_three_clips_is_built_and_checked(tmp_path: Path) -> None:
    settings = make_house(tmp_path, n_samples=3)
    build(settings, "toy-sae", None, n_workers=2)
    for slug in SLUGS:
        assert check(settings, slug, seed=0).wrong == ()


def test_check_finds_neighbours_and_examples_that_are_not_the_nearest_and_the_best(house: Settings, tmp_path: Path) -> None:
    copy = Settings(**{**house.__dict__, "data": tmp_path / "data"})
    shutil.copytree(house.data, copy.data)
    folder = copy.data / "toy-neurons"
    units, examples = pq.read_table(folder / "units-000.parquet"), pq.read_table(folder / "examples-000.parquet")
    turned = [{**row, "neighbours": row["neighbours"][::-1]} for row in units.to_pylist()]
    halved = [{**row, "peak": row["peak"] / 2} for row in examples.to_pylist()]
    pq.write_table(pa.Table.from_pylist(turned, units.schema), folder / "units-000.parquet")
    pq.write_table(pa.Table.from_pylist(halved, examples.schema), folder / "examples-000.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "files": files_of(folder)}))
    wrong = " ".join(check(copy, "toy-neurons", seed=1).wrong)
    assert "not the nearest directions" in wrong and "not the first of its peaks" in wrong


def test_check_names_every_figure_that_contradicts_the_others(house: Settings, tmp_path: Path) -> None:
    copy = Settings(**{**house.__dict__, "data": tmp_path / "data"})
    shutil.copytree(house.data, copy.data)
    folder = copy.data / "toy-sae"
    units, peaks = pq.read_table(folder / "units-000.parquet"), pq.read_table(folder / "peaks-000.parquet")
    rows = units.to_pylist()
    counted, dead, samples, dense, strong, lost = sorted((u for u in range(N_UNITS) if rows[u]["n_samples"] > 100), key=lambda u: rows[u]["n_samples"])[-6:]
    rows[counted]["counts"] = [n + 1 for n in rows[counted]["counts"]]
    rows[dead]["dead"] = True
    rows[samples]["n_samples"] += 1
    rows[dense]["density"] = rows[dense]["nonzero"] * 1.5
    rows[strong]["peak"] *= 1.5
    pq.write_table(pa.Table.from_pylist(rows, units.schema), folder / "units-000.parquet")
    pq.write_table(peaks.filter([unit != lost for unit in peaks.column("unit").to_pylist()]), folder / "peaks-000.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables"]["corpus_revision"] = "another"
    (folder / "manifest.json").write_text(json.dumps({**manifest, "revision": "0ther", "files": files_of(folder)}))
    said = "\n".join(check(copy, "toy-sae", seed=1).wrong)
    for pattern in (
        f"the tables were built for revision 0ther, the weights here are {Store(house).dictionary('toy-sae').revision}",
        "the tables were built on another version of the corpus sounds",
        rf"unit {counted}: the histogram counts \d+ values, \d+ are not 0",
        rf"unit {dead}: dead True, density \S+ and nonzero \S+ contradict each other",
        rf"unit {dense}: dead False, density \S+ and nonzero \S+ contradict each other",
        rf"unit {samples}: n_samples is {rows[samples]['n_samples']}, peaks has {rows[samples]['n_samples'] - 1} rows",
        rf"unit {strong}: its peak is \S+, the largest in peaks \S+",
        rf"sample s\d+: 1 of \d+ active units are not in the table, unit {lost} among them",
    ):
        assert re.search(f"^{pattern}$", said, re.MULTILINE), said
    told = {int(unit) for unit in re.findall(r"^unit (\d+):", said, re.MULTILINE)}
    assert told == {counted, dead, samples, dense, strong, lost}, "of the others nothing is said"


def test_the_command_check_says_how_much_it_compared_and_fails_on_what_is_wrong(
    house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EARMARK_DATA", str(house.data))
    monkeypatch.setenv("EARMARK_CACHE", str(house.cache))
    assert main(["check", "toy-residual", "--seed", "3"]) == 0
    assert re.fullmatch(r"toy-residual: compared \d\d+ peaks, 24 examples and 16 units; nothing wrong.\n", capsys.readouterr().out)
    shutil.copytree(house.data, tmp_path / "data")
    path = tmp_path / "data" / "toy-residual" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "revision": "0ther"}))
    monkeypatch.setenv("EARMARK_DATA", str(tmp_path / "data"))
    assert main(["check", "toy-residual"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("wrong: the tables were built for revision 0ther") and out.endswith("; 1 wrong.\n")
