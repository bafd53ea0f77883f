"""What a page is sent without a state is what Gradio itself sends, and nothing of it is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import gradio as gr
import plotly.graph_objects as go
import pytest
from gradio.state_holder import SessionState, StateHolder

from components.host.stateless import Stateless

FIGURE = go.Figure(go.Scatter(y=[1, 2]))


def sent(kind: type[gr.Blocks], answer: list[Any], state: SessionState | None = None, twice: bool = False) -> list[Any]:
    with kind(analytics_enabled=False) as demo:
        with gr.Tabs(selected="a") as tabs:
            with gr.Tab("A", id="a"):
                outputs = [gr.HTML("old", elem_id="one"), gr.HTML("old", elem_id="two"), gr.Plot()]
            gr.Tab("B", id="b")
        demo.load(lambda: answer, None, [*outputs, tabs])
    fn = next(iter(demo.fns.values()))
    if twice:
        asyncio.run(demo.postprocess_data(fn, [gr.skip()] * len(answer), None))
    found = asyncio.run(demo.postprocess_data(fn, answer, state or SessionState(demo)))
    return [value.model_dump() if hasattr(value, "model_dump") else value for value in found]


@pytest.mark.parametrize(
    "answer",
    [
        ["<b>new</b>", "", FIGURE, gr.Tabs(selected="b")],
        ["<b>new</b>", gr.skip(), gr.skip(), gr.skip()],
        [gr.skip(), "x", None, gr.skip()],
        [gr.skip(), gr.skip(), gr.skip(), gr.skip()],
    ],
)
def test_what_is_sent_is_what_gradio_sends(answer: list[Any]) -> None:
    assert sent(Stateless, answer) == sent(Stateless, answer, twice=True) == sent(gr.Blocks, answer)


def test_nothing_is_kept() -> None:
    class Noted(SessionState):
        def __setitem__(self, key: int, value: Any) -> None:
            raise AssertionError("something was kept")

    with gr.Blocks(analytics_enabled=False) as demo:
        state = Noted(demo)
    assert sent(Stateless, ["new", "x", FIGURE, gr.Tabs(selected="a")], state)[0] == "new"
    with pytest.raises(AssertionError, match="something was kept"):
        sent(gr.Blocks, ["new", "x", FIGURE, gr.Tabs(selected="a")], state)


@pytest.mark.parametrize(("kind", "each"), [(Stateless, 0), (gr.Blocks, 1)])
def test_who_comes_finds_the_page_described(kind: type[gr.Blocks], each: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with kind(analytics_enabled=False) as demo:
        box = gr.HTML("old")
    holder, described = StateHolder(), []
    demo.state_session_capacity = 10
    holder.set_blocks(demo)
    first = holder["one"]
    get_config = gr.HTML.get_config
    monkeypatch.setattr(gr.HTML, "get_config", lambda self, *args: described.append(1) or get_config(self, *args))
    others = [holder[name] for name in ("two", "three", "two")]
    assert len(described) == each * 2 and others[0] is others[2] and others[1] is not first
    assert all(state[box._id] is box and state.config_values.keys() == first.config_values.keys() for state in others)


def test_what_one_visit_puts_down_is_no_other_visits() -> None:
    with Stateless(analytics_enabled=False) as demo:
        box = gr.HTML("old")
    holder = StateHolder()
    demo.state_session_capacity = 10
    holder.set_blocks(demo)
    holder["one"][box._id] = gr.HTML("new", render=False)
    assert holder["two"][box._id] is box
