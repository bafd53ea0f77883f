"""`python -m earmark train` on stored activations: what is left out, resumed after a kill, swept, drawn, and refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.__main__ import main
from earmark.dictionaries import open_checkpoint
from earmark.errors import BadInput
from earmark.learning.kinds import TRAINEES, trainee
from earmark.learning.settings import TrainSettings, usual
from earmark.offline.training import source
from earmark.offline.training.command import flags_of, train_command
from earmark.offline.training.reports.curves import front, training_svg
from earmark.offline.training.reports.estimate import estimate
from earmark.offline.training.source import of_files
from earmark.offline.training.sweep.pareto import parse_sweep
from earmark.offline.training.sweep.recipe import read_recipe
from tests.contract.tree import ROOT
from tests.fixtures import toy

from .peers import run_peer
from .test_saelens_agrees import _READER
from .test_train import planted

FEW = ["--n-units", "48", "--k", "3", "--n-activations", "20480", "--batch", "512", "--lr", "3e-3"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    x, _ = planted(6000)
    np.save(tmp_path / "x.npy", x.numpy())
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    return tmp_path


def train(*words: object) -> int:
    return main(["train", *map(str, words)])


# -- a run of one's own ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["topk", "batchtopk", "l1", "tied_l1", "ksparse"])
def test_sae_lens_reads_what_is_trained(folder: Path, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    """The folder loads in sae-lens, which gives the same features and the same reconstruction as we do."""
    assert train("--activations", folder / "x.npy", "--out", folder / "sae", "--kind", kind, *FEW) == 0
    assert {p.name for p in (folder / "sae").iterdir()} == {"cfg.json", "sae_weights.safetensors", "training.json", "training.jsonl", "training.svg"}
    record = json.loads((folder / "sae/training.json").read_text())
    told = capfd.readouterr().out
    assert (
        f"L0 {record['quality']['l0']:.1f}, FVU {record['quality']['fvu']:.4f}" in told
        and f"--out sae {' '.join(flags_of_record(record))}" in record["command"]
    )
    x = np.load(folder / "x.npy")[:200]
    np.save(folder / "sae_x.npy", x)
    (folder / "peer").mkdir()
    np.save(folder / "peer/x.npy", x)
    (folder / "sae").rename(folder / "peer/sae")
    run_peer("sae_lens", _READER, [folder / "peer"])
    sae = open_checkpoint(folder / "peer/sae").dictionary
    assert np.load(folder / "peer/f.npy") == pytest.approx(sae.encode(torch.from_numpy(x)).dense(), abs=1e-4)
    assert np.load(folder / "peer/x_hat.npy") == pytest.approx(sae.reconstruct(torch.from_numpy(x)).numpy(), abs=1e-4)


def flags_of_record(record: dict[str, dict[str, object]]) -> list[str]:
    return flags_of(TrainSettings(**record["settings"]))  # type: ignore[arg-type]


def test_metrics_come_as_lines_and_as_curves(folder: Path) -> None:
    assert train("--activations", folder / "x.npy", "--out", folder / "sae", "--log-every", 10, "--aux", 0.03125, "--dead-after", 2000, *FEW) == 0
    lines = [json.loads(line) for line in (folder / "sae/training.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 10, 20, 30, 39]
    assert all(set(line) >= {"loss", "loss_reconstruction", "fvu", "l0", "dead", "lr"} for line in lines)
    svg = ET.fromstring((folder / "sae/training.svg").read_text())
    drawn = [line for line in svg.iter() if line.tag.endswith("polyline")]
    assert [len(str(line.get("points")).split()) for line in drawn[:1]] == [5]
    words = " ".join(t.text or "" for t in svg.iter() if t.tag.endswith("text"))
    assert all(title in words for title in ("Loss and its parts", "FVU", "L0", "long silent", "Learning rate"))


def test_figures_hold_whatever_a_name_holds() -> None:
    svg = training_svg([{"step": 0, "loss": 1.0, "loss_<b>&": 2.0, "fvu": 0.5, "l0": 3, "dead": 0, "lr": 1e-3}])
    assert "<b>" not in svg and ET.fromstring(svg) is not None
    assert "Nothing was measured" in training_svg([])


# -- stopped and started again ---------------------------------------------------------------------------------------------

_OFTEN = "import sys; from earmark.offline.training import train; train.CHECKPOINT_S = 0.0; from earmark.__main__ import main; sys.exit(main(sys.argv[1:]))"
"""the command line with a checkpoint at every step"""


@pytest.mark.parametrize("kind", ["topk", "l1"])
def test_a_killed_run_goes_on_to_the_same_bits(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    words = ["--activations", str(folder / "x.npy"), "--kind", kind, "--n-units", "48", "--k", "3", "--n-activations", "768000", "--batch", "512"]
    words += ["--aux", "0.03125", "--dead-after", "3000", "--log-every", "10"]
    assert train(*words, "--out", folder / "whole") == 0
    monkeypatch.setenv("EARMARK_CACHE", str(folder / "other"))
    command = [sys.executable, "-W", "ignore", "-c", _OFTEN, "train", *words, "--out", str(folder / "killed")]
    process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while sum(len(p.read_text().splitlines()) for p in (folder / "other").glob("training/*/training.jsonl")) < 20:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not (folder / "killed").exists()
    at = torch.load(next((folder / "other").glob("training/*/checkpoint.pt")), weights_only=True)["step"]
    assert 100 < at < 1500
    assert train(*words, "--out", folder / "killed", "--resume") == 0
    for name in ("sae_weights.safetensors", "training.jsonl", "cfg.json"):
        assert (folder / "whole" / name).read_bytes() == (folder / "killed" / name).read_bytes(), name


def test_there_must_be_something_to_resume(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("--activations", folder / "x.npy", "--out", folder / "sae", "--resume", *FEW) == 1
    assert "There is no stopped run" in capfd.readouterr().err


def test_a_finished_run_says_that_nothing_is_trained(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told = []
    for _ in range(2):
        assert train("--activations", folder / "x.npy", "--out", folder / "sae", *FEW) == 0
        told.append("this training was finished before; nothing is trained" in capfd.readouterr().err)
    assert told == [False, True]


# -- what is learned from --------------------------------------------------------------------------------------------------


def test_padding_and_long_positions_are_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 8)).astype(np.float16)
    x[[3, 77]] = 0
    x[[5, 3999]] *= 50
    (tmp_path / "many").mkdir()
    np.save(tmp_path / "many/a.npy", x[:1500])
    np.save(tmp_path / "many/b.npy", x[1500:])
    np.save(tmp_path / "one.npy", x)
    for path in (tmp_path / "many", tmp_path / "one.npy"):
        found = of_files(path, 0.2, longest=4)
        held = np.concatenate(list(found.held_out()))
        learned = torch.cat(list(found.x.split(500))).float().numpy()
        kept = np.delete(x.astype(np.float32), [3, 5, 77, 3999], axis=0)
        assert sorted(map(tuple, np.concatenate([held, learned]).tolist())) == sorted(map(tuple, kept.tolist()))
        assert 0.1 < len(held) / 3996 < 0.3
        assert found.told == ("2 positions are 0 throughout and left out.", "2 positions are more than 4 times as long as the median and left out.")
    assert of_files(tmp_path / "one.npy", 0.2).x.shape[0] + len(held) > 3996 - 500


def test_files_too_large_for_memory_train_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert train("--activations", folder / "x.npy", "--out", folder / "a", *FEW) == 0
    monkeypatch.setattr(source, "MAX_BYTES", 1000)
    monkeypatch.setenv("EARMARK_CACHE", str(folder / "other"))
    assert train("--activations", folder / "x.npy", "--out", folder / "b", *FEW) == 0
    assert (folder / "a/sae_weights.safetensors").read_bytes() == (folder / "b/sae_weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda x: x.__setitem__((4001, 2), np.nan), "Position 4001 of 'x.npy' holds values that are no finite numbers"),
        (lambda x: x.__imul__(0), "Of 0 positions 0 are held out"),
    ],
)
def test_activations_that_cannot_be_learned_from(folder: Path, capfd: pytest.CaptureFixture[str], spoil: object, told: str) -> None:
    x = np.load(folder / "x.npy")
    spoil(x)  # type: ignore[operator]
    np.save(folder / "x.npy", x)
    assert train("--activations", folder / "x.npy", "--out", folder / "sae", *FEW) == 1
    assert told in capfd.readouterr().err and not (folder / "sae").exists()


def test_widths_must_agree(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((9, 3)))
    np.save(tmp_path / "b.npy", np.ones((9, 4)))
    with pytest.raises(BadInput, match="different widths: 3, 4"):
        of_files(tmp_path, 0.1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"holds no \.npy file"):
        of_files(tmp_path / "empty", 0.1)


def test_a_run_that_diverges_stops_with_a_sentence(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--kind", "l1", "--n-units", 48, "--batch", 512, "--n-activations", 20480, "--reconstruction", 1e38]
    assert train("--activations", folder / "x.npy", "--out", folder / "sae", *words) == 1
    assert "Training diverged at step" in capfd.readouterr().err and not (folder / "sae").exists()


# -- several, or only their size -------------------------------------------------------------------------------------------


def test_a_sweep_draws_fvu_against_l0(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert train("--activations", folder / "x.npy", "--out", folder / "ks", "--sweep", "k=1,2,6", *FEW) == 0
    rows = [json.loads(line) for line in (folder / "ks/sweep.jsonl").read_text().splitlines()]
    assert [row["run"] for row in rows] == ["k-1", "k-2", "k-6"] and [row["l0"] for row in rows] == pytest.approx([1, 2, 6], abs=0.2)
    assert rows[0]["fvu"] > rows[1]["fvu"] > rows[2]["fvu"]
    for row in rows:
        assert json.loads((folder / "ks" / row["run"] / "training.json").read_text())["quality"]["fvu"] == row["fvu"]
    svg = ET.fromstring((folder / "ks/pareto.svg").read_text())
    assert len([c for c in svg.iter() if c.tag.endswith("circle")]) == 3
    assert "* k-1" in capfd.readouterr().out
    assert train("--activations", folder / "x.npy", "--out", folder / "ks", "--sweep", "k=1,2,6", *FEW) == 0, "again, into the same folder"


def test_the_front_is_what_no_run_beats() -> None:
    runs = [("a", 10.0, 0.5), ("b", 20.0, 0.6), ("c", 30.0, 0.2), ("d", 30.0, 0.3), ("e", 5.0, 0.9)]
    beaten = {name for name, l0, fvu in runs if any(o[1] <= l0 and o[2] <= fvu and o[0] != name for o in runs)}
    assert {name for name, _, _ in front(runs)} == {name for name, _, _ in runs} - beaten == {"a", "c", "e"}


@pytest.mark.parametrize("text", ["k", "k=", "kind=l1,topk", "k=1", "k=1,x", "k=1.5,2", "penalty=1,nan", "k=0,2"])
def test_what_is_no_sweep_is_told(text: str) -> None:
    with pytest.raises(BadInput):
        parse_sweep(text, TrainSettings())


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.toml")), ids=lambda p: p.stem)
def test_a_dry_run_of_each_recipe_needs_no_weights(folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr("earmark.commands.training.Runtime", None)
    monkeypatch.setattr("earmark.offline.training.reports.estimate._step_s", lambda *_: 0.5)
    assert train("--recipe", path, "--dry-run") == 0
    told, recipe = capfd.readouterr().out, read_recipe(path)
    first = next(iter(recipe.runs.values()))
    assert f"{first.n_steps:,} of {first.batch:,} positions" in told and f"{first.n_units:,} units" in told
    assert train("--recipe", path, "--dry-run", "--n-units", 77) == 0 and "77 units" in capfd.readouterr().out, "flags come before the recipe"


def test_sizes_are_those_of_the_parameters() -> None:
    for kind in TRAINEES:
        settings = usual(kind, n_units=40, k=3, batch=64)
        found = estimate(settings, 16, 1000)
        model = trainee(planted(100)[0], settings, torch.Generator().manual_seed(0))
        assert found.n_parameters == sum(p.numel() for p in model.parameters())
        assert found.activations_mb == pytest.approx(1000 * 16 * 4 / 1e6) and found.step_s is not None and found.step_s > 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "needs a dictionary of the catalog"),
        (["whisper-tiny.en-l2-sae", "--activations", "x.npy"], "one of both"),
        (["--activations", "x.npy"], "needs --out FOLDER"),
        (["whisper-tiny.en-l2-sae", "--sweep", "k=1,2"], "needs --out FOLDER"),
        (["--activations", "none.npy", "--out", "sae"], "There is no file or folder 'none.npy'"),
        (["--activations", "x.npy", "--out", "none/sae"], "is not there"),
        (["--activations", "x.npy", "--out", "full"], "no training of ours"),
        (["--activations", "x.npy", "--out", "sae", "--run", "a"], "give --recipe too"),
        (["--activations", "x.npy", "--out", "sae", "--device", "tpu"], "valid: auto, cpu, cuda"),
        (["--activations", "x.npy", "--out", "sae", "--log-every", "0"], "at least 1"),
    ],
)
def test_orders_that_make_no_sense_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "full").mkdir()
    (folder / "full/letter.txt").write_text("keep me")
    assert train(*words) == 1
    assert told in capfd.readouterr().err and (folder / "full/letter.txt").read_text() == "keep me"


def test_a_command_says_what_is_not_usual() -> None:
    assert train_command("sae", "clips", TrainSettings(n_activations=1_000_000)) == "python -m earmark train sae --corpus clips --n-activations 1000000"
    assert flags_of(usual("tied_l1", unit_decoder=False, k=7)) == ["--kind tied_l1", "--k 7", "--no-unit-decoder"]
    assert flags_of(usual("l1", pre_bias=True)) == ["--kind l1", "--pre-bias"]


def test_a_dry_run_over_files_counts_them_and_needs_no_catalog(folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earmark.offline.training.reports.estimate._step_s", lambda *_: 0.5)
    (folder / "many").mkdir()
    for n in (300, 200):
        np.save(folder / "many" / f"{n}.npy", np.ones((n, 16), np.float32))
    assert train("--activations", folder / "many", "--out", folder / "sae", "--dry-run") == 0
    told = capfd.readouterr().out
    assert train("--activations", folder / "x.npy", "--out", folder / "sae", "--dry-run", "--sweep", "k=2,3") == 0
    swept = capfd.readouterr().out
    assert "500" in told and "6,000" in swept and [line for line in swept.splitlines() if line.startswith("k-")] == ["k-2", "k-3"]
    (folder / "none").mkdir()
    assert train("--activations", folder / "none", "--out", folder / "sae", "--dry-run") == 1
    assert "none' holds no .npy file." in capfd.readouterr().err and not (folder / "sae").exists()


def test_a_dry_run_takes_the_width_from_the_model_where_no_table_tells_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("earmark.offline.training.reports.estimate._step_s", lambda _, width, *__: asked.append(width) or 0.5)
    data = tmp_path / "data"
    data.mkdir()
    (data / "catalog.toml").write_text(toy.CATALOG)
    toy.make_model(data / "toy-model")
    monkeypatch.setenv("EARMARK_DATA", str(data))
    assert train("toy-sae", "--dry-run") == 0
    (data / "toy-neurons").mkdir()
    manifest = {"format": 1, "what": "dictionary", "revision": "r", "n_units": 1, "hook": {"module": "x", "side": "output", "width": 99}, "files": {}}
    (data / "toy-neurons" / "manifest.json").write_text(json.dumps(manifest))
    assert train("toy-sae", "--dry-run") == 0
    manifest["hook"] = {"width": 33}
    (data / "toy-residual").mkdir()
    (data / "toy-residual" / "manifest.json").write_text(json.dumps(manifest))
    assert train("toy-sae", "--dry-run") == 0
    assert asked == [toy.WIDTH, toy.WIDTH, 33], "of the same place in the model, not of another"
