"""Files of a visitor's text: encodings, and what is no text."""

from __future__ import annotations

from pathlib import Path

import pytest

from earmark.errors import BadInput
from earmark.inputs.textfile import MAX_TEXT_BYTES, decode_text, read_text_file

WRITTEN = "Größe, naïve café – “x”\r\n\tЖ 日本 🎧"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings_of_files(tmp_path: Path, encoding: str) -> None:
    text = WRITTEN if encoding in {"utf-8", "utf-8-sig", "utf-16"} else "Only letters, Größe\r\n" * 3
    (tmp_path / "t.txt").write_bytes(text.encode(encoding))
    assert read_text_file(tmp_path / "t.txt") == (text, ())


def test_latin_1_has_a_notice_and_what_is_no_text_a_sentence(tmp_path: Path) -> None:
    text, notices = decode_text("Größe und naïve".encode("latin-1"))
    assert text == "Größe und naïve" and "read as Latin-1" in notices[0]
    for data in (bytes(range(256)) * 20, b"\x89PNG\r\n\x1a\n" + bytes(300)):
        with pytest.raises(BadInput, match="The file is no text"):
            decode_text(data)
    (tmp_path / "big.txt").write_bytes(b"x" * (MAX_TEXT_BYTES + 1))
    for path, reason in ((tmp_path / "big.txt", "1.0 MB; at most 1 MB"), (tmp_path / "none.txt", "cannot be read")):
        with pytest.raises(BadInput, match=reason):
            read_text_file(path)
