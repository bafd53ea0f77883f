"""Words and phones under a clip's time axis."""

from __future__ import annotations

from dataclasses import dataclass, replace

from earmark.links import HeardView, Link
from earmark.speech import Span, Speech

QUIET = {"SIL", "NOISE"}


@dataclass(frozen=True)
class Said:
    """A word or a phone in its place."""

    text: str
    left: float
    """its beginning, in percent of the clip"""
    width: float
    now: bool
    """the peak lies in it"""
    href: str = ""
    """the units specific to it; empty where that is no link"""


@dataclass(frozen=True)
class SaidRows:
    """Both rows; both are empty where the times are not known."""

    words: tuple[Said, ...] = ()
    phones: tuple[Said, ...] = ()

    @property
    def at_peak(self) -> str:
        """What is said at the peak: `/k/ in “excuse”`; empty for silence."""
        word, phone = (next((s.text for s in row if s.now), "") for row in (self.words, self.phones))
        return f"/{phone}/ in “{word}”" if word and phone else f"“{word}”" if word else f"/{phone}/" if phone else ""


def said_rows(speech: Speech | None, duration_s: float, at_s: float | None = None, link: Link | None = None) -> SaidRows:
    """The rows of a clip; silences are left empty. With a link to the tab Audio each word leads to the units specific to it."""
    if speech is None:
        return SaidRows()
    whole = max(duration_s, 1e-3) / 100

    def placed(span: Span, text: str, with_link: bool) -> Said:
        now = at_s is not None and span.start_s <= at_s < span.end_s
        href = replace(link, heard=HeardView("region", round(span.start_s, 3), round(span.end_s, 3))).href() if link and with_link else ""
        return Said(text, round(span.start_s / whole, 2), round((span.end_s - span.start_s) / whole, 2), now, href)

    phones = tuple(placed(p, p.text.lower(), False) for p in speech.phones if p.text not in QUIET)
    return SaidRows(tuple(placed(w, w.text, True) for w in speech.words), phones)
