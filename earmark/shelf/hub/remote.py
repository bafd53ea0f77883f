"""A folder of tables, here or in a data set of the Hub: its manifest first, then each file when it is first needed, all of one commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any

from ...errors import BadTable, EarmarkError, MissingWeights, NotFetched
from ...settings import Settings
from ...trust import file_in
from ..catalog import HubFiles, HubTables
from ..tables import MANIFEST, read_manifest
from .download import Terms, at_hand, fetch


class Folder:
    """Where the files of a manifest lie on this machine."""

    def __init__(self, path: Path, within: Path | None = None):
        self.path = path
        self.name = path.name
        self.within = within or path.parent
        """where links may lead"""

    def manifest(self) -> dict[str, Any]:
        return read_manifest(self.path, self.within)

    def file(self, name: str) -> Path:
        """A file's path; it may not be there."""
        return file_in(self.path, name, self.within)


class HubFolder(Folder):
    """A folder of a data set, fetched file by file. Raises BadTable with what the Hub said."""

    def __init__(self, slug: str, source: HubTables, settings: Settings):
        self._source, self._settings = source, settings
        self._start = f"{source.folder.strip('/')}/" if source.folder.strip("/") else ""
        self.name = slug
        root = self._fetch(MANIFEST, source.revision)
        self._commit = root.name  # the client keeps each commit in a folder of its name
        super().__init__(root / self._start if self._start else root, within=root.parents[1])  # there the client keeps what its commits link to
        self.name = slug

    @staticmethod
    def is_here(source: HubTables, settings: Settings) -> bool:
        """Whether the manifest has been fetched before; the Hub is not asked."""
        start = f"{source.folder.strip('/')}/" if source.folder.strip("/") else ""
        return at_hand(HubFiles(source.repo, (start + MANIFEST,), source.revision), settings, "dataset") is not None

    def file(self, name: str) -> Path:
        """A file's path, fetched if it is not there yet."""
        if not (self.path / name).is_file():
            self._fetch(name, self._commit)
        return super().file(name)

    def _fetch(self, name: str, revision: str) -> Path:
        files = HubFiles(self._source.repo, (self._start + name,), revision)
        try:
            return fetch(files, self._settings, "dataset", Terms(max_mb=self._settings.hub_max_mb))
        except MissingWeights as error:
            raise BadTable(f"The tables of {self.name} are on the Hub and could not be fetched: {str(error).rstrip('.')}.") from None


class Places:
    """What has been made of folders, each made once, and again when a build has replaced it; who asks for another folder does not wait."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._made: dict[tuple[str, int], Any] = {}
        self._n_made = 0
        self._with_tables: dict[str, int] = {}
        """slug -> the stamp of a manifest that has tables"""
        self._making: dict[str, threading.Lock] = {}
        self._failed: dict[str, tuple[float, EarmarkError]] = {}
        self._lock = threading.Lock()

    def opened(self, slug: str, far: HubTables | None, make: Callable[[Folder], Any], fetch: bool = True, needs_tables: bool = False) -> Any:
        """What `make` makes of the folder beside the catalog, else of the one on the Hub; without `fetch`, only if that has been fetched before."""
        folder = self._settings.data / slug
        here = self._stamp(slug, needs_tables)
        if here or far is None:
            return self._once((slug, here), lambda: make(Folder(folder)))
        if not fetch and (slug, 0) not in self._made and not HubFolder.is_here(far, self._settings):
            raise NotFetched(f"The tables of {slug} are on the Hub ({far.repo}) and have not been fetched yet.")
        return self._once((slug, 0), lambda: make(HubFolder(slug, far, self._settings)))

    def state(self, slugs: Iterable[str]) -> Hashable:
        """Another one whenever a manifest beside the catalog has changed, or one of the folders was opened."""
        opened = (slug for slug, _ in self._made)  # also what nobody has listed
        return self._n_made, *(_changed(self._settings.data / slug / MANIFEST) for slug in dict.fromkeys((*slugs, *opened)))

    def _stamp(self, slug: str, needs_tables: bool) -> int:
        """When a folder's manifest changed last; 0 where there is none, or none with the tables of a dictionary. One that has not changed is not read again."""
        folder = self._settings.data / slug
        stamp = _changed(folder / MANIFEST)
        if stamp and needs_tables and self._with_tables.get(slug) != stamp:
            try:
                if b'"tables"' not in file_in(folder, MANIFEST).read_bytes():
                    return 0
            except OSError:
                return 0
            except BadTable:  # something is there, and whoever opens it will say what
                return stamp
            self._with_tables[slug] = stamp
        return stamp

    def _once(self, key: tuple[str, int], make: Callable[[], Any]) -> Any:
        came_at = time.monotonic()
        with self._lock:
            if key in self._made:
                return self._made[key]
            own = self._making.setdefault(key[0], threading.Lock())
        with own:
            failed_at, error = self._failed.get(key[0], (0.0, None))
            if error is not None and failed_at > came_at:  # who waited for an attempt that failed does not make it once more
                raise error
            if key not in self._made:
                try:
                    made = make()
                except EarmarkError as error:
                    self._failed[key[0]] = (time.monotonic(), error)
                    raise
                with self._lock:
                    self._made = {k: v for k, v in self._made.items() if k[0] != key[0]} | {key: made}
                    self._n_made += 1
            return self._made[key]


def _changed(manifest: Path) -> int:
    """When a file was last changed, in nanoseconds; 0 where there is none."""
    try:
        return manifest.stat().st_mtime_ns
    except OSError:
        return 0
