"""Pictures from mel matrices: spectrograms in one colour map, a unit's strip of peaks, and its preview for shared links.

A mel matrix is uint8 [64 mels from low to high, columns of 20 ms], as the build wrote it. Pictures have low frequencies at the
bottom. Ink on paper: silence is paper, loud is ink, so that a trace in colour reads on top; the dark theme inverts it.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..cards import Example

COLUMN_S = 0.02
"""one column of a mel matrix"""
N_MELS = 64
STRIP_WINDOW_S = 0.5
SHARE_SIZE = (1200, 630)

_STOPS = ((0.0, (240, 240, 240)), (0.3, (210, 210, 214)), (0.6, (126, 136, 160)), (0.85, (50, 62, 96)), (1.0, (18, 24, 48)))
"""the colour map: position in 0..1 and colour"""
PAPER, INK, ACCENT, QUIET = (250, 247, 240), (18, 24, 48), (217, 72, 15), (104, 108, 122)


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
    """The picture that link previews show: a unit's name, its strongest sample with the trace, and what was heard. 1200 x 630."""
    width, height = SHARE_SIZE
    picture = Image.new("RGB", SHARE_SIZE, PAPER)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 14, height), fill=ACCENT)
    draw.text((64, 44), _fit(draw, title, 64, width - 320), font=_font(64), fill=INK)
    draw.text((64, 126), _fit(draw, place, 28, width - 128), font=_font(28), fill=QUIET)
    draw.text((width - 64, 58), "Earmark", font=_font(36), fill=ACCENT, anchor="ra")
    top, bottom = 186, 396
    if mel is not None and example is not None:
        _draw_sample(picture, draw, (64, top, width - 64, bottom), mel, example)
    else:
        draw.text((64, top + 60), "No sample of the corpus makes it fire.", font=_font(36), fill=QUIET)
    y = bottom + 28
    for line in lines[:4]:
        draw.text((64, y), _fit(draw, f"“{line}”", 30, width - 128), font=_font(30), fill=INK)
        y += 44
    return _png(picture.quantize(128, dither=Image.Dither.NONE))


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


def _fit(draw: ImageDraw.ImageDraw, text: str, size: int, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    text = " ".join(text.split())
    n = len(text)
    while n > 1 and draw.textlength(text if n == len(text) else text[:n] + "…", font=_font(size)) > width:
        n = min(n - 1, int(n * 0.96))
    return text if n == len(text) else textwrap.shorten(text[: n + 1], n, placeholder="…") if " " in text[:n] else text[:n] + "…"
