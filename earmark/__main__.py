"""The command line: `python -m earmark COMMAND`. The same figures as the page and its JSON routes.

Heavy modules are imported by the command that needs them, so that look-ups stay quick.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import BadInput, EarmarkError
from .settings import Settings
from .shelf.store import Store
from .units import UnitId

Args = argparse.Namespace


def main(argv: list[str] | None = None) -> int:
    """Run one command. An expected failure is a sentence on standard error and status 1."""
    args = _parser().parse_args(argv)
    try:
        return args.run(args, Settings.from_env()) or 0
    except EarmarkError as error:
        print(f"earmark: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0


# -- looking up ----------------------------------------------------------------------------------------------------------


def _list(args: Args, settings: Settings) -> None:
    from .web.records import dictionaries_json

    found = dictionaries_json(Store(settings))
    _print(args, found, lambda: [f"{d['slug']:<32} {d['kind']:<9} {d['n_units'] or '?':>6} units  {'tables' if d['tables'] else 'no tables'}" for d in found])


def _unit(args: Args, settings: Settings) -> None:
    from .web.records import card_json

    card = card_json(Store(settings).card(UnitId(args.dictionary, args.index)))
    lines = [f"{args.dictionary}:{args.index}", *(f"  {name}: {value}" for name, value in card["stats"].items())]
    lines += [f"  {e['group']:<6} {e['rank']:>2}  {e['peak']:8.3f} at {e['at_s']:6.2f} s  {e['sample']}  {e['transcript']}" for e in card["examples"]]
    _print(args, card, lambda: lines)


def _search(args: Args, settings: Settings) -> None:
    from .web.records import hits_json

    hits = hits_json(Store(settings).search(UnitId(args.dictionary, args.index), args.min, args.max, args.absolute, args.n))
    _print(args, hits, lambda: [f"{h['peak']:8.3f} at {h['at_s']:6.2f} s  {h['sample']}" for h in hits])


def _compare(args: Args, settings: Settings) -> None:
    from .shelf.pairs import compare, unit_id
    from .web.records import pair_json

    found = pair_json(compare(Store(settings), unit_id(args.a), unit_id(args.b)))
    a, b = found["units"]
    lines = [f"{'':<12} {a['dictionary']}:{a['unit']}  {b['dictionary']}:{b['unit']}"]
    lines += [f"{name:<12} {a[name]}  {b[name]}" for name in ("density", "peak", "low", "mean", "n_samples")]
    lines.append(f"correlation  {found['correlation']} over {found['n_correlated']} positions")
    lines.append(f"shared       {found['overlap']['n_shared']} of the {found['overlap']['n_top']} strongest samples")
    lines += [f"positive     {share} of all values of {slug}" for slug, share in found["shares_positive"].items()]
    _print(args, found, lambda: lines)


def _health(args: Args, settings: Settings) -> None:
    store = Store(settings)
    if args.recompute:
        from .offline.training.health import recompute

        figures = recompute(settings, args.dictionary)
    else:
        figures = store.health(args.dictionary)
    _print(args, figures, lambda: [f"{name}: {value}" for name, value in figures.items()])


# -- a sample of one's own -----------------------------------------------------------------------------------------------


def _analyse(args: Args, settings: Settings) -> None:
    from .inputs.audio import Limits, decode, read_file
    from .live.analysis import analyse
    from .runtime import Runtime
    from .web.records import analysis_json

    limits = Limits(settings.max_upload_mb * 1_000_000, settings.max_source_s, settings.max_audio_s)
    store = Store(settings)
    store.catalog.dictionary(args.dictionary)
    sound = decode(read_file(args.audio, limits), limits)
    for notice in sound.notices:
        print(f"earmark: {notice}", file=sys.stderr)
    result = analyse(Runtime(settings), store, args.dictionary, sound.waveform, top=args.top, order=args.order, transcribe=not args.no_transcript)
    found = analysis_json(result)
    lines = [f"{found['duration_s']:.2f} s: {found['transcript'] or ''}"]
    lines += [f"{h['unit']:>6}  peak {h['peak']:8.3f}  {h['relative'] or math.nan:6.1%} of its largest  at {h['at_s']:6.2f} s" for h in found["hits"]]
    _print(args, found, lambda: lines)


def _encode(args: Args, settings: Settings) -> None:
    from .live.encode import encode_file

    print(encode_file(args.checkpoint, args.input, args.output, args.decode))


# -- building ------------------------------------------------------------------------------------------------------------


def _corpus(args: Args, settings: Settings) -> None:
    from .offline.corpora.command import make_corpus

    if len(args.source) > 2:
        raise BadInput(f"--from takes a source and one place; '{args.source[2]}' is one too many.")
    print(make_corpus(settings, args.slug, args.source[0], args.source[1] if len(args.source) == 2 else None, args))
    if args.align:
        _align(args, settings)


def _align(args: Args, settings: Settings) -> None:
    from .offline.corpora.align import align_corpus

    print(align_corpus(settings, args.slug, _workers(args)))


def _train(args: Args, settings: Settings) -> None:
    from .offline.training.command import train_dictionary
    from .offline.training.train import TrainSettings

    names = [f.name for f in dataclasses.fields(TrainSettings)]
    chosen = TrainSettings(**{n: getattr(args, n) for n in names if getattr(args, n, None) is not None})
    print(train_dictionary(settings, args.dictionary, chosen, args.corpus, _workers(args)))


def _build(args: Args, settings: Settings) -> None:
    from .offline.tables.build import build

    built = build(settings, args.dictionary, args.corpus, _workers(args), args.only)
    print(f"Built the tables of {', '.join(built)}.")


def _check(args: Args, settings: Settings) -> int:
    from .offline.tables.check import check

    report = check(settings, args.dictionary, args.seed)
    for line in report.wrong:
        print(f"wrong: {line}")
    print(
        f"{args.dictionary}: compared {report.n_peaks} peaks, {report.n_examples} examples and {report.n_units} units; {len(report.wrong) or 'nothing'} wrong."
    )
    return 1 if report.wrong else 0


def _workers(args: Args) -> int:
    from .offline.workers import default_workers

    if args.workers is not None and args.workers < 1:
        raise BadInput(f"--workers is {args.workers}; at least 1 is needed.")
    return default_workers() if args.workers is None else args.workers


# -- words ---------------------------------------------------------------------------------------------------------------


def _print(args: Args, value: Any, lines: Callable[[], list[str]]) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False) if args.json else "\n".join(lines()))


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:20]) < 2**32):
        raise argparse.ArgumentTypeError(f"'{text[:40]}' is no whole number from 0 to {2**32 - 1}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m earmark", description="Hear and read what the features inside a model respond to.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Args, Settings], int | None], help_: str, json_: bool = False) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help_, description=help_)
        added.set_defaults(run=run)
        if json_:
            added.add_argument("--json", action="store_true", help="print JSON")
        return added

    command("list", _list, "the dictionaries of the catalog", json_=True)

    unit = command("unit", _unit, "a unit's card: statistics, examples, neighbours", json_=True)
    unit.add_argument("dictionary")
    unit.add_argument("index", type=int)

    search = command("search", _search, "samples by the peak of a unit", json_=True)
    search.add_argument("dictionary")
    search.add_argument("index", type=int)
    search.add_argument("--min", type=float, help="smallest peak")
    search.add_argument("--max", type=float, help="largest peak")
    search.add_argument("--absolute", action="store_true", help="compare magnitudes: negative values count as strongly as positive ones")
    search.add_argument("--n", type=int, default=20, help="how many samples (default 20)")

    compare = command("compare", _compare, "two units beside each other, such as a feature and a neuron", json_=True)
    compare.add_argument("a", metavar="DICTIONARY:UNIT")
    compare.add_argument("b", metavar="DICTIONARY:UNIT")

    analyse = command("analyse", _analyse, "the units that fire on a sound", json_=True)
    analyse.add_argument("dictionary")
    analyse.add_argument("--audio", type=Path, required=True, help="sound file")
    analyse.add_argument("--top", type=int, default=20, help="how many units (default 20)")
    analyse.add_argument("--order", default="relative", help="relative, peak, mean or rarity (default relative)")
    analyse.add_argument("--no-transcript", action="store_true", help="leave the model's transcript out")

    health = command("health", _health, "figures of a dictionary on held-out samples", json_=True)
    health.add_argument("dictionary")
    health.add_argument("--recompute", action="store_true", help="run the model again instead of reading what was stored")

    encode = command("encode", _encode, "activations in a .npy file into feature values, by a checkpoint alone")
    encode.add_argument("checkpoint", type=Path)
    encode.add_argument("--in", dest="input", type=Path, required=True, help="float [n_positions, width]")
    encode.add_argument("--out", dest="output", type=Path, required=True, help="float32 [n_positions, n_units], or [n_positions, width] with --decode")
    encode.add_argument("--decode", action="store_true", help="write the reconstruction instead of the feature values")

    corpus = command("corpus", _corpus, "make a corpus from recordings")
    corpus.add_argument("slug")
    corpus.add_argument(
        "--from",
        dest="source",
        nargs="+",
        required=True,
        metavar=("SOURCE", "WHERE"),
        help="folder, parquet or amazon-queen; then a path, or a Hugging Face data set",
    )
    corpus.add_argument("--table", type=Path, help="csv or tsv with file names and transcripts or classes")
    corpus.add_argument("--transcribe", metavar="MODEL", help="let this model of the catalog write the transcripts that the source lacks")
    corpus.add_argument("--drop-non-speech", action="store_true", help="leave out what is no speech")
    corpus.add_argument("--licence", help="licence of the recordings")
    corpus.add_argument("--title", help="name of the corpus for people")
    corpus.add_argument("--align", action="store_true", help="then find when each word and phone is said, as the command align does")
    corpus.add_argument("--workers", type=int, help="processes that align (default: one a core)")

    align = command("align", _align, "when each word and phone of a corpus's transcripts is said")
    align.add_argument("slug", metavar="CORPUS")
    align.add_argument("--workers", type=int, help="processes (default: one a core)")

    train = command("train", _train, "train the SAE of a catalog entry")
    train.add_argument("dictionary")
    train.add_argument("--corpus", help="another corpus than the catalog's")
    train.add_argument("--workers", type=int, help="processes that collect activations (default: one a core)")
    for flag, type_, help_ in (
        ("n-units", int, "number of features"),
        ("k", int, "active features at each position"),
        ("n-activations", int, "positions seen in training, repetitions counted"),
        ("batch", int, "positions in a step"),
        ("lr", float, "learning rate"),
        ("seed", _seed, "of the random numbers"),
    ):
        train.add_argument(f"--{flag}", type=type_, help=help_)

    build = command("build", _build, "tables for every unit of a dictionary and of the others over its layer")
    build.add_argument("dictionary")
    build.add_argument("--corpus", help="another corpus than the catalog's")
    build.add_argument("--workers", type=int, help="processes (default: one a core)")
    build.add_argument("--only", action="store_true", help="this dictionary alone, without the others over its layer")

    check = command("check", _check, "recompute a random part of the tables from the model")
    check.add_argument("dictionary")
    check.add_argument("--seed", type=_seed, default=0, help="another part is chosen with another seed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
