"""Every way in which the Hub can fail, with the real client against a local server: each ends within 15 s in a sentence, and nothing half is ever opened."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from earmark.errors import MissingWeights
from earmark.settings import Settings
from earmark.shelf.catalog import HubFiles
from earmark.shelf.hub import Terms, download
from earmark.shelf.hub.faults import Clock
from tests.fixtures.hub import FAULTS, commit_of, serve_hub

ROOT = Path(__file__).parents[2]
LIMIT_S = 15
SIZE = 300_000
ASK = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from earmark.errors import EarmarkError
from earmark.settings import Settings
from earmark.shelf.catalog import HubFiles
from earmark.shelf.hub import Terms, fetch
settings = Settings.from_env()
def ask(case):
    start = time.monotonic()
    moved = []
    source = HubFiles(case["repo"], tuple(case.get("files", ["a.bin"])), case.get("revision", "main"), case.get("sha256", {}))
    try:
        terms = Terms(case.get("allowed", True), case.get("max_mb"), lambda done, total: moved.append((done, total)))
        folder = fetch(source, settings, case.get("kind", "model"), terms)
        found = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
        answer = {"folder": folder.name, "files": found, "moved": moved[-1:]}
    except EarmarkError as error:
        answer = {"error": str(error)}
    return {**answer, "s": time.monotonic() - start}
with ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(ask, json.loads(sys.argv[1])))))
"""


@dataclass
class Bench:
    """A served set of repositories, and a client's own cache."""

    folder: Path
    endpoint: str
    asked: list[str]

    def ask(self, *cases: dict[str, Any], **env: str) -> list[dict[str, Any]]:
        """What a fresh process answers to each case, asked at the same time."""
        own = {
            **os.environ, "HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_HOME": str(self.folder / "hf"),
            "EARMARK_CACHE": str(self.folder / "cache"), "EARMARK_DATA": str(self.folder), "PYTHONPATH": str(ROOT), **env,
        }  # fmt: skip
        done = subprocess.run([sys.executable, "-c", ASK, json.dumps(cases)], env=own, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    repo, other = tmp_path / "repo", tmp_path / "other"
    for folder, fill in ((repo, b"\x01"), (other, b"\x02")):
        (folder / "sub" / "deep").mkdir(parents=True)
        (folder / "a.bin").write_bytes(fill * SIZE)
        (folder / "config.json").write_text("{}")
        (folder / "sub" / "deep" / "b.bin").write_bytes(fill * 10)
    faults = {f"o/{fault}": fault for fault in FAULTS} | {"o/half/config.json": "broken"}
    repos: dict[str, Any] = {"o/good": {"main": repo, "v1": other}, "o/half": repo, **{f"o/{fault}": repo for fault in FAULTS}}
    with serve_hub(repos, faults) as (endpoint, asked):
        yield Bench(tmp_path, endpoint, asked)


SENTENCES = {
    "gated": r"o/gated is gated: accept its terms",
    "broken": r"could not answer for o/broken \(status 500\)",
    "slow": r"did not answer for o/slow|gave nothing of o/slow",
    "stalls": r"gave nothing of o/stalls for 12 s",
    "cut": r"broke off while sending o/cut|gave nothing of o/cut",
    "corrupt": r"a.bin of o/corrupt is not the file that the Hub names.*thrown away",
}


def test_every_fault_ends_in_time_in_a_sentence_and_slow_lines_do_not(bench: Bench) -> None:
    names = [*SENTENCES, "trickle"]
    answers = dict(zip(names, bench.ask(*({"repo": f"o/{name}"} for name in names)), strict=True))
    slow_but_moving = answers.pop("trickle")
    assert slow_but_moving["files"] == {"a.bin": SIZE} and slow_but_moving["s"] > 12, "a line that moves may take as long as it takes"

    for name, answer in answers.items():
        assert re.search(SENTENCES[name], answer["error"]), answer
        assert answer["s"] < LIMIT_S, (name, answer["s"])
    assert not [p for p in (bench.folder / "cache" / "hub").glob("*.json") if "trickle" not in p.read_text()], "only what is whole is noted as ready"
    again = bench.ask({"repo": "o/corrupt"}, {"repo": "o/cut"}, HF_HUB_OFFLINE="1")
    assert all("is not on this machine" in a["error"] for a in again), "what was damaged or cut is not used later"


MISSING = (
    ({"repo": "o/none"}, "no repository o/none"),
    ({"repo": "o/good", "files": ["zz.bin"]}, "no file zz.bin"),
    ({"repo": "o/good", "files": ["*.zz"]}, "no file *.zz; it has a.bin"),
    ({"repo": "o/good", "revision": "v9"}, "no such revision"),
    ({"repo": "../etc"}, "is no Hub repository"),
    ({"repo": "o/good", "sha256": {"a.bin": "0" * 64}}, "not the file that the catalog names"),
    ({"repo": "o/good", "revision": "v1", "max_mb": 0}, "EARMARK_HUB_MAX_MB"),
)


def test_what_is_missing_or_refused_is_named(bench: Bench) -> None:
    for answer, (_, part) in zip(bench.ask(*(case for case, _ in MISSING)), MISSING, strict=True):
        assert part in answer["error"]
        assert answer["s"] < LIMIT_S


def test_only_named_files_of_one_commit_come_and_stay_without_another_question(bench: Bench) -> None:
    cases = ({"repo": "o/good", "files": ["sub/*"]}, {"repo": "o/good", "files": ["a.bin"], "revision": "v1"})
    first = bench.ask(*cases)
    assert first[0]["files"] == {"sub/deep/b.bin": 10}, "nothing else is fetched"
    assert first[1]["folder"] == commit_of("v1") and first[1]["moved"] == [[SIZE, SIZE]]
    n = len(bench.asked)
    again = bench.ask(*cases)
    assert [a["files"] for a in again] == [f["files"] for f in first] and len(bench.asked) == n, "what is ready is used without asking"
    bench.endpoint = "http://127.0.0.1:9"
    gone = bench.ask(*cases, {"repo": "o/good", "files": ["config.json"]})
    assert [a.get("files") for a in gone[:2]] == [f["files"] for f in first]
    assert "did not answer" in gone[2]["error"] and gone[2]["s"] < LIMIT_S, "refused and not cached: no 23 s of retries"


def test_a_set_that_is_not_whole_is_not_ready(bench: Bench) -> None:
    half = {"repo": "o/half", "files": ["a.bin", "config.json"]}
    assert "status 500" in bench.ask(half)[0]["error"]
    offline = bench.ask(half, {**half, "allowed": False}, {"repo": "o/half", "files": ["*"]}, EARMARK_OFFLINE="1")
    assert all("is not on this machine yet" in a["error"] for a in offline[:2])


def test_a_data_set_is_another_repository_than_the_model_of_its_name(bench: Bench) -> None:
    assert bench.ask({"repo": "o/good", "kind": "dataset"})[0]["files"] == {"a.bin": SIZE}
    assert any(line.startswith("GET /datasets/o/good/resolve/") for line in bench.asked)
    assert "is not on this machine" in bench.ask({"repo": "o/good"}, HF_HUB_OFFLINE="1")[0]["error"]


def test_a_download_that_finds_no_room_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    source = HubFiles("o/large", ("a.bin",))
    monkeypatch.setattr(download, "remote_files", lambda *_: [download.RemoteFile("a.bin", 5_000_000_000, commit_of("main"), "0" * 64)])
    monkeypatch.setattr(download, "_is_cached", lambda *_: False)
    monkeypatch.setattr(download, "free_bytes", lambda place: 1_000_000_000)
    with pytest.raises(MissingWeights, match=r"^o/large would be a download of 5,000 MB, and 1,000 MB are free where.*HF_HOME"):
        download._fetch(source, Settings.from_env({}), "model", Terms(), Clock(lambda done, total: None))
