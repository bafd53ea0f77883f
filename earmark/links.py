"""Addresses: the one place that builds and parses links. Parsing never raises: it falls back, with a notice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from .edits import MAX_EDITS, Edit, parse_edits
from .errors import BadInput
from .lists import UnitList, parse_list
from .parameters import encodable, flag, integer, number, short
from .presets import LabView
from .units import UnitId

TABS = ("browse", "feature", "audio", "text", "lab", "compare", "health", "about", "find", "list")
"""names of the tabs in an address, in the page's order"""
MAX_TEXT = 200
LOOKS = ("stack", "snippet", "whole")
"""how much of each text a card shows"""
DEFAULT_LOOK = "snippet"
MAX_LINK_TEXT = 500
"""characters of a text of one's own that an address carries; a longer one is in no address"""
MAX_WORD_LIST = 1_000
TOKENS = {"audio": False, "text": True}
"""tabs for a sample of one's own, and whether places in it count tokens, not seconds"""
EVERYWHERE = ("about", "find", "list", "lab")
"""tabs of all dictionaries, or of none that is listed: their address names none"""
EDITING = ("feature", *TOKENS)
"""tabs whose address carries edits of units"""
DEFAULT_SORT = "words"
"""units whose strongest clips share a word come first: the easiest to hear"""


@dataclass(frozen=True)
class Filter:
    """Which peaks of a unit are shown: all values None shows the stored groups."""

    low: float | None = None
    high: float | None = None
    absolute: bool = False

    @property
    def active(self) -> bool:
        return self.low is not None or self.high is not None or self.absolute


@dataclass(frozen=True)
class BrowseView:
    """What the list of units shows: search words, kept kinds of units, order."""

    text: str = ""
    sort: str = DEFAULT_SORT
    descending: bool = True
    min_density: float | None = None
    max_density: float | None = None
    dead: str = "hide"
    """hide, show or only"""
    page: int = 1
    named: str = ""
    """only units whose label holds: `1` those with any, `word` those named by a phone, a token or a word"""


@dataclass(frozen=True)
class HeardView:
    """In what order the units that fire on a visitor's own clip or text are listed. The clip itself is in no address."""

    order: str = "relative"
    at_s: float | None = None
    """the moment, where they are ordered by their values at one; the beginning of a stretch; of a text, the number of a token"""
    to_s: float | None = None
    """the end of a stretch"""


@dataclass(frozen=True)
class ReadView:
    """A visitor's own text, while it is short, and the words that its units are asked for."""

    text: str = ""
    words: str = ""
    """with commas between them"""
    where: str = "text"
    """where the words are looked for: text or corpus"""
    word_order: str = "auroc"
    """auroc or ratio"""


@dataclass(frozen=True)
class Link:
    """Every state worth sending."""

    tab: str = "browse"
    dictionary: str = ""
    unit: int | None = None
    filter: Filter = Filter()
    browse: BrowseView = BrowseView()
    sample: str | None = None
    revision: str | None = None
    """the dictionary's short content hash, of a pair both with a dot between; an older one opens with a notice"""
    heard: HeardView = HeardView()
    other: UnitId | None = None
    """the second unit of a comparison"""
    look: str = DEFAULT_LOOK
    """of `LOOKS`: how much of each text is shown"""
    read: ReadView = ReadView()
    lab: LabView = LabView()
    edits: tuple[Edit, ...] = ()
    """units turned up, down or off"""
    collected: UnitList = UnitList()
    """units from anywhere, under a name"""

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> tuple[Link, tuple[str, ...]]:
        """A link and the notices about what in it could not be understood."""
        notices: list[str] = []
        query = encodable(query)
        tab = query.get("tab") or ("feature" if query.get("unit") else "browse")
        if tab not in TABS:
            notices.append(f"There is no tab '{tab[:40]}'; this is the list of units.")
            tab = "browse"
        dead = query.get("dead", "hide")
        unit, other = integer(query, "unit", notices), integer(query, "other_unit", notices)
        if tab == "feature" and unit is None and query.get("unit", "").strip():
            tab = "browse"
        own = tab in TOKENS
        collected, unread = parse_list(query) if tab == "list" else (UnitList(), ())
        notices += unread
        link = cls(
            tab=tab,
            dictionary=query.get("dictionary", "")[:80],
            unit=unit,
            filter=Filter(number(query, "min", notices), number(query, "max", notices), flag(query.get("absolute", "")) or False),
            browse=BrowseView(
                text=query.get("q", "")[:MAX_TEXT],
                sort=DEFAULT_SORT if own or tab == "lab" else query.get("sort", DEFAULT_SORT)[:20],
                descending=query.get("order", "desc") != "asc",
                min_density=number(query, "dmin", notices),
                max_density=number(query, "dmax", notices),
                dead=dead if dead in {"hide", "show", "only"} else "hide",
                named=_named(query.get("named", "")),
                page=max(1, integer(query, "page", notices) or 1),
            ),
            sample=query.get("sample", "")[:MAX_TEXT] or None,
            revision=query.get("rev", "")[:33] or None,
            heard=HeardView(query.get("sort", "relative")[:20], number(query, "at", notices), number(query, "to", notices)) if own else HeardView(),
            other=UnitId(query.get("other", "")[:80], other) if tab == "compare" and other is not None else None,
            look=query["view"] if query.get("view") in LOOKS else DEFAULT_LOOK,
            read=_read(query, notices) if tab == "text" else ReadView(),
            lab=LabView.parse(query, notices) if tab == "lab" else LabView(),
            edits=_edits(query, notices) if tab in EDITING else (),
            collected=collected,
        )
        return link, tuple(notices)

    @property
    def whole(self) -> bool:
        """Whether Compare shows the whole picture of a hook: no unit is chosen."""
        return self.tab == "compare" and self.unit is None and self.other is None

    @property
    def written_edits(self) -> str:
        """The edits as this link's address has them."""
        return ",".join(edit.short(self.dictionary) for edit in self.edits)

    def query(self) -> str:
        """The query string, without '?', defaults left out."""
        f, b = self.filter, self.browse
        on_card, on_pair = self.tab == "feature", self.tab == "compare"
        parts: dict[str, object] = {
            "tab": self.tab,
            "dictionary": None if self.tab in EVERYWHERE else self.dictionary or None,
            "unit": self.unit if on_card or on_pair or self.tab in {"text", "lab"} else None,
            "other": self.other.dictionary if on_pair and self.other else None,
            "other_unit": self.other.index if on_pair and self.other else None,
            "min": short(f.low) if on_card else None,
            "max": short(f.high) if on_card else None,
            "absolute": 1 if on_card and f.absolute else None,
            "sample": self.sample if on_card or on_pair or self.tab in {"audio", "lab"} else None,
            "view": self.look if (on_card or on_pair) and self.look != DEFAULT_LOOK else None,
        }
        if self.tab in {"browse", "find"}:
            parts["q"] = b.text or None
        if self.tab == "browse":
            parts |= {
                "sort": None if b.sort == DEFAULT_SORT else b.sort,
                "order": None if b.descending else "asc",
                "dmin": short(b.min_density),
                "dmax": short(b.max_density),
                "dead": None if b.dead == "hide" else b.dead,
                "named": b.named or None,
                "page": None if b.page == 1 else b.page,
            }
        if self.tab in TOKENS:
            parts |= {"sort": None if self.heard.order == "relative" else self.heard.order, "at": short(self.heard.at_s), "to": short(self.heard.to_s)}
        if self.tab == "text":
            r = self.read
            parts |= {"words": r.words or None, "in": None if r.where == "text" else r.where, "by": None if r.word_order == "auroc" else r.word_order}
            parts["text"] = r.text or None
        parts |= self.collected.parameters() if self.tab == "list" else {}
        parts |= self.lab.parts() if self.tab == "lab" else {}
        parts["edits"] = self.written_edits or None if self.tab in EDITING else None
        parts["rev"] = self.revision
        return urlencode({k: v for k, v in parts.items() if v is not None})

    def href(self) -> str:
        return "/?" + self.query()

    def looking(self, look: str) -> Link:
        """The same with another look at texts."""
        return replace(self, look=look)

    def to_unit(self, unit: int) -> Link:
        """Another unit of the same dictionary, looked at in the same way."""
        return Link("feature", self.dictionary, unit, look=self.look)


def short_link(dictionary: str, unit: int) -> str:
    """The page that link previews read, which leads on to the unit's card; a query behind it goes along."""
    return f"/f/{quote(dictionary, safe='')}/{unit}"


def whole_link(dictionary: str, tab: str) -> str:
    """The page that link previews read of a dictionary's health (`health`) or of the whole picture of its hook (`compare`)."""
    return f"/f/{quote(dictionary, safe='')}/{tab}"


def unit_media_href(dictionary: str, unit: int, kind: str) -> str:
    """A unit's picture for previews (`png`), its strip of peaks (`strip.png`), or its strongest clips (`zip`)."""
    return f"/media/unit/{quote(dictionary, safe='')}/{unit}.{kind}"


def media_href(corpus: str, sample: str, kind: str) -> str:
    """A sample's sound or picture: kind is `audio` or `mel.png`."""
    return f"/media/{quote(corpus, safe='')}/{quote(sample, safe='')}/{kind}"


def own_href(token: str, kind: str) -> str:
    """The sound (`sound.wav`) or picture (`mel.png`) of a visitor's own clip."""
    return f"/own/{quote(token, safe='')}/{kind}"


def lab_href(token: str, kind: str) -> str:
    """Of a training of the Lab: `run.json`, `sae.zip`, or the `sound.wav` and `mel.png` of the sound that it was trained on."""
    return f"/lab/{quote(token, safe='')}/{kind}"


def model_href(dictionary: str) -> str:
    """Whether a dictionary's model is loaded."""
    return f"/model/{quote(dictionary, safe='')}"


def api_href(*parts: str | int, **query: str) -> str:
    return "/api/" + "/".join(quote(str(p), safe="") for p in parts) + ("?" + urlencode(query) if query else "")


def _read(query: Mapping[str, str], notices: list[str]) -> ReadView:
    text, words = (query.get(name, "") for name in ("text", "words"))
    if len(text) > MAX_LINK_TEXT:
        notices.append(f"An address carries a text of at most {MAX_LINK_TEXT} characters; the {len(text):,} of this one were cut. Paste the whole text below.")
    where, order = query.get("in", "text"), query.get("by", "auroc")
    return ReadView(
        text[:MAX_LINK_TEXT], words[:MAX_WORD_LIST], where if where in {"text", "corpus"} else "text", order if order in {"auroc", "ratio"} else "auroc"
    )


def _edits(query: Mapping[str, str], notices: list[str]) -> tuple[Edit, ...]:
    """The edits that can be read and go together, in order; of each other one it is said what is wrong with it."""
    kept: list[str] = []
    edits: tuple[Edit, ...] = ()
    for part in query.get("edits", "").split(",")[: 2 * MAX_EDITS]:
        try:
            edits = parse_edits(",".join([*kept, part]), query.get("dictionary", "")[:80])
            kept += [part] if part.strip() else []
        except BadInput as error:
            notices += [str(error)] if str(error) not in notices else []
    return edits


def _named(text: str) -> str:
    return "word" if text.strip() == "word" else "1" if flag(text) else ""
