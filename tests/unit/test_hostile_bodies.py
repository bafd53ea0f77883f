"""Bodies of requests to the running page: of the wrong kinds, too deep, no JSON at all. Each is answered, by a sentence or a status, and the page goes on."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from components.host.doors import UNEXPECTED
from earmark.live.desk import Desk
from earmark.settings import Settings
from earmark.shelf.store import Store
from tests.fixtures.shelf import NEURONS, SAE, build_shelf
from tests.fuzz.odd import odd_value, spoilt_tree

N_CASES = min(int(os.environ.get("EARMARK_FUZZ", "60")), 2_000)
GOOD = {
    "unit": [SAE, 3],
    "search": [SAE, 5, 0.1, 2.0, False, 20],
    "compare": [f"{SAE}:3", f"{NEURONS}:5"],
    "find_units": ["money", 10],
    "analyse_text": ["money", SAE, 5, "peak"],
    "analyse_audio": [{"path": "x.wav", "meta": {"_type": "gradio.FileData"}}, SAE, 5, "peak"],
    "edit": [f"{SAE}:3=0", None, "money", 5, 0],
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    from app import create_page, launch_options

    folder = tmp_path_factory.mktemp("bodies")
    store = Store(replace(Settings.from_env({}), data=build_shelf(folder / "shelf").folder, offline=True))
    desk = Desk(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "taken"))
        demo, parts = create_page(store, desk)
        _, url, _ = demo.launch(prevent_thread_lock=True, server_name="127.0.0.1", **launch_options(store, desk, parts))
        with httpx.Client(base_url=url, timeout=30) as client:
            yield client
        demo.close()


def asked(page: httpx.Client, name: str, body: bytes) -> str:
    """What a named endpoint's stream ends with, or the status of what took no such body."""
    taken = page.post(f"/gradio_api/call/{name}", content=body, headers={"Content-Type": "application/json"})
    if taken.status_code != 200:
        return str(taken.status_code)
    return page.get(f"/gradio_api/call/{name}/{taken.json()['event_id']}").text


@pytest.mark.parametrize("name", GOOD)
def test_values_of_other_kinds_are_answered(page: httpx.Client, name: str) -> None:
    for number in range(max(1, N_CASES // len(GOOD))):
        chance = random.Random(f"{name}/{number}")
        data = spoilt_tree(GOOD[name], chance) if number % 2 else [odd_value(chance) for _ in GOOD[name]]
        said = asked(page, name, json.dumps({"data": data}).encode())
        assert said in {"400", "413", "422"} or "event: complete" in said or "event: error" in said, said[:300]
        assert "Traceback" not in said and 'File "' not in said
    assert page.get("/api/dictionaries").status_code == 200


@pytest.mark.parametrize("room", ["queue/join", "call/unit", "run/unit", "cancel", "reset", "call/v2/unit"])
@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"data":' * 5_000, b'{"data": NaN}', b'{"data": [1e999]}',
        b'{"data": {"a": 1}, "fn_index": -1, "session_hash": []}', b'{"data": [], "fn_index": 99999999999999999999, "session_hash": "x"}',
        b'{"data": ["' + b"a" * 100_000 + b'"], "trigger_id": {}}', b'{"data": "\\ud800"}',
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_request_has_a_status(page: httpx.Client, room: str, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    said = page.post(f"/gradio_api/{room}", content=body, headers={"Content-Type": "application/json"})
    assert said.status_code in {200, 400, 404, 413, 422} or said.json()["error"] == UNEXPECTED
    assert "Traceback" not in said.text + caplog.text and 'File "' not in said.text
    assert page.get("/api/dictionaries").status_code == 200
