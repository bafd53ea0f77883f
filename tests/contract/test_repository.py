"""What may lie in the repository: no paths or hosts of anybody's machine, nothing too large, a front matter that a Space takes."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from earmark.settings import Settings
from earmark.shelf.catalog import read_catalog
from scripts.space_rules import front_matter, front_problems, size_problems

from .tree import ROOT, modules, packages, repository_files

BINARY = {".parquet", ".safetensors", ".png", ".jpg", ".webp", ".mp3", ".wav", ".flac", ".ogg", ".npy", ".ico", ".woff2"}
TEXTS = [p for p in repository_files() if p.suffix not in BINARY]

# In pieces, so that this file does not hold what it looks for
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "registry." + "npmjs", "registry." + "yarnpkg", "download." + "pytorch", "conda." + "anaconda"]
FOLDERS = re.compile("(?<![\\w.~-])/(?:ho" + "me|ro" + "ot|Us" + "ers|wo" + "rk)/[\\w.-]+")

# imported by us, installed by what is named: they come and go with it
COME_WITH = {"starlette": "gradio", "fastapi": "gradio", "httpx2": "huggingface_hub", "tokenizers": "transformers", "markupsafe": "jinja2"}
# name in an import -> name of the package
PACKAGE_OF = {"PIL": "pillow"}


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def requirements(name: str) -> dict[str, str]:
    """{package: what follows its name} of a requirement file."""
    lines = [line.strip() for line in read(ROOT / name).splitlines() if line.strip() and not line.startswith("#")]
    matches = [re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?(.*)", line) for line in lines]
    return {m[1].lower(): m[2] for m in matches if m}


# -- files -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_machine_is_named(path: Path) -> None:
    text = read(path)
    assert not [host for host in HOSTS if host in text], "a package registry's host is named"
    assert not FOLDERS.findall(text), "a path of somebody's machine is named"


def test_nothing_is_too_large() -> None:
    assert size_problems({p.relative_to(ROOT).as_posix(): p.stat().st_size for p in repository_files()}) == []


def test_nothing_generated_lies_here() -> None:
    strange = [p for p in repository_files() if p.suffix in {".pyc", ".pyi", ".pt", ".pkl", ".tmp"} or "__pycache__" in p.parts]
    assert not strange


def test_every_shipped_folder_has_its_manifest_and_licence() -> None:
    """What lies here, and at least the default, the others over its layer and their corpus; the rest is on the Hub."""
    settings = Settings.from_env({})
    catalog = read_catalog(settings.data)
    here = {p.name for p in settings.data.iterdir() if p.is_dir()}
    assert here <= {*catalog.corpora, *catalog.dictionaries}
    assert here >= {*(d.slug for d in catalog.siblings(catalog.default)), str(catalog.dictionary(catalog.default).corpus)}
    for slug in here:
        for name in ("manifest.json", "LICENSE"):
            assert (settings.data / slug / name).is_file(), f"precomputed/{slug} has no {name}"


def test_the_licence_is_whole() -> None:
    text = read(ROOT / "LICENSE")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "Apache-2.0" in yaml.safe_load(read(ROOT / "CITATION.cff"))["license"]


# -- requirements ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.txt")), ids=lambda p: p.name)
def test_each_requirement_has_its_reason(path: Path) -> None:
    lines = read(path).splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        group = path.name in {"requirements-dev.txt", "requirements-peers.txt"} and not before.startswith("#")
        assert not line or line.startswith("#") or before.startswith("#") or (group and before), f"{line} has no reason above it"


def test_torch_is_bounded_by_what_was_tried() -> None:
    assert requirements("requirements.txt")["torch"] == ">=2.8,<=2.13.0"


def test_weights_are_pinned() -> None:
    assert all(re.fullmatch(r"==[\d.]+", bound) for bound in requirements("requirements-weights.txt").values())
    listed = {p.package for m in read_catalog(Settings.from_env({}).data).models.values() for p in m.packages}
    assert listed == set(requirements("requirements-weights.txt"))


def test_every_import_is_required() -> None:
    needed: set[str] = set()
    for path in modules("earmark", "components", "app.py"):
        needed |= packages(path)
    needed -= set(sys.stdlib_module_names) | {"earmark", "components", "app"}
    needed = {PACKAGE_OF.get(name, name) for name in needed}
    listed = set(requirements("requirements.txt"))
    assert {COME_WITH.get(name, name) for name in needed} <= listed, f"not in requirements.txt: {needed - listed - set(COME_WITH)}"


# -- the Space -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def front() -> dict[str, object]:
    return front_matter(read(ROOT / "README.md"))


def test_front_matter_is_what_a_space_takes(front: dict[str, object]) -> None:
    assert (front["title"], front["app_file"], front["license"]) == ("Earmark", "app.py", "other")
    files = {p.relative_to(ROOT).as_posix() for p in repository_files()}
    assert front_problems(front, files, requirements("requirements.txt")["gradio"].removeprefix("==")) == []
    assert version("gradio") == front["sdk_version"]


def test_preloaded_files_are_those_of_the_catalog(front: dict[str, object]) -> None:
    models = {m.hub.repo: m.hub for m in read_catalog(Settings.from_env({}).data).models.values() if m.hub}
    assert set(map(str, front["models"])) == set(models)  # type: ignore[call-overload]
    for line in front["preload_from_hub"]:  # type: ignore[attr-defined]
        repo, files = line.split(" ")
        assert tuple(files.split(",")) == models[repo].files
