"""A text file's bytes into text: UTF-8 with or without a byte-order mark, UTF-16, and Latin-1 where nothing else fits, with a notice."""

from __future__ import annotations

import codecs
from pathlib import Path

from ..errors import BadInput

MAX_TEXT_BYTES = 1_000_000
"""larger files are refused"""
MAX_CONTROLS = 0.02
"""share of control characters above which a file is no text"""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_text_file(path: Path) -> tuple[str, tuple[str, ...]]:
    """(text, notices) of a file. Raises BadInput for one that is not there, too large, or no text."""
    try:
        size = path.stat().st_size
        if size > MAX_TEXT_BYTES:
            raise BadInput(f"The file has {size / 1e6:.1f} MB; at most {MAX_TEXT_BYTES / 1e6:g} MB of text are taken. Cut out the part you want.")
        return decode_text(path.read_bytes())
    except OSError as error:
        raise BadInput(f"'{path.name[:80]}' cannot be read ({error.strerror}). Choose another file.") from None


def decode_text(data: bytes) -> tuple[str, tuple[str, ...]]:
    """(text, notices). Raises BadInput for bytes that are no text."""
    text, notices = _decoded(data)
    controls = sum(letter < " " and letter not in "\t\n\r\f" for letter in text)
    if controls > MAX_CONTROLS * len(text):
        raise BadInput("The file is no text: it holds bytes that no text has. Save it as plain text, in UTF-8.")
    return text, notices


def _decoded(data: bytes) -> tuple[str, tuple[str, ...]]:
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data.decode(name, "replace"), ()
    # most letters of most texts have a zero byte in UTF-16, and nowhere else
    for zeros, name in ((data[1::2], "utf-16-le"), (data[0::2], "utf-16-be")):
        if len(data) > 1 and zeros.count(0) > 0.3 * len(zeros):
            return data.decode(name, "replace"), ()
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError as error:
        notice = f"The file is not UTF-8 (byte {error.start:,} is none of it), so it was read as Latin-1. If letters look wrong, save it as UTF-8."
        return data.decode("latin-1"), (notice,)
