"""An autoencoder whose file leaves open how its input is scaled: found out once, for every process, before tables are built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from earmark.dictionaries import open_checkpoint
from earmark.errors import MissingWeights
from earmark.live.checkpoints import opening
from earmark.live.checkpoints.facts import activations, examine, neighbours, settle_input
from earmark.live.checkpoints.opening import lines, look
from earmark.live.checkpoints.selfcheck import self_check
from earmark.runtime import Runtime, noted_scale
from earmark.settings import Settings
from earmark.shelf.catalog import read_catalog
from earmark.shelf.hub.download import Listed
from earmark.shelf.store import Store
from tests.fixtures.toy import CATALOG, WIDTH, make_corpus, make_model, settings_for

N_UNITS = 40
OPEN = """
[dictionaries.open-sae]
model = "toy"
kind = "sae"
site = "residual"
layer = 1
corpus = "sounds"
file = "open.pt"
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The toy model, three sounds, and wave-sae's layout, whose weights fit inputs of the mean length sqrt(d): twice the signs of the axes, with biases."""
    found = settings_for(tmp_path_factory.mktemp("open"))
    found.data.mkdir(parents=True)
    (found.data / "catalog.toml").write_text(CATALOG + OPEN)
    make_model(found.data / "toy-model")
    make_corpus(found, 3)
    W = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)]) * 1.0
    state = {"encoder.weight": W, "decoder.weight": W.T.contiguous(), "encoder_bias": torch.full((2 * WIDTH,), -0.05), "decoder_bias": torch.zeros(WIDTH)}
    torch.save(state, found.data / "open.pt")
    return found


def test_the_way_that_fits_is_found_once_and_kept_for_every_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Runtime(settings).open("open-sae")
    assert before.checkpoint is not None and before.scale is None and len(before.checkpoint.candidates) > 1
    x = activations(Runtime(settings), Store(settings), before)
    n_frames = sum(Store(settings).corpus("sounds").durations_s) / 0.02
    assert len(x) == pytest.approx(n_frames, abs=3), "three sounds are less than what it may take: all of them"
    best = self_check(before.checkpoint, x).scale
    settle_input(settings, "open-sae")
    assert noted_scale(settings.cache, before.weights_sha256, before.hook) == best
    again = Runtime(settings).open("open-sae")
    assert again.scale == best and again.checkpoint is not None
    np.testing.assert_allclose(again.dictionary.codes(x[:50]).dense(), again.checkpoint.scaled(best).dictionary.codes(x[:50]).dense(), atol=1e-6)
    assert (again.revision == before.revision) == (best == before.checkpoint.candidates[0]), "another way of reading is another dictionary"
    monkeypatch.setattr("earmark.live.checkpoints.facts.examine", None)
    settle_input(settings, "open-sae")
    settle_input(settings, "toy-neurons")


def test_what_the_catalog_says_comes_first(settings: Settings, tmp_path: Path) -> None:
    for place in settings.data.iterdir():
        (tmp_path / place.name).symlink_to(place)
    (tmp_path / "catalog.toml").unlink()
    (tmp_path / "catalog.toml").write_text(CATALOG + OPEN + 'scale = "raw"\n')
    told = replace(settings, data=tmp_path, cache=tmp_path / "cache")
    settle_input(told, "open-sae")
    opened = Runtime(told).open("open-sae")
    assert opened.scale == "raw" and noted_scale(told.cache, opened.weights_sha256, opened.hook) is None


def test_without_any_sound_there_is_no_check_and_it_says_why(settings: Settings, tmp_path: Path) -> None:
    for name in ("toy-model", "open.pt", "catalog.toml"):
        (tmp_path / name).symlink_to(settings.data / name)
    bare = replace(settings, data=tmp_path, cache=tmp_path / "cache")
    found = examine(Runtime(bare), Store(bare), "open-sae")
    assert found.check is None and found.problem == "No corpus is on this machine, so that there was no sound to try it on."
    axes = examine(Runtime(bare), Store(bare), "toy-residual")
    assert (axes.check, axes.problem, axes.format, axes.n_units) == (None, None, None, WIDTH)


def test_neighbours_are_for_what_writes_into_the_stream(settings: Settings) -> None:
    runtime = Runtime(settings)
    found = neighbours(runtime.open("open-sae"), 3)
    assert len(found) == 10 and 3 not in {n.unit for n in found} and max(abs(n.cosine) for n in found) == pytest.approx(0, abs=1e-6)
    assert [neighbours(runtime.open("open-sae"), unit) for unit in (-1, 2 * WIDTH)] == [(), ()]
    assert neighbours(runtime.open("toy-residual"), 3) == ()


def test_open_says_what_is_open_and_whose_model_it_is(settings: Settings, tmp_path: Path) -> None:
    told = lines(look(str(settings.data / "open.pt"), settings, read_catalog(settings.data)))
    candidates = open_checkpoint(settings.data / "open.pt", width=WIDTH).candidates
    assert f"  The file leaves open how its input is scaled; tried when it is opened: {', '.join(candidates)}." in told
    assert told[0].endswith(": wave-sae") and told[1] == f"  {2 * WIDTH} units over activations {WIDTH:,} wide, relu, 0.0 MB"


def test_scales_that_cannot_be_read_are_found_out_again(settings: Settings, tmp_path: Path) -> None:
    own = replace(settings, cache=tmp_path)
    opened = Runtime(own).open("open-sae")
    for broken in ("", "[3]", "{", "null"):
        (tmp_path / "scales.json").write_text(broken)
        assert noted_scale(tmp_path, opened.weights_sha256, opened.hook) is None
        settle_input(own, "open-sae")
        assert noted_scale(tmp_path, opened.weights_sha256, opened.hook) is not None


def test_a_model_that_is_gone_is_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "catalog.toml").symlink_to(settings.data / "catalog.toml")
    with pytest.raises(MissingWeights, match="no folder 'toy-model'"):
        settle_input(replace(settings, data=tmp_path), "open-sae")


# -- what a name on the Hub stands for ---------------------------------------------------------------------------------------

SAES = ("a.pt", "a_cfg.json", "b.pt", "config.json", "README.md")


@pytest.mark.parametrize(
    ("asked", "listed", "files", "inside", "is_file"),
    [
        ("o/n/sub/a.pt", SAES, ("sub/a.pt", "sub/a_cfg.json", "sub/config.json"), "sub/a.pt", True),
        ("o/n/sub/b.pt", SAES, ("sub/b.pt", "sub/config.json"), "sub/b.pt", True),
        ("o/n/sub", ("ae.pt", "optimizer.pt", "config.json"), ("sub/ae.pt", "sub/config.json"), "sub", False),
        ("o/n/sub/c.pt", SAES, "o/n has no 'sub/c.pt'; there it has sub/a.pt, sub/a_cfg.json, sub/b.pt", "", False),
        ("o/n/sub", SAES, "o/n/sub holds several checkpoints; name one of sub/a.pt, sub/b.pt", "", False),
        ("o/n/sub", ("README.md",), "o/n/sub holds no checkpoint; name one of sub/README.md", "", False),
    ],
)
def test_which_files_a_name_stands_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, asked: str, listed: tuple[str, ...], files: tuple[str, ...] | str, inside: str, is_file: bool
) -> None:
    def list_folder(repo: str, folder: str, revision: str, _: Settings) -> list[Listed]:
        assert (repo, revision) == ("o/n", "main") and folder in ("", "sub")
        return [Listed(f"sub/{name}", False) for name in listed] if folder else [Listed("sub", True)]

    monkeypatch.setattr(opening, "list_folder", list_folder)
    if isinstance(files, str):
        with pytest.raises(MissingWeights, match=files):
            opening._choose(opening.parse_hub_name(asked), settings)
        return
    source, found, one = opening._choose(opening.parse_hub_name(asked), settings)
    assert (source.files, found, one) == (files, inside, is_file)


@pytest.mark.parametrize(
    ("told", "slug"),
    [
        ("toy", "toy"),
        ("somebody/Toy", "toy"),
        ("EleutherAI/pythia-160m-deduped", "pythia"),
        ("gpt2-small", "gpt2"),
        ("gpt2", "gpt2"),
        ("other", None),
        ("", None),
    ],
)
def test_whose_model_a_file_means(tmp_path: Path, told: str, slug: str | None) -> None:
    models = CATALOG + "".join(
        f'[models.{name}]\nfamily = "gpt2"\nmodality = "text"\nhub = {{ repo = "{repo}" }}\n'
        for name, repo in (("pythia", "EleutherAI/pythia-160m"), ("gpt2", "openai-community/gpt2"))
    )
    (tmp_path / "catalog.toml").write_text(models)
    found = opening._model_of(told, read_catalog(tmp_path))
    assert (found.slug if found else None) == slug and opening._model_of(told, None) is None
