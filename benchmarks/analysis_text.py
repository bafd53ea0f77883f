"""A warm analysis of a visitor's text of 128 tokens against the bare pass."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import torch

from earmark.live.texts.passage import analyse_text
from earmark.shelf.store import Store

from .build_text import DICTIONARY
from .figures import Figure, cpu_s, interleaved, median_ratio, report, tell
from .material import Material

N_TOKENS, ROUNDS = 128, 15


def measure() -> Iterator[Figure]:
    torch.set_num_threads(1)
    material = Material(DICTIONARY)
    store, bare = Store(material.settings), material.bare_pass()
    whole = material.model.tokenize("".join(sample.text for _, _, sample in material.clips(2)), N_TOKENS)
    text, sample = whole.text, material.model.tokenize(whole.text)
    assert N_TOKENS - 4 <= len(sample.ids) - sample.n_before <= N_TOKENS + 4, "the text has another number of tokens"

    def ours() -> None:
        assert analyse_text(material.runtime, store, DICTIONARY, text).hits

    ours()
    times = interleaved([lambda _: cpu_s(ours), lambda _: cpu_s(lambda: bare(sample))], ROUNDS)
    tables = "with" if store.has_tables(DICTIONARY) else "without"
    tell(f"analysis {tables} tables {statistics.median(times[0]) * 1000:.0f} CPU ms, bare pass {statistics.median(times[1]) * 1000:.0f} CPU ms")
    yield Figure("analysis_of_128_tokens_over_bare_pass_cpu", median_ratio(*times), most=1.3)


if __name__ == "__main__":
    report(measure())
