"""The commands about a sample of one's own: `analyse`, `words`, `edit` and `encode`.

Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..settings import Settings
from ..shelf.store import Store
from ..units import UnitHit, Waveform
from .show import Args, show, tell

if TYPE_CHECKING:
    from ..edits import Edit
    from ..runtime import Runtime

Answer = tuple[dict[str, Any], Callable[[], list[str]]]


def sound_of(args: Args, settings: Settings) -> Waveform:
    """What --audio brings; notices go to standard error."""
    from ..inputs.audio import Limits, decode, read_file

    limits = Limits(settings.max_upload_mb * 1_000_000, settings.max_source_s, settings.max_audio_s)
    sound = decode(read_file(args.audio, limits), limits)
    tell(sound.notices)
    return sound.waveform


def text_of(args: Args) -> str:
    """What --text or --file bring; notices go to standard error."""
    from ..inputs.textfile import read_text_file

    if args.text is not None and args.file is not None:
        raise BadInput("--text and --file bring two texts; give one.")
    if args.file is None:
        return str(args.text)
    text, notices = read_text_file(args.file)
    tell(notices)
    return text


def analyse(args: Args, settings: Settings) -> None:
    """The units that fire on a sound or a text."""
    show(args, *(_analyse_text(args, settings) if args.audio is None else _analyse_sound(args, settings)))


def _analyse_sound(args: Args, settings: Settings) -> Answer:
    from ..live.analysis import analyse
    from ..runtime import Runtime
    from ..web.records import analysis_json

    store = Store(settings)
    store.catalog.dictionary(args.dictionary)
    sound = sound_of(args, settings)
    analysis = analyse(Runtime(settings), store, args.dictionary, sound, top=args.top, order=args.order, transcribe=not args.no_transcript)
    found = analysis_json(analysis)
    lines = [f"{found['duration_s']:.2f} s: {found['transcript'] or ''}"]
    lines += [_hit_line(hit, f"at {hit.at_s:6.2f} s") for hit in analysis.hits]
    return found, lambda: lines


def _analyse_text(args: Args, settings: Settings) -> Answer:
    """With --spliced, also what the model expects of it with and without the SAE."""
    if args.text is None and args.file is None:
        raise BadInput("analyse needs --audio FILE, --text TEXT or --file FILE.")
    from ..live.texts.passage import analyse_text
    from ..live.texts.splice import check_splice, splice
    from ..runtime import Runtime
    from ..web.records import spliced_json, text_analysis_json

    store, runtime, text = Store(settings), Runtime(settings), text_of(args)
    if args.spliced:
        check_splice(store, args.dictionary)
    analysis = analyse_text(runtime, store, args.dictionary, text, top=args.top, order=args.order)
    tell(analysis.notices)
    found = text_analysis_json(analysis)
    lines = [f"{len(found['tokens'])} tokens, {len(found['left_out'])} of them attention sinks that are left out"]
    tokens = (json.dumps(hit["token"], ensure_ascii=False) for hit in found["hits"])
    lines += [_hit_line(hit, f"at token {round(hit.at_s):>4}  {token}") for hit, token in zip(analysis.hits, tokens, strict=True)]
    if args.spliced:
        spliced = spliced_json(splice(runtime, store, args.dictionary, text))
        found["spliced"] = spliced
        lines += [f"{name}: {spliced[name]}" for name in ("ce", "ce_spliced", "ce_ablated", "ce_recovered")]
    return found, lambda: lines


def _hit_line(hit: UnitHit, place: str) -> str:
    """A unit that fires, with its label as the page shows it."""
    return f"{hit.unit:>6}  peak {hit.peak:8.3f}  {hit.relative or math.nan:6.1%} of its largest  {place}  {hit.shown or ''}"


def words(args: Args, settings: Settings) -> None:
    """The units that tell the words apart, in a text of one's own or in the corpus."""
    from ..live.texts.words import parse_words, words_in_corpus, words_in_text
    from ..web.records import words_json

    store, listed = Store(settings), parse_words(args.words)
    if args.text is None and args.file is None:
        scores = words_in_corpus(store, args.dictionary, listed, args.order, args.n)
    else:
        from ..live.texts.passage import read_passage
        from ..runtime import Runtime

        passage = read_passage(Runtime(settings), store, args.dictionary, text_of(args), siblings=False)
        tell(passage.sample.notices)
        scores = words_in_text(passage, args.dictionary, listed, args.order, args.n)
    found = words_json(scores)
    lines = [found["what"]]
    for unit in found["units"]:
        ratio = f"{unit['ratio']:8.3g} times as strong" if unit["ratio"] is not None else "   above 0 on these alone"
        area = "" if unit["auroc"] is None else f"  AUROC {unit['auroc']:.3f}"
        lines.append(f"{unit['unit']:>6}  {ratio}{area}  on {unit['n_on']} of {found['n_on']}")
    show(args, found, lambda: lines)


def edit(args: Args, settings: Settings) -> None:
    """What the model hears, or expects and goes on with, plainly and with edits."""
    from ..edits import check_apart, parse_edit
    from ..runtime import Runtime

    edits = tuple(map(parse_edit, args.edits))
    check_apart(edits)
    if (args.audio is None) == (args.text is None and args.file is None):
        raise BadInput("edit needs one sample: --audio FILE, --text TEXT or --file FILE.")
    answer = _edit_text if args.audio is None else _edit_sound
    found, lines = answer(args, settings, Runtime(settings), Store(settings), edits)
    tell(found["notices"])
    show(args, found, lines)


def _edit_sound(args: Args, settings: Settings, runtime: Runtime, store: Store, edits: tuple[Edit, ...]) -> Answer:
    from ..live.editing.speech import edit_speech

    found = edit_speech(runtime, store, edits, sound_of(args, settings)).json()
    lines = [f"{name:<8} {found[name]}" for name in ("plain", "spliced", "edited") if found[name] is not None]
    lines += [f"wrong words against plain: {found['wer']:.1%}"] * (found["wer"] is not None)
    lines += [f"{c['p_plain']:8.4f} -> {c['p_edited']:8.4f}  {c['word']}" for c in found["changes"]]
    return found, lambda: lines


def _edit_text(args: Args, settings: Settings, runtime: Runtime, store: Store, edits: tuple[Edit, ...]) -> Answer:
    from ..live.editing.continuation import edit_and_continue

    found = edit_and_continue(runtime, store, edits, text_of(args), args.tokens, args.seed)
    lines = [f"{name:<8} {json.dumps(found[name], ensure_ascii=False)}" for name in ("plain", "edited")]
    lines += [f"cross-entropy, {name}: {value:.4f}" for name, value in found["ce"].items() if value is not None]
    lines += [f"{c['p_plain']:8.4f} -> {c['p_edited']:8.4f}  {json.dumps(c['token'], ensure_ascii=False)}" for c in found["changes"]]
    return found, lambda: lines


def encode(args: Args, settings: Settings) -> None:
    from ..live.checkpoints.encode import encode_file

    print(encode_file(args.checkpoint, args.input, args.output, args.decode, format=args.format, width=args.width, scale=args.scale))
