"""What `make space-check` judges: front matter, sizes, frames. The good and the bad values are those of the Hub's own reference."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts import space_check
from scripts.space_rules import FIELDS, front_matter, front_problems, header_problems, large_files, lfs_note, size_problems

ROOT = Path(__file__).resolve().parents[2]
# the block that the Hub writes for a new Gradio Space, with what this one needs besides
NEW = """---
title: Hear It
emoji: 👂
colorFrom: yellow
colorTo: gray
sdk: gradio
sdk_version: 6.31.0
python_version: 3.12.12
app_file: app.py
license: mit
pinned: false
---

Check out the configuration reference
"""


def problems(**changed: Any) -> list[str]:
    return front_problems({**front_matter(NEW), **changed}, {"app.py", "README.md"}, "6.31.0")


def test_a_new_space_has_no_problems() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"sdk_version": "6.30.0"}, "requirements.txt pins gradio 6.31.0"),
        ({"python_version": 3.12}, "'python_version' is 3.12, but must be a text such as 3.12.12"),
        ({"python_version": "3.10.13"}, "'python_version' is 3.10.13, but the packages need 3.11"),
        ({"app_file": "main.py"}, "'app_file' is main.py, which is not in the repository"),
        ({"colorFrom": "orange"}, "'colorFrom' is 'orange', but must be one of red, yellow"),
        ({"short_description": "x" * 61}, "at most 60 letters"),
        ({"fullwidth": True}, "The Hub knows no field 'fullwidth'; is fullWidth meant?"),
        ({"emoji": "ear"}, "must be one emoji"),
        ({"suggested_hardware": "cpu"}, "cpu-basic"),
        ({"models": "openai/whisper-tiny.en"}, "a list of repositories of models"),
        ({"preload_from_hub": ["openai/whisper-tiny.en a.json, b.json"]}, "commas, no spaces"),
        ({"custom_headers": {"content-security-policy": "x"}}, "cross-origin-opener-policy"),
        ({"startup_duration_timeout": "long"}, "a time such as 30m"),
        ({"disable_embedding": True}, "no card could be shown"),
        ({"pinned": "no"}, "'pinned' is 'no', but must be true or false"),
    ],
)
def test_what_the_hub_would_refuse_is_a_sentence(changed: dict[str, Any], sentence: str) -> None:
    said = problems(**changed)
    assert len(said) == 1
    assert sentence in said[0]


@pytest.mark.parametrize(
    "changed",
    [
        {"preload_from_hub": ["openai/whisper-tiny.en", "gpt2 config.json,model.safetensors", f"coqui/XTTS-v1 config.json {'0a' * 20}"]},
        {"suggested_hardware": "cpu-basic", "startup_duration_timeout": "1h", "header": "mini", "fullWidth": False},
        {"custom_headers": {"Cross-Origin-Opener-Policy": "same-origin"}, "hf_oauth": True, "hf_oauth_scopes": ["read-repos"]},
        {"models": ["gpt2", "deepset/roberta-base-squad2"], "datasets": ["oscar-corpus/OSCAR-2109"], "python_version": "3.12"},
    ],
)
def test_what_the_reference_gives_as_examples_is_taken(changed: dict[str, Any]) -> None:
    assert problems(**changed) == []


@pytest.mark.parametrize("name", ["title", "sdk", "sdk_version", "python_version", "app_file"])
def test_a_missing_field_is_named(name: str) -> None:
    front = {key: value for key, value in front_matter(NEW).items() if key != name}
    assert front_problems(front, {"app.py"}, "6.31.0") == [f"The field '{name}' is missing."]


@pytest.mark.parametrize("readme", ["# Earmark\n", "---\ntitle: [\n---\n", "---\njust words\n---\n", "text\n---\ntitle: a\n---\n"])
def test_no_front_matter_is_a_sentence(readme: str) -> None:
    with pytest.raises(ValueError, match="front matter"):
        front_matter(readme)


def test_every_field_says_what_it_must_be() -> None:
    assert all(field.valid and not field.fits(object()) for field in FIELDS.values())


def test_sizes() -> None:
    assert size_problems({"a.bin": 25_000_000, "precomputed/t.parquet": 20_000_000}) == []
    assert size_problems({"docs/film.mp4": 25_000_001}) == ["docs/film.mp4 has 25.0 MB; at most 25 are allowed."]
    assert size_problems({f"precomputed/{i}.parquet": 20_000_000 for i in range(8)}) == ["precomputed/ has 160.0 MB; at most 150 are allowed."]


def test_what_git_lfs_would_need_is_said() -> None:
    large = large_files({"a/w.safetensors": 10_000_001, "b.parquet": 10_000_000, "c.parquet": 11_000_000})
    assert large == ("a/w.safetensors", "c.parquet")
    assert "`git lfs track '*.parquet' '*.safetensors'`" in lfs_note(large)
    assert lfs_note(()) == ""


@pytest.mark.parametrize(
    ("headers", "page", "framed"),
    [
        ({}, "https://huggingface.co", True),
        ({"Content-Security-Policy": "default-src 'self'"}, "https://huggingface.co", True),
        ({"Content-Security-Policy": "default-src 'self'; frame-ancestors 'self'"}, "https://huggingface.co", False),
        ({"content-security-policy": "frame-ancestors 'self' https://huggingface.co https://*.hf.space"}, "https://huggingface.co", True),
        ({"content-security-policy": "frame-ancestors 'self' https://huggingface.co https://*.hf.space"}, "https://you-earmark.hf.space", True),
        ({"content-security-policy": "frame-ancestors 'self' https://huggingface.co https://*.hf.space"}, "https://hf.space", False),
        ({"content-security-policy": "frame-ancestors 'self' https://*.hf.space"}, "https://evil-hf.space", False),
        ({"content-security-policy": "frame-ancestors 'self' http://huggingface.co"}, "https://huggingface.co", False),
        ({"content-security-policy": "frame-ancestors *"}, "https://a-blog.example", True),
        ({"content-security-policy": "frame-ancestors 'none'"}, "https://huggingface.co", False),
        ({"X-Frame-Options": "DENY"}, "https://huggingface.co", False),
    ],
)
def test_frames(headers: dict[str, str], page: str, framed: bool) -> None:
    assert (header_problems(headers, (page,)) == []) is framed


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of two tracked files, one that git ignores, and one that it does not know."""
    root = tmp_path / "repository"
    for name, text in {"app.py": "1", "a/t.parquet": "22", ".gitignore": ".venv", ".venv/x": "333", "new.py": "4444"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for command in (["init", "-q"], ["add", "app.py", "a", ".gitignore"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    monkeypatch.setattr(space_check, "ROOT", root)
    return root


def test_the_tree_holds_what_git_tracks_as_it_lies_here_and_nothing_else(repository: Path, tmp_path: Path) -> None:
    (repository / "app.py").write_text("changed")
    sizes = space_check.tracked_tree(tmp_path / "tree")
    assert sizes == {"app.py": 7, "a/t.parquet": 2, ".gitignore": 5}
    copied = {p.relative_to(tmp_path / "tree").as_posix(): p.stat().st_size for p in (tmp_path / "tree").rglob("*") if p.is_file()}
    assert copied == sizes
    assert space_check.untracked() == ["new.py"]


def test_the_page_gets_empty_folders_and_nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HF_TOKEN": "secret", "EARMARK_CACHE": "/somewhere", "EARMARK_DATA": "precomputed"}.items():
        monkeypatch.setenv(name, value)
    env = space_check.space_env(tmp_path)
    assert not {"HF_TOKEN", "EARMARK_CACHE"} & set(env)
    assert list(Path(env["HOME"]).iterdir()) == []
    assert Path(env["EARMARK_DATA"]) == Path("precomputed").resolve()


def test_a_page_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("raise SystemExit('no shelf')")
    with (
        pytest.raises(space_check.Failed, match=r"app.py ended by itself:\n.*no shelf"),
        space_check.running(Path(space_check.sys.executable), tmp_path, dict(space_check.os.environ), tmp_path / "log"),
    ):
        pass


def test_files_left_beside_the_code_are_told(tmp_path: Path) -> None:
    for name in ("app.py", "cache.bin", "__pycache__/app.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(space_check.Failed, match=r"wrote cache\.bin beside"):
        space_check.leftovers(tmp_path, {"app.py": 1})
