"""The one family of errors that visitors and researchers get to read.

Every message is a sentence that names the bad value, what would have been valid, and what to do next. Anything else that is
raised is a defect of ours and stays out of sight.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EarmarkError(Exception):
    """An expected failure whose text is written for the person who meets it."""

    status = 422


class NotFound(EarmarkError):
    """What was asked for is not here: a dictionary, a unit, a sample, a file."""

    status = 404


class BadInput(EarmarkError):
    """What was given cannot be used: a number out of range, a file that is not audio."""


class BadTable(EarmarkError):
    """A table that does not fit its manifest, or that another version wrote."""


class NotFetched(BadTable):
    """A table that lies on the Hub and has not been needed yet."""


class Stopped(EarmarkError):
    """Work that was asked to stop before it was done."""


class MissingWeights(EarmarkError):
    """Weights that none of their sources could give."""


class NoRoom(EarmarkError):
    """A disk that is full, or too small for what is to be written."""

    status = 503


class NoMemory(EarmarkError):
    """More memory is needed than this machine, or this process, has."""

    status = 503


def unknown(what: str, name: str, valid: Iterable[str]) -> NotFound:
    """A NotFound that names the nearest valid name and lists the others (at most twelve)."""
    names = sorted(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "") if names else "none"
    return NotFound(f"There is no {what} '{name[:80]}'.{hint} Known: {listed}.")
