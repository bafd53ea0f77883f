"""A visitor's text: its units against a naive pass, splices and cross-entropies against loops; limits, and what a visitor is told."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from components.text import read_answer, show, splice_answer
from components.views.beside import beside_view
from components.views.passage import analysis_of, passage_view
from earmark.__main__ import main
from earmark.errors import BadInput, NotFound
from earmark.links import HeardView, Link, ReadView
from earmark.live.desk import Desk
from earmark.shelf.store import Store
from earmark.units import SINK_NORM
from earmark.web.records import text_analysis_json
from tests.fixtures.shelf import N_UNITS
from tests.fixtures.text_house import LAYER, SENTENCE, SINK, K, make_text_house, read, toy_sae
from tests.fixtures.text_shelf import NEURONS, RESIDUAL, SAE


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(Store(make_text_house(tmp_path_factory.mktemp("texts"))))


@pytest.fixture(scope="module")
def network(desk: Desk) -> Any:
    return AutoModelForCausalLM.from_pretrained(desk.store.settings.data / "toy-llama").eval()


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
