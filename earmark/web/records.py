"""The shelf's values as JSON and CSV, for programs: over HTTP, for gradio_client and for the command line.

`unit` is an integer from 0, shares lie in 0..1, times are seconds, and what does not apply is null (never NaN). Where a sample is a text,
positions stand in place of times: `at` and `start` count tokens from 0, `tokens` says what each position of the text prints.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cards import Effects, Example, Hit, UnitCard, UnitLabel
from ..errors import EarmarkError, NotFound
from ..links import media_href
from ..passages import around
from ..shelf.pairs import Pair
from ..shelf.store import Store, rows_of
from ..shelf.tables import read_manifest
from ..units import Analysis, TextAnalysis, TokenGrid, UnitId
from .pictures import window

if TYPE_CHECKING:
    from ..live.texts.splice import Reading, Spliced
    from ..live.texts.words import WordScores

MONTAGE_CLIPS = 5
EXAMPLE_COLUMNS = ("group", "rank", "sample", "peak", "at_s", "start_s", "end_s", "duration_s", "transcript")
TEXT_COLUMNS = ("group", "rank", "sample", "peak", "at", "token", "text")
PASSAGE = 8
"""tokens of a passage before its peak, and as many after it"""


def number(value: float | None, digits: int = 6) -> float | None:
    """A float for JSON: `digits` significant digits; None for None, NaN and the infinities."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")


def dictionaries_json(store: Store) -> list[dict[str, Any]]:
    """Every listed dictionary, with or without tables."""
    return [_dictionary_json(store, slug) for slug in store.catalog.dictionaries]


def _dictionary_json(store: Store, slug: str) -> dict[str, Any]:
    entry = store.catalog.dictionary(slug)
    try:
        n_units = read_manifest(store.settings.data / slug).get("n_units")
    except EarmarkError:
        n_units = None
    modality = store.catalog.model(entry.model).modality
    return {"slug": slug, "kind": entry.kind, "model": entry.model, "modality": modality, "n_units": n_units, "tables": store.has_tables(slug)}


def card_json(card: UnitCard) -> dict[str, Any]:
    """A unit's whole card."""
    s, match = card.stats, card.match
    stats: dict[str, Any] = {name: number(getattr(s, name)) for name in ("density", "nonzero", "peak", "low", "mean", "floor", "floor_abs")}
    stats["quantiles"] = {name: number(value) for name, value in s.quantiles.items()}
    stats |= {"n_positions": int(s.n_positions), "n_samples": int(s.n_samples), "dead": bool(s.dead)}
    return {
        "dictionary": card.id.dictionary,
        "unit": int(card.id.index),
        "stats": stats,
        "histogram": {"edges": [number(e) for e in card.histogram.edges], "counts": [int(c) for c in card.histogram.counts]},
        "examples": [example_json(e) for e in card.examples],
        "neighbours": [{"unit": int(n.unit), "cosine": number(n.cosine, 4)} for n in card.neighbours],
        "match": None if match is None else {"dictionary": match.dictionary, "unit": int(match.unit), "correlation": number(match.correlation, 4)},
        "label": card.label.text if card.label else None,
        "label_figures": label_json(card.label),
        **effects_json(card.effects),
    }


def effects_json(effects: Effects | None) -> dict[str, Any]:
    """{effects: {top, bottom, kurtosis}} of a language model's unit, {} of others."""
    if effects is None:
        return {}
    lists = {end: [{"token": token, "value": number(value, 4)} for token, value in getattr(effects, end)] for end in ("top", "bottom")}
    return {"effects": lists | {"kurtosis": number(effects.kurtosis, 4)}}


def label_json(label: UnitLabel | None) -> dict[str, Any] | None:
    """How well a label holds, on the half of the corpus that did not choose it."""
    if label is None:
        return None
    return {"kind": label.kind, **{k: number(getattr(label, k)) for k in ("lag_s", "precision", "recall", "lift", "f1", "auroc")}, "n_active": label.n_active}


def example_json(example: Example) -> dict[str, Any]:
    """A sound has at_s, start_s, end_s, duration_s and transcript; a text has at, start, tokens (of the whole text) and text in their place."""
    top = float(np.abs(example.trace).max()) if len(example.trace) else 0.0
    decimals = 3 - math.floor(math.log10(top)) if top > 0 else 0
    told: dict[str, Any] = {"rank": int(example.rank), "group": example.group, "sample": example.sample, "peak": number(example.peak)}
    trace = np.round(example.trace.astype(np.float64), decimals).tolist()
    if example.tokens is not None:
        return told | {"at": int(example.at), "start": int(example.start), "tokens": list(example.tokens), "trace": trace, "text": example.transcript}
    times = {name: round(getattr(example, name), 6) for name in ("at_s", "start_s", "end_s", "duration_s")}
    return told | times | {"trace": trace, "transcript": example.transcript}


def hits_json(hits: Iterable[Hit]) -> list[dict[str, Any]]:
    return [_hit_json(hit) for hit in hits]


def _hit_json(hit: Hit) -> dict[str, Any]:
    told: dict[str, Any] = {"sample": hit.sample, "peak": number(hit.peak)}
    if hit.tokens is not None:
        return told | {"at": int(hit.at), "tokens": list(hit.tokens), "text": hit.transcript}
    return told | {"at_s": round(hit.at_s, 6), "transcript": hit.transcript}


def examples_csv(examples: Sequence[Example]) -> str:
    """A row an example. Of a text, `token` is what the peak's position prints."""
    if any(e.tokens is not None for e in examples):
        return csv_text([example_json(e) | {"token": e.tokens[e.at] if e.tokens else ""} for e in examples], TEXT_COLUMNS)
    return csv_text([example_json(e) for e in examples], EXAMPLE_COLUMNS)


def analysis_json(analysis: Analysis) -> dict[str, Any]:
    """The units that fired on a visitor's sound, in the order asked for."""
    names = ("peak", "relative", "mean", "density")
    hits = [{"unit": h.unit, **{n: number(getattr(h, n)) for n in names}, "at_s": round(h.at_s, 6), "label": h.label} for h in analysis.hits]
    return {"duration_s": round(analysis.duration_s, 6), "transcript": analysis.transcript, "hits": hits}


def text_analysis_json(analysis: TextAnalysis) -> dict[str, Any]:
    """The units that fired on a visitor's text, in the order asked for. `tokens[i]` is what position i prints; put together they are the text."""
    shown = {i: text for start, end, text in TokenGrid(analysis.tokens).spans() for i in range(start, end)}
    return {
        "tokens": list(analysis.tokens),
        "left_out": list(analysis.left_out),
        "notices": list(analysis.notices),
        "hits": [
            {
                "unit": h.unit,
                **{n: number(getattr(h, n)) for n in ("peak", "relative", "mean", "density")},
                "token": shown[round(h.at_s)],
                "at": round(h.at_s),
                "label": h.label,
                "values": [number(v) for v in analysis.traces[h.unit].tolist()],
            }
            for h in analysis.hits
        ],
    }


def spliced_json(spliced: Spliced) -> dict[str, Any]:
    """A text with and without the SAE: cross-entropies in nats a token, the likeliest next tokens of each position, the error of its reconstruction."""

    def expected(reading: Reading) -> list[list[dict[str, Any]]]:
        return [[{"token": e.token, "p": number(e.probability, 4)} for e in row] for row in reading.expected]

    return {
        "ce": number(spliced.plain.ce),
        "ce_spliced": number(spliced.spliced.ce),
        "ce_ablated": number(spliced.ablated.ce),
        "ce_recovered": number(spliced.recovered),
        "error": [number(e) for e in spliced.error.tolist()],
        "next": expected(spliced.plain),
        "next_spliced": expected(spliced.spliced),
    }


def words_json(scores: WordScores) -> dict[str, Any]:
    """The units that tell words apart. `ratio` is null for what is above 0 on the words alone, `auroc` where it does not apply."""
    names = ("ratio", "auroc", "mean_on", "mean_elsewhere")
    return {
        "words": list(scores.words),
        "missing": list(scores.missing),
        "where": scores.where,
        "what": scores.what,
        "n_on": scores.n_on,
        "n_elsewhere": scores.n_elsewhere,
        "units": [{"unit": s.unit, "n_on": s.n_on, **{name: number(getattr(s, name)) for name in names}} for s in scores.units],
    }


def pair_json(pair: Pair) -> dict[str, Any]:
    """Two units beside each other. `correlation` is Pearson r over `n_correlated` positions, null where it does not apply."""
    keys = ("density", "nonzero", "peak", "low", "mean")
    units = [
        {
            "dictionary": c.id.dictionary,
            "unit": int(c.id.index),
            "label": c.label.text if c.label else None,
            **{k: number(getattr(c.stats, k)) for k in keys},
            "n_samples": c.stats.n_samples,
        }
        for c in pair.cards
    ]
    return {
        "units": units,
        "correlation": number(pair.correlation, 4),
        "n_correlated": int(pair.n_correlated),
        "overlap": {"n_top": pair.n_top, "n_shared": len(pair.shared), "share": number(len(pair.shared) / max(pair.n_top, 1)), "n_samples": pair.n_samples},
        "shared": [{"sample": s.sample, "peaks": [number(p) for p in s.peaks]} for s in pair.shared],
        "shares_positive": {slug: number(share) for slug, share in pair.positive.items()},
    }


def montage_json(store: Store, unit: UnitId) -> list[dict[str, Any]]:
    """The half seconds around a unit's best peaks, to be played one after the other; of texts the passages around them, to be read."""
    corpus = store.dictionary(unit.dictionary).corpus
    top = [e for e in store.card(unit).examples if e.group == "top"][:MONTAGE_CLIPS]
    if top and top[0].tokens is not None:
        return [_passage_json(e) for e in top]
    spans = [window(e.at_s, e.duration_s) for e in top]
    return [
        {"url": media_href(corpus, e.sample, "audio"), "start_s": round(start, 6), "end_s": round(end, 6), "sample": e.sample, "transcript": e.transcript}
        for e, (start, end) in zip(top, spans, strict=True)
    ]


def _passage_json(example: Example) -> dict[str, Any]:
    tokens = example.tokens or ()
    start, end = around(tokens, example.at, PASSAGE, PASSAGE)
    return {
        "sample": example.sample,
        "peak": number(example.peak),
        "at": int(example.at),
        "start": start,
        "tokens": list(tokens[start:end]),
        "text": "".join(tokens[start:end]),
    }


VAGUE = ("class", "context")
"""kinds of labels that many random directions hold, too: told apart from those that say something"""


def label_lines(slug: str, summary: dict[str, Any]) -> list[str]:
    """How many labels hold, as people read it: what names a unit first, classes and contexts apart."""
    held, n = summary["held"], summary["n_eligible"]
    lines = [f"{slug}: {n:,} of {summary['n_units']:,} units are active often enough to be counted; a unit counts once, under its best label.", ""]
    lines.append(f"{'':<18}{'holds':>14}{'random directions':>20}{'shifted labels':>17}")
    named = [kind for kind in held if kind not in VAGUE]
    for kinds in (named, VAGUE):
        for title, members in (*((kind, [kind]) for kind in kinds), (" or ".join(kinds), kinds)):
            random = "not looked for" if summary["random"] is None else _count(summary["random"], members, summary.get("n_random"))
            lines.append(f"{title:<18}{_count(held, members, n):>14}{random:>20}{_count(summary['shuffled'], members, n):>17}")
        lines.append("")
    lines.append("Classes and contexts, silences and pauses among them, are easily met: compare with the random directions before reading much into one.")
    return lines


def _count(counts: dict[str, int], kinds: Sequence[str], n: int | None) -> str:
    """With its share of n, where that is known."""
    found = sum(counts[kind] for kind in kinds)
    return f"{found:,}" if n is None else f"{found:,} {found / max(n, 1):6.1%}"


def units_rows(store: Store, slug: str) -> list[dict[str, Any]]:
    """One row a unit, for exports."""
    frame = store.units_frame(slug).drop(columns=["strongest", "peaks_at"])
    whole = {"unit", "n_samples", "match_unit"}
    return [{name: _cell(value, name in whole) for name, value in row.items()} for row in rows_of(frame)]


def list_rows(store: Store, units: Iterable[UnitId]) -> list[dict[str, Any]]:
    """The same of collected units, in their order, each with its dictionary. Raises EarmarkError for one that is not here."""
    asked = tuple(units)
    rows: list[dict[str, Any]] = []
    known = {slug: units_rows(store, slug) for slug in {unit.dictionary for unit in asked}}
    for unit in asked:
        of = known[unit.dictionary]
        if unit.index >= len(of):
            raise NotFound(f"{unit.dictionary} has units 0 to {len(of) - 1}; {unit.index} is none of them.")
        rows.append({"dictionary": unit.dictionary, **of[unit.index]})
    return rows


def _cell(value: Any, whole: bool) -> Any:
    if isinstance(value, str | bool) or value is None:
        return value
    kept = number(float(value))
    return int(kept) if whole and kept is not None else kept


def csv_text(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
