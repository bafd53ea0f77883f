"""The edges of look-ups and of small formulas: nothing fires, tables of another age or size, pictures of one frame and of long words."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from PIL import Image

from earmark.cards import Example
from earmark.dictionaries.base import Codes, SparseAutoencoder
from earmark.errors import BadInput, BadTable, MissingWeights, NotFound
from earmark.inputs.alignment import SILENCE, _phone_spans
from earmark.inputs.audio import MAX_CHANNELS, Limits, decode, read_file
from earmark.inputs.spelling import written
from earmark.learning.positions import read_activations
from earmark.live.analysis import rank
from earmark.live.texts.words import words_in_corpus
from earmark.measure.areas import areas
from earmark.models import FAMILIES
from earmark.models.base import ModelFiles
from earmark.models.decoding import token_limit
from earmark.offline.training.health.command import chosen, trips_of
from earmark.offline.training.reports.estimate import _span
from earmark.offline.training.source import training_positions
from earmark.settings import Settings
from earmark.shelf.pairs import compare, partner, three_kinds
from earmark.shelf.schema import TIMELINE
from earmark.shelf.store import Store
from earmark.shelf.tables import Table, files_of, put_table, read_manifest
from earmark.units import FrameGrid, UnitId
from earmark.web.media import description_of, share_picture
from earmark.web.pictures import SHARE_SIZE, share_png, share_text_png
from earmark.web.search.find import clips_saying
from tests.fixtures import text_shelf
from tests.fixtures.shelf import CORPUS, DEAD_UNIT, N_UNITS, NEURONS, RESIDUAL, SAE, Shelf, build_shelf, copy_shelf


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return build_shelf(tmp_path_factory.mktemp("edges"))


@pytest.fixture(scope="module")
def store(shelf: Shelf) -> Store:
    return opened(shelf.folder)


@pytest.fixture
def own(shelf: Shelf, tmp_path: Path) -> Path:
    """A copy that may be written into."""
    return copy_shelf(shelf, tmp_path / "own").folder


def opened(folder: Path) -> Store:
    return Store(replace(Settings.from_env({}), data=folder))


# -- tables ----------------------------------------------------------------------------------------------------------------


def test_labels_that_were_never_looked_for_are_told_with_the_command(store: Store) -> None:
    with pytest.raises(BadTable, match=f"'{SAE}' has no labels yet. Run `python -m earmark label {SAE}`"):
        store.label_summary(SAE)


@pytest.mark.parametrize(("manifest", "words"), [({"format": 2}, "have format 2, this Earmark reads 1"), ([1], "have format None, this Earmark reads 1")])
def test_tables_of_another_version_are_refused_by_its_number(own: Path, manifest: object, words: str) -> None:
    (own / SAE / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadTable, match=f"tables of '{SAE}' {words}. Build them again"):
        opened(own).card(UnitId(SAE, 3))


def test_lines_over_other_positions_do_not_correlate(own: Path) -> None:
    """One dictionary was built over more of the corpus than the other."""
    rows = Table(own / RESIDUAL, TIMELINE, read_manifest(own / RESIDUAL)).all().to_pylist()
    put_table(own / RESIDUAL, TIMELINE, [{**row, "values": row["values"][:-5]} for row in rows])
    store = opened(own)
    pair = compare(store, UnitId(SAE, 4), UnitId(RESIDUAL, 11))
    assert (pair.correlation, pair.n_correlated) == (None, 0) and pair.shared
    assert [u.dictionary for u in three_kinds(store, (UnitId(SAE, 4), UnitId(NEURONS, 12)))] == [SAE, NEURONS], "no axis follows"
    assert partner(store, UnitId(SAE, DEAD_UNIT)) is None


def test_row_groups_without_rows_are_passed_over(own: Path) -> None:
    path = own / SAE / "units-000.parquet"
    table = pq.read_table(path)
    with pq.ParquetWriter(path, table.schema, write_statistics=["unit"]) as writer:
        for part in (table.slice(0, 10), table.slice(0, 0), table.slice(10)):
            writer.write_table(part)
    manifest = own / SAE / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "files": files_of(own / SAE)}))
    found = opened(own).dictionary(SAE).table("units")
    assert found.n_rows == N_UNITS and [found.rows_of(unit).to_pylist()[0]["unit"] for unit in (0, 9, 10, 39)] == [0, 9, 10, 39]


def test_tokens_that_do_not_print_their_text_are_refused(tmp_path: Path) -> None:
    build_shelf(tmp_path)
    text_shelf.add_texts(tmp_path)
    folder = tmp_path / text_shelf.CORPUS
    path = next(folder.glob("samples-*.parquet"))
    rows = pq.read_table(path).to_pylist()
    rows[0]["transcript"] += "!"
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "files": files_of(folder)}))
    corpus = opened(tmp_path).corpus(text_shelf.CORPUS)
    with pytest.raises(BadTable, match=f"tokens of '{corpus.ids[0]}' do not print its text. Make the corpus '{text_shelf.CORPUS}' again"):
        corpus.tokens_of(corpus.ids[0])
    assert "".join(corpus.tokens_of(corpus.ids[1])) == corpus.transcripts[1]
    with pytest.raises(NotFound, match="is no text: it has no tokens"):
        opened(tmp_path).corpus(CORPUS).tokens_of("clip-00")


def test_clips_are_found_by_words_and_only_by_words(store: Store, shelf: Shelf) -> None:
    assert clips_saying(store, SAE, "money") == ("clip-06", "clip-01"), "shortest first"
    assert clips_saying(store, SAE, "   ") == clips_saying(store, SAE, "?!") == ()


def test_words_are_looked_for_in_texts_in_a_known_order(store: Store, tmp_path: Path) -> None:
    build_shelf(tmp_path)
    text_shelf.add_texts(tmp_path)
    texts = opened(tmp_path)
    with pytest.raises(BadInput, match=f"The corpus of {SAE} is sound; words are looked for in texts"):
        words_in_corpus(store, SAE, ("money",))
    with pytest.raises(BadInput, match="There is no order 'luck'; valid: "):
        words_in_corpus(texts, text_shelf.SAE, ("money",), order="luck")
    for n in (0, 501):
        with pytest.raises(BadInput, match=f"n is {n}; 1 to 500 units can be listed"):
            words_in_corpus(texts, text_shelf.SAE, ("money",), n=n)


# -- what fires ------------------------------------------------------------------------------------------------------------


def test_nothing_fires_on_silence(store: Store) -> None:
    silent = Codes(np.zeros((5, 3), np.float32), np.zeros((5, 3), np.int64), N_UNITS)
    assert rank(store, SAE, silent, FrameGrid(0.02, 0.0, 5), top=10, order="peak") == ((), {})


def test_units_beyond_the_tables_are_ranked_without_them(store: Store) -> None:
    """An autoencoder that is larger than the one its tables were made of: nothing is known of any unit."""
    values = np.zeros((4, N_UNITS + 5), np.float32)
    values[1, 3], values[2, N_UNITS + 2] = 2.0, 7.0
    hits, traces = rank(store, SAE, Codes(values, None, N_UNITS + 5), FrameGrid(0.02, 0.0, 4), top=10, order="relative")
    assert [(hit.unit, hit.peak, hit.relative, hit.density) for hit in hits] == [(N_UNITS + 2, 7.0, None, None), (3, 2.0, None, None)]
    assert traces[3].tolist() == [0, 2, 0, 0]
    known, _ = rank(store, SAE, Codes(values[:, :N_UNITS], None, N_UNITS), FrameGrid(0.02, 0.0, 4), top=10, order="relative")
    assert known[0].relative == pytest.approx(2 / store.card(UnitId(SAE, 3)).stats.peak)


def test_areas_of_no_unit() -> None:
    assert areas(np.zeros((4, 0), np.float32), np.array([True, False, True, False])).tolist() == []


# -- small formulas --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_new", "max_length", "n_prompt", "limit"),
    [(None, 40, 3, 40), (5, 40, 3, 5), (100, 40, 3, 61), (None, 200, 3, 61), (None, None, 3, 61)],
)
def test_as_many_tokens_as_generate_would_write(max_new: int | None, max_length: int | None, n_prompt: int, limit: int) -> None:
    """Of a decoder with 64 positions."""
    config = SimpleNamespace(max_target_positions=64)
    assert token_limit(SimpleNamespace(generation_config=SimpleNamespace(max_new_tokens=max_new, max_length=max_length), config=config), n_prompt) == limit


@pytest.mark.parametrize(("seconds", "text"), [(0.0123, "12.3 ms"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_799, "48 h"), (345_600, "4 days")])
def test_a_span_of_time_as_people_say_it(seconds: float, text: str) -> None:
    assert _span(seconds) == text


@pytest.mark.parametrize(("token", "words"), [("rock'n", ["rock'n"]), ("'", []), ("9's", ["nines"]), ("5 '", ["five"]), ("24th", ["twenty", "fourth"])])
def test_marks_without_a_letter_are_not_spoken(token: str, words: list[str]) -> None:
    assert [word for _, spoken in written(token) for word in spoken] == words


def test_silences_that_follow_one_another_are_one() -> None:
    found = _phone_spans([(SILENCE, 0, 10, -1), (SILENCE, 10, 20, -1), ("S", 20, 30, -1), ("S", 30, 40, -1), (SILENCE, 40, 50, -1)], 0.6)
    assert [span.text for span in found] == [SILENCE, "S", "S", SILENCE], "a phone said twice stays twice"
    assert found[0].start_s == 0 and found[-1].end_s == 0.6 and all(a.end_s == b.start_s for a, b in pairwise(found))


# -- sounds and activations that cannot be used ----------------------------------------------------------------------------


def wav(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_a_sound_without_a_finite_sample_and_one_with_too_many_channels_are_refused() -> None:
    with pytest.raises(BadInput, match="None of the sound's samples is a finite number"):
        decode(wav(np.full(16_000, np.nan, np.float32)))
    with pytest.raises(BadInput, match=f"{MAX_CHANNELS + 1} channels"):
        decode(wav(np.zeros((1_000, MAX_CHANNELS + 1), np.float32)))
    assert decode(wav(np.zeros((16_000, 2), np.float32))).waveform.duration_s == 1.0


def test_a_file_is_measured_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(bytes(2_000_000))
    with pytest.raises(BadInput, match="'long.wav' has 2.0 MB; at most 1 MB are taken"):
        read_file(path, Limits(max_bytes=1_000_000))
    assert read_file(path, Limits(max_bytes=2_000_000)) == bytes(2_000_000)
    with pytest.raises(BadInput, match="'gone.wav' cannot be read: No such file or directory"):
        read_file(tmp_path / "gone.wav")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ({"x": np.ones((2, 3))}, "is an archive of arrays; one .npy array is needed"),
        (np.ones(3), r"holds float64 \(3,\); numbers of shape \[n_positions, width\] are needed"),
        (np.array([["a"]]), "holds <U1"),
        (np.zeros((0, 3)), r"holds float64 \(0, 3\)"),
        (b"no array", "cannot be read as a .npy file of numbers"),
    ],
)
def test_activations_are_one_array_of_numbers(tmp_path: Path, array: object, words: str) -> None:
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        if isinstance(array, dict):
            np.savez(file, **array)
        elif isinstance(array, bytes):
            file.write(array)
        else:
            np.save(file, array)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=f"'x.npy' {words}"):
        read_activations(path)


@pytest.mark.parametrize(("share", "n"), [(0.0, 0), (1.1, 3)])
def test_some_samples_are_for_training_and_some_are_not(share: float, n: int) -> None:
    harvest = SimpleNamespace(corpus=SimpleNamespace(ids=["a", "b", "c"]))
    with pytest.raises(BadInput, match=f"Of 3 samples {n} are held out; some must be and some must not"):
        training_positions(harvest, share)  # type: ignore[arg-type]


def test_what_a_language_model_is_judged_on_needs_no_transcript() -> None:
    names = [f"s{n}" for n in range(20)]
    corpus = SimpleNamespace(manifest={"modality": "text"})
    found, by = chosen(corpus, names, 5)  # type: ignore[arg-type]
    assert by is None and found == tuple(sorted(names, key=lambda name: hashlib.sha256(f"health {name}".encode()).hexdigest())[:5])


def test_nothing_comes_back_of_what_predicts_another_place() -> None:
    g = torch.Generator().manual_seed(0)
    W_enc, W_dec = torch.randn(4, 6, generator=g), torch.randn(6, 4, generator=g)
    plain = SparseAutoencoder(W_enc, W_dec, torch.zeros(6), torch.zeros(4), activation="relu")
    assert trips_of(plain, np.ones(6, np.float32)) is not None
    wider = SparseAutoencoder(W_enc, torch.randn(6, 5, generator=g), torch.zeros(6), torch.zeros(5), activation="relu")
    skips = SparseAutoencoder(W_enc, W_dec, torch.zeros(6), torch.zeros(4), activation="relu", W_skip=torch.eye(4))
    assert trips_of(wider, np.ones(6, np.float32)) is trips_of(skips, np.ones(6, np.float32)) is None


# -- files of models -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "needs"), [("whisper", "or OpenAI's checkpoint"), ("wav2vec2", "folder"), ("llama", "folder"), ("gelu_1l", "final.pth")])
def test_a_model_without_its_folder_says_what_it_needs_and_what_there_is(tmp_path: Path, family: str, needs: str) -> None:
    with pytest.raises(MissingWeights, match=f"^m needs a .*{needs}.*; found .*vocabulary"):
        FAMILIES[family](ModelFiles("m", {"vocabulary": tmp_path}))


@pytest.mark.parametrize(("family", "config"), [("whisper", "[1]"), ("llama", '"llama"')])
def test_a_config_that_is_no_object_is_refused(tmp_path: Path, family: str, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(MissingWeights, match="m: config.json is no JSON object. Fetch the folder again"):
        FAMILIES[family](ModelFiles("m", {"folder": tmp_path}))


# -- pictures and previews -------------------------------------------------------------------------------------------------


def drawn(data: bytes) -> np.ndarray:
    """[height, width, 3]"""
    picture = Image.open(io.BytesIO(data))
    assert picture.size == SHARE_SIZE
    return np.asarray(picture.convert("RGB")).astype(int)


def example(trace: list[float], **changed: object) -> Example:
    plain = Example(1, "top", "s", trace[0], 0.0, 0.0, 0.02 * len(trace), np.array(trace, np.float32), "", 1.0)
    return replace(plain, **changed)  # type: ignore[arg-type]


def test_a_silent_units_preview_says_so(store: Store) -> None:
    assert description_of(store, UnitId(SAE, DEAD_UNIT)) == f"Feature {DEAD_UNIT} of tiny · encoder layer 2 · {SAE} is silent over the whole corpus."
    assert drawn(share_picture(store, UnitId(SAE, DEAD_UNIT))).std() > 0


def test_a_trace_of_one_frame_is_no_line() -> None:
    mel = np.full((64, 50), 90, np.uint8)
    one, two = (drawn(share_png("Feature 1", "here", [], mel, example(trace))) for trace in ([3.0], [3.0, 1.0]))
    assert (one != two).any()


def test_a_token_wider_than_the_picture_is_cut_and_lines_end() -> None:
    """Nothing is drawn at the right edge, nor below the last line."""
    words = ("x" * 400, *(f" word{n}" for n in range(200)))
    found = drawn(share_text_png("Feature 1", "here", "", [example([1.0, 0.5], tokens=words, at=0, start=0)]))
    paper = found[0, -1]
    assert (found[:, -40:] == paper).all(), "the margin is empty"
