"""A shelf that something has happened to: every tab and every route says so in a sentence, and whatever is whole works on."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from components import TABS
from components.bridge import Context, view_of
from earmark.api import routes
from earmark.atomic import write_json
from earmark.errors import BadInput
from earmark.live.desk import Desk
from earmark.raw import manifest_faults
from earmark.settings import Settings
from earmark.shelf.store import Store
from tests.fixtures.breaking import bar_writes, in_a_fork
from tests.fixtures.shelf import CORPUS, NEURONS, SAE, build_shelf
from tests.fixtures.toy import make_house, sound

N_ROUNDS = 6
PAGES = (
    "tab=browse&dictionary={0}", "tab=feature&dictionary={0}&unit=5", "tab=feature&dictionary={0}&unit=5&min=0.5", "tab=compare&dictionary={0}",
    "tab=compare&dictionary={0}&unit=3", "tab=health&dictionary={0}", "tab=audio&dictionary={0}&sample=clip-02", "tab=text", "tab=about",
    "tab=find&q=money", "tab=list&units={0}:3",
)  # fmt: skip
ROUTES = (
    "/api/dictionaries", "/api/unit/{0}/5", "/api/unit/{0}/5?format=csv", "/api/search/{0}/5?min=0.5", "/api/find?q=money", "/api/units/{0}",
    f"/api/compare/{{0}}:3/{NEURONS}:5", "/api/health/{0}", "/api/montage/{0}/5", "/api/list?units={0}:3", "/media/unit/{0}/5.png",
    "/media/unit/{0}/5.strip.png", "/media/unit/{0}/5.zip", f"/media/{CORPUS}/clip-02/audio", f"/media/{CORPUS}/clip-02/mel.png", "/f/{0}/5", "/f/{0}/health",
)  # fmt: skip
ODD = (None, "x", -1, 10**30, float("inf"), True, [], {}, ["x"], "<b>")


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(8):
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def noise(data: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(len(data))


def emptied(data: bytes, chance: random.Random) -> bytes:
    return b""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shelf(tmp_path_factory.mktemp("whole") / "shelf").folder


def files_of(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "catalog.toml")


def ask_everything(folder: Path) -> tuple[int, int]:
    """(pages that show something, routes that answer); whatever is raised or answered as a fault of ours fails."""
    store = Store(replace(Settings.from_env({}), data=folder, offline=True))
    context, client = Context(store, TABS, Desk(store)), TestClient(Starlette(routes=routes(store)))
    n_shown = n_answered = 0
    for slug in (SAE, NEURONS):
        for query in PAGES:
            view = view_of(context, dict(parse_qsl(query.format(slug))))
            assert "Traceback" not in view.problem
            n_shown += not view.problem
        for path in ROUTES:
            answer = client.get(path.format(slug))
            assert answer.status_code in {200, 404, 422}, f"{path}: {answer.status_code}"
            n_answered += answer.status_code == 200
            if answer.status_code != 200:
                said = answer.json()["error"] if "json" in answer.headers["content-type"] else answer.text
                assert len(said) > 20
    return n_shown, n_answered


def test_a_whole_shelf_answers_everything(whole: Path) -> None:
    assert ask_everything(whole) == (2 * len(PAGES), 2 * len(ROUTES))


@pytest.mark.parametrize("harm", [cut, flipped, noise, emptied, None], ids=lambda harm: harm.__name__ if harm else "gone")
def test_all_of_it_damaged_still_shows_pages_that_say_so(whole: Path, tmp_path: Path, harm: Callable[[bytes, random.Random], bytes] | None) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "shelf"))
    for n, path in enumerate(files_of(folder)):
        path.unlink() if harm is None else path.write_bytes(harm(path.read_bytes(), random.Random(n)))
    n_shown, n_answered = ask_everything(folder)
    assert n_shown > len(PAGES)
    assert n_answered < len(ROUTES)


@pytest.mark.parametrize("harm", [cut, flipped, noise, emptied, None], ids=lambda harm: harm.__name__ if harm else "gone")
def test_some_of_it_damaged_leaves_the_rest(whole: Path, tmp_path: Path, harm: Callable[[bytes, random.Random], bytes] | None) -> None:
    chance = random.Random(str(harm and harm.__name__))
    for n in range(N_ROUNDS):
        folder = Path(shutil.copytree(whole, tmp_path / str(n)))
        for path in chance.sample(files_of(folder), 1 + chance.randrange(3)):
            path.unlink() if harm is None else path.write_bytes(harm(path.read_bytes(), chance))
        ask_everything(folder)
        shutil.rmtree(folder)


def browse(folder: Path) -> str:
    store = Store(replace(Settings.from_env({}), data=folder, offline=True))
    return "".join(str(value) for value in view_of(Context(store, TABS, Desk(store)), {"tab": "browse", "dictionary": SAE}).values)


def test_browse_says_whether_other_dictionaries_are_whole(whole: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "shelf"))
    (folder / SAE / "manifest.json").write_text("{")
    assert "cannot be read" in browse(folder) and "The other dictionaries above work on." in browse(folder)
    for path in folder.glob("*/manifest.json"):
        path.write_text("{")
    assert "No other dictionary has whole tables" in browse(folder) and "work on" not in browse(folder)
    assert "em-filter" not in browse(folder) and "em-filter" in browse(whole), "there is no list to filter"


def test_a_shelf_and_a_cache_that_may_only_be_read_serve_as_ever(whole: Path, tmp_path: Path) -> None:
    """Whoever runs the tests may write everywhere: in a fork, every write to them fails as on a read-only disk."""

    house = make_house(tmp_path, 2)

    def serves() -> str:
        bar_writes(whole, house.data, house.cache)
        desk = Desk(Store(house))
        heard = desk.kept.get(desk.listen("toy-sae", desk.bring(sound(1, 0.5))))
        return f"{ask_everything(whole)} {heard and sorted(heard.codes)}"

    assert in_a_fork(serves) == f"{(2 * len(PAGES), 2 * len(ROUTES))} ['toy-neurons', 'toy-residual', 'toy-sae']"

    def writes() -> str:
        bar_writes(house.cache)
        try:
            write_json(house.cache / "note.json", {})
        except BadInput as error:
            return str(error)
        return "written"

    said = in_a_fork(writes)
    assert re.fullmatch(r"'cache/.*' cannot be opened or written: it is read-only\. EARMARK_DATA and EARMARK_CACHE name .*\.", said), said


def places(value: object) -> list[tuple[dict | list, str | int]]:
    """Where a JSON value has something that could be something else."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [(value, key) for key, _ in items] + [place for _, inner in items for place in places(inner)]  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(N_ROUNDS * 2))
def test_a_manifest_that_says_nonsense(whole: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = Path(shutil.copytree(whole, tmp_path / "shelf"))
    path = chance.choice([p for p in files_of(folder) if p.name == "manifest.json"])
    manifest = json.loads(path.read_text())
    spot, key = chance.choice(places(manifest))
    spot[key] = chance.choice(ODD)  # type: ignore[index]
    path.write_text(json.dumps(manifest))
    ask_everything(folder)


def test_faults_of_a_manifest_are_named(whole: Path) -> None:
    manifest = json.loads((whole / SAE / "manifest.json").read_text())
    assert manifest_faults(manifest) == []
    wrong = {**manifest, "n_units": "40", "files": {"units-000.parquet": {"sha256": 5}}, "tables": {**manifest["tables"], "hop_s": None}}
    assert manifest_faults(wrong) == ["n_units", "tables.hop_s", "files.units-000.parquet.sha256"]
    assert manifest_faults({**manifest, "what": "nothing"}) == ["what"]
    assert manifest_faults({**manifest, "tables": [], "n_units": True, "files": None})[:2] == ["files", "n_units"]
