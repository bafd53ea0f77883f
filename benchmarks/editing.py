"""What it costs to change a unit and run on: a clip heard three ways over a plain transcription, a text written on over plain generation."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import torch
from transformers import DynamicCache

from earmark.edits import Edit
from earmark.live.analysis import analyse
from earmark.live.editing.continuation import continue_text
from earmark.live.editing.speech import edit_speech
from earmark.live.texts.passage import analyse_text
from earmark.shelf.store import Store
from earmark.units import UnitId

from .build_text import DICTIONARY
from .figures import Figure, cpu_s, interleaved, median_ratio, report, tell
from .material import Material

DURATION_S, SPEECH_ROUNDS = 10.0, 9
N_TOKENS, TEXT_ROUNDS = 40, 7
TEXT = "The committee met again in the spring, and when the doors were closed the chairman said that"


def measure() -> Iterator[Figure]:
    torch.set_num_threads(1)
    yield Figure("edit_of_10_s_over_transcription_cpu", speech(Material()), most=2.2)
    yield Figure("edited_token_over_plain_token_cpu", text(Material(DICTIONARY)), most=1.2)


def speech(material: Material) -> float:
    """`edit_speech` (plain, through the SAE, edited, with the probabilities of the words) over mel, encoder and greedy decoding without hooks."""
    store, slug, sound = Store(material.settings), material.default.slug, material.clip_of(DURATION_S)
    strongest = analyse(material.runtime, store, slug, sound, transcribe=False).hits[0].unit
    edits = (Edit(UnitId(slug, strongest), factor=0.0),)

    def ours() -> str:
        return edit_speech(material.runtime, store, edits, sound).plain.text

    def plain() -> str:
        return material.model.read(sound)

    assert ours() == plain() != ""
    times = interleaved([lambda _: cpu_s(ours), lambda _: cpu_s(plain)], SPEECH_ROUNDS)
    tell(f"{slug}:{strongest} off: {statistics.median(times[0]) * 1000:.0f} CPU ms, plain transcription {statistics.median(times[1]) * 1000:.0f} CPU ms")
    return median_ratio(*times)


def text(material: Material) -> float:
    """What an edited text costs on top of a plain one: `continue_text`, which writes both, less a plain generation, over a plain generation.

    Plain generation is the network with its cache, token after token, the likeliest each time; both read the same text first.
    """
    store, network = Store(material.settings), material.model.network
    strongest = analyse_text(material.runtime, store, DICTIONARY, TEXT).hits[0].unit
    edits, ids = (Edit(UnitId(DICTIONARY, strongest), factor=2.0),), material.model.tokenize(TEXT).ids

    def ours() -> str:
        *_, last = continue_text(material.runtime, store, edits, TEXT, N_TOKENS, temperature=0.0)
        assert last.n == N_TOKENS, "the text ended early"
        return last.plain

    def plain() -> str:
        cache, given = DynamicCache(config=network.config), list(ids)
        written: list[int] = []
        with torch.inference_mode():
            for _ in range(N_TOKENS):
                logits = network(torch.tensor([given]), past_key_values=cache, use_cache=True, logits_to_keep=1).logits
                given = [int(logits[0, -1].argmax())]
                written += given
        return material.model.written(written)

    assert ours() == plain() != ""
    both, one = interleaved([lambda _: cpu_s(ours), lambda _: cpu_s(plain)], TEXT_ROUNDS)
    spent = [a - b for a, b in zip(both, one, strict=True)]
    tell(f"{N_TOKENS} tokens with {DICTIONARY}:{strongest} doubled {statistics.median(spent):.2f} CPU s, plainly {statistics.median(one):.2f} CPU s")
    return median_ratio(spent, one)


if __name__ == "__main__":
    report(measure())
