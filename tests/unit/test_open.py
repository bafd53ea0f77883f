"""`open`: what a checkpoint is, from a file, a folder or a name on the Hub; its entry opens it; the page's form takes names of the Hub only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from earmark.__main__ import main
from earmark.errors import BadInput, NotFound
from earmark.live.checkpoints.opening import HubName, look, parse_hub_name
from earmark.settings import Settings
from earmark.shelf.catalog import read_catalog
from tests.fixtures.hub import serve_hub
from tests.fixtures.toy import N_UNITS, WIDTH

ROOT = Path(__file__).parents[2]
FORM = """
import json, sys
from components.about import looked_at
from components.bridge import Context
from earmark.live.desk import Desk
from earmark.settings import Settings
from earmark.shelf.store import Store
store = Store(Settings.from_env())
print(json.dumps([looked_at(Context(store, (), Desk(store)), name) for name in json.loads(sys.argv[1])]))
"""


def write_sae(path: Path, n: int = 24, d: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.save({"encoder.weight": torch.randn(n, d), "decoder.weight": torch.randn(d, n), "encoder_bias": torch.zeros(n), "decoder_bias": torch.zeros(d)}, path)


def test_a_folder_and_a_file_need_neither_model_nor_network(house: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["open", str(house.data / "toy-sae"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["n_units"], found["width"], found["k"]) == ("saelens", N_UNITS, WIDTH, 4)
    write_sae(tmp_path / "w.pt")
    found = look(str(tmp_path / "w.pt"), house, None)
    assert (found.format, found.n_units, found.width) == ("wave-sae", 24, 8)
    entry = tomllib.loads(found.entry)["dictionaries"]["w-pt"]
    assert entry["file"] == "w.pt" and entry["kind"] == "sae" and "8 wide" in found.needs
    assert main(["open", str(tmp_path / "nothing.pt")]) == 1
    for name in ("nothing", "nothing/", "some/nothing/"):
        with pytest.raises(NotFound, match="no file or folder"):
            look(name, house, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b", HubName("a/b", "", "main")),
        ("a/b/c/d.pt@v1", HubName("a/b", "c/d.pt", "v1")),
        ("https://huggingface.co/a/b/blob/main/x.pt", HubName("a/b", "x.pt", "main")),
    ],
)
def test_names_on_the_hub(text: str, expected: HubName) -> None:
    assert parse_hub_name(text) == expected


@pytest.mark.parametrize("text", ["", "a", "../b", "/etc/passwd", "a/..", "a/b/../../etc", "a/b@../x", "a b/c", "a/b\\..\\c", "file:///etc/passwd", "~/x/y"])
def test_what_is_no_name_on_the_hub(text: str) -> None:
    with pytest.raises(BadInput):
        parse_hub_name(text)


def ask(folder: Path, endpoint: str, code: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_HOME": str(folder / "hf"),
        "EARMARK_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT), **more,
    }  # fmt: skip
    return subprocess.run([sys.executable, *code], env=env, capture_output=True, text=True, timeout=120)


def test_names_on_the_hub_open_and_their_entries_can_be_pasted(tmp_path: Path) -> None:
    write_sae(tmp_path / "one" / "sae.pt")
    for layer in (1, 2):
        write_sae(tmp_path / "many" / f"layer_{layer}" / "ae.pt")
        (tmp_path / "many" / f"layer_{layer}" / "config.json").write_text(json.dumps({"note": "<script>alert(1)</script>"}))
    (tmp_path / "many" / "README.md").write_text("x")
    with serve_hub({"o/one": tmp_path / "one", "o/many": tmp_path / "many"}) as (endpoint, asked):

        def opened(name: str) -> dict[str, Any]:
            done = ask(tmp_path, endpoint, ["-m", "earmark", "open", name, "--json"])
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        one, layer = opened("o/one"), opened("o/many/layer_2")
        assert (one["n_units"], one["width"]) == (24, 8) and not any("layer_1" in line for line in asked), "only what was named is fetched"
        (tmp_path / "data").mkdir()
        models = 'default = "x"\n[models.MY-MODEL]\nfamily = "wav2vec2"\nmodality = "audio"\n'.replace("MY-MODEL", "m")
        text = models + "".join(found["entry"].replace("MY-MODEL", "m") for found in (one, layer))
        (tmp_path / "data" / "catalog.toml").write_text(text)
        entries = read_catalog(tmp_path / "data").dictionaries
        assert [(e.file, e.folder, e.hub and e.hub.files) for e in entries.values()] == [
            ("sae.pt", None, ("sae.pt",)),
            (None, "layer_2", ("layer_2/ae.pt", "layer_2/config.json")),
        ]
        several = ask(tmp_path, endpoint, ["-m", "earmark", "open", "o/many"])
        assert several.returncode == 1 and "layer_1/" in several.stderr and "Traceback" not in several.stderr
        names = ["o/one", "/etc/passwd", str(tmp_path / "one" / "sae.pt"), "o/<b>x</b>", "o/none"]
        page = json.loads(ask(tmp_path, endpoint, ["-c", FORM, json.dumps(names)], EARMARK_OWNER="1").stdout)
        assert "24 units" in page[0] and "hub = {" in page[0]
        assert all("no Hub repository" in answer for answer in page[1:4]) and "<b>x" not in page[3]
        assert "no repository o/none" in page[4]
        assert "Only the owner" in json.loads(ask(tmp_path, endpoint, ["-c", FORM, '["o/one"]']).stdout)[0]
