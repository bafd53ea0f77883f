"""The command line: `python -m earmark COMMAND`. The same figures as the page and its JSON routes.

Heavy modules are imported by the command that needs them, so that look-ups stay quick.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

from . import sample_commands
from .arguments import parser
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
    lines = [f"{args.dictionary}:{args.index}  {card['label'] or ''}", *(f"  {name}: {value}" for name, value in card["stats"].items())]
    lines += [f"  {e['group']:<6} {e['rank']:>2}  {_peak_line(e)}" for e in card["examples"]]
    _print(args, card, lambda: lines)


def _formats(args: Args, settings: Settings) -> None:
    from .dictionaries import publishers

    rows = [dataclasses.asdict(row) for row in publishers()]
    _print(args, rows, lambda: [f"{row['name']:<22} {row['file']:<44} {row['source']}" for row in rows])


def _search(args: Args, settings: Settings) -> None:
    from .web.find import find, find_labels, found_json
    from .web.records import hits_json

    if args.label is None and args.what is None:
        raise BadInput("search needs something to look for, a dictionary and a unit's number, or --label TEXT.")
    if args.label is not None or args.index is None:
        found = found_json(find_labels(Store(settings), args.label, args.n) if args.label is not None else find(Store(settings), args.what, args.n))
        _print(args, found, lambda: [f"{f['dictionary']}:{f['unit']:<6}  {f['label'] or '-':<26}  {f['why']}" for f in found])
        return
    hits = hits_json(Store(settings).search(UnitId(args.what, args.index), args.min, args.max, args.absolute, args.n))
    _print(args, hits, lambda: [_peak_line(h) for h in hits])


def _peak_line(found: dict[str, Any]) -> str:
    """A sample with its peak: what is said in it, or the tokens around the peak."""
    from .passages import around

    if "tokens" not in found:
        return f"{found['peak']:8.3f} at {found['at_s']:6.2f} s  {found['sample']}  {found['transcript']}"
    at, tokens = found["at"], found["tokens"]
    start, end = around(tokens, at, 8, 4)
    return f"{found['peak']:8.3f} at token {at:3}  {found['sample']}  {json.dumps(''.join(tokens[start:end]), ensure_ascii=False)}"


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


def _labels(args: Args, settings: Settings) -> None:
    from .web.records import label_lines

    found = Store(settings).label_summary(args.dictionary)
    _print(args, found, lambda: label_lines(args.dictionary, found))


def _health(args: Args, settings: Settings) -> None:
    if args.save and not args.recompute:
        raise BadInput("--save stores what --recompute computes; give both.")
    figures = _computed(args, settings) if args.recompute else Store(settings).health(args.dictionary)
    _print(args, figures, lambda: [f"{name}: {value}" for name, value in figures.items()])


def _computed(args: Args, settings: Settings) -> dict[str, Any]:
    from .offline.training.health.command import recompute, save

    found = recompute(settings, args.dictionary, _workers(args))
    if args.save:
        save(settings, args.dictionary, found)
    return found.json()


def _models(args: Args, settings: Settings) -> None:
    from .models import supported

    found = supported()
    _print(args, found, lambda: [f"{m['name']:<10} {m['family']:<10} {m['modality']:<6} {m['title']}" for m in found])


# -- a sample of one's own -----------------------------------------------------------------------------------------------


def _analyse(args: Args, settings: Settings) -> None:
    _print(args, *sample_commands.analyse(args, settings))


def _words(args: Args, settings: Settings) -> None:
    _print(args, *sample_commands.words(args, settings))


def _edit(args: Args, settings: Settings) -> None:
    _print(args, *sample_commands.edit(args, settings))


def _open(args: Args, settings: Settings) -> None:
    from .live.checkpoints.opening import lines, look
    from .shelf.catalog import read_catalog

    catalog = read_catalog(settings.data) if (settings.data / "catalog.toml").is_file() else None
    found = look(args.name, settings, catalog, format=args.format, width=args.width, scale=args.scale)
    _print(args, found.json(), lambda: lines(found))


def _encode(args: Args, settings: Settings) -> None:
    from .live.checkpoints.encode import encode_file

    print(encode_file(args.checkpoint, args.input, args.output, args.decode, format=args.format, width=args.width, scale=args.scale))


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

    print(align_corpus(settings, args.slug, _workers(args), args.letters))


def _train(args: Args, settings: Settings) -> None:
    from .train_commands import run

    print("\n".join(run(settings, args, _workers(args))))


def _sweep(args: Args, settings: Settings) -> None:
    from .offline.training.sweep.command import lines, sweep

    found = sweep(settings, args.recipe, args.only, _workers(args))
    _print(args, {"runs": [dataclasses.asdict(run) for run in found.runs], "told": list(found.told)}, lambda: lines(found))


def _build(args: Args, settings: Settings) -> None:
    from .live.checkpoints.facts import settle_input
    from .offline.tables.build import build

    settle_input(settings, args.dictionary)
    built = build(settings, args.dictionary, args.corpus, _workers(args), args.only, n_peaks=args.peaks)
    print(f"Built the tables of {', '.join(built)}.")


def _publish(args: Args, settings: Settings) -> None:
    from .offline.publish import publish

    print("\n".join(publish(settings, args.dictionary, args.repo, args.with_corpus, args.dry_run)))


def _label(args: Args, settings: Settings) -> None:
    from .offline.labels.label import label
    from .web.records import label_lines

    for slug, found in label(settings, args.dictionary, _workers(args), args.only).items():
        print("\n".join([*label_lines(slug, found), ""]))


def _check(args: Args, settings: Settings) -> int:
    from .offline.tables.check import check

    if args.labels:
        from .offline.labels.check import check_labels

        n, wrong = check_labels(settings, args.dictionary, args.seed, _workers(args))
        print("\n".join([*(f"wrong: {line}" for line in wrong), f"{args.dictionary}: computed {n} labels anew; {len(wrong) or 'nothing'} wrong."]))
        return 1 if wrong else 0
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


def _parser() -> argparse.ArgumentParser:
    return parser(
        {
            "list": _list,
            "formats": _formats,
            "unit": _unit,
            "search": _search,
            "compare": _compare,
            "analyse": _analyse,
            "words": _words,
            "edit": _edit,
            "labels": _labels,
            "health": _health,
            "models": _models,
            "open": _open,
            "encode": _encode,
            "corpus": _corpus,
            "align": _align,
            "train": _train,
            "sweep": _sweep,
            "build": _build,
            "label": _label,
            "publish": _publish,
            "check": _check,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
