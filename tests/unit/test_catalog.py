"""catalog.toml and settings: every entry that cannot be used is named with what is valid, and nothing else of it is opened."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import pytest

from earmark.commands.arguments import TRAINING_FLAGS, workers
from earmark.errors import BadInput, NotFound
from earmark.settings import Settings
from earmark.shelf.catalog import Catalog, model_revision, read_catalog

MODEL = '[models.m]\nfamily = "whisper"\nmodality = "audio"\n'
SAE = '[dictionaries.d]\nmodel = "m"\nkind = "sae"\nsite = "residual"\nlayer = 2\nfolder = "d"\n'


def catalog(folder: Path, text: str) -> Catalog:
    folder.mkdir(exist_ok=True)
    (folder / "catalog.toml").write_text(text, encoding="utf-8")
    return read_catalog(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models = 3", r"models must be tables such as \[models.my-slug\]"),
        ("[corpora]\nx = 3", r"corpora must be tables such as \[corpora.my-slug\]"),
        (MODEL.replace("models.m", "models.M"), "'M' in models is no slug: lower-case letters"),
        (MODEL.replace("models.m", 'models."../m"'), r"'\.\./m' in models is no slug"),
        (MODEL + SAE.replace('"sae"', '"sea"'), "dictionaries.d has kind 'sea'; valid: sae, neurons, residual"),
        (SAE, "dictionaries.d names the model 'm', which is not listed"),
        (MODEL + SAE.replace('folder = "d"\n', ""), "is an SAE and needs `folder` or `file`"),
        (MODEL + SAE + 'file = "d.pt"', "is an SAE and needs `folder` or `file`"),
        (MODEL + SAE + 'size = "d"', "dictionaries.d has the unknown key 'size'; valid: corpus, "),
        (MODEL + SAE.replace("layer = 2\n", ""), "dictionaries.d is incomplete: .*'layer'"),
        (MODEL + 'hub = { repo = "no name" }', "models.m: 'no name' is no Hub repository: owner/name is needed"),
        (MODEL + 'hub = { repo = "a/b", files = ["../x"] }', "models.m: '../x' is no path inside a repository"),
        (MODEL + "hub = 3", r"hub of models.m must be \{ repo, files"),
        (MODEL + SAE + 'tables = { repo = "a/b", place = "x" }', r"tables of dictionaries.d must be \{ repo, folder, revision \}"),
        ("default = ", "catalog.toml cannot be read"),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be_used_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        catalog(tmp_path, text)


def test_an_entry_that_cannot_be_used_leaves_the_rest(tmp_path: Path) -> None:
    bad = MODEL.replace("models.m]", "models.b]") + 'path = ["x"]\n' + SAE.replace("dictionaries.d]", "dictionaries.b]").replace('"m"', '"b"')
    bad += SAE.replace("dictionaries.d]", "dictionaries.c]").replace("layer = 2", "layer = -2") + '[corpora.k]\ntitle = "a\\u0007"\n'
    found = catalog(tmp_path, 'default = "c"\n' + MODEL + bad + SAE)
    assert (list(found.dictionaries), found.default, list(found.models)) == (["d"], "d", ["m"])
    assert list(found.faults) == ["models.b", "corpora.k", "dictionaries.c", "dictionaries.b", "default"]
    for ask, slug, words in (
        (found.dictionary, "b", r"names the model 'b', which cannot be used. .*models.b: path is \"\['x'\]\", but must be"),
        (found.dictionary, "c", "dictionaries.c: layer is '-2', but must be a whole number from 0"),
        (found.corpus, "k", "corpora.k: title is .* but must be a text of at most 2,000 letters"),
    ):
        with pytest.raises(BadInput, match=words):
            ask(slug)
    assert found.dictionary("d").layer == 2


@pytest.mark.parametrize("text", ["x = " + "[" * 20_000, "x = " + "9" * 5_000, "x = 1\nx = 2", "\0", "[models.m]\n" * 2])
def test_a_catalog_that_is_none_is_a_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="catalog.toml cannot be read"):
        catalog(tmp_path, text)


def test_where_there_is_no_catalog_the_folder_and_the_variable_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=f"no catalog.toml in '{tmp_path}'. Set EARMARK_DATA"):
        read_catalog(tmp_path)


def test_the_first_dictionary_is_shown_where_none_is_named(tmp_path: Path) -> None:
    found = catalog(tmp_path, MODEL + SAE.replace("dictionaries.d]", "dictionaries.first]") + SAE)
    assert (found.default, catalog(tmp_path / "empty", "").default) == ("first", "")


def test_a_corpus_that_nobody_has_listed_is_known_by_its_manifest(tmp_path: Path) -> None:
    """`python -m earmark corpus` has made it; a dictionary's folder is no corpus, a broken manifest is told, and no path leads out."""
    found = catalog(tmp_path, MODEL)
    told = {"what": "corpus", "title": "Mine", "modality": "text", "licence": "CC0", "source": "folder"}
    for slug, content in {"mine": json.dumps(told), "d": '{"what": "dictionary"}', "torn": '{"what', "list": "[1]"}.items():
        (tmp_path / slug).mkdir()
        (tmp_path / slug / "manifest.json").write_text(content)
    entry = found.corpus("mine")
    assert (entry.slug, entry.title, entry.modality, entry.licence, entry.source) == ("mine", "Mine", "text", "CC0", "folder")
    for slug in ("d", "nowhere", "list", "../mine"):
        with pytest.raises(NotFound, match="no corpus"):
            found.corpus(slug)
    with pytest.raises(BadInput, match="manifest of 'torn' cannot be read"):
        found.corpus("torn")


def test_a_model_is_pinned_by_what_its_weights_come_from(tmp_path: Path) -> None:
    packages = f'packages = [{{ role = "w", package = "p", file = "f", sha256 = "{"ab" * 32}" }}]\n'
    hub = 'hub = { repo = "a/b", revision = "v1" }\n'
    for n, (more, expected) in enumerate(((packages + hub, "ab" * 6), (hub, "a/b@v1"), ('path = "here"\n', "path:here"))):
        assert model_revision(catalog(tmp_path / str(n), MODEL + more).model("m")) == expected


# -- settings and flags --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["many", "-1", "1.5", "0", "²"])
def test_a_number_that_is_none_names_its_variable(text: str) -> None:
    with pytest.raises(BadInput, match=f"EARMARK_MAX_AUDIO_S is '{text}', but must be a whole number from 1"):
        Settings.from_env({"EARMARK_MAX_AUDIO_S": text})


def test_what_is_neither_yes_nor_no_names_its_variable() -> None:
    assert not Settings.from_env({"EARMARK_OFFLINE": "Off"}).offline
    with pytest.raises(BadInput, match="EARMARK_OFFLINE is 'maybe', but must be one of 1, 0, true"):
        Settings.from_env({"EARMARK_OFFLINE": "maybe"})


def test_settings_are_read_by_the_kind_of_their_default(tmp_path: Path) -> None:
    env = {"EARMARK_HUB_MAX_MB": "0", "EARMARK_MAX_AUDIO_S": " 90 ", "EARMARK_OFFLINE": "Yes", "EARMARK_OWNER": "0", "EARMARK_DATA": "~/x", "EARMARK_CACHE": ""}
    found = Settings.from_env(env)
    assert (found.hub_max_mb, found.max_audio_s, found.offline, found.owner) == (0, 90, True, False)
    assert found.data == Path.home() / "x" and found.cache == Settings.from_env({}).cache, "an empty variable is none"


@pytest.mark.parametrize(("text", "seed"), [("0", 0), ("4294967295", 2**32 - 1), ("4294967296", None), ("-1", None), ("1e3", None), ("²", None), ("", None)])
def test_a_seed_is_a_whole_number_of_32_bits(text: str, seed: int | None) -> None:
    read = next(type_ for flag, type_, _ in TRAINING_FLAGS if flag == "seed")
    assert read is not None
    if seed is not None:
        assert read(text) == seed
        return
    with pytest.raises(argparse.ArgumentTypeError, match="no whole number from 0 to 4294967295"):
        read(text)


def test_workers_are_at_least_one() -> None:
    assert workers(argparse.Namespace(workers=3)) == 3
    assert workers(argparse.Namespace(workers=None)) == max(1, min(os.cpu_count() or 1, 8))
    with pytest.raises(BadInput, match="--workers is 0; at least 1 is needed"):
        workers(argparse.Namespace(workers=0))
