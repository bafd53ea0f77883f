"""How `python app.py` begins: with the page, or with one that says why there is none."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from app import opened
from tests.fixtures.shelf import build_shelf


def test_a_catalog_that_lists_nothing_yet_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "catalog.toml").write_text("")
    monkeypatch.setenv("EARMARK_DATA", str(tmp_path))
    demo, options = opened()
    told = capsys.readouterr().err
    assert "lists no dictionary yet" in told and str(tmp_path) in told
    assert "lists no dictionary yet" in str(demo.get_config_file()) and "middleware" in options["app_kwargs"]


def test_the_page_without_a_catalog_says_so_and_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To people with 200, as what watches over a Space wants it; to programs with 503."""
    monkeypatch.setenv("EARMARK_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "taken"))
    demo, options = opened()
    _, url, _ = demo.launch(prevent_thread_lock=True, server_name="127.0.0.1", **options)
    with httpx.Client(base_url=url, timeout=30) as client:
        assert client.get("/").status_code == client.head("/").status_code == 200 and "catalog.toml" in client.get("/").text
        for path in ("/api/status", "/api/unit/a/1", "/media/a/b/audio", "/f/a/1"):
            assert client.get(path).status_code == 503 and "catalog.toml" in client.get(path).json()["error"]
        for room in ("/upload", "/gradio_api/upload", "/gradio_api/upload/"):
            assert client.post(room, files={"files": ("a.wav", b"x")}).status_code == 503
            assert client.post(room, files={"files": ("a.wav", bytes(50_000))}).status_code == 413
        assert client.post("/gradio_api/queue/join", files={"files": ("a.wav", b"x")}).status_code == 415
    demo.close()
    assert not list(tmp_path.rglob("*.wav"))


def test_the_log_says_what_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shelf = build_shelf(tmp_path / "shelf")
    for name, value in {"DATA": str(shelf.folder), "OFFLINE": "1", "MAX_UPLOAD_MB": "7"}.items():
        monkeypatch.setenv(f"EARMARK_{name}", value)
    opened()
    told = capsys.readouterr().err
    assert f"4 dictionaries in '{shelf.folder}', 3 with tables; EARMARK_OFFLINE keeps Earmark from asking the Hub; files up to 7 MB" in told
