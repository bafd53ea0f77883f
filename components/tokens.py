"""Text as its tokens print it, shaded by a trace: pieces, and their HTML for `templates/tokens.html`. No gradio.

Put together, the pieces' texts are the text. What cannot be seen (control characters, zero width, bidirectional marks) becomes a mark with a name
and never reaches the page itself; spaces, tabs and line ends stay what they are and carry a quiet sign.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from markupsafe import Markup, escape

from earmark.units import TokenGrid

from . import prose

FAINT = 0.02
"""shares of the scale below this are not shaded"""
N_SPOKEN = 4
MAX_KEPT = 24
"""characters of a piece whose parts are remembered: the same tokens come again and again"""
NAMES = {
    0x00AD: "SHY", 0x061C: "ALM", 0x0085: "NEL", 0x200B: "ZWSP", 0x200C: "ZWNJ", 0x200D: "ZWJ", 0x200E: "LRM", 0x200F: "RLM", 0x2028: "LS", 0x2029: "PS",
    0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO", 0x2060: "WJ", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI",
    0x007F: "DEL", 0xFEFF: "BOM", 0x115F: "HCF", 0x1160: "HJF", 0x3164: "HF", 0xFFA0: "HHF",
}  # fmt: skip
"""what is written in place of characters that cannot be seen; others get their number"""
LATIN = "\u00ff"
"""the last letter of Latin-1"""
_JOINERS = "\u200c\u200d"
_SIGNS = r"[\n\t]| {2,}|[^\S \n\t]|[^\w\s!-~]|[\u115f\u1160\u3164\uffa0]"
_SPLIT, _SPLIT_EDGES = re.compile(f"({_SIGNS})"), re.compile(f"({_SIGNS}|^ | $)")
"""what may need a sign of its own: no letters, digits and single spaces between them; with edges, also a space at either end"""


@dataclass(frozen=True)
class Part:
    """A run of characters inside a piece."""

    text: str
    kind: str = ""
    """empty for plain text, space, tab, line, or hidden"""
    sign: str = ""
    """what is drawn for it"""

    @property
    def codes(self) -> str:
        """Of a hidden run: its characters by number, for copying."""
        return " ".join(f"{ord(letter):x}" for letter in self.text)

    @cached_property
    def html(self) -> str:
        """Signs are drawn by the style sheet, so that what is copied is the text."""
        if not self.kind:
            return str(escape(self.text))
        codes, inside = (f' data-codes="{self.codes}"', "") if self.kind == "hidden" else ("", escape(self.text))
        return f'<i class="em-sign {self.kind}" data-sign="{escape(self.sign)}"{codes}>{inside}</i>'


@dataclass(frozen=True)
class Piece:
    """One or more positions that are shown as one."""

    start: int
    end: int
    """positions [start, end)"""
    text: str
    parts: tuple[Part, ...] = ()
    """the text once more, in runs"""
    share: float = 0.0
    """value over the scale, -1..1; 0 where it is not shaded"""
    value: float | None = None
    """the value of largest magnitude in it; None where it is not shaded"""
    peak: bool = False
    sink: bool = False

    @property
    def place(self) -> str:
        return f"token {self.start}" if self.end - self.start == 1 else f"tokens {self.start}–{self.end - 1}"

    @property
    def title(self) -> str:
        """What hovering over it says."""
        if self.sink:
            return f"attention sink, left out · {self.place}"
        return self.place if self.value is None else f"{prose.short(self.value)} · {self.place}"

    @property
    def legible(self) -> str:
        """The text with names in place of what cannot be seen."""
        return "".join(part.sign if part.kind == "hidden" else part.text for part in self.parts)

    @property
    def plain(self) -> bool:
        """Nothing is marked in it."""
        return self.value is None and not self.peak and not self.sink

    @property
    def inside(self) -> Markup:
        """HTML of the text alone."""
        return Markup("".join([part.html for part in self.parts]))  # noqa: S704 -- the parts have escaped what they hold

    def span(self, each: bool) -> str:
        """HTML of the piece: a span where it is marked, whose title is numbers and our own words. each: always a span, that knows its first position."""
        inside = "".join([part.html for part in self.parts])
        if self.plain and not each:
            return inside
        tag, kinds = "mark" if self.peak else "span", f"{' n' * (self.share < 0)}{' peak' * self.peak}{' sink' * self.sink}"
        style, at = f' style="--v:{abs(self.share):.3g}"' if self.share else "", f' data-at="{self.start}"' if each else ""
        return f'<{tag} class="em-t{kinds}"{style}{at} title="{self.title}">{inside}</{tag}>'


def run(found: Iterable[Piece], each: bool = False) -> Markup:
    """Pieces one after the other as HTML: spans for what is marked, plain text for the rest. A card of texts has ten thousand of them, for which
    a template takes eight times as long."""
    return Markup("".join([piece.span(each) for piece in found]))  # noqa: S704 -- so have the pieces


def pieces(
    tokens: Sequence[str],
    values: Sequence[float] | np.ndarray | None = None,
    scale: float | None = None,
    at: int | None = None,
    sinks: Collection[int] = (),
    each: bool = False,
    first: int = 0,
    context: tuple[str, str] = ("", ""),
    public: bool = False,
) -> tuple[Piece, ...]:
    """Tokens as pieces, in order; they cover every position once.

    tokens: what each position prints, '' for one that is shown with the position before it.
    values: float [n_positions], one for each token; None shades nothing. scale: the magnitude that is shaded most, by default the largest of `values`.
    at, sinks: positions of the peak and of attention sinks. each: a piece for every token, also where nothing is marked, so that each can be clicked.
    first: the position of `tokens[0]`; `at`, `sinks` and the pieces count as it does. context: the text before and after these tokens.
    public: they are a corpus's, whose tokens come again and again, and not a visitor's: what was found of them may be remembered.
    """
    floats: list[float] = [0.0] * len(tokens) if values is None else np.nan_to_num(np.asarray(values, dtype=np.float64)).tolist()
    scale = scale or max(map(abs, floats), default=0.0) or 1.0
    sunk = {s - first for s in sinks}
    runs: list[_Run] = []
    for start, end, text in TokenGrid(tuple(tokens)).spans():
        value = floats[start] if end - start == 1 else max(floats[start:end], key=abs)
        sink, peak = bool(sunk) and not sunk.isdisjoint(range(start, end)), at is not None and bool(start <= at - first < end)
        shaded = value if abs(value) >= FAINT * scale and not sink else None
        if runs and not each and not (sink or peak) and shaded is None and runs[-1].plain:
            runs[-1].texts.append(text)
            runs[-1].end = end
        else:
            runs.append(_Run(start, end, [text], shaded, peak, sink))
    texts, cut = ["".join(run.texts) for run in runs], _kept_parts if public else _parts
    around = zip([context[0], *texts], texts, [*texts[1:], context[1]], strict=False)
    return tuple(run.piece(first, scale, text, cut(before, text, after, not run.plain)) for run, (before, text, after) in zip(runs, around, strict=True))


@dataclass(slots=True)
class _Run:
    """A piece that may still grow."""

    start: int
    end: int
    texts: list[str]
    value: float | None
    peak: bool
    sink: bool

    @property
    def plain(self) -> bool:
        return self.value is None and not self.peak and not self.sink

    def piece(self, first: int, scale: float, text: str, parts: tuple[Part, ...]) -> Piece:
        share = 0.0 if self.value is None else min(max(self.value / scale, -1.0), 1.0)
        return Piece(first + self.start, first + self.end, text, parts, share, self.value, self.peak, self.sink)


def _parts(before: str, text: str, after: str, edges: bool) -> tuple[Part, ...]:
    return tuple(parts(before, text, after, edges))


def _kept_parts(before: str, text: str, after: str, edges: bool) -> tuple[Part, ...]:
    """The same, remembered for what is as short as tokens are."""
    return (_parts if len(text) > MAX_KEPT else _of_token)(_shaping(before[-1:]), text, _shaping(after[:1]), edges)


_of_token = lru_cache(maxsize=1 << 14)(_parts)


def _shaping(beside: str) -> str:
    """A letter beside a text where it makes a difference: joiners shape scripts and emoji, and nothing in Latin-1."""
    return beside if beside > LATIN else ""


def parts(before: str, text: str, after: str, edges: bool = False) -> Iterator[Part]:
    """A text's characters in runs, with signs for those that are hard to see. `before` and `after` are the texts around it.

    edges: a space at the text's beginning or end gets a sign, too.
    """
    plain, offset = "", 0
    for run in (_SPLIT_EDGES if edges else _SPLIT).split(text):
        last = text[offset - 1] if offset else before[-1:]
        offset += len(run)
        following = text[offset] if offset < len(text) else after[:1]
        part = _special(run, last, following) if run else None
        if part is None:
            plain += run
            continue
        if plain:
            yield Part(plain)
        plain = ""
        yield part
    if plain:
        yield Part(plain)


def _special(run: str, last: str, following: str) -> Part | None:
    """A run that gets a sign; None for plain text."""
    if run.strip(" ") == "":
        return Part(run, "space", "\u00b7" * len(run))
    if run == "\n":
        return Part(run, "line", "\u21b5")
    if run == "\t":
        return Part(run, "tab", "\u2192")
    if len(run) > 1 or (run in _JOINERS and last > LATIN and following > LATIN):  # inside a script or an emoji they only shape it
        return None
    kind = unicodedata.category(run)
    if kind == "Zs" and run != " ":
        return Part(run, "space", "\u237d")
    code = ord(run)
    if kind not in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"} and code not in NAMES:
        return None
    return Part(run, "hidden", chr(0x2400 + code) if code < 32 else NAMES.get(code, f"U+{code:04X}"))


def spoken(shown: Sequence[Piece]) -> str:
    """For who cannot see the shading: the strongest pieces with their values."""
    strong = sorted((p for p in shown if p.value is not None and p.text.strip()), key=lambda p: -abs(p.share))[:N_SPOKEN]
    return "; ".join(f"{' '.join(p.legible.split())} {prose.short(p.value)}" for p in strong)
