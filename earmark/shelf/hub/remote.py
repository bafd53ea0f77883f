"""A folder of tables, here or in a data set of the Hub: its manifest first, then each file when it is first needed, all of one commit."""

from __future__ import annotations

from pathlib import Path

from ...errors import BadTable, MissingWeights
from ...settings import Settings
from ..catalog import HubFiles, HubTables
from .download import Terms, at_hand, fetch

MANIFEST = "manifest.json"


class Folder:
    """Where the files of a manifest lie on this machine."""

    def __init__(self, path: Path):
        self.path = path
        self.name = path.name

    def file(self, name: str) -> Path:
        """A file's path; it may not be there."""
        return self.path / name


class HubFolder(Folder):
    """A folder of a data set, fetched file by file. Raises BadTable with what the Hub said."""

    def __init__(self, slug: str, source: HubTables, settings: Settings):
        self._source, self._settings = source, settings
        self._start = f"{source.folder.strip('/')}/" if source.folder.strip("/") else ""
        self.name = slug
        root = self._fetch(MANIFEST, source.revision)
        self._commit = root.name  # the client keeps each commit in a folder of its name
        super().__init__(root / self._start if self._start else root)
        self.name = slug

    @staticmethod
    def is_here(source: HubTables, settings: Settings) -> bool:
        """Whether the manifest has been fetched before; the Hub is not asked."""
        start = f"{source.folder.strip('/')}/" if source.folder.strip("/") else ""
        return at_hand(HubFiles(source.repo, (start + MANIFEST,), source.revision), settings, "dataset") is not None

    def file(self, name: str) -> Path:
        """A file's path, fetched if it is not there yet."""
        path = self.path / name
        if not path.is_file():
            self._fetch(name, self._commit)
        return path

    def _fetch(self, name: str, revision: str) -> Path:
        files = HubFiles(self._source.repo, (self._start + name,), revision)
        try:
            return fetch(files, self._settings, "dataset", Terms(max_mb=self._settings.hub_max_mb))
        except MissingWeights as error:
            raise BadTable(f"The tables of {self.name} are on the Hub and could not be fetched: {str(error).rstrip('.')}.") from None
