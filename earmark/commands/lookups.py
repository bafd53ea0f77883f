"""The commands that look something up: tables, a published checkpoint, what is supported.

Heavy modules are imported by the command that needs them, so that look-ups stay quick.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..settings import Settings
from ..shelf.store import Store
from ..units import UnitId
from .arguments import workers
from .show import Args, show

if TYPE_CHECKING:
    from ..web.search.find import Found


def dictionaries(args: Args, settings: Settings) -> None:
    from ..web.records import dictionaries_json

    found = dictionaries_json(Store(settings))
    show(args, found, lambda: [f"{d['slug']:<32} {d['kind']:<9} {d['n_units'] or '?':>6} units  {'tables' if d['tables'] else 'no tables'}" for d in found])


def unit(args: Args, settings: Settings) -> None:
    from ..web.records import card_json

    seen = Store(settings).card(UnitId(args.dictionary, args.index))
    card = card_json(seen)
    lines = [f"{args.dictionary}:{args.index}  {seen.label.shown if seen.label else ''}", *(f"  {name}: {value}" for name, value in card["stats"].items())]
    lines += [f"  {e['group']:<6} {e['rank']:>2}  {_peak_line(e)}" for e in card["examples"]]
    show(args, card, lambda: lines)


def formats(args: Args, settings: Settings) -> None:
    from ..dictionaries import publishers

    rows = [dataclasses.asdict(row) for row in publishers()]
    show(args, rows, lambda: [f"{row['name']:<22} {row['file']:<44} {row['source']}" for row in rows])


def search(args: Args, settings: Settings) -> None:
    from ..web.records import hits_json
    from ..web.search.find import find, find_labels, found_json

    if args.label is None and args.what is None:
        raise BadInput("search needs something to look for, a dictionary and a unit's number, or --label TEXT.")
    if args.label is not None or args.index is None:
        found = find_labels(Store(settings), args.label, args.n) if args.label is not None else find(Store(settings), args.what, args.n)
        show(args, found_json(found), lambda: [_found_line(f) for f in found] or ["No unit fits."])
        return
    hits = hits_json(Store(settings).search(UnitId(args.what, args.index), args.min, args.max, args.absolute, args.n))
    show(args, hits, lambda: [_peak_line(h) for h in hits] or ["No sample has such a peak."])


def _found_line(found: Found) -> str:
    return f"{found.dictionary}:{found.unit:<6}  {found.label.shown if found.label else '-':<26}  {found.why}"


def _peak_line(found: dict[str, Any]) -> str:
    """A sample with its peak: what is said in it, or the tokens around the peak."""
    from ..passages import around

    if "tokens" not in found:
        return f"{found['peak']:8.3f} at {found['at_s']:6.2f} s  {found['sample']}  {found['transcript']}"
    at, tokens = found["at"], found["tokens"]
    start, end = around(tokens, at, 8, 4)
    return f"{found['peak']:8.3f} at token {at:3}  {found['sample']}  {json.dumps(''.join(tokens[start:end]), ensure_ascii=False)}"


def compare(args: Args, settings: Settings) -> None:
    from ..shelf.pairs import compare, unit_id
    from ..web.records import pair_json

    found = pair_json(compare(Store(settings), unit_id(args.a), unit_id(args.b)))
    a, b = found["units"]
    lines = [f"{'':<12} {a['dictionary']}:{a['unit']}  {b['dictionary']}:{b['unit']}"]
    lines += [f"{name:<12} {a[name]}  {b[name]}" for name in ("density", "peak", "low", "mean", "n_samples")]
    lines.append(f"correlation  {found['correlation']} over {found['n_correlated']} positions")
    lines.append(f"shared       {found['overlap']['n_shared']} of the {found['overlap']['n_top']} strongest samples")
    lines += [f"positive     {share} of all values of {slug}" for slug, share in found["shares_positive"].items()]
    show(args, found, lambda: lines)


def labels(args: Args, settings: Settings) -> None:
    from ..web.records import label_lines

    found = Store(settings).label_summary(args.dictionary)
    show(args, found, lambda: label_lines(args.dictionary, found))


def health(args: Args, settings: Settings) -> None:
    if args.save and not args.recompute:
        raise BadInput("--save stores what --recompute computes; give both.")
    figures = _computed(args, settings) if args.recompute else Store(settings).health(args.dictionary)
    show(args, figures, lambda: [f"{name}: {value}" for name, value in figures.items()])


def _computed(args: Args, settings: Settings) -> dict[str, Any]:
    from ..offline.training.health.command import recompute, save

    found = recompute(settings, args.dictionary, workers(args))
    if args.save:
        save(settings, args.dictionary, found)
    return found.json()


def models(args: Args, settings: Settings) -> None:
    from ..models import supported

    found = supported()
    show(args, found, lambda: [f"{m['name']:<10} {m['family']:<10} {m['modality']:<6} {m['title']}" for m in found])


def checkpoint(args: Args, settings: Settings) -> None:
    from ..live.checkpoints.opening import lines, look
    from ..shelf.catalog import read_catalog

    catalog = read_catalog(settings.data) if (settings.data / "catalog.toml").is_file() else None
    found = look(args.name, settings, catalog, format=args.format, width=args.width, scale=args.scale)
    show(args, found.json(), lambda: lines(found))
