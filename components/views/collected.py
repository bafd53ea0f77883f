"""A named list of units: a row each, whatever dictionary it is from, and how it is shared."""

from __future__ import annotations

from dataclasses import dataclass, replace

from earmark.errors import EarmarkError
from earmark.links import Link, api_href
from earmark.shelf.catalog import CorpusEntry
from earmark.shelf.store import Store
from earmark.units import UnitId

from .finding import placed_rows
from .rows import Row


@dataclass(frozen=True)
class Collected:
    """One unit of the list."""

    place: str
    """its dictionary in words"""
    row: Row
    without: str
    """the address of the list without it"""


@dataclass(frozen=True)
class ListPage:
    """The list."""

    name: str
    units: str
    """as the address has them"""
    found: tuple[Collected, ...]
    missing: tuple[str, ...]
    """a sentence about each unit that is not here"""
    json: str
    csv: str
    """addresses of the list as a table"""
    credits: tuple[CorpusEntry, ...] = ()
    """of the corpora whose clips or texts are shown"""


def list_page(store: Store, link: Link) -> ListPage:
    found: list[Collected] = []
    missing: list[str] = []
    here: list[UnitId] = []
    for unit in link.collected.units:
        try:
            place, row = placed_rows(store, unit.dictionary, {unit.index: ""})[unit.index]
        except EarmarkError as error:
            missing.append(f"{unit.dictionary}:{unit.index} is not here. {error}")
            continue
        here.append(unit)
        found.append(Collected(place, row, replace(link, collected=link.collected.without(unit)).href()))
    corpora = dict.fromkeys(store.dictionary(unit.dictionary).corpus for unit in here)
    credits = tuple(store.catalog.corpus(slug) for slug in corpora)
    query = replace(link.collected, units=tuple(here)).parameters()
    tables = api_href("list", **query), api_href("list", **query, format="csv")
    return ListPage(link.collected.name, str(link.collected), tuple(found), tuple(missing), *tables, credits)
