"""From any address to the nearest sensible one."""

from __future__ import annotations

import difflib
import random
from dataclasses import replace

from earmark.errors import EarmarkError
from earmark.links import HeardView, Link
from earmark.live.analysis import MOMENT, ORDERS
from earmark.shelf.store import Store


def settle(store: Store, link: Link, notices: tuple[str, ...] = ()) -> tuple[Link, tuple[str, ...]]:
    """The link that is shown for the one that was asked for, and what had to change. A feature link without a unit picks one."""
    said = list(notices)
    link = _settle_dictionary(store, link, said)
    if link.filter.low is not None and link.filter.high is not None and link.filter.low > link.filter.high:
        link = replace(link, filter=replace(link.filter, low=link.filter.high, high=link.filter.low))
        said.append("The smallest value was larger than the largest; they were swapped.")
    if link.tab == "audio":
        link = replace(link, heard=_settle_order(link.heard))
    if link.tab != "feature":
        return replace(link, unit=None, revision=None), tuple(said)
    try:
        dictionary = store.dictionary(link.dictionary)
        unit = _pick(store, link.dictionary) if link.unit is None else min(max(link.unit, 0), dictionary.n_units - 1)
        if link.unit is not None and unit != link.unit:
            said.append(f"{link.dictionary} has units 0 to {dictionary.n_units - 1}; {link.unit} is none of them. This is {unit}.")
        if link.revision and not dictionary.revision.startswith(link.revision):
            said.append(
                f"{link.dictionary} was rebuilt since this link was made (then {link.revision}, now {dictionary.revision}): its numbers may now be other units."
            )
        return replace(link, unit=unit, revision=dictionary.revision), tuple(said)
    except EarmarkError:
        return link, tuple(said)


def _settle_dictionary(store: Store, link: Link, said: list[str]) -> Link:
    known = list(store.catalog.dictionaries)
    if link.dictionary in known:
        return link
    usable = [s for s in known if store.has_tables(s)] or known
    default = store.catalog.default if store.catalog.default in usable or not usable else usable[0]
    if not link.dictionary:
        return replace(link, dictionary=default)
    near = difflib.get_close_matches(link.dictionary, known, n=1, cutoff=0.4)
    chosen = near[0] if near else default
    said.append(f"There is no dictionary '{link.dictionary}'. This is {chosen}.")
    return replace(link, dictionary=chosen)


def _settle_order(heard: HeardView) -> HeardView:
    """An order that there is; a moment that no clip could have is none."""
    at_s = None if heard.at_s is None or not 0 <= heard.at_s < 3600 else heard.at_s
    if heard.order == MOMENT:
        return HeardView(MOMENT, at_s or 0.0)
    return HeardView(heard.order if heard.order in ORDERS else "relative")


def _pick(store: Store, slug: str) -> int:
    """Some unit that has been heard in at least five samples."""
    frame = store.units_frame(slug)
    live = frame.loc[frame["n_samples"] >= 5, "unit"].tolist() or frame["unit"].tolist()
    return int(random.choice(live))
