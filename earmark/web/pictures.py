"""Pictures: spectrograms in one colour map, a unit's strip of peaks, and its preview for shared links, of sounds and of texts.

A mel matrix is uint8 [64 mels from low to high, columns of 20 ms], as the build wrote it. Pictures have low frequencies at the
bottom. Ink on paper: silence is paper, loud is ink, so that a trace in colour reads on top; the dark theme inverts it.
"""

from __future__ import annotations

import io
import textwrap
import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..cards import Example
from ..passages import around

COLUMN_S = 0.02
"""one column of a mel matrix"""
N_MELS = 64
STRIP_WINDOW_S = 0.5
SHARE_SIZE = (1200, 630)

_STOPS = ((0.0, (240, 240, 240)), (0.3, (210, 210, 214)), (0.6, (126, 136, 160)), (0.85, (50, 62, 96)), (1.0, (18, 24, 48)))
"""the colour map: position in 0..1 and colour"""
PAPER, INK, ACCENT, OTHER, QUIET = (250, 247, 240), (18, 24, 48), (217, 72, 15), (31, 95, 168), (104, 108, 122)


def _palette() -> np.ndarray:
    """uint8 [256, 3]"""
    at = np.linspace(0, 1, 256)
    stops = [s for s, _ in _STOPS]
    return np.stack([np.interp(at, stops, [c[i] for _, c in _STOPS]) for i in range(3)], axis=1).round().astype(np.uint8)


PALETTE = _palette()


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=False, compress_level=6)
    return out.getvalue()


def mel_png(mel: np.ndarray) -> bytes:
    """One sample's spectrogram as a palette PNG, 64 pixels high, one pixel a column."""
    picture = Image.fromarray(np.ascontiguousarray(mel[::-1]), "L")
    picture.putpalette(PALETTE.tobytes())
    return _png(picture)


def window(at_s: float, duration_s: float, length_s: float = STRIP_WINDOW_S) -> tuple[float, float]:
    """Start and end of `length_s` seconds around a peak, moved to lie within the sample, shorter only where the sample is."""
    start = max(0.0, min(at_s + COLUMN_S / 2 - length_s / 2, duration_s - length_s))
    return start, min(start + length_s, duration_s)


def strip_png(mels: Sequence[np.ndarray], peaks: Sequence[tuple[float, float]], n_tiles: int = 5) -> bytes:
    """Half seconds around some peaks, side by side with two blank columns between them: what a montage will sound like.

    `peaks` holds (at_s, duration_s) of each mel matrix.
    """
    width = round(STRIP_WINDOW_S / COLUMN_S)
    canvas = np.zeros((N_MELS, n_tiles * (width + 2) - 2), dtype=np.uint8)
    shown = np.zeros(canvas.shape[1], dtype=bool)
    for i, (mel, (at_s, duration_s)) in enumerate(zip(mels, peaks, strict=True)):
        first = round(window(at_s, duration_s)[0] / COLUMN_S)
        part = mel[:, first : first + width]
        left = i * (width + 2) + (width - part.shape[1]) // 2
        canvas[:, left : left + part.shape[1]] = np.maximum(part, 1)
        shown[left : left + part.shape[1]] = True
    canvas[:, ~shown] = 0
    picture = Image.fromarray(np.ascontiguousarray(canvas[::-1]), "L")
    picture.putpalette(PALETTE.tobytes())
    out = io.BytesIO()
    picture.save(out, "PNG", transparency=0, compress_level=6)
    return out.getvalue()


def share_png(title: str, place: str, lines: Sequence[str], mel: np.ndarray | None, example: Example | None) -> bytes:
    """The picture that link previews show: a unit's name, its strongest sample with the trace, and lines about it. 1200 x 630."""
    width, _ = SHARE_SIZE
    picture, draw = _titled(title, place)
    top, bottom = 186, 396
    if mel is not None and example is not None:
        _draw_sample(picture, draw, (64, top, width - 64, bottom), mel, example)
    else:
        draw.text((64, top + 60), "No sample of the corpus makes it fire.", font=_font(36), fill=QUIET)
    y = bottom + 28
    for line in lines[:4]:
        draw.text((64, y), _fit(draw, line, 30, width - 128), font=_font(30), fill=INK)
        y += 44
    return _png(picture.quantize(128, dither=Image.Dither.NONE))


def _titled(title: str, place: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty preview with its head."""
    width, height = SHARE_SIZE
    picture = Image.new("RGB", SHARE_SIZE, PAPER)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 14, height), fill=ACCENT)
    draw.text((64, 44), _fit(draw, title, 64, width - 320), font=_font(64), fill=INK)
    draw.text((64, 126), _fit(draw, place, 28, width - 128), font=_font(28), fill=QUIET)
    draw.text((width - 64, 58), "Earmark", font=_font(36), fill=ACCENT, anchor="ra")
    return picture, draw


def share_text_png(title: str, place: str, label: str, examples: Sequence[Example]) -> bytes:
    """The same for a unit of a language model: the texts around its strongest peaks, shaded. 1200 x 630."""
    picture, draw = _titled(title, place)
    y = 190
    if label:
        draw.text((64, y), _fit(draw, label, 36, SHARE_SIZE[0] - 128), font=_font(36), fill=INK)
        y += 62
    if not examples:
        draw.text((64, y + 50), "No text of the corpus makes it fire.", font=_font(36), fill=QUIET)
    scale = max((abs(e.peak) for e in examples), default=1.0) or 1.0
    for size, before, after, n_lines, example in zip((38, 30, 30, 30), (16, 9, 9, 9), (12, 8, 8, 8), (3, 1, 1, 1), examples, strict=False):
        y = _draw_text(draw, y, size, n_lines, example, around(example.tokens or (), example.at, before, after), scale) + 18
    return _png(picture.quantize(128, dither=Image.Dither.NONE))


def _draw_text(draw: ImageDraw.ImageDraw, y: int, size: int, n_lines: int, example: Example, span: tuple[int, int], scale: float) -> int:
    """Tokens of a text from `y` down, on at most `n_lines` lines, shaded by their values over `scale`; where the next text may begin."""
    font, right, height = _font(size), SHARE_SIZE[0] - 64, round(size * 1.5)
    x, line = 64.0, 0
    for position in range(*span):
        token = _drawable((example.tokens or ())[position])
        token = token if x > 64 else token.lstrip()
        inside = 0 <= position - example.start < len(example.trace)
        share = float(example.trace[position - example.start]) / scale if inside else 0.0
        width = draw.textlength(token, font=font)
        if x + width > right:
            token = _fit(draw, token, size, right - 64)
            x, line, width = 64.0, line + (x > 64), draw.textlength(token, font=font)
        if line >= n_lines:
            break
        top = y + line * height
        if abs(share) > 0.02:
            draw.rectangle((x, top - 4, x + width, top + height - 10), fill=_mixed(PAPER, ACCENT if share > 0 else OTHER, min(1.0, abs(share)) * 0.58))
        if position == example.at:
            draw.line((x, top + height - 10, x + width, top + height - 10), fill=ACCENT if share >= 0 else OTHER, width=3)
        draw.text((x, top), token, font=font, fill=INK)
        x += width
    return y + (min(line, n_lines - 1) + 1) * height


def _mixed(ground: tuple[int, int, int], colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    red, green, blue = (round(g + (c - g) * share) for g, c in zip(ground, colour, strict=True))
    return red, green, blue


def _draw_sample(picture: Image.Image, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], mel: np.ndarray, example: Example) -> None:
    left, top, right, bottom = box
    px_per_s = min((right - left) / max(example.duration_s, 0.2), 500)
    right = left + round(example.duration_s * px_per_s)
    image = Image.fromarray(PALETTE[mel[::-1]], "RGB").resize((right - left, bottom - top), Image.Resampling.BICUBIC)
    picture.paste(image, (left, top))
    low, high = min(0.0, float(example.trace.min())), max(0.0, float(example.trace.max()))
    n = len(example.trace)
    hop_s = (example.end_s - example.start_s) / n

    def y(value: float) -> float:
        return bottom - (value - low) / ((high - low) or 1) * (bottom - top) * 0.94

    points = [(left + (example.start_s + (t + 0.5) * hop_s) * px_per_s, y(float(v))) for t, v in enumerate(example.trace)]
    if n > 1:
        shade = Image.new("RGBA", picture.size, (0, 0, 0, 0))
        ImageDraw.Draw(shade).polygon([(points[0][0], y(0)), *points, (points[-1][0], y(0))], fill=(*ACCENT, 56))
        picture.paste(Image.alpha_composite(picture.convert("RGBA"), shade).convert("RGB"))
        draw.line(points, fill=ACCENT, width=4, joint="curve")
    draw.line((left, bottom, right, bottom), fill=QUIET, width=2)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


_IN_FONT = str.maketrans({"\u2014": "-", "\u2013": "-", "\u2044": "/", "\u00df": "ss", "\u00e6": "ae", "\u0153": "oe", "\u00a0": " "})


def _drawable(text: str) -> str:
    """The text in letters that the font has, as far as they can be told without their accents."""
    bare = (letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if letter.isprintable() else " " for letter in bare).translate(_IN_FONT)


def _fit(draw: ImageDraw.ImageDraw, text: str, size: int, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    text = " ".join(_drawable(text).split())
    n = len(text)
    while n > 1 and draw.textlength(text if n == len(text) else text[:n] + "…", font=_font(size)) > width:
        n = min(n - 1, int(n * 0.96))
    return text if n == len(text) else textwrap.shorten(text[: n + 1], n, placeholder="…") if " " in text[:n] else text[:n] + "…"
