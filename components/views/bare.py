"""A dictionary without tables: where its weights are, what they say by themselves, and how its tables are built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from earmark.cards import Neighbour
from earmark.errors import EarmarkError, NotFound
from earmark.links import Link
from earmark.live.desk import Desk
from earmark.live.line.model import State
from earmark.shelf.catalog import DictionaryEntry, ModelEntry
from earmark.shelf.store import Store

if TYPE_CHECKING:
    from earmark.live.checkpoints.facts import Facts


@dataclass(frozen=True)
class BareView:
    """What the page shows in place of lists and cards."""

    link: Link
    entry: DictionaryEntry
    model: ModelEntry
    state: State
    far: tuple[str, ...]
    """repositories that opening it fetches from first"""
    max_mb: int
    facts: Facts | None
    """once it is open"""
    neighbours: tuple[Neighbour, ...]
    """of the link's unit"""
    commands: tuple[str, ...]
    """that build its tables; none for what was trained in the Lab, which no command knows"""
    problem: str | None = None
    """what is wrong with the unit that was asked for"""


def bare_view(store: Store, desk: Desk, link: Link) -> BareView | None:
    """None for a dictionary that has tables, and for one whose tables are damaged: that is told elsewhere."""
    if not store.is_bare(link.dictionary):
        return None
    entry = store.catalog.dictionary(link.dictionary)
    model = store.catalog.model(entry.model)
    facts, near, problem = desk.facts(entry.slug), (), None
    if facts is not None and link.unit is not None:
        if link.unit < facts.n_units:
            near = desk.neighbours(entry.slug, link.unit)
        else:
            problem = str(NotFound(f"{entry.slug} has units 0 to {facts.n_units - 1}; {link.unit} is none of them."))
    try:
        state, far = desk.state(entry.slug), desk.far(entry.slug)
    except EarmarkError as error:
        state, far = State("failed", str(error)), ()
    return BareView(
        link, entry, model, state, far, store.settings.hub_max_mb, facts, near, () if entry.slug in store.catalog.guests else _commands(entry, model), problem
    )


def _commands(entry: DictionaryEntry, model: ModelEntry) -> tuple[str, ...]:
    build = f"python -m earmark build {entry.slug}"
    if entry.corpus:
        return (build,)
    if model.modality == "text":
        return (f"python -m earmark corpus my-texts --from folder texts/ --model {model.slug}", f"{build} --corpus my-texts")
    return ("python -m earmark corpus my-clips --from folder recordings/", f"{build} --corpus my-clips")
