"""Tables to a data set of the Hub and back, with the real client against a local server: the same cards, one file at a time, checked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId
from tests.fixtures.breaking import tree
from tests.fixtures.hub import serve_hub
from tests.fixtures.shelf import CORPUS, SAE, Shelf, build_shelf

ROOT = Path(__file__).parents[2]
READ = """
import json, sys
from earmark.errors import EarmarkError
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId
from earmark.web.records import card_json, hits_json, dictionaries_json
store = Store(Settings.from_env())
try:
    listed = [d["tables"] for d in dictionaries_json(store) if d["slug"] == sys.argv[1]]
    found = {"before": listed, "card": card_json(store.card(UnitId(sys.argv[1], 4)))}
    if "search" in sys.argv:
        found["hits"] = hits_json(store.search(UnitId(sys.argv[1], 4)))
    print(json.dumps(found))
except EarmarkError as error:
    print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return build_shelf(tmp_path / "mine")


def environment(folder: Path, data: Path, endpoint: str, **env: str) -> dict[str, str]:
    return {
        **os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "hf"), "HF_TOKEN": "hf_test",
        "EARMARK_CACHE": str(folder / "cache"), "EARMARK_DATA": str(data), "PYTHONPATH": str(ROOT), **env,
    }  # fmt: skip


def run(folder: Path, data: Path, endpoint: str, code: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *code], env=environment(folder, data, endpoint, **env), capture_output=True, text=True, timeout=120)


def visitor(tmp_path: Path, shelf: Shelf, lines: str) -> Path:
    """Another data folder: only the catalog, with the lines that were printed to paste."""
    other = tmp_path / "theirs"
    other.mkdir()
    catalog = (shelf.folder / "catalog.toml").read_text()
    pasted = dict(zip(lines.splitlines()[::2], lines.splitlines()[1::2], strict=True))
    for head, tables in pasted.items():
        assert head.replace('"', "") in catalog.replace('"', ""), head
        catalog = "\n".join(f"{line}\n{tables}" if line.replace('"', "") == head.replace('"', "") else line for line in catalog.splitlines())
    (other / "catalog.toml").write_text(catalog)
    return other


def test_published_tables_are_the_same_elsewhere(tmp_path: Path, shelf: Shelf) -> None:
    hub = tmp_path / "hub"
    hub.mkdir()
    with serve_hub({"me/tables": hub}) as (endpoint, asked):
        dry = run(tmp_path, shelf.folder, endpoint, ["-m", "earmark", "publish", SAE, "me/tables", "--with-corpus", "--dry-run"])
        assert dry.returncode == 0 and "would go to the data set me/tables" in dry.stdout and not asked, dry.stderr
        done = run(tmp_path, shelf.folder, endpoint, ["-m", "earmark", "publish", SAE, "me/tables", "--with-corpus"])
        assert done.returncode == 0, done.stderr
        for name in ("manifest.json", "units-000.parquet"):
            assert (hub / SAE / name).read_bytes() == (shelf.folder / SAE / name).read_bytes()
        assert (hub / CORPUS / "LICENSE").is_file() and (hub / CORPUS / "NOTICE").is_file(), "the corpus's notices go along"
        theirs = visitor(tmp_path, shelf, done.stdout.split("# for catalog.toml\n")[1])
        asked.clear()
        answer = json.loads(run(tmp_path, theirs, endpoint, ["-c", READ, SAE]).stdout)
        assert answer["before"] == [False], "what is listed asks nobody"
        got = {line.rsplit("/", 1)[1] for line in asked if line.startswith("GET /datasets")}
        assert "peaks-000.parquet" not in got and {"units-000.parquet", "examples-000.parquet"} <= got, "a file comes when it is needed"
        more = json.loads(run(tmp_path, theirs, endpoint, ["-c", READ, SAE, "search"]).stdout)
    own = Store(Settings.from_env({"EARMARK_DATA": str(shelf.folder)}))
    from earmark.web.records import card_json, hits_json

    assert answer["card"] == json.loads(json.dumps(card_json(own.card(UnitId(SAE, 4)))))
    assert more["hits"] == json.loads(json.dumps(hits_json(own.search(UnitId(SAE, 4)))))
    gone = json.loads(run(tmp_path, theirs, "http://127.0.0.1:9", ["-c", READ, SAE, "search"]).stdout)
    assert gone == {**more, "before": [True]}, "what was fetched serves without the Hub"


def test_what_is_wrong_is_a_sentence(tmp_path: Path, shelf: Shelf) -> None:
    hub = tmp_path / "hub"
    shutil.copytree(shelf.folder / SAE, hub / SAE)
    shutil.copytree(shelf.folder / CORPUS, hub / CORPUS)
    data = bytearray((hub / SAE / "units-000.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (hub / SAE / "units-000.parquet").write_bytes(bytes(data))
    with serve_hub({"me/tables": hub, "me/broken": hub}, {"me/broken": "broken"}) as (endpoint, _):
        heads = {SAE: "dictionaries", CORPUS: "corpora"}
        lines = "\n".join(f'[{what}.{slug}]\ntables = {{ repo = "me/tables", folder = "{slug}" }}' for slug, what in heads.items())
        theirs = visitor(tmp_path, shelf, lines)
        assert "not the file that its manifest names" in json.loads(run(tmp_path, theirs, endpoint, ["-c", READ, SAE]).stdout)["error"]
        (theirs / "catalog.toml").write_text((theirs / "catalog.toml").read_text().replace("me/tables", "me/broken"))
        assert "could not answer for me/broken (status 500)" in json.loads(run(tmp_path, theirs, endpoint, ["-c", READ, SAE]).stdout)["error"]
        (theirs / "catalog.toml").write_text((theirs / "catalog.toml").read_text().replace("me/broken", "me/none"))
        assert "no repository me/none" in json.loads(run(tmp_path, theirs, endpoint, ["-c", READ, SAE]).stdout)["error"]
        publish = ["-m", "earmark", "publish", SAE, "me/tables"]
        assert "not logged in" in run(tmp_path, shelf.folder, endpoint, publish, HF_TOKEN="").stderr
        assert "is no Hub repository" in run(tmp_path, shelf.folder, endpoint, ["-m", "earmark", "publish", SAE, "../x"]).stderr
    refused = run(tmp_path, shelf.folder, "http://127.0.0.1:9", publish)
    assert refused.returncode == 1 and "Nothing was published" in refused.stderr and "Traceback" not in refused.stderr
    (shelf.folder / SAE / "units-000.parquet").write_bytes(bytes(data))
    assert "not the file that its manifest names" in run(tmp_path, shelf.folder, "http://127.0.0.1:9", publish).stderr


def test_killed_at_any_request_nothing_or_all_of_it_is_at_the_hub(tmp_path: Path, shelf: Shelf) -> None:
    """CI takes the last one before the commit; EARMARK_FAULTS=all takes every one."""
    hub, told, publish = tmp_path / "hub", list[str](), ["-m", "earmark", "publish", SAE, "me/tables", "--with-corpus"]
    hub.mkdir()
    at = -1
    process: subprocess.Popen[bytes] | None = None

    def watch(said: str) -> None:
        told.append(said)
        if process and len(told) == at + 1:
            process.send_signal(signal.SIGKILL)
            process.wait()

    with serve_hub({"me/tables": hub}, watch=watch) as (endpoint, _):
        assert run(tmp_path, shelf.folder, endpoint, publish).returncode == 0
        n, whole = len(told), tree(hub)
        assert n > 4 and told[-1] == "committed" and len(whole) > 8
        for at in range(n) if os.environ.get("EARMARK_FAULTS") == "all" else (n - 3,):
            shutil.rmtree(hub)
            hub.mkdir()
            told.clear()
            process = subprocess.Popen(
                [sys.executable, *publish], env=environment(tmp_path, shelf.folder, endpoint), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            assert process.wait(120) == -signal.SIGKILL, told
            process = None
            assert tree(hub) in [[{}], [{}, whole], [whole]][max(0, at - (n - 3))], "a commit that has arrived may still be made"
            assert run(tmp_path, shelf.folder, endpoint, publish).returncode == 0 and tree(hub) == whole
