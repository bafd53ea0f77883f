"""Killed, or out of room, between any two steps on the disk: nothing half is ever read, and the same command then ends with the same bytes.

CI takes a few of the moments; `EARMARK_FAULTS=all` (`make faults`) takes every one.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from earmark.settings import Settings
from tests.fixtures.breaking import Ended, barred, command, full, leftovers, read_all, tree
from tests.fixtures.toy import make_house, sound

N_CLIPS = 6
ALL = os.environ.get("EARMARK_FAULTS") == "all"
N_MOMENTS, N_LATE = 2, 12
TRAIN = ("train", "toy-sae", "--n-units", "24", "--k", "4", "--n-activations", "4096", "--batch", "512", "--workers", "2")
BUILD = ("build", "toy-sae", "--workers", "2")


@dataclass(frozen=True)
class Case:
    """A command, and a house in which it was run before with something else."""

    argv: tuple[str, ...]
    house: Settings
    whole: dict[str, bytes]
    """the data folder after it, had nothing happened"""
    n_steps: int

    def copy(self, folder: Path) -> Settings:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.house.data.parent, folder)
        return replace(self.house, data=folder / "data", cache=folder / "cache")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for n in range(5):
        (folder / f"clip{n}.wav").write_bytes(sound(n, 0.3 + n / 10))
    return folder


@pytest.fixture(scope="module", params=["build", "train", "corpus"])
def case(request: pytest.FixtureRequest, sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    house = make_house(folder / "house", N_CLIPS)
    corpus = ("corpus", "clips", "--from", "folder", str(sounds))
    argv, earlier = {
        "build": (BUILD, [(*BUILD, "--peaks", "20")]),
        "train": (TRAIN, [BUILD, (*TRAIN, "--seed", "5")]),
        "corpus": (corpus, [(*corpus, "--licence", "CC0")]),
    }[request.param]
    for before in earlier:
        assert command(house, *before).status == 0
    if request.param == "train":  # its activations are collected anew, too
        shutil.rmtree(house.cache / "activations")
    whole = Settings(**{**vars(house), "data": folder / "whole" / "data", "cache": folder / "whole" / "cache"})
    shutil.copytree(house.data.parent, whole.data.parent)
    ended = command(whole, *argv)
    assert ended.status == 0 and ended.n_steps > 15, ended
    found = tree(whole.data)
    assert found != tree(house.data)
    return Case(argv, house, found, ended.n_steps)


def moments(case: Case, seed: str) -> list[int]:
    """Steps before which something happens: all of them, or some, the last ones among them, where folders change places."""
    if ALL:
        return list(range(case.n_steps))
    chance = random.Random(f"{seed} {case.argv[0]}")
    return [chance.randrange(case.n_steps - N_LATE), *(chance.randrange(case.n_steps - N_LATE, case.n_steps) for _ in range(N_MOMENTS - 1))]


def goes_on(case: Case, settings: Settings, old: dict[str, object], new: dict[str, object]) -> None:
    """Every folder is what it was or what it becomes, and whole; the same command then ends with the same bytes."""
    for slug, found in read_all(settings).items():
        assert found == old.get(slug) or found == new[slug], slug
    assert set(read_all(settings)) >= set(old), "what was there stays there"
    ended = command(settings, *case.argv)
    assert ended.status == 0, ended.said
    assert tree(settings.data) == case.whole
    assert leftovers(settings) == []


@pytest.fixture(scope="module")
def read(case: Case, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], dict[str, object]]:
    return read_all(case.house), read_all(replace(case.house, data=case.house.data.parent.parent / "whole" / "data"))


def test_killed_at_any_step_it_goes_on_to_the_same_bytes(case: Case, read: tuple[dict[str, object], dict[str, object]], tmp_path: Path) -> None:
    for moment in moments(case, "kill"):
        settings = case.copy(tmp_path / "house")
        assert command(settings, *case.argv, at=moment).status == -9, f"step {moment} of {case.n_steps}"
        goes_on(case, settings, *read)


@pytest.mark.parametrize("fault", [full, barred])
def test_no_room_and_no_leave_to_write_are_sentences(
    case: Case, read: tuple[dict[str, object], dict[str, object]], tmp_path: Path, fault: Callable[[str], None]
) -> None:
    for moment in moments(case, fault.__name__)[: None if ALL else 1]:
        settings = case.copy(tmp_path / "house")
        ended = command(settings, *case.argv, at=moment, then=fault, always=True)
        if ended.status:  # what fails while leftovers are swept away may be left lying
            one_sentence(ended, "disk is full" if fault is full else "read-only")
        goes_on(case, settings, *read)


def one_sentence(ended: Ended, words: str) -> None:
    assert ended.status == 1 and "Traceback" not in ended.said, ended.said
    last = ended.said.strip().splitlines()[-1]
    assert last.startswith("earmark: ") and last.endswith(".") and words in last, ended.said
