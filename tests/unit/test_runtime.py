"""One copy of each model for everybody: loaded once however many ask, leaving by memory and never while in use, failures forgotten."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import earmark.runtime
from earmark.errors import MissingWeights
from earmark.models.base import ModelFiles
from earmark.runtime import Runtime
from earmark.settings import Settings

TWO = """
[models.other]
family = "whisper"
modality = "audio"
path = "other-model"
[dictionaries.other-residual]
model = "other"
kind = "residual"
site = "residual"
layer = 1
"""


@pytest.fixture
def two(house: Settings, tmp_path: Path) -> Settings:
    """The toy house with a second model."""
    shutil.copytree(house.data, tmp_path / "data", ignore=shutil.ignore_patterns("*.parquet"))
    shutil.copytree(house.data / "toy-model", tmp_path / "data" / "other-model")
    path = tmp_path / "data" / "catalog.toml"
    path.write_text(path.read_text() + TWO)
    return replace(house, data=tmp_path / "data", cache=tmp_path / "cache")


def test_many_who_ask_at_once_share_one_copy(two: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    loads, load, together = [], earmark.runtime.FAMILIES["whisper"], threading.Barrier(8)

    def counted(files: ModelFiles) -> object:
        loads.append(files.slug)
        return load(files)

    monkeypatch.setitem(earmark.runtime.FAMILIES, "whisper", counted)
    runtime = Runtime(two)

    def ask(_: int) -> object:
        together.wait()
        return runtime.open("toy-sae")

    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(ask, range(8)))
    assert loads == ["toy"] and all(o is opened[0] for o in opened)


def test_the_least_recently_used_leaves_by_memory_and_never_in_use(two: Settings) -> None:
    roomy = Runtime(two)
    size = sum(t.nbytes for t in roomy.model("toy").root.parameters())
    assert size <= roomy.n_bytes < 2 * size, "memory is counted by the weights"
    tight = Runtime(replace(two, model_memory_mb=0))  # room for nothing beside what was just loaded
    with tight.using("toy-sae") as (opened,):
        tight.model("other")
        assert {"toy", "toy-sae", "other"} <= set(tight.loaded), "what is in use stays"
        assert tight.open("toy-sae") is opened
    tight.model("other")
    tight.open("other-residual")
    assert "toy" not in tight.loaded and "other" in tight.loaded
    roomy.model("other")
    assert {"toy", "other"} <= set(roomy.loaded), "by memory, not by number"


def test_a_failure_is_not_kept(two: Settings) -> None:
    (two.data / "other-model").rename(two.data / "away")
    runtime = Runtime(two)
    for _ in range(2):
        with pytest.raises(MissingWeights, match="no folder 'other-model'"):
            runtime.open("other-residual")
    (two.data / "away").rename(two.data / "other-model")
    assert runtime.open("other-residual").dictionary.n_units == 16
