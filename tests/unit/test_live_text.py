"""A visitor's text: its units against a naive pass, splices and cross-entropies against loops, words against brute force; limits and encodings."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from components.text import read_answer, show, splice_answer
from components.views.beside import beside_view, words_view
from components.views.passage import analysis_of, passage_view
from earmark.__main__ import main
from earmark.errors import BadInput, NotFound
from earmark.inputs.textfile import MAX_TEXT_BYTES, decode_text, read_text_file
from earmark.links import HeardView, Link, ReadView
from earmark.live.desk import Desk
from earmark.live.texts.passage import Passage
from earmark.live.texts.words import parse_words, word_tokens, words_in_corpus, words_in_text
from earmark.measure.areas import areas_of_peaks
from earmark.shelf.store import Store
from earmark.units import SINK_NORM
from earmark.web.records import text_analysis_json
from tests.fixtures.shelf import N_UNITS
from tests.fixtures.text_house import LAYER, SINK, K, make_text_house, toy_sae
from tests.fixtures.text_shelf import MONEY, NEURONS, RESIDUAL, SAE, TEXTS

SENTENCE = f"the cat sat on {SINK} the mat, naïve café in 日本: no money 🎧 money"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(Store(make_text_house(tmp_path_factory.mktemp("texts"))))


@pytest.fixture(scope="module")
def network(desk: Desk) -> Any:
    return AutoModelForCausalLM.from_pretrained(desk.store.settings.data / "toy-llama").eval()


def read(desk: Desk, text: str, slug: str = SAE) -> Passage:
    passage = desk.texts.kept.get(desk.texts.read(slug, text))
    assert passage is not None
    return passage


def streams(network: Any, ids: tuple[int, ...]) -> dict[str, np.ndarray]:
    """{dictionary: [n_tokens, n_units]} by transformers' own outputs and by rewriting what down_proj is given; the front included."""
    seen: list[torch.Tensor] = []
    layer = network.model.layers[LAYER]
    project = layer.mlp.down_proj.forward
    layer.mlp.down_proj.forward = lambda x: seen.append(x) or project(x)
    with torch.no_grad():
        residual = network(torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER + 1][0]
    del layer.mlp.down_proj.forward
    sae, x = toy_sae(), residual
    pre = (x @ sae.W_enc).numpy()
    features = np.zeros_like(pre)
    for row, values in enumerate(pre):
        for unit in np.argsort(-values)[:K]:
            features[row, unit] = max(values[unit], 0)
    norms = np.linalg.norm(sae.W_dec.numpy(), axis=1)
    return {RESIDUAL: residual.numpy(), NEURONS: seen[0][0].numpy(), SAE: features * norms}


# -- the units of a text ---------------------------------------------------------------------------------------------------


def test_every_dictionary_over_the_layer_in_one_pass(desk: Desk, network: Any) -> None:
    passage = read(desk, SENTENCE)
    expected = streams(network, passage.sample.ids)
    norms = np.linalg.norm(expected[RESIDUAL], axis=1)
    sinks = (norms > SINK_NORM * np.median(norms))[1:]
    assert [t for t, sink in zip(passage.tokens, sinks, strict=True) if sink] == [SINK], "the fixture has one sink of the text's own"
    assert passage.sinks.tolist() == sinks.tolist()
    assert "".join(passage.tokens) == passage.text == SENTENCE
    for slug, values in expected.items():
        own = values[1:].copy()
        own[sinks] = 0
        np.testing.assert_allclose(passage.codes[slug].dense(), own, atol=1e-4)
    assert desk.texts.read(NEURONS, SENTENCE) == desk.texts.read(SAE, SENTENCE), "one run serves all of them"


@pytest.mark.parametrize("slug", [SAE, NEURONS])
def test_json_of_an_analysis_against_brute_force(desk: Desk, network: Any, slug: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("EARMARK_DATA", str(desk.store.settings.data))
    assert main(["analyse", slug, "--text", SENTENCE, "--top", "7", "--order", "peak", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    passage = read(desk, SENTENCE)
    values = passage.codes[slug].dense()
    assert "".join(found["tokens"]) == SENTENCE
    assert found["left_out"] == [i for i, t in enumerate(found["tokens"]) if t == SINK]
    assert [h["unit"] for h in found["hits"]] == np.argsort(-values.max(axis=0), kind="stable")[:7].tolist()
    for hit in found["hits"]:
        trace = values[:, hit["unit"]]
        assert hit["at"] == int(trace.argmax())
        assert hit["peak"] == pytest.approx(float(trace.max()), rel=1e-5)
        assert hit["mean"] == pytest.approx(float(np.delete(trace, found["left_out"]).mean()), rel=1e-4), "sinks count in no mean"
        assert hit["values"] == pytest.approx(trace.tolist(), rel=1e-4, abs=1e-9)
        start = max(i for i in range(hit["at"] + 1) if found["tokens"][i])
        assert hit["token"] == found["tokens"][start], "a part of a character is shown with its whole"
    assert found == text_analysis_json(desk.texts.analyse(slug, SENTENCE, 7, "peak")), "what the endpoint answers"


def test_the_shading_shows_the_values_of_the_json(desk: Desk) -> None:
    passage = read(desk, SENTENCE)
    found = text_analysis_json(desk.texts.analyse(SAE, SENTENCE, 5, "relative"))
    for hit in found["hits"]:
        link = Link("text", SAE, hit["unit"], read=ReadView(SENTENCE))
        view = passage_view(desk.store, link, passage, "token", analysis_of(desk.store, link, passage))
        assert view.shading is not None and view.shading.high == pytest.approx(hit["peak"], rel=1e-5)
        assert [i for p in view.pieces for i in range(p.start, p.end)] == list(range(len(found["tokens"])))
        for piece in view.pieces:
            strongest = max(hit["values"][piece.start : piece.end], key=abs)
            assert piece.sink == (piece.start in found["left_out"])
            assert (piece.value or 0.0) == pytest.approx(strongest if abs(strongest) >= 0.02 * hit["peak"] else 0.0, rel=1e-4)


def test_a_token_and_a_stretch(desk: Desk) -> None:
    passage = read(desk, SENTENCE)
    values = passage.codes[SAE].dense()
    at = analysis_of(desk.store, Link("text", SAE, heard=HeardView("moment", 3.0)), passage)
    assert [h.unit for h in at.hits] == [u for u in np.argsort(-values[3], kind="stable") if values[3, u] > 0]
    stretch = analysis_of(desk.store, Link("text", SAE, heard=HeardView("region", 2.0, 6.0)), passage)
    counted = [i for i in range(len(values)) if not passage.sinks[i]]
    inside, outside = [i for i in counted if 2 <= i <= 6], [i for i in counted if not 2 <= i <= 6]
    above = values[inside].mean(axis=0) - values[outside].mean(axis=0)
    largest = np.array([desk.store.units_frame(SAE)["peak"][u] for u in range(N_UNITS)])
    scores = above / np.where(largest > 0, largest, np.maximum(values.max(axis=0), 1e-9))
    assert [h.unit for h in stretch.hits][:5] == [int(u) for u in np.argsort(-scores, kind="stable") if values[:, u].any()][:5]
    sink = int(np.flatnonzero(passage.sinks)[0])
    assert not analysis_of(desk.store, Link("text", SAE, heard=HeardView("moment", float(sink))), passage).hits
    past = analysis_of(desk.store, Link("text", SAE, heard=HeardView("moment", 3000.0)), passage)
    assert past.hits == analysis_of(desk.store, Link("text", SAE, heard=HeardView("moment", float(len(values) - 1))), passage).hits


@given(st.text(min_size=1, max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_read_whole_and_parted_once(desk: Desk, text: str) -> None:
    if not text.strip():
        with pytest.raises(BadInput, match="The text is empty"):
            desk.texts.read(SAE, text)
        return
    passage = read(desk, text)
    whole = text.encode("utf-8", "replace").decode()
    assert "".join(passage.tokens) == whole
    view = passage_view(desk.store, Link("text", SAE, read=ReadView(text)), passage, "t", None)
    assert "".join(p.text for p in view.pieces) == "".join(part.text for p in view.pieces for part in p.parts) == whole


def test_limits_are_told(desk: Desk) -> None:
    with pytest.raises(BadInput, match=r"200,001 characters; at most 200,000"):
        desk.texts.read(SAE, "x" * 200_001)
    long = read(desk, "Ж 🎧" * 400)
    assert len(long.tokens) <= 1024 and "".join(long.tokens).startswith("Ж 🎧" * 100)
    assert any("tokens; the first 1,024 are read" in notice for notice in long.sample.notices)
    with pytest.raises(NotFound, match="There is no dictionary 'nope'"):
        desk.texts.read("nope", "x")
    for call in (lambda: desk.texts.analyse(SAE, "x", 0, "peak"), lambda: desk.texts.analyse(SAE, "x", 5, "luck")):
        with pytest.raises(BadInput, match="top is 0|no order 'luck'"):
            call()


def test_texts_are_kept_and_forgotten(desk: Desk) -> None:
    token = desk.texts.read(SAE, "forget me")
    desk.texts.splice(SAE, "forget me")
    assert desk.texts.find(SAE, "forget me") is desk.texts.find(SAE, "", token) is not None
    assert desk.texts.find(SAE, "", "nobody's") is None
    desk.texts.forget(token)
    assert desk.texts.find(SAE, "forget me") is None and desk.texts.spliced(SAE, "forget me") is None


# -- with and without the SAE ----------------------------------------------------------------------------------------------


def naive_logits(network: Any, ids: tuple[int, ...], change: Any) -> torch.Tensor:
    """[n_tokens, vocabulary] of a network whose layer's own forward is rewritten: [n_tokens, width] -> the same."""
    layer = network.model.layers[LAYER]
    whole = layer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        out = whole(*args, **kwargs)
        return change(out[0])[None] if isinstance(out, torch.Tensor) else (change(out[0][0])[None], *out[1:])

    layer.forward = forward
    with torch.no_grad():
        logits = network(torch.tensor([ids])).logits[0]
    del layer.forward
    return logits


def test_the_splice_equals_a_naive_loop(desk: Desk, network: Any) -> None:
    passage = read(desk, SENTENCE)
    desk.texts.splice(SAE, SENTENCE)
    found = desk.texts.spliced(SAE, SENTENCE)
    assert found is not None
    ids, sae, passes = passage.sample.ids, toy_sae(), [True, *passage.sinks.tolist()]

    def rebuilt(x: torch.Tensor) -> torch.Tensor:
        rows = []
        for row, passed in zip(x, passes, strict=True):
            if passed:
                rows.append(row)
                continue
            pre, f = row @ sae.W_enc, torch.zeros(N_UNITS)
            for unit in pre.argsort(descending=True)[:K]:
                f[unit] = pre[unit].clamp(min=0)
            rows.append(f @ sae.W_dec)
        return torch.stack(rows)

    def zeros(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([row if passed else row * 0 for row, passed in zip(x, passes, strict=True)])

    ces = []
    for way, change in ((found.plain, lambda x: x), (found.spliced, rebuilt), (found.ablated, zeros)):
        logits = naive_logits(network, ids, change)[1:]
        losses = [float(-row.double().log_softmax(0)[following]) for row, following in zip(logits[:-1], ids[2:], strict=True)]
        np.testing.assert_allclose(way.losses, losses, rtol=1e-4, atol=1e-4)
        ces.append(sum(losses) / len(losses))
        for row, expected in zip(logits, way.expected, strict=True):
            shares = row.softmax(0)
            assert [e.probability for e in expected] == pytest.approx(sorted(shares.tolist(), reverse=True)[:5], rel=1e-3, abs=1e-9)
    assert found.plain.ce == pytest.approx(ces[0], rel=1e-5)
    assert found.recovered == pytest.approx((ces[2] - ces[1]) / (ces[2] - ces[0]), rel=1e-3)
    with torch.no_grad():
        x = torch.from_numpy(streams(network, ids)[RESIDUAL])
        ratio = ((x - rebuilt(x)).square().sum(1) / x.square().sum(1))[1:]
    for at, sink in enumerate(passage.sinks):
        assert math.isnan(found.error[at]) if sink else found.error[at] == pytest.approx(float(ratio[at]), rel=1e-3)
    view = beside_view(found, passage, Link("text", SAE, read=ReadView(SENTENCE)))
    assert view.n_changed == sum(a[0] != b[0] and a[0].token != b[0].token for a, b in zip(found.plain.expected, found.spliced.expected, strict=True))
    for step in view.steps:
        alone = {n.token.text for n in step.plain} - {n.token.text for n in step.spliced}
        assert {n.token.text for n in step.plain if n.other} == alone


def test_only_saes_are_spliced(desk: Desk) -> None:
    with pytest.raises(BadInput, match=r"holds the layer's own values \(neurons\)"):
        desk.texts.splice(NEURONS, "the cat")
    assert "own values" in splice_answer(desk, {"dictionary": NEURONS, "passage": desk.texts.read(NEURONS, "the cat")}, lambda *_: None)
    assert "no longer kept" in splice_answer(desk, {"dictionary": SAE, "passage": "gone"}, lambda *_: None)


def test_a_text_of_one_token_has_no_next(desk: Desk) -> None:
    desk.texts.splice(SAE, "é")
    found = desk.texts.spliced(SAE, "é")
    assert found is not None and len(found.tokens) == 1
    assert (found.plain.ce, found.recovered, len(found.plain.expected)) == (None, None, 1)


# -- words -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "words", "expected"),
    [
        (("In", " Hung", "ary", ", hung"), ("Hungary",), [0, 1, 1, 0]),
        (("hun", "gary", " Hungarys"), ("HUNGARY",), [1, 1, 0]),
        (("New", " ", "\n", "York", " New"), ("new york",), [1, 1, 1, 1, 0]),
        (("a", "日", "", "本", "語"), ("日本",), [0, 1, 1, 1, 0]),
        (("x.y", " xzy"), ("x.y",), [1, 0]),
    ],
)
def test_tokens_of_words(tokens: tuple[str, ...], words: tuple[str, ...], expected: list[int]) -> None:
    mask, there = word_tokens(tokens, words)
    assert mask.astype(int).tolist() == expected
    assert there == set(words)


def brute(values: np.ndarray, on: np.ndarray) -> tuple[float | None, float]:
    """(ratio of the means above 0, chance that a value on the words is the higher one)"""
    means = [[v for v in values[part] if v > 0] for part in (on, ~on)]
    wins = sum((a > b) + 0.5 * (a == b) for a in values[on] for b in values[~on])
    return (np.mean(means[0]) / np.mean(means[1]) if means[1] else None), wins / (on.sum() * (~on).sum())


def test_words_in_a_text_against_brute_force(desk: Desk) -> None:
    passage, words = read(desk, SENTENCE), ("money", "cat", "zebra")
    scores = words_in_text(passage, SAE, words, n=500)
    on, values = word_tokens(passage.tokens, words)[0], passage.codes[SAE].dense()
    on, values = on[~passage.sinks], values[~passage.sinks]
    assert (scores.missing, scores.n_on, scores.n_elsewhere) == (("zebra",), int(on.sum()), int((~on).sum()))
    enough = [u for u in range(N_UNITS) if (values[on, u] > 0).sum() >= max(1, 0.2 * on.sum())]
    assert {s.unit for s in scores.units} == set(enough)
    for s in scores.units:
        ratio, area = brute(values[:, s.unit], on)
        assert s.auroc == pytest.approx(area)
        assert s.ratio == (None if ratio is None else pytest.approx(ratio, rel=1e-4))
    ratios = [math.inf if s.ratio is None else s.ratio for s in words_in_text(passage, SAE, words, "ratio", 500).units]
    assert ratios == sorted(ratios, reverse=True)
    with pytest.raises(BadInput, match="has none of these words: zebra"):
        words_in_text(passage, SAE, ("zebra",))


@pytest.mark.parametrize("slug", [SAE, NEURONS])
def test_words_in_the_corpus_against_a_loop(desk: Desk, slug: str) -> None:
    """The fixture's unit for money leads; every figure from the peaks that a loop over the tables' rows finds, 0 where none is stored."""
    scores = words_in_corpus(desk.store, slug, ("money",), n=500)
    assert slug != SAE or (scores.units[0].unit == MONEY and scores.units[0].ratio is None)
    assert scores.cut == (slug == NEURONS) == ("only the largest peaks are stored" in scores.what)
    corpus, rows = desk.store.corpus("tiny-texts"), desk.store.dictionary(slug).table("peaks").all().to_pylist()
    having = np.array(["money" in text.casefold().replace(".", " ").replace(":", " ").split() or " money" in text for text in TEXTS])
    assert (scores.n_on, scores.n_elsewhere) == (int(having.sum()), int((~having).sum()))
    for s in scores.units:
        peaks, on, off = np.zeros(len(corpus.ids)), [], []
        for r in rows:
            if r["unit"] == s.unit and r["tail"] == 1 and r["peak"] > 0:
                peaks[r["sample"]] = r["peak"]
                (on if word_tokens(corpus.tokens_in(r["sample"]) or (), ("money",))[0][r["at"]] else off).append(r["peak"])
        assert s.n_on == len(on) >= min(5, having.sum())
        assert s.auroc == pytest.approx(brute(peaks, having)[1])
        assert s.ratio == (None if not off else pytest.approx(np.mean(on) / np.mean(off), rel=1e-3))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 4)), unique_by=lambda r: r[:2], max_size=20), st.sets(st.integers(0, 5)))
def test_areas_of_peaks_equal_counting(rows: list[tuple[int, int, int]], true: set[int]) -> None:
    dense = np.zeros((4, 6))
    for unit, sample, peak in rows:
        dense[unit, sample] = peak
    truth = np.isin(np.arange(6), list(true))
    unit, sample, peak = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0, int),) * 3
    found = areas_of_peaks(unit, peak.astype(float), truth[sample], len(true), 6, 4)
    if not rows or len(true) in (0, 6):
        assert np.isnan(found).all()
        return
    np.testing.assert_allclose(found, [brute(row, truth)[1] for row in dense])


def test_lists_of_words() -> None:
    assert parse_words(' Hungary, "Austria";hungary\nNew  York ,,') == ("Hungary", "Austria", "New York")
    for text, reason in ((" , ;", "no words"), ("a," * 3 + ",".join(map(str, range(61))), "62 words"), ("x" * 61, "longer than 60")):
        with pytest.raises(BadInput, match=reason):
            parse_words(text)


def test_the_command_words(desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("EARMARK_DATA", str(desk.store.settings.data))
    assert main(["words", SAE, "--words", "money, zebra", "--n", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["where"], found["units"][0]["unit"], found["missing"], len(found["units"])) == ("corpus", MONEY, ["zebra"], 1)
    (tmp_path / "t.txt").write_text(SENTENCE, encoding="utf-16")
    assert main(["words", SAE, "--words", "money", "--file", str(tmp_path / "t.txt")]) == 0
    assert "tokens of the text print these words" in capsys.readouterr().out
    assert main(["words", SAE, "--words", "zebra", "--text", "the cat"]) == 1
    assert "none of these words" in capsys.readouterr().err
    assert main(["analyse", SAE]) == 1
    assert "needs --audio FILE, --text TEXT or --file FILE" in capsys.readouterr().err


def test_words_on_the_page(desk: Desk) -> None:
    passage = read(desk, SENTENCE)
    link = Link("text", SAE, read=ReadView(SENTENCE, "money", "corpus"))
    assert words_view(desk.store, link, passage).rows[0].found.unit == MONEY
    nobody = words_view(desk.store, Link("text", SAE, read=ReadView(words="zebra")), None)
    assert nobody.problem and "corpus has none" in nobody.problem and not nobody.rows
    blank = words_view(desk.store, Link("text", SAE, read=ReadView(words=" ")), None)
    assert (blank.problem, blank.rows, blank.has_text, blank.has_corpus) == (None, (), False, True)


# -- files -----------------------------------------------------------------------------------------------------------------

WRITTEN = "Größe, naïve café – “x”\r\n\tЖ 日本 🎧"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_of_files(tmp_path: Path, encoding: str) -> None:
    text = WRITTEN if encoding in {"utf-8", "utf-8-sig", "utf-16"} else "Only letters, Größe\r\n" * 3
    (tmp_path / "t.txt").write_bytes(text.encode(encoding))
    assert read_text_file(tmp_path / "t.txt") == (text, ())


def test_latin_1_has_a_notice_and_what_is_no_text_a_sentence(tmp_path: Path) -> None:
    text, notices = decode_text("Größe und naïve".encode("latin-1"))
    assert text == "Größe und naïve" and "read as Latin-1" in notices[0]
    for data in (bytes(range(256)) * 20, b"\x89PNG\r\n\x1a\n" + bytes(300)):
        with pytest.raises(BadInput, match="The file is no text"):
            decode_text(data)
    (tmp_path / "big.txt").write_bytes(b"x" * (MAX_TEXT_BYTES + 1))
    for path, reason in ((tmp_path / "big.txt", "1.0 MB; at most 1 MB"), (tmp_path / "none.txt", "cannot be read")):
        with pytest.raises(BadInput, match=reason):
            read_text_file(path)


# -- the page --------------------------------------------------------------------------------------------------------------


def test_what_a_visitor_is_told(desk: Desk) -> None:
    from components.bridge import Context

    context = Context(desk.store, (), desk)
    assert 'data-ask="text"' in show(context, Link("text", SAE, read=ReadView("never read")))[0][1]
    assert "Nothing yet" in show(context, Link("text", SAE))[0][1]
    assert "no longer kept" in show(Context(desk.store, (), desk, passage="gone"), Link("text", SAE))[0][1]
    answer = read_answer(desk, {"dictionary": SAE, "text": "a <b> & ü"}, lambda *_: None)
    assert f'data-token="{desk.texts.name(SAE, "a <b> & ü")}" data-text="a%20%3Cb%3E%20%26%20%C3%BC"' in answer
    assert 'data-text=""' in read_answer(desk, {"dictionary": SAE, "text": "word " * 101}, lambda *_: None), "too long for an address"
    assert "The text is empty" in read_answer(desk, {"dictionary": SAE, "text": " "}, lambda *_: None)
