"""Opens a dictionary with its model: loaded once, shared by everybody, the least used model dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from .dictionaries import open_checkpoint
from .dictionaries.base import Dictionary, Identity
from .errors import unknown
from .models import FAMILIES
from .models.base import LoadedModel, ModelFiles
from .settings import Settings
from .shelf.catalog import Catalog, DictionaryEntry, dictionary_revision, read_catalog
from .shelf.hub import find_model
from .shelf.tables import sha256_of
from .units import Activations, Hook, Waveform

MAX_MODELS = 2


@dataclass(frozen=True)
class Opened:
    """A dictionary ready to encode."""

    entry: DictionaryEntry
    hook: Hook
    dictionary: Dictionary
    revision: str
    """the dictionary's short content hash"""


class Runtime:
    """One a process. Safe to use from several threads; a model is loaded by one of them while the others wait."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.catalog: Catalog = read_catalog(settings.data)
        self._models: OrderedDict[str, LoadedModel] = OrderedDict()
        self._opened: dict[str, Opened] = {}
        self._lock = threading.RLock()
        self._running = threading.Lock()
        """hooks hang on the model that all share: one pass at a time"""

    def model(self, slug: str) -> LoadedModel:
        """Raises NotFound for an unlisted model and MissingWeights when no source has it."""
        entry = self.catalog.model(slug)
        with self._lock:
            if slug not in self._models:
                if entry.family not in FAMILIES:
                    raise unknown("family of models", entry.family, FAMILIES)
                self._models[slug] = FAMILIES[entry.family](ModelFiles(slug, find_model(entry, self.settings)))
                while len(self._models) > MAX_MODELS:
                    gone, _ = self._models.popitem(last=False)
                    self._opened = {k: o for k, o in self._opened.items() if o.entry.model != gone}
            self._models.move_to_end(slug)
            return self._models[slug]

    def open(self, slug: str) -> Opened:
        """A dictionary of the catalog, with its weights."""
        entry = self.catalog.dictionary(slug)
        with self._lock:
            model = self.model(entry.model)
            if slug not in self._opened:
                self._opened[slug] = self._open(entry, model)
            return self._opened[slug]

    def _open(self, entry: DictionaryEntry, model: LoadedModel) -> Opened:
        hook = model.hook(entry.site, entry.layer)
        model_entry = self.catalog.model(entry.model)
        if entry.kind != "sae":
            dictionary: Dictionary = Identity(hook.width, model.directions(hook))
            return Opened(entry, hook, dictionary, dictionary_revision(entry, model_entry, str(hook), None))
        found = open_checkpoint(self.settings.data / str(entry.folder), format=entry.format, width=hook.width)
        weights = sha256_of(found.files[0])
        return Opened(entry, hook, found.dictionary, dictionary_revision(entry, model_entry, str(hook), weights))

    def capture(self, model: str, sample: Waveform, opened: Sequence[Opened]) -> dict[Hook, Activations]:
        """One pass of the model for several dictionaries."""
        loaded = self.model(model)
        with self._running:
            return loaded.capture(sample, list(dict.fromkeys(o.hook for o in opened)))

    def read(self, model: str, sample: Waveform) -> str:
        """What the model itself reads in the sample."""
        loaded = self.model(model)
        with self._running:
            return loaded.read(sample)
