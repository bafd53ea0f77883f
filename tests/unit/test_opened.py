"""How `python app.py` begins: with the page, or with one that says why there is none."""

from __future__ import annotations

from pathlib import Path

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


def test_the_log_says_what_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shelf = build_shelf(tmp_path / "shelf")
    for name, value in {"DATA": str(shelf.folder), "OFFLINE": "1", "MAX_UPLOAD_MB": "7"}.items():
        monkeypatch.setenv(f"EARMARK_{name}", value)
    opened()
    told = capsys.readouterr().err
    assert f"4 dictionaries in '{shelf.folder}', 3 with tables; EARMARK_OFFLINE keeps Earmark from asking the Hub; files up to 7 MB" in told
