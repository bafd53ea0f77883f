"""The commands about a text of one's own: `analyse --text` and `words`. Each gives its JSON and the lines that people read."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from typing import Any

from .errors import BadInput
from .settings import Settings
from .shelf.store import Store

Answer = tuple[dict[str, Any], Callable[[], list[str]]]


def text_of(args: argparse.Namespace) -> str:
    """What --text or --file bring; notices go to standard error."""
    from .inputs.textfile import read_text_file

    if args.text is not None and args.file is not None:
        raise BadInput("--text and --file bring two texts; give one.")
    if args.file is None:
        return str(args.text)
    text, notices = read_text_file(args.file)
    _tell(notices)
    return text


def analyse(args: argparse.Namespace, settings: Settings) -> Answer:
    """The units that fire on a text and, with --spliced, what the model expects of it with and without the SAE."""
    from .live.texts.passage import analyse_text
    from .live.texts.splice import check_splice, splice
    from .runtime import Runtime
    from .web.records import spliced_json, text_analysis_json

    store, runtime, text = Store(settings), Runtime(settings), text_of(args)
    if args.spliced:
        check_splice(store, args.dictionary)
    analysis = analyse_text(runtime, store, args.dictionary, text, top=args.top, order=args.order)
    _tell(analysis.notices)
    found = text_analysis_json(analysis)
    lines = [f"{len(found['tokens'])} tokens, {len(found['left_out'])} of them attention sinks that are left out"]
    for hit in found["hits"]:
        own, token = f"{hit['relative'] or math.nan:6.1%} of its largest", json.dumps(hit["token"], ensure_ascii=False)
        lines.append(f"{hit['unit']:>6}  peak {hit['peak']:8.3f}  {own}  at token {hit['at']:>4}  {token}  {hit['label'] or ''}")
    if args.spliced:
        spliced = spliced_json(splice(runtime, store, args.dictionary, text))
        found["spliced"] = spliced
        lines += [f"{name}: {spliced[name]}" for name in ("ce", "ce_spliced", "ce_ablated", "ce_recovered")]
    return found, lambda: lines


def words(args: argparse.Namespace, settings: Settings) -> Answer:
    """The units that tell the words apart, in a text of one's own or in the corpus."""
    from .live.texts.words import parse_words, words_in_corpus, words_in_text
    from .web.records import words_json

    store, listed = Store(settings), parse_words(args.words)
    if args.text is None and args.file is None:
        scores = words_in_corpus(store, args.dictionary, listed, args.order, args.n)
    else:
        from .live.texts.passage import read_passage
        from .runtime import Runtime

        passage = read_passage(Runtime(settings), store, args.dictionary, text_of(args), siblings=False)
        _tell(passage.sample.notices)
        scores = words_in_text(passage, args.dictionary, listed, args.order, args.n)
    found = words_json(scores)
    lines = [found["what"]]
    for unit in found["units"]:
        ratio = f"{unit['ratio']:8.3g} times as strong" if unit["ratio"] is not None else "   above 0 on these alone"
        area = "" if unit["auroc"] is None else f"  AUROC {unit['auroc']:.3f}"
        lines.append(f"{unit['unit']:>6}  {ratio}{area}  on {unit['n_on']} of {found['n_on']}")
    return found, lambda: lines


def _tell(notices: tuple[str, ...]) -> None:
    for notice in notices:
        sys.stderr.write(f"earmark: {notice}\n")
