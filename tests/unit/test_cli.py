"""The command line over the toy house: what each command prints, and what bad input gets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from earmark.__main__ import main
from earmark.errors import unknown
from earmark.inputs.audio import decode
from earmark.runtime import Runtime
from earmark.settings import Settings
from earmark.shelf.schema import LABELS
from earmark.shelf.store import Store
from earmark.shelf.tables import put_table
from tests.fixtures.shelf import LABEL
from tests.fixtures.toy import CATALOG as TOY_CATALOG
from tests.fixtures.toy import N_UNITS, sound

Ask = pytest.FixtureRequest


@pytest.fixture
def ask(house: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """ask("unit", "toy-sae", 3) -> (status, parsed JSON or None, standard error)."""
    for name in ("data", "cache"):
        monkeypatch.setenv(f"EARMARK_{name.upper()}", str(getattr(house, name)))
    monkeypatch.setenv("EARMARK_OFFLINE", "1")

    def run(*words: object, as_json: bool = True) -> tuple[int, object, str]:
        status = main([*map(str, words), *(["--json"] if as_json else [])])
        out, err = capsys.readouterr()
        return status, json.loads(out) if as_json and status == 0 else out, err

    return run


def test_list_names_every_dictionary(ask) -> None:
    _, found, _ = ask("list")
    assert [(d["slug"], d["kind"], d["model"], d["modality"], d["tables"]) for d in found] == [
        (f"toy-{kind}", kind, "toy", "audio", True) for kind in ("sae", "neurons", "residual")
    ]
    assert [d["n_units"] for d in found] == [N_UNITS, 40, 16]


def test_unit_has_the_stated_keys_and_no_more_than_json_can_say(ask) -> None:
    _, card, _ = ask("unit", "toy-sae", 3)
    assert card["dictionary"] == "toy-sae" and card["unit"] == 3
    assert 0 <= card["stats"]["density"] <= 1 and card["stats"]["peak"] > 0
    assert {"rank", "group", "sample", "peak", "at_s", "trace"} <= set(card["examples"][0])
    assert card["match"]["dictionary"] == "toy-neurons" and len(card["neighbours"]) == 8
    _, dead, _ = ask("unit", "toy-sae", 5)
    assert dead["stats"]["dead"] is True and dead["examples"] == [] and dead["match"] is None


def test_search_obeys_its_bounds(ask) -> None:
    _, everything, _ = ask("search", "toy-neurons", 4, "--n", 500)
    assert len(everything) == 150
    low, high = everything[100]["peak"], everything[50]["peak"]
    _, some, _ = ask("search", "toy-neurons", 4, "--min", low, "--max", high, "--n", 500)
    assert {h["sample"] for h in some} == {h["sample"] for h in everything if low <= h["peak"] <= high}
    assert set(some[0]) >= {"sample", "peak", "at_s"}


def test_analyse_gives_what_the_model_gives(ask, house: Settings, tmp_path: Path) -> None:
    path = tmp_path / "mine.wav"
    path.write_bytes(sound(77, 1.3))
    _, found, _ = ask("analyse", "toy-sae", "--audio", path, "--top", 5)
    assert found["duration_s"] == pytest.approx(1.3) and isinstance(found["transcript"], str)
    o = Runtime(house).open("toy-sae")
    x = Runtime(house).model("toy").capture(decode(path.read_bytes()).waveform, [o.hook])[o.hook].values
    f = o.dictionary.codes(x).dense()
    corpus_peak = {u: Store(house).units_frame("toy-sae")["peak"][u] for u in range(N_UNITS)}
    expected = sorted((u for u in range(N_UNITS) if f[:, u].any()), key=lambda u: -f[:, u].max() / max(corpus_peak[u], 1e-9))[:5]
    assert [h["unit"] for h in found["hits"]] == expected
    for h in found["hits"]:
        assert h["peak"] == pytest.approx(f[:, h["unit"]].max(), rel=1e-4)
        assert h["at_s"] == pytest.approx(0.02 * f[:, h["unit"]].argmax(), abs=1e-6)
        assert h["relative"] == pytest.approx(h["peak"] / corpus_peak[h["unit"]], rel=1e-4)


def test_labels_are_printed_as_the_page_shows_them(ask, house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(house.data, tmp_path / "data")
    monkeypatch.setenv("EARMARK_DATA", str(tmp_path / "data"))
    path = tmp_path / "mine.wav"
    path.write_bytes(sound(77, 1.3))
    strongest = [h["unit"] for h in ask("analyse", "toy-neurons", "--audio", path, "--top", 3)[1]["hits"]]
    named = zip(strongest, (("phone", "/sh/"), ("word", "money"), ("context", "before the word money")), strict=True)
    put_table(tmp_path / "data" / "toy-neurons", LABELS, [LABEL | {"unit": u, "kind": kind, "label": text} for u, (kind, text) in named], {"labels": {}})
    said = ask("analyse", "toy-neurons", "--audio", path, "--top", 3, as_json=False)[1].splitlines()
    assert [line.split("  ")[-1] for line in said[1:]] == ["/sh/ (ʃ)", "“money”", "before the word “money”"]
    assert [h["label"] for h in ask("analyse", "toy-neurons", "--audio", path, "--top", 3)[1]["hits"]] == ["/sh/", "money", "before the word money"]
    assert ask("unit", "toy-neurons", strongest[0], as_json=False)[1].splitlines()[0] == f"toy-neurons:{strongest[0]}  /sh/ (ʃ)"
    found = ask("search", "--label", "sh", as_json=False)[1].splitlines()
    assert len(found) == 1 and found[0].startswith(f"toy-neurons:{strongest[0]} ") and "  /sh/ (ʃ)  " in found[0]
    assert ask("search", "--label", "zh", as_json=False)[1] == "No unit fits.\n" and ask("search", "--label", "zh")[1] == []


def test_a_sound_of_seventy_seconds_is_read_in_windows_and_nothing_is_displaced(ask, house: Settings) -> None:
    """The same sound at the start and after 30 s gives the same values 1500 positions later."""
    o = Runtime(house).open("toy-neurons")
    part = decode(sound(5, 2.0)).waveform.samples
    samples = np.zeros(32 * 16_000, np.float32)
    samples[: len(part)] = part
    samples[30 * 16_000 :] = part
    from earmark.units import Waveform

    values = Runtime(house).model("toy").capture(Waveform(samples), [o.hook])[o.hook].values
    assert len(values) == 1600
    first, alone = values[1500:], Runtime(house).model("toy").capture(Waveform(part), [o.hook])[o.hook].values
    assert first == pytest.approx(alone, abs=1e-4)


def test_health_answers_from_what_is_stored(ask) -> None:
    _, found, _ = ask("health", "toy-neurons")
    assert found["l0"] is None and found["fvu"] is None and found["dead"] == 0 and found["n_positions"] is None and found["n_corpus_positions"] > 0
    _, found, _ = ask("health", "toy-sae")
    silent = [u for u in range(N_UNITS) if ask("search", "toy-sae", u)[1] == []]
    assert 5 in silent and found["dead"] == pytest.approx(len(silent) / N_UNITS)


def test_train_then_health_recomputed_agree(ask, house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    shutil.copytree(house.data, data)
    monkeypatch.setenv("EARMARK_DATA", str(data))
    status, said, _ = ask("train", "toy-sae", "--n-units", 32, "--k", 4, "--n-activations", 40_000, "--batch", 256, "--workers", 1, as_json=False)
    assert status == 0 and "FVU" in said
    stored, again = ask("health", "toy-sae")[1], ask("health", "toy-sae", "--recompute", "--save", "--workers", 1)[1]
    for name in ("l0", "fvu", "n_positions"):
        assert again[name] == pytest.approx(stored[name], rel=1e-3)
    saved = ask("health", "toy-sae")[1]
    assert stored["ce_spliced"] is None and {name: saved[name] for name in ("l0", "fvu", "ce_spliced", "wer")} == pytest.approx(
        {name: again[name] for name in ("l0", "fvu", "ce_spliced", "wer")}
    )
    training = json.loads((data / "toy-sae" / "manifest.json").read_text())["training"]
    assert training["command"].startswith("python -m earmark train toy-sae --corpus sounds")
    status, _, err = ask("unit", "toy-sae", 0)
    assert status == 1 and "no tables yet" in err  # a retrained SAE has other units: its old tables are gone


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("unit", "toy-sea", 1), "Did you mean 'toy-sae'?"),
        (("unit", "toy-sae", 24), "units 0 to 23"),
        (("unit", "toy-sae", -1), "units 0 to 23"),
        (("search", "toy-sae", 0, "--n", 0), "1 to 500"),
        (("search", "toy-sae", 0, "--min", "nan"), "finite"),
        (("analyse", "toy-sae", "--audio", "nowhere.wav"), "cannot be read"),
        (("analyse", "toy-sae", "--audio", __file__), "cannot be read as sound"),
        (("analyse", "nothing", "--audio", __file__), "no dictionary"),
        (("health", "toy-neurons", "--recompute"), "reconstructs nothing"),
        (("unit", "toy-sae", 10**30), "units 0 to 23"),
    ],
)
def test_bad_input_gets_a_sentence_and_status_1(ask, words: tuple[object, ...], sentence: str) -> None:
    status, _, err = ask(*words)
    assert status == 1 and sentence in err and err.startswith("earmark: ")


def test_long_lists_of_what_is_known_end_with_how_many_more_there_are() -> None:
    names = [f"n{i:02}" for i in range(15)]
    assert str(unknown("thing", "zzz", names)) == f"There is no thing 'zzz'. Known: {', '.join(names[:12])} and 3 more."
    assert str(unknown("thing", "n1", names[:2])) == "There is no thing 'n1'. Did you mean 'n01'? Known: n00, n01."


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("health toy-sae --save", "--save stores what --recompute computes; give both."),
        ("health toy-neurons --recompute", "toy-neurons reconstructs nothing: L0, FVU and what is recovered belong to an SAE."),
        ("health toy-sae --recompute --workers 0", "--workers is 0; at least 1 is needed."),
        ("labels toy-sae", "'toy-sae' has no labels yet. Run `python -m earmark label toy-sae`."),
        ("label toy-sae", "Nothing is known of what is said in sounds. Run `python -m earmark align sounds` first."),
        ("train toy-neurons", "toy-neurons is no SAE in SAELens's layout; only those are trained here."),
        ("analyse toy-sae --text a --file b", "--text and --file bring two texts; give one."),
        ("words toy-sae --words money", "The corpus of toy-sae is sound; words are looked for in texts."),
        ("build toy-sae --corpus nowhere", "There is no corpus 'nowhere'"),
        ("build toy-sae --peaks 3", "--peaks is 3; at least 20 are needed, which a unit's card shows."),
        ("publish toy-sae o/n", "EARMARK_OFFLINE or HF_HUB_OFFLINE keeps this machine from the Hub; unset it to publish."),
        ("train toy-sae --dry-run --device cuda", "This torch finds no GPU; leave --device out, or install a torch with CUDA."),
    ],
)
def test_what_cannot_be_done_is_one_sentence(ask, monkeypatch: pytest.MonkeyPatch, words: str, told: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    status, out, err = ask(*words.split(), as_json=False)
    assert (status, out) == (1, "") and err.splitlines()[-1].startswith(f"earmark: {told}")


SAE_ENTRY = TOY_CATALOG[TOY_CATALOG.index("[dictionaries.toy-sae]") : TOY_CATALOG.index("[dictionaries.toy-neurons]")]


@pytest.mark.parametrize(
    ("catalog", "words", "told"),
    [
        (TOY_CATALOG.replace(SAE_ENTRY, ""), "label toy-neurons", "toy-neurons has no SAE over its layer, whose activity neurons and axes are matched to"),
        (TOY_CATALOG.replace('corpus = "sounds"\n', ""), "label toy-sae", "toy-sae has no SAE over its layer"),
        (TOY_CATALOG.replace('corpus = "sounds"\n', ""), "build toy-sae", "toy-sae names no corpus in the catalog; give one with --corpus: sounds."),
        (TOY_CATALOG.replace('corpus = "sounds"\n', ""), "train toy-sae", "toy-sae names no corpus in the catalog; give one with --corpus."),
        (TOY_CATALOG.replace('folder = "toy-sae"', 'folder = "gone"'), "build toy-sae", "The checkpoint of toy-sae was not found: there is no 'gone' beside"),
        (TOY_CATALOG.replace('folder = "toy-sae"', 'folder = "mine"'), "train toy-sae", "toy-sae has its weights in 'mine'; what is trained goes to a folder"),
        (TOY_CATALOG.replace('format = "saelens"', 'format = "plain"'), "train toy-sae", "toy-sae is no SAE in SAELens's layout"),
        (TOY_CATALOG.replace('"whisper"', '"wisper"'), "build toy-sae", "There is no family of models 'wisper'. Did you mean 'whisper'?"),
        (TOY_CATALOG.replace('path = "toy-model"', 'path = "gone"'), "build toy-sae", "The weights of toy were not found: no folder 'gone'."),
    ],
)
def test_what_a_catalog_lacks_is_told_with_what_to_add(
    ask, house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalog: str, words: str, told: str
):
    for place in house.data.iterdir():
        (tmp_path / place.name).symlink_to(place)
    (tmp_path / "catalog.toml").unlink()
    (tmp_path / "catalog.toml").write_text(catalog)
    monkeypatch.setenv("EARMARK_DATA", str(tmp_path))
    status, out, err = ask(*words.split(), as_json=False)
    assert (status, out) == (1, "") and told in err.splitlines()[-1]


def test_a_corpus_for_another_kind_of_model_is_refused(ask, house: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in house.data.iterdir():
        (tmp_path / place.name).symlink_to(place)
    (tmp_path / "sounds").unlink()
    shutil.copytree(house.data / "sounds", tmp_path / "sounds")
    path = tmp_path / "sounds" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "modality": "text"}))
    monkeypatch.setenv("EARMARK_DATA", str(tmp_path))
    status, _, err = ask("check", "toy-sae", as_json=False)
    assert status == 1 and "toy reads sounds; the corpus 'sounds' holds others." in err.splitlines()[-1]
