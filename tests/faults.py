"""`python -m tests.faults [MOMENTS] [SEED] [COMMAND ...]`: kill -9 at random moments of each of COMMANDS, which is then run again.

In between everything on the shelf is read, what a sweep has kept, and what lies at the Hub. One JSON line of figures a command; status 1 where anything was
half, or other than without the kill. Commands run in forks of this process, which has the libraries in memory, so that the moments fall into their work.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import earmark.inputs.alignment  # noqa: F401 whose library is then in memory, too
from earmark.settings import Settings
from tests.contract.tree import ROOT
from tests.fixtures.breaking import begin, environment, leftovers, read_all, tree, wait
from tests.fixtures.hub import serve_hub
from tests.fixtures.toy import make_house, say, sound

N_CLIPS, N_SOUNDS, N_SAID = 40, 60, 80
BUILD = ("build", "toy-sae", "--workers", "2")
TRAIN = ("train", "toy-sae", "--n-units", "24", "--k", "4", "--n-activations", "100000", "--batch", "512", "--workers", "2")
LABEL = ("label", "toy-sae", "--workers", "2")
RECIPE = """
dictionary = "toy-sae"
max_fvu = 0.9
max_dead = 0.9
[base]
n_units = 24
k = 4
n_activations = 20_000
batch = 512
lr = 3e-3
[runs]
usual = {}
shorter = { n_activations = 5_000 }
"in batches" = { kind = "batchtopk" }
"""
REPO = "me/tables"
Earlier = tuple[str, ...] | Callable[[Settings], None]
"""a command, or something else that was done in a house before"""
COMMANDS = ("build", "corpus", "train", "align", "label", "sweep", "publish")


@dataclass(frozen=True)
class Case:
    """A command, and a house in which something older lies."""

    name: str
    house: Settings
    start: Callable[[Settings], int]
    """begins the command, and gives its process once it is at work"""
    hub: Path | None = None
    """the Hub's folder, where the command changes that"""

    def copied(self, folder: Path) -> Settings:
        for old in (folder, *([self.hub] if self.hub else [])):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(self.house.data.parent, folder)
        if self.hub:
            self.hub.mkdir()
        return replace(self.house, data=folder / "data", cache=folder / "cache")

    def there(self, settings: Settings) -> tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes]]:
        """What lies on the shelf, at the Hub, and of sweeps in the cache."""
        return tree(settings.data), tree(self.hub) if self.hub else {}, kept(settings)

    def run(self, settings: Settings) -> float:
        """Seconds that the command takes once it is at work. Raises where it fails."""
        process, began_at = self.start(settings), time.monotonic()
        ended = wait(process, settings)
        assert ended.status == 0, f"{self.name}: {ended.said[-500:]}"
        return time.monotonic() - began_at

    def killed(self, settings: Settings, after_s: float) -> bool:
        """False where it was done by then."""
        process = self.start(settings)
        time.sleep(after_s)
        os.kill(process, signal.SIGKILL)
        return wait(process, settings).status == -signal.SIGKILL


def kept(settings: Settings) -> dict[str, bytes]:
    """The runs that sweeps have finished."""
    return {name: read for name, read in tree(settings.cache / "sweep").items() if name.endswith(".json")}


def kills(case: Case, folder: Path, n_moments: int, chance: random.Random) -> dict[str, object]:
    """Figures of one command."""
    settings = case.copied(folder)
    old, took_s = read_all(settings), case.run(settings)
    new, whole = read_all(settings), case.there(settings)
    n_killed = n_tries = n_changed = n_half = n_other = n_left = 0
    while n_killed < n_moments and n_tries < 3 * n_moments:
        settings, n_tries = case.copied(folder), n_tries + 1
        if not case.killed(settings, moment := chance.uniform(0, took_s)):
            took_s = moment  # it was quicker than the first one
            continue
        n_killed += 1
        shelf, hub, runs = case.there(settings)
        n_changed += shelf != tree(case.house.data) or bool(hub) or tree(settings.cache) != tree(case.house.cache)
        n_half += is_half(settings, old, new) or hub not in ({}, whole[1]) or not runs.items() <= whole[2].items()
        case.run(settings)
        n_other += case.there(settings) != whole
        n_left += len(leftovers(settings))
    figures = {"killed": n_killed, "with something changed by then": n_changed, "half": n_half, "other bytes": n_other, "leftovers": n_left}
    return {"command": case.name, "seconds": round(took_s, 2), **figures}


def is_half(settings: Settings, old: dict[str, object], new: dict[str, object]) -> bool:
    """Whether anything on the shelf is neither what it was nor what it becomes."""
    try:
        found = read_all(settings)
    except Exception as error:  # noqa: BLE001 whatever reading raises is what is looked for
        print(f"{error!r}", file=sys.stderr)
        return True
    return not set(old) <= set(found) or any(found[name] not in (old.get(name), new.get(name)) for name in found)


# -- the commands ----------------------------------------------------------------------------------------------------------


def cases(folder: Path, wanted: Collection[str]) -> Iterator[Case]:
    """Each in a house in which it was run before, with something else."""
    house, sounds, recipe, older = make_house(folder / "house", N_CLIPS), folder / "sounds", folder / "recipe.toml", folder / "older.toml"
    sounds.mkdir()
    for n in range(N_SOUNDS):
        (sounds / f"clip{n}.wav").write_bytes(sound(n, 1.0))
    corpus, sweep = ("corpus", "clips", "--from", "folder", str(sounds)), ("sweep", str(recipe), "--workers", "2")
    recipe.write_text(RECIPE)
    older.write_text(RECIPE.replace("3e-3", "1e-3"))
    said = make_house(folder / "said", N_SAID) if {"label", "sweep"} & set(wanted) else house
    before: dict[str, tuple[Settings, tuple[str, ...], tuple[Earlier, ...]]] = {
        "build": (house, BUILD, ((*BUILD, "--peaks", "20"),)),
        "corpus": (house, corpus, ((*corpus, "--licence", "CC0"),)),
        "train": (house, TRAIN, (BUILD, (*TRAIN, "--seed", "5"))),
        "align": (house, ("align", "sounds", "--workers", "2"), ()),
        "label": (said, LABEL, (BUILD, lambda own: say(own, 5), LABEL, say)),
        "sweep": (said, sweep, (BUILD, say, ("sweep", str(older), "--workers", "2"))),
    }
    for name in before:
        if name in wanted:
            own, argv, earlier = before[name]
            yield forked(name, own, folder, argv, *earlier)
    if "publish" in wanted:
        hub, asked = folder / "hub", list[str]()
        hub.mkdir()
        with serve_hub({REPO: hub}, watch=asked.append) as (endpoint, _):
            own = forked("publish", house, folder, BUILD, BUILD).house
            yield Case("publish", own, lambda settings: publishing(settings, endpoint, folder, asked), hub)


def forked(name: str, house: Settings, folder: Path, argv: tuple[str, ...], *earlier: Earlier) -> Case:
    own = replace(house, data=folder / name / "data", cache=folder / name / "cache")
    shutil.copytree(house.data.parent, own.data.parent)
    for before in earlier:
        if callable(before):
            before(own)
            continue
        ended = wait(begin(own, *before), own)
        assert ended.status == 0, f"{before}: {ended.said[-500:]}"
    shutil.rmtree(own.cache / "activations", ignore_errors=True)
    return Case(name, own, lambda settings: begin(settings, *argv))


def publishing(settings: Settings, endpoint: str, folder: Path, asked: list[str]) -> int:
    """A process of its own, whose client of the Hub knows no other; it is at work once it asks."""
    env = environment(settings) | {
        "HF_ENDPOINT": endpoint,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": "hf_test",
    }
    env["EARMARK_OFFLINE"] = "0"
    command = [sys.executable, "-W", "ignore", "-m", "earmark", "publish", "toy-sae", REPO, "--with-corpus"]
    asked.clear()
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not asked and not Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].startswith(" Z"):
        time.sleep(0.005)
    process.returncode = 0  # it is waited for as the forks are
    return process.pid


def main(n_moments: int = 20, seed: int = 0, wanted: Collection[str] = COMMANDS) -> int:
    fine = True
    with tempfile.TemporaryDirectory() as name:
        for case in cases(Path(name), wanted):
            found = kills(case, Path(name) / "run", n_moments, random.Random(seed))
            fine &= found["killed"] == n_moments and not (found["half"] or found["other bytes"] or found["leftovers"])
            print(json.dumps(found), flush=True)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3]), *([sys.argv[3:]] if sys.argv[3:] else [])))
