"""From any address to the nearest sensible one."""

from __future__ import annotations

import difflib
import random
from dataclasses import replace

from earmark.edits import Edit
from earmark.errors import EarmarkError
from earmark.experiments import GUEST
from earmark.links import DEFAULT_LOOK, TOKENS, HeardView, Link
from earmark.live.analysis import MOMENT, ORDERS, REGION
from earmark.shelf.pairs import partner
from earmark.shelf.store import Store
from earmark.units import UnitId
from earmark.web.media import modality_of

STRETCH_S, STRETCH_TOKENS = 0.5, 7
LIKE = 0.6
"""correlation from which a pair is worth showing to somebody who named none"""


def settle(store: Store, link: Link, notices: tuple[str, ...] = ()) -> tuple[Link, tuple[str, ...]]:
    """The link that is shown for the one that was asked for, and what had to change. A feature link without a unit picks one."""
    said = list(notices)
    link = _settle_modality(store, _settle_dictionary(store, link, said), said, asked=bool(link.dictionary))
    if link.filter.low is not None and link.filter.high is not None and link.filter.low > link.filter.high:
        link = replace(link, filter=replace(link.filter, low=link.filter.high, high=link.filter.low))
        said.append("The smallest value was larger than the largest; they were swapped.")
    if modality_of(store, link.dictionary) != "text":
        link = replace(link, look=DEFAULT_LOOK)
    if link.tab in TOKENS:
        link = replace(link, heard=_settle_order(link.heard, tokens=TOKENS[link.tab]))
    link = replace(link, edits=tuple(edit for edit in link.edits if _can_edit(store, link, edit, said)))
    if link.tab == "audio":
        link = replace(link, sample=_settle_sample(store, link, said))
    if link.tab == "lab":
        return replace(link, unit=link.unit if link.unit is not None and link.unit >= 0 else None, revision=None), tuple(said)
    if link.tab == "text":
        return replace(link, unit=_shading(store, link), sample=None, revision=None), tuple(said)
    if link.tab == "health" or link.whole:
        return replace(link, unit=None, sample=None, revision=_settle_revision(store, link, said)), tuple(said)
    if link.tab not in {"feature", "compare"}:
        return replace(link, unit=None, revision=None), tuple(said)
    revisions = (link.revision or "").split(".")
    try:
        unit, revision = _settle_unit(store, link.dictionary, link.unit, revisions[0], said, in_pair=link.tab == "compare")
        link = replace(link, unit=unit, revision=revision)
        if link.tab == "compare":
            other, theirs = _settle_other(store, link, revisions[1] if len(revisions) > 1 else "", said)
            link = replace(link, other=other, revision=f"{revision}.{theirs}" if other else revision)
    except EarmarkError:
        pass
    return link, tuple(said)


def _settle_revision(store: Store, link: Link, said: list[str]) -> str | None:
    """The dictionary's revision now; None where it has no tables here."""
    try:
        now = store.dictionary(link.dictionary, fetch=False).revision
    except EarmarkError:
        return None
    if link.revision and not now.startswith(link.revision):
        said.append(f"{link.dictionary} was rebuilt since this link was made (then {link.revision}, now {now}): these are the new one's figures.")
    return now


def _can_edit(store: Store, link: Link, edit: Edit, said: list[str]) -> bool:
    """Whether a link's edit is of a unit that there is, in the model of the link's dictionary."""
    slug = edit.unit.dictionary
    try:
        model, theirs = (store.catalog.dictionary(one).model for one in (link.dictionary, slug))
    except EarmarkError:
        said.append(f"There is no dictionary '{slug}'; its edit, {edit}, was left out.")
        return False
    if theirs != model:
        said.append(f"{edit} changes {theirs}, not {model}; it was left out.")
        return False
    n_units = _n_units(store, slug)
    if n_units is not None and edit.unit.index >= n_units:
        said.append(f"{slug} has units 0 to {n_units - 1}; the edit {edit} was left out.")
        return False
    return True


def _n_units(store: Store, slug: str) -> int | None:
    """How many units a dictionary has; None where it has no tables that say so."""
    try:
        return store.dictionary(slug, fetch=False).n_units
    except EarmarkError:
        return None


def _settle_unit(store: Store, slug: str, asked: int | None, revision: str, said: list[str], in_pair: bool = False) -> tuple[int, str]:
    """A unit that there is, and its dictionary's revision now."""
    dictionary = store.dictionary(slug)
    unit = pick(store, slug, in_pair) if asked is None else min(max(asked, 0), dictionary.n_units - 1)
    if asked is not None and unit != asked:
        said.append(f"{slug} has units 0 to {dictionary.n_units - 1}; {asked} is none of them. This is {unit}.")
    if revision and not dictionary.revision.startswith(revision):
        said.append(f"{slug} was rebuilt since this link was made (then {revision}, now {dictionary.revision}): its numbers may now be other units.")
    return unit, dictionary.revision


def _settle_other(store: Store, link: Link, revision: str, said: list[str]) -> tuple[UnitId | None, str]:
    """The second unit of a pair: the one asked for, else the partner that the tables propose."""
    asked = link.other
    if asked is not None and (asked.dictionary not in store.catalog.dictionaries or store.is_bare(asked.dictionary)):
        said.append(f"There is no dictionary '{asked.dictionary}' with tables to compare with; this is the partner that the tables propose.")
        asked, revision = None, ""
    if asked is None:
        asked = partner(store, UnitId(link.dictionary, link.unit or 0))
    if asked is None:
        return None, ""
    index, theirs = _settle_unit(store, asked.dictionary, asked.index, revision, said)
    return UnitId(asked.dictionary, index), theirs


def _settle_dictionary(store: Store, link: Link, said: list[str]) -> Link:
    known = list(store.catalog.dictionaries)
    if link.dictionary in known or link.dictionary in store.catalog.guests:
        return link
    usable = [s for s in known if store.has_tables(s)] or known
    default = store.catalog.default if store.catalog.default in usable or not usable else usable[0]
    if not link.dictionary:
        return replace(link, dictionary=default)
    if link.dictionary.startswith(GUEST):
        said.append(f"What was trained in the Lab can be opened for a while only, and this is gone. Train it once more. This is {default}.")
        return replace(link, dictionary=default, unit=None)
    near = difflib.get_close_matches(link.dictionary, known, n=1, cutoff=0.4)
    chosen = near[0] if near else default
    said.append(f"There is no dictionary '{link.dictionary}'. This is {chosen}.")
    return replace(link, dictionary=chosen)


def _settle_modality(store: Store, link: Link, said: list[str], asked: bool) -> Link:
    """On the tab for sounds a dictionary of a speech model, on that for texts one of a language model: the first with tables, an SAE before others."""
    wanted = {"audio": "audio", "text": "text"}.get(link.tab)
    entries = store.catalog.dictionaries | store.catalog.guests

    def fits(slug: str) -> bool:
        return store.catalog.model(entries[slug].model).modality == wanted

    if wanted is None or link.dictionary not in entries or fits(link.dictionary):
        return link
    those = sorted(filter(fits, store.catalog.dictionaries), key=lambda slug: (not store.has_tables(slug), entries[slug].kind != "sae"))
    if not those:
        return link
    if asked:
        does = "hears sounds and reads no text" if wanted == "text" else "reads texts and hears no sound"
        said.append(f"The model of {link.dictionary} {does}; this is {those[0]}.")
    return replace(link, dictionary=those[0], unit=None)


def _shading(store: Store, link: Link) -> int | None:
    """The unit that shades a text: none that the dictionary does not have."""
    n_units = _n_units(store, link.dictionary)
    return link.unit if link.unit is not None and 0 <= link.unit < (n_units or 1 << 30) else None


def _settle_sample(store: Store, link: Link, said: list[str]) -> str | None:
    """The clip of the corpus that is asked for, if there is such a one."""
    if link.sample is None:
        return None
    try:
        corpus = store.corpus(store.catalog.dictionary(link.dictionary).corpus or "")
        corpus.row(link.sample)
    except EarmarkError as error:
        said.append(f"{error} Bring a sound of your own.")
        return None
    return None if corpus.is_text else link.sample


def _settle_order(heard: HeardView, tokens: bool = False) -> HeardView:
    """An order that there is; a moment that no clip could have is none, and a stretch without an end is half a second long, or a few tokens."""
    at_s, to_s = (None if t is None or not 0 <= t < 3600 else float(int(t)) if tokens else t for t in (heard.at_s, heard.to_s))
    if heard.order == REGION:
        at_s = at_s or 0.0
        to_s = at_s + (STRETCH_TOKENS if tokens else STRETCH_S) if to_s is None else to_s
        return HeardView(REGION, min(at_s, to_s), max(at_s, to_s))
    if heard.order == MOMENT:
        return HeardView(MOMENT, at_s or 0.0)
    return HeardView(heard.order if heard.order in ORDERS else "relative")


def pick(store: Store, slug: str, in_pair: bool) -> int:
    """Some unit that has been heard in at least five samples; for a pair one that has a partner like it."""
    frame = store.units_frame(slug)
    heard = frame["n_samples"] >= 5
    live = frame.loc[heard & (frame["match_correlation"] >= LIKE), "unit"].tolist() if in_pair else []
    live = live or frame.loc[heard, "unit"].tolist() or frame["unit"].tolist()
    return int(random.choice(live))
