"""Where visitors' texts are handled: on the desk's one line for the model, kept in memory under names that only who has the text can tell."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import BadInput
from ...units import TextAnalysis
from ..line.kept import Kept
from ..line.turns import Tell, quiet
from .passage import Passage, check_text_dictionary

if TYPE_CHECKING:
    from ..line.model import Line
    from .splice import Spliced

PASSAGES_BYTES, SPLICED_BYTES = 192_000_000, 48_000_000


class Texts:
    """One a process, shared by all visitors."""

    def __init__(self, line: Line, forget: Callable[[str], object]):
        """forget: takes the token of a text that is forgotten, for what is kept of it elsewhere."""
        self._line, self._forget = line, forget
        self.kept: Kept[Passage] = Kept(PASSAGES_BYTES)
        self._spliced: Kept[Spliced] = Kept(SPLICED_BYTES)

    def name(self, slug: str, text: str) -> str:
        """The token of a text that has been run through a dictionary's layer: a digest of both, and for a visit's own dictionary of its slug."""
        catalog = self._line.store.catalog
        e = catalog.dictionary(slug)
        own = (slug,) if slug in catalog.guests else ()
        whole = "\0".join((e.model, str(e.layer), e.corpus or "", *own, text))
        return hashlib.blake2b(whole.encode("utf-8", "replace"), digest_size=24).hexdigest()

    def find(self, slug: str, text: str, token: str = "") -> Passage | None:
        """A text that has been read, by itself or, where it is not at hand, by its token; None where it is not kept."""
        return self.kept.get(self.name(slug, text) if text else token)

    def take(self, path: Path) -> tuple[str, tuple[str, ...]]:
        """(text, notices) of an uploaded file, which is deleted whatever it holds."""
        from ...inputs.textfile import read_text_file

        try:
            return read_text_file(path)
        finally:
            path.unlink(missing_ok=True)

    def read(self, slug: str, text: str, tell: Tell = quiet) -> str:
        """Run a text through the model once, unless that has been done; its token. Raises BadInput for what cannot be read."""
        from ...inputs.text import check_text

        self._check(slug)
        check_text(text)
        token = self.name(slug, text)
        if self.kept.get(token) is None:
            tell(0.4, "Reading" if self._line.state(slug).name == "ready" else "Loading the model")
            self.kept.put(self._line.run(lambda: self._passage(slug, text), "text", tell), token)
        return token

    def _passage(self, slug: str, text: str) -> Passage:
        from .passage import read_passage

        return read_passage(self._line.runtime(), self._line.store, slug, text)

    def window(self, slug: str, sample: str) -> Passage | None:
        """A text of the corpus that has been run through a dictionary's layer, for whoever asked; None where it is not kept."""
        return self.kept.get(self._window_name(slug, sample))

    def read_window(self, slug: str, sample: str, tell: Tell = quiet) -> None:
        """Run a text of the corpus through a dictionary's layer, unless that has been done."""
        from .passage import read_window

        self._check(slug)
        if self.window(slug, sample) is None:
            tell(0.4, "Reading" if self._line.state(slug).name == "ready" else "Loading the model")
            found = self._line.run(lambda: read_window(self._line.runtime(), self._line.store, slug, sample), "text", tell)
            self.kept.put(found, self._window_name(slug, sample))

    def _window_name(self, slug: str, sample: str) -> str:
        e = self._line.store.catalog.dictionary(slug)
        return f"{e.corpus}/{sample}/{e.model}/{e.layer}"

    def splice(self, slug: str, text: str, tell: Tell = quiet) -> None:
        """Run a text without and with an SAE, unless that has been done. Raises BadInput for what is no SAE of a language model."""
        from .splice import check_splice, splice

        self._check(slug)
        check_splice(self._line.store, slug)
        if self.spliced(slug, text) is None:
            tell(0.3, "Reading three times: plainly, through the SAE, and with zeros")
            found = self._line.run(lambda: splice(self._line.runtime(), self._line.store, slug, text), "splice", tell)
            self._spliced.put(found, f"{slug}/{self.name(slug, text)}")

    def spliced(self, slug: str, text: str) -> Spliced | None:
        """What `splice` has found, as long as it is kept."""
        return self._spliced.get(f"{slug}/{self.name(slug, text)}")

    def analyse(self, slug: str, text: str, top: int, order: str, tell: Tell = quiet) -> TextAnalysis:
        """What the command `analyse --text` gives."""
        from ..analysis import check_order
        from .passage import analyse_text

        self._check(slug)
        check_order(top, order)
        return self._line.run(lambda: analyse_text(self._line.runtime(), self._line.store, slug, text, top=top, order=order), "text", tell)

    def forget(self, token: str) -> None:
        passage = self.kept.get(token)
        self.kept.drop(token)
        self._forget(token)
        for slug in passage.codes if passage else ():
            self._spliced.drop(f"{slug}/{token}")

    def _check(self, slug: str) -> None:
        check_text_dictionary(self._line.store, slug)
        far = self._line.far(slug)
        if far:
            raise BadInput(f"{' and '.join(far)} must be fetched from the Hub first: open {slug} on Browse, then bring the text once more.")
