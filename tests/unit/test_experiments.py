"""Trainings of the Lab in words: sizes by the hook's width, limits told in sentences, and addresses that come back as they went."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earmark.errors import BadInput
from earmark.experiments import KINDS, NAMES, ORDERS, SITES, Experiment, Size
from earmark.links import Link
from earmark.presets import PRESETS, LabView


@pytest.mark.parametrize(
    ("text", "width", "count"), [("16", 576, 16), ("2x", 1536, 3072), ("0.5x", 576, 288), ("d/3", 1536, 512), ("D/4", 10, 2), (" 2X ", 5, 10), ("d/500", 8, 1)]
)
def test_sizes(text: str, width: int, count: int) -> None:
    assert Size.parse(text, "k").of(width) == count


@pytest.mark.parametrize("text", ["", "0", "-3", "2y", "x2", "d/0", "1e3", "3.5", "d", "inf", "0x", "٣"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(BadInput, match="k is '"):
        Size.parse(text, "k")


@pytest.mark.parametrize("text", ["16", "2x", "0.5x", "d/3", "d/7"])
def test_sizes_are_written_as_they_are_read(text: str) -> None:
    assert Size.parse(str(Size.parse(text, "k")), "k") == Size.parse(text, "k")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"site": "attention"}, "no hook 'attention'; valid: preactivation"),
        ({"kind": "vae"}, "no kind of autoencoder 'vae'; valid: ksparse"),
        ({"steps": "2001"}, "Steps: 2001; 1 to 2,000"),
        ({"steps": "1.5"}, "Steps is '1.5', which is no whole number"),
        ({"rate": "0"}, "The rate is 0"),
        ({"rate": "nan"}, "The rate is 'nan', which is no number"),
        ({"l1": "-1"}, "The weight of L1 is -1"),
        ({"cov": "1e9"}, r"The weight of the covariance penalty is 1e\+09"),
        ({"layer": "-1"}, "The layer is -1"),
        ({"seed": "-1"}, "The seed is -1"),
        ({"latents": "many"}, "The number of latents is 'many'"),
    ],
)
def test_what_cannot_be_trained_is_told(told: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Experiment.read(told, Experiment())


def test_sizes_are_checked_at_a_hook() -> None:
    assert Experiment().sizes(1536) == (3072, 512)
    assert Experiment(kind="l1", n_units=Size(4), k=Size(9)).sizes(8) == (4, 4), "k is none of its settings"
    with pytest.raises(BadInput, match=r"6,144 latents \(2x at a hook 3,072 wide\); at most 4,096"):
        Experiment().sizes(3072)
    with pytest.raises(BadInput, match=r"k is 512 \(d/3 at a hook 1,536 wide\), but there are 16 latents"):
        Experiment(n_units=Size(16)).sizes(1536)


sizes = st.one_of(st.integers(1, 9999).map(lambda n: Size(n)), st.integers(2, 99).map(lambda n: Size(1 / n, True)), st.sampled_from([Size(2.0, True)]))
experiments = st.builds(
    Experiment,
    model=st.sampled_from(["", "some-model"]),
    site=st.sampled_from(SITES),
    layer=st.none() | st.integers(0, 200),
    kind=st.sampled_from(list(KINDS)),
    n_units=sizes,
    k=sizes,
    l1=st.integers(0, 1000).map(lambda n: n / 100),
    covariance=st.integers(0, 1000).map(float),
    n_steps=st.integers(1, 2000),
    lr=st.integers(1, 99).map(lambda n: n / 100),
    seed=st.integers(0, 1000),
)
views = st.builds(
    LabView,
    preset=st.sampled_from(list(PRESETS)),
    experiment=experiments,
    text=st.none() | st.text(min_size=1, max_size=60),
    words=st.none() | st.text(max_size=30),
    order=st.sampled_from(ORDERS),
    by=st.sampled_from(["ratio", "auroc"]),
)


@given(views, st.none() | st.integers(0, 4000))
def test_an_address_comes_back_as_it_went(view: LabView, unit: int | None) -> None:
    if view.experiment.layer is None and PRESETS[view.preset].experiment.layer is not None:
        return
    link = Link("lab", unit=unit, lab=view)
    found, notices = Link.parse(dict(parse_qsl(link.query(), keep_blank_values=True)))
    assert not notices
    assert found.query() == link.query() and found.lab == view and found.unit == unit


def test_names_are_all_settings() -> None:
    assert set(NAMES) == set(Experiment().json())


def test_presets_make_sense() -> None:
    for preset in PRESETS.values():
        assert preset.text and preset.words and preset.after.startswith("After ")
        n_units, k = preset.experiment.sizes(1536 if preset.experiment.site != "residual" else 576)
        assert k <= n_units
        for word in preset.words.split(","):
            assert word.strip() in preset.text


def test_own_material_is_in_no_address() -> None:
    link = Link("lab", lab=LabView(own=True, text="secret"))
    assert link.query() == "tab=lab&own=1"
    assert Link.parse({"tab": "lab", "own": "1"})[0].lab == LabView(own=True)


def test_what_an_address_cannot_mean_is_told() -> None:
    link, notices = Link.parse({"tab": "lab", "preset": "nope", "k": "z", "steps": "12", "text": "x" * 900})
    assert link.lab.preset == "hungary" and link.lab.experiment.n_steps == 12 and link.lab.experiment.k == Experiment().k
    assert [n.split(";")[0].split(",")[0] for n in notices[:2]] == ["There is no preset 'nope'", "k is 'z'"]
    assert len(link.lab.text or "") == 500 and "the 900 of this one were cut" in notices[2]
