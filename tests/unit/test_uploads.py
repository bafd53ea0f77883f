"""Files that visitors send, at the running page: deleted when read, deleted when nobody reads them, bounded together, handed out to nobody, named in no log."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from components.host import doors
from components.host.doors import own_folder, sweep, taken_folder
from earmark.live.desk import Desk
from earmark.settings import Settings
from earmark.shelf.store import Store
from tests.fixtures import toy
from tests.fixtures.hostile import tone, written

SECRET = "zanzibar"
"""of names and texts that nobody else may get to read"""
SOUND = written(tone(0.5))
FORM = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("taken")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The toy model and its SAE, without any tables."""
    settings = toy.settings_for(tmp_path_factory.mktemp("bare"))
    settings.data.mkdir(parents=True)
    (settings.data / "catalog.toml").write_text(toy.CATALOG)
    toy.make_model(settings.data / "toy-model")
    toy.make_sae(settings)
    return settings


@pytest.fixture(scope="module")
def page(bare: Settings, folder: Path) -> Iterator[httpx.Client]:
    from app import create_page, launch_options

    store = Store(bare)
    desk = Desk(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        demo, parts = create_page(store, desk)
        _, url, _ = demo.launch(prevent_thread_lock=True, server_name="127.0.0.1", **launch_options(store, desk, parts))
        with httpx.Client(base_url=url, timeout=30) as client:
            yield client
        demo.close()


@pytest.fixture(autouse=True)
def emptied(folder: Path) -> None:
    sweep(folder, -1.0)


def files(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file()]


def send(page: httpx.Client, data: bytes = SOUND, name: str = f"{SECRET}.wav", field: str = "files") -> httpx.Response:
    return page.post("/gradio_api/upload", files={field: (name, data)})


def called(page: httpx.Client, name: str, *data: object) -> str:
    """What a named endpoint answers, as its stream has it."""
    event = page.post(f"/gradio_api/call/{name}", json={"data": data}).json()["event_id"]
    return page.get(f"/gradio_api/call/{name}/{event}").text


def held(path: str) -> dict[str, object]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


# -- deleted -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "words"), [(SOUND, '"hits"'), (b"<b>no sound</b>", "event: error")])
def test_a_file_is_gone_when_it_has_been_read_whatever_it_was(page: httpx.Client, folder: Path, data: bytes, words: str) -> None:
    path = send(page, data).json()[0]
    assert files(folder) == [f"{SECRET}.wav"]
    assert words in called(page, "analyse_audio", held(path), "toy-sae", 5, "peak")
    assert files(folder) == []


def test_two_who_send_the_same_file_both_have_it_read(page: httpx.Client) -> None:
    paths = [send(page).json()[0] for _ in range(2)]
    assert paths[0] != paths[1]
    assert all('"hits"' in called(page, "analyse_audio", held(path), "toy-sae", 5, "peak") for path in paths)


def test_a_file_that_nobody_reads_leaves_by_age_with_its_folder(page: httpx.Client, folder: Path) -> None:
    send(page)
    now = time.time()
    sweep(folder, clock=lambda: now + doors.FORGET_S[1] - 5)
    assert files(folder) == [f"{SECRET}.wav"]
    sweep(folder, clock=lambda: now + doors.FORGET_S[1] + 5)
    assert files(folder) == []
    sweep(folder, clock=lambda: now + 2 * doors.FORGET_S[1] + 10)
    assert list(folder.iterdir()) == []
    assert sum(doors.FORGET_S) < 3600


def test_a_file_of_another_form_leaves_too(page: httpx.Client, folder: Path) -> None:
    """Gradio keeps no account of it."""
    assert send(page, field="other").json() == []
    assert len(files(folder)) == 1
    sweep(folder, clock=lambda: time.time() + 3600)
    assert files(folder) == []


def test_nothing_is_left_of_an_upload_that_breaks_off(page: httpx.Client, folder: Path) -> None:
    with begun(page, "upload", 900_000) as line:
        line.sendall(FORM + SOUND)
        wait_for(lambda: len(files(folder)) == 1)
    wait_for(lambda: files(folder) == [])


def begun(page: httpx.Client, room: str, n_bytes: int) -> socket.socket:
    """A line to the page, on which a body has been announced."""
    at, kind = urlsplit(str(page.base_url)), "multipart/form-data; boundary=x" if room == "upload" else "application/json"
    line = socket.create_connection((at.hostname, at.port), timeout=20)
    line.sendall(f"POST /gradio_api/{room} HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Type: {kind}\r\nContent-Length: {n_bytes}\r\n\r\n".encode())
    return line


def answer(line: socket.socket) -> str:
    """All that comes until the page hangs up."""
    return b"".join(iter(lambda: line.recv(4096), b"")).decode()


def wait_for(holds: object) -> None:
    end = time.monotonic() + 20
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_page_looks_through_the_folder_by_itself(page: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each upload, and from time to time; this is the first."""
    (folder / "left").mkdir()
    (folder / "left" / "by-an-earlier-process.wav").write_bytes(SOUND)
    monkeypatch.setattr("components.host.doors.sweep.__defaults__", (-1.0, *sweep.__defaults__[1:]))  # type: ignore[index]
    send(page, name="new.wav")
    assert files(folder) == ["new.wav"]


# -- bounded -------------------------------------------------------------------------------------------------------------------


def test_the_oldest_leave_where_there_is_too_much(tmp_path: Path) -> None:
    for n in range(5):
        (tmp_path / f"{n}").mkdir()
        (tmp_path / f"{n}" / "x").write_bytes(bytes(100))
        time.sleep(0.02)
    sweep(tmp_path, max_bytes=250)
    assert sorted(p.parent.name for p in tmp_path.rglob("x")) == ["3", "4"]
    sweep(tmp_path / "none")
    sweep(None)


def test_a_request_brings_no_more_than_one_file_may_have(page: httpx.Client, folder: Path, bare: Settings) -> None:
    most = bare.max_upload_mb * 1_000_000
    assert page.post("/gradio_api/upload", files=[("files", (f"{n}.wav", bytes(most // 2))) for n in range(3)]).status_code == 413

    def pieces() -> Iterator[bytes]:
        yield FORM
        for _ in range(40):
            yield bytes(most // 30)

    said = page.post("/gradio_api/upload", content=pieces(), headers={"Content-Type": "multipart/form-data; boundary=x"})  # of no declared length
    assert said.status_code == 413 and files(folder) == []
    assert page.post("/gradio_api/queue/join", json={"data": ["x" * doors.MAX_BODY_BYTES]}).status_code == 413
    assert page.post("/gradio_api/queue/join", content=(bytes(1_000_000) for _ in range(6)), headers={"Content-Type": "application/json"}).status_code == 413


@pytest.mark.parametrize("room", ["upload", "queue/join"])
def test_a_body_that_stops_coming_is_not_waited_for(page: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch, room: str) -> None:
    monkeypatch.setattr(doors, "GRACE_S", 0.4)
    with begun(page, room, 900_000) as line:
        line.sendall(FORM + SOUND[:1000] if room == "upload" else b'{"data": [')
        said = answer(line)
    assert said.startswith("HTTP/1.1 408") and "connection: close" in said.lower()
    assert "The request came too slowly: it has 0 s, and a second more for every 5 kB." in said
    wait_for(lambda: files(folder) == [])


def test_a_slow_net_is_waited_for(page: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times as long as anybody has who sends nothing, with pauses of nearly as long."""
    monkeypatch.setattr(doors, "GRACE_S", 0.4)
    whole = FORM + SOUND + b"\r\n--x--\r\n"
    size = len(whole) // 8
    monkeypatch.setattr(doors, "SLOWEST_BYTES_S", size / 0.4)
    start = time.monotonic()
    with begun(page, "upload", len(whole)) as line:
        for at in range(0, len(whole), size):
            line.sendall(whole[at : at + size])
            time.sleep(0.25)
        assert line.recv(4096).startswith(b"HTTP/1.1 200") and time.monotonic() - start > 5 * doors.GRACE_S
    assert [(folder / name).suffix for name in files(folder)] == [".wav"]


def test_time_that_the_page_takes_is_not_the_visitors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body whose reader pauses; and what follows a body, such as the news that somebody has gone, may take as long as it likes."""
    monkeypatch.setattr(doors, "GRACE_S", 0.1)
    messages = [{"type": "http.request", "body": b"x", "more_body": n < 3} for n in range(4)]

    async def receive() -> dict[str, object]:
        if messages:
            return messages.pop(0)
        await asyncio.sleep(0.2)
        return {"type": "http.disconnect"}

    async def read() -> list[object]:
        body, found = doors.Body(receive, 100, takes_files=True), []
        for _ in range(5):
            found.append((await body())["type"])
            await asyncio.sleep(0.06)
        return found

    assert asyncio.run(read()) == ["http.request"] * 4 + ["http.disconnect"]


@pytest.mark.parametrize("room", ["component_server", "component_server/", "process_recording", "queue/join", "call/unit"])
def test_files_are_taken_in_one_room_alone(page: httpx.Client, room: str) -> None:
    assert page.post(f"/gradio_api/{room}", files={"video": ("a.mp4", SOUND)}).status_code in {404, 415}


# -- handed out to nobody --------------------------------------------------------------------------------------------------------


def test_what_was_taken_is_neither_listed_nor_handed_out(page: httpx.Client, folder: Path) -> None:
    path = send(page).json()[0]
    assert Path(path).is_file()
    places = (path, str(folder), f"{folder}/", str(Path(path).parent), "/etc/passwd", "http://127.0.0.1:9/x", "https://example.org/")
    for place in places:
        for room in (
            "/gradio_api/file=",
            "/file=",
            "/gradio_api/file/",
            "/gradio_api/proxy=",
            "/gradio_api//file=",
            "/static/",
            "/assets/",
            "/gradio_api/stream/",
        ):
            said = page.get(room + quote(place, safe="/:"))
            assert said.status_code in {400, 403, 404} and said.content != SOUND and b"root:" not in said.content, room + place


def test_a_name_leads_nowhere_else(page: httpx.Client, folder: Path) -> None:
    for name in ("../../../evil.wav", "/etc/evil.wav", "..", ".", "a\0b.wav", "x" * 3000 + ".wav", "\u202ewav.exe", "con.wav", "<b>.wav"):
        for path in send(page, name=name).json() if send(page, name=name).status_code == 200 else ():
            assert folder in Path(path).resolve().parents
    assert not list(folder.parent.glob("evil*"))


def test_an_address_in_place_of_a_file_is_not_fetched(page: httpx.Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    for name in ("async_ssrf_protected_download", "ssrf_protected_download", "save_url_to_cache"):
        monkeypatch.setattr(f"gradio.processing_utils.{name}", lambda url, *_, **__: fetched.append(url), raising=False)
    assert "event: error" in called(page, "analyse_audio", held("https://example.org/huge.wav") | {"url": "https://example.org/huge.wav"}, "toy-sae", 5, "peak")
    assert (fetched, files(folder)) == ([], [])


def test_the_folder_is_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = own_folder()
    assert mine.stat().st_mode & 0o777 == 0o700 and own_folder() == mine
    mine.rmdir()
    (tmp_path / "theirs").mkdir()
    mine.symlink_to(tmp_path / "theirs")
    assert own_folder() not in (mine, tmp_path / "theirs")
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    assert taken_folder() is None


# -- named in no log -------------------------------------------------------------------------------------------------------------


def test_no_log_holds_names_or_texts(page: httpx.Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.WARNING)
    for data in (SOUND, b"no sound"):
        called(page, "analyse_audio", held(send(page, data).json()[0]), "toy-sae", 5, "peak")
        called(page, "analyse_audio", held(f"/{SECRET}"), SECRET, 5, "peak")
        called(page, "analyse_audio", SECRET, SECRET)
    page.get("/", params={"tab": "text", "text": f"{SECRET} \0 \u202e", "dictionary": SECRET})
    page.get(f"/api/find?q={SECRET}")
    page.get(f"/own/{SECRET}/sound.wav")
    called(page, "analyse_text", SECRET, "toy-sae", 5, "peak")
    send(page, name=f"../{SECRET}\0")
    page.post("/gradio_api/queue/join", content=f'{{"data": ["{SECRET}"'.encode(), headers={"Content-Type": "application/json"})
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err + caplog.text
    print("seen", file=sys.stderr)
    assert "seen" in capfd.readouterr().err, "what is printed would have been seen"
