"""A sweep over the toy model: its figures are those of `train` and `label`, controls equal plain loops, a failed run stops nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.__main__ import main
from earmark.errors import BadInput, NotFound
from earmark.learning.settings import TrainSettings
from earmark.offline.labels.label import label
from earmark.offline.training.command import train_dictionary
from earmark.offline.training.sweep import bench, command
from earmark.offline.training.sweep.controls import scaled, untrained
from earmark.offline.training.sweep.recipe import Recipe, read_recipe
from earmark.settings import Settings
from earmark.shelf.schema import LABELS
from earmark.shelf.store import Store
from earmark.shelf.tables import Table, put_table, read_manifest
from earmark.swept import SweptRun
from tests.contract.tree import ROOT
from tests.fixtures.toy import say

from .test_train import planted

RECIPE = """
dictionary = "toy-sae"
max_fvu = 0.9
max_dead = 0.9
[base]
n_units = 24
k = 4
n_activations = 40_000
batch = 256
lr = 3e-3
[runs]
short = {}
"much shorter" = { n_activations = 2_000 }
"in batches" = { kind = "batchtopk" }
"too long at the start" = { start_norm = 1e30 }
"""
CHOSEN = TrainSettings(n_units=24, k=4, n_activations=40_000, batch=256, lr=3e-3)


@pytest.fixture(scope="module")
def spoken(house: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The toy house, and phones for its sounds."""
    folder = tmp_path_factory.mktemp("spoken")
    shutil.copytree(house.data, folder / "data")
    settings = replace(house, data=folder / "data", cache=folder / "cache")
    say(settings)
    (folder / "recipe.toml").write_text(RECIPE)
    return settings


def recipe_of(settings: Settings) -> Path:
    return settings.data.parent / "recipe.toml"


@pytest.fixture(scope="module")
def swept(spoken: Settings) -> command.Swept:
    return command.sweep(spoken, recipe_of(spoken), [], 1)


def by_name(runs: tuple[SweptRun, ...]) -> dict[str, SweptRun]:
    return {run.name: run for run in runs}


def test_what_a_sweep_lists(swept: command.Swept) -> None:
    runs = by_name(swept.runs)
    assert list(runs) == [
        "short", "much shorter", "in batches", "training frames as directions", "random directions", "toy-neurons", "toy-residual",
    ]  # fmt: skip
    assert [r.name for r in swept.runs if r.control] == ["training frames as directions", "random directions"]
    assert runs["in batches"].kind == "batchtopk" and runs["toy-neurons"].kind == "neurons" and runs["toy-neurons"].fvu is None
    assert runs["training frames as directions"].n_activations == 0 and runs["random directions"].start == "random"
    assert runs["much shorter"].fvu > runs["short"].fvu
    assert runs["random directions"].fvu > runs["random directions"].fvu_scaled > runs["short"].fvu


def test_a_run_that_fails_is_told_and_the_others_go_on(swept: command.Swept) -> None:
    assert len(swept.told) >= 2 and swept.told[0].startswith("too long at the start: Training diverged at step 0")
    assert "too long at the start" not in by_name(swept.runs)


def test_the_table_lies_in_the_dictionarys_folder(spoken: Settings, swept: command.Swept) -> None:
    assert Store(spoken).sweep("toy-sae") == swept.runs
    shipped = [r for r in swept.runs if r.shipped]
    trained = [r for r in swept.runs if not r.control and r.fvu is not None]
    assert len(shipped) == 1 and shipped[0].held_share == max(r.held_share for r in trained)


def test_a_finished_run_is_not_trained_again(spoken: Settings, swept: command.Swept, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    trained = []

    def failing(_harvest: object, chosen: TrainSettings, _cache: object) -> None:
        trained.append(chosen.start_norm)
        raise BadInput("Training diverged.")

    monkeypatch.setattr(bench, "train", failing)
    again = command.sweep(spoken, recipe_of(spoken), [], 1)
    assert again.runs == swept.runs and trained == [1e30]
    changed = recipe_of(spoken).with_name("changed.toml")
    changed.write_text(RECIPE.replace("n_activations = 2_000", "n_activations = 3_000"))
    assert "much shorter: Training diverged." in command.sweep(spoken, changed, ["much shorter"], 1).told
    alone = command.sweep(spoken, recipe_of(spoken), ["short"], 1)
    assert [r.name for r in alone.runs] == ["short"] and not alone.runs[0].shipped
    with pytest.raises(NotFound, match="short"):
        command.sweep(spoken, recipe_of(spoken), ["shorter"], 1)
    for name, value in (("EARMARK_DATA", spoken.data), ("EARMARK_CACHE", spoken.cache)):
        monkeypatch.setenv(name, str(value))
    assert main(["sweep", str(recipe_of(spoken)), "--json", "--workers", "1"]) == 0
    assert [SweptRun(**run) for run in json.loads(capsys.readouterr().out)["runs"]] == list(swept.runs)


def test_figures_are_those_of_train_and_label(spoken: Settings, swept: command.Swept, tmp_path: Path) -> None:
    """Of the run that ships; neurons and axes are matched to its activity, as `label` matches them."""
    data = tmp_path / "data"
    shutil.copytree(spoken.data, data)
    settings = replace(spoken, data=data)
    name = next(r.name for r in swept.runs if r.shipped)
    train_dictionary(settings, "toy-sae", read_recipe(recipe_of(spoken)).runs[name], None, 1)
    told = command.sweep(settings, recipe_of(spoken), [], 1).told
    assert not any("This makes it" in line for line in told), "the dictionary is now the run that ships"
    quality = read_manifest(data / "toy-sae")["quality"]
    summaries = label(settings, "toy-sae", 1)
    for slug, run_name in (("toy-sae", name), ("toy-neurons", "toy-neurons"), ("toy-residual", "toy-residual")):
        run, summary = by_name(swept.runs)[run_name], summaries[slug]
        assert run.n_eligible == summary["n_eligible"] > 0
        assert {kind: getattr(run, f"held_{kind}") for kind in summary["held"]} == summary["held"]
        named = summary["held"]["phone"] + summary["held"]["word"]
        assert run.held_share == pytest.approx(named / summary["n_eligible"])
    shipped = by_name(swept.runs)[name]
    assert (shipped.l0, shipped.fvu, shipped.dead) == (quality["l0"], quality["fvu"], quality["dead"])
    assert by_name(swept.runs)["toy-residual"].held_phone > 0, "axis 3 has its phone"


def test_without_speech_runs_are_compared_without_labels(spoken: Settings, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(spoken.data, data)
    manifest = read_manifest(data / "sounds")
    manifest["files"] = {name: file for name, file in manifest["files"].items() if not name.startswith("speech-")}
    (data / "sounds" / "manifest.json").write_text(json.dumps(manifest))
    swept = command.sweep(replace(spoken, data=data), recipe_of(spoken), [], 1)
    assert [r.kind for r in swept.runs] == ["topk", "topk", "batchtopk", "topk", "topk"]
    assert all(r.n_eligible is None and r.held_share is None for r in swept.runs)
    shipped = next(r for r in swept.runs if r.shipped)
    assert shipped.fvu == min(r.fvu for r in swept.runs if not r.control)


@pytest.mark.parametrize(
    ("runs", "chosen"),
    [
        ({"a": (0.19, 0.01, 0.3), "b": (0.21, 0.01, 0.5), "c": (0.18, 0.01, 0.2)}, "a"),
        ({"a": (0.19, 0.06, 0.3), "c": (0.18, 0.05, 0.2)}, "c"),
        ({"a": (0.19, 0.01, 0.3), "b": (0.18, 0.01, 0.3)}, "b"),
        ({"a": (0.2, 0.01, None), "b": (0.18, 0.01, None)}, "b"),
        ({"a": (0.21, 0.01, 0.9)}, None),
    ],
)
def test_which_run_ships(swept: command.Swept, runs: dict[str, tuple[float, float, float | None]], chosen: str | None) -> None:
    recipe = Recipe("toy-sae", 0.20, 0.05, CHOSEN, {})
    found = command.ships([replace(swept.runs[0], name=n, fvu=f, dead=d, held_share=h) for n, (f, d, h) in runs.items()], recipe)
    assert (found.name if found else None) == chosen


# -- controls --------------------------------------------------------------------------------------------------------------


def test_an_untrained_control_equals_plain_loops() -> None:
    x, _ = planted(600)
    settings = TrainSettings(n_units=40, k=3, start_norm=0.2, seed=5)
    v = x.double().numpy()
    mean, scale = v.mean(axis=0), np.sqrt(v.var(axis=0).mean())
    frames = torch.randint(len(x), (40,), generator=torch.Generator().manual_seed(5)).numpy()
    random = torch.randn(40, x.shape[1], generator=torch.Generator().manual_seed(5)).double().numpy()
    for start, rows in (("frames", v[frames] - mean), ("random", random)):
        directions = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        sae = untrained(x, settings, start)  # type: ignore[arg-type]
        codes, x_hat = sae.codes(x.numpy()).dense(), sae.reconstruct(x).numpy()
        for i in range(0, 600, 37):
            along = {u: float((v[i] - mean) @ directions[u]) for u in range(40)}
            kept = sorted(along, key=along.__getitem__)[-3:]
            expected = mean.copy()
            for u in range(40):
                value = max(along[u], 0.0) * 0.2**2 if u in kept else 0.0
                assert codes[i, u] == pytest.approx(value, abs=1e-4)
                expected += value * directions[u]
            assert x_hat[i] == pytest.approx(expected, abs=1e-4)
        assert scale > 0


def test_the_factor_of_a_control_is_the_best_one() -> None:
    x, _ = planted(600)
    sae = untrained(x, TrainSettings(n_units=40, k=3), "frames")
    found = scaled(sae, x)

    def error(factor: float) -> float:
        g = sae.reconstruct(x) - sae.b_dec
        return float((x - sae.b_dec - factor * g).pow(2).sum())

    factor = float(found.W_dec.norm() / sae.W_dec.norm())
    assert factor > 10, "rows of length 0.1 decode too little"
    assert error(factor) < min(error(factor * 1.01), error(factor * 0.99), error(1.0))
    assert float((x - found.reconstruct(x)).pow(2).sum()) == pytest.approx(error(factor), rel=1e-4)
    assert torch.equal(torch.from_numpy(found.encode(x).dense() > 0), torch.from_numpy(sae.encode(x).dense() > 0))


def test_one_is_trained_beside_the_catalog(spoken: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """From a recipe's run and a corpus of the catalog into a folder of its own; what is in the catalog stays."""
    monkeypatch.setenv("EARMARK_DATA", str(spoken.data))
    monkeypatch.setenv("EARMARK_CACHE", str(spoken.cache))
    before = {p: p.stat().st_mtime_ns for p in spoken.data.rglob("*")}
    words = ["train", "--recipe", str(recipe_of(spoken)), "--run", "much shorter", "--out", str(tmp_path / "mine")]
    assert main(words) == 0 and main([*words, "--dry-run"]) == 0
    record = json.loads((tmp_path / "mine/training.json").read_text())
    assert (record["settings"]["n_activations"], record["settings"]["k"], record["corpus"]) == (2_000, 4, "sounds")
    assert record["command"].startswith("python -m earmark train toy-sae --out mine --n-units 24 --k 4")
    assert {p: p.stat().st_mtime_ns for p in spoken.data.rglob("*")} == before
    assert "topk: 16 -> 24 units" in capfd.readouterr().out
    assert main([*words, "--run", "none"]) == 1 and "much shorter" in capfd.readouterr().err


# -- recipes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_read(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.dictionary == path.stem and recipe.dictionary in Store(Settings.from_env({})).catalog.dictionaries
    assert len(set(recipe.runs.values())) == len(recipe.runs), "two runs are the same"


def test_a_recipe_is_its_base_with_what_each_run_changes(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(RECIPE)
    recipe = read_recipe(tmp_path / "r.toml")
    assert (recipe.max_fvu, recipe.max_dead, recipe.base) == (0.9, 0.9, CHOSEN)
    assert recipe.runs["much shorter"] == replace(CHOSEN, n_activations=2_000) and recipe.runs["short"] == CHOSEN


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "needs dictionary"),
        ("dictionary = 'a'\n[runs]", "at least one run"),
        ("dictionary = 'a'\nfast = true\n[runs.a]", "unknown key 'fast'"),
        ("dictionary = 'a'\nmax_fvu = 2\n[runs.a]", "max_fvu is 2; it must lie between 0 and 1"),
        ("dictionary = 'a'\nmax_dead = 'few'\n[runs.a]", "max_dead is 'few'"),
        ("dictionary = 'a'\n[runs.a]\nwidth = 9", "runs.a has the unknown setting 'width'; valid: kind, n_units"),
        ("dictionary = 'a'\n[runs.a]\nk = 'many'", "k is 'many', which is no number"),
        ("dictionary = 'a'\n[runs.a]\nk = true", "k is True, which is no number"),
        ("dictionary = 'a'\n[runs.a]\nk = 1.5", "k is 1.5"),
        ("dictionary = 'a'\n[runs.a]\nkind = 'gated'", "runs.a: kind is 'gated'; valid: topk, batchtopk"),
        ("dictionary = 'a'\n[base]\nlr = 7\n[runs.a]\nlr = 1e-3", "base: The rate"),
        ("dictionary = 'a'\n[runs]\na = 3", "runs.a must be a table"),
        ("dictionary = 'a'\nwidth = 'wide'\n[runs.a]", "width is 'wide', which is no number"),
        ("dictionary = 'a'\n[runs.a]\npre_bias = 1", "pre_bias is 1, which is no true or false"),
        ("dictionary = ", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(BadInput, match=told):
        read_recipe(tmp_path / "r.toml")


def test_a_recipe_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")


def test_labels_are_named_and_checked_on_the_command_line(
    spoken: Settings, swept: command.Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A check judges them anew by plain loops, and says which figure of the table is another."""
    data = tmp_path / "data"
    shutil.copytree(spoken.data, data)
    for name, value in (("EARMARK_DATA", data), ("EARMARK_CACHE", spoken.cache)):
        monkeypatch.setenv(name, str(value))
    before = (data / "toy-sae" / "manifest.json").read_bytes()
    assert main(["label", "toy-residual", "--only", "--workers", "1"]) == 0
    found = Store(replace(spoken, data=data)).dictionary("toy-residual").labels
    said = capsys.readouterr().out
    assert "toy-residual" in said and "toy-sae" not in said and (data / "toy-sae" / "manifest.json").read_bytes() == before, "this one alone"
    assert "/s/" in found[3].text and len(found) > 1
    assert main(["check", "toy-residual", "--labels", "--workers", "1"]) == 0
    assert capsys.readouterr().out == f"toy-residual: computed {min(len(found), 24)} labels anew; nothing wrong.\n"
    rows = Table(data / "toy-residual", LABELS, read_manifest(data / "toy-residual")).all().to_pylist()
    for row in rows:
        row["precision"] -= 0.3 * (row["unit"] == 3)
    put_table(data / "toy-residual", LABELS, rows)
    assert main(["check", "toy-residual", "--labels", "--workers", "1"]) == 1
    wrong, *_, last = capsys.readouterr().out.splitlines()
    true = found[3].precision
    assert wrong.startswith(f"wrong: unit 3, {found[3].text}: precision and recall are ") and wrong.endswith(
        f"the table says {true - 0.3:.3f} and {found[3].recall:.3f}"
    )
    assert last == f"toy-residual: computed {min(len(found), 24)} labels anew; 1 wrong."


@pytest.mark.parametrize("text", [RECIPE.replace('"toy-sae"', '"toy-neurons"'), RECIPE.replace("max_fvu = 0.9", "max_fvu = 0.0001")])
def test_a_sweep_without_a_winner(spoken: Settings, swept: command.Swept, tmp_path: Path, text: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    if "toy-neurons" in text:
        with pytest.raises(BadInput, match="toy-neurons is no SAE with a corpus in the catalog; only those are trained"):
            command.sweep(spoken, recipe, [], 1)
        return
    data = tmp_path / "data"
    shutil.copytree(spoken.data, data)
    (data / "toy-sae" / "manifest.json").unlink()
    none = command.sweep(replace(spoken, data=data), recipe, [], 1)
    assert "No run has FVU <= 0.0001 and at most 90% dead: none ships." in none.told and not any(run.shipped for run in none.runs)
    best = command.sweep(replace(spoken, data=data), recipe_of(spoken), [], 1)
    assert best.told[-1] == "Then run the same sweep again: its table goes into that folder.", "one that was never trained has no folder of tables"


def test_a_sweep_of_which_nothing_comes_is_told(spoken: Settings, swept: command.Swept, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE[: RECIPE.index("short = {}")] + '"too long" = { start_norm = 1e30 }\n')
    with pytest.raises(BadInput, match="No run of recipe.toml came to an end: too long: "):
        command.sweep(spoken, recipe, [], 1)
