"""Opens a dictionary with its model: loaded once, shared by everybody; beyond a limit of memory the least recently used leaves."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from torch import Tensor

from .atomic import write_json
from .dictionaries import Checkpoint, open_checkpoint
from .dictionaries.base import Dictionary, Identity
from .errors import EarmarkError, MissingWeights, unknown
from .machine import check_memory, free_memory, told
from .models import FAMILIES
from .models.base import LoadedModel, ModelFiles
from .models.gguf import unpacked
from .models.size import n_bytes_needed
from .settings import Settings
from .shelf.catalog import Catalog, DictionaryEntry, dictionary_revision, read_catalog
from .shelf.hub import ALL, Terms, find_checkpoint, find_model
from .shelf.tables import sha256_of
from .units import Activations, Hook, TokenSample, Waveform

T = TypeVar("T")


@dataclass(frozen=True)
class Opened:
    """A dictionary ready to encode."""

    entry: DictionaryEntry
    hook: Hook
    dictionary: Dictionary
    revision: str
    """the dictionary's short content hash"""
    checkpoint: Checkpoint | None = None
    """what an SAE's file says of itself"""
    weights_sha256: str = ""
    scale: str | None = None
    """how its input is read, where the file leaves that open: declared, or found by a self-check; None: the first of the ways"""


@dataclass
class _Held:
    """What lies in memory."""

    value: Any
    n_bytes: int
    users: int = 0
    """while there are any it does not leave"""


class Runtime:
    """One a process. Safe to use from several threads: whoever asks first loads, the others wait for that, and nobody else does."""

    def __init__(self, settings: Settings, terms: Terms = ALL):
        self.settings = settings
        self.catalog: Catalog = read_catalog(settings.data)
        self._terms = terms
        self._held: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._loading: dict[tuple[str, str], Future[Any]] = {}
        self._lock = threading.Lock()
        self._lent: dict[str, Dictionary] = {}
        self._running = threading.Lock()
        """hooks hang on the model that all share: one pass at a time"""

    # -- memory ----------------------------------------------------------------------------------------------------------

    def _get(self, key: tuple[str, str], load: Callable[[], T], size: Callable[[T], int]) -> T:
        """What lies under a key, loaded when it is not there; a failure is told to all who wait, and forgotten."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key].value
            waiting = self._loading.get(key)
            mine: Future[T] = self._loading.setdefault(key, Future())
        if waiting is not None:
            return waiting.result()
        try:
            value = load()
        except BaseException as error:
            with self._lock:
                del self._loading[key]
            mine.set_exception(error)
            raise
        with self._lock:
            self._held[key] = _Held(value, size(value))
            self._make_room(key)
            del self._loading[key]
        mine.set_result(value)
        return value

    def _make_room(self, fresh: tuple[str, str]) -> None:
        for key in list(self._held):
            if self.n_bytes <= self.settings.model_memory_mb * 1_000_000:
                return
            if key != fresh and not self._held[key].users:
                del self._held[key]

    def _leave(self, n_needed: int) -> None:
        """Those that nobody uses leave, the longest unused first, while the machine itself has too little left."""
        with self._lock:
            for key in list(self._held):
                free = free_memory()
                if free is not None and free < n_needed and not self._held[key].users:
                    del self._held[key]

    @property
    def n_bytes(self) -> int:
        """Of all models and dictionaries in memory."""
        return sum(held.n_bytes for held in self._held.values())

    @property
    def loaded(self) -> tuple[str, ...]:
        """Models and dictionaries in memory, the longest unused first."""
        return tuple(name for _, name in self._held)

    @contextmanager
    def _using(self, *keys: tuple[str, str]) -> Generator[None]:
        with self._lock:
            held = [self._held[key] for key in keys if key in self._held]
            for one in held:
                one.users += 1
        try:
            yield
        finally:
            with self._lock:
                for one in held:
                    one.users -= 1

    @contextmanager
    def using(self, *slugs: str, terms: Terms | None = None) -> Generator[list[Opened]]:
        """Dictionaries, none of which leaves memory before the block ends, nor does its model."""
        opened: list[Opened] = []
        keys: list[tuple[str, str]] = []
        for slug in slugs:
            opened.append(self.open(slug, terms))
            keys += [("dictionary", slug), ("model", opened[-1].entry.model)]
        with self._using(*keys):
            yield opened

    # -- opening ---------------------------------------------------------------------------------------------------------

    def model(self, slug: str, terms: Terms | None = None) -> LoadedModel[Any, Any]:
        """Raises NotFound for an unlisted model and MissingWeights when no source has it."""
        entry = self.catalog.model(slug)
        if entry.family not in FAMILIES:
            raise unknown("family of models", entry.family, FAMILIES)

        def load() -> LoadedModel[Any, Any]:
            with told(self.settings.cache):
                found = unpacked(slug, find_model(entry, self.settings, terms or self._terms), self.settings.cache)
            return _readable(slug, lambda: self._loaded(entry.family, ModelFiles(slug, found, entry.always_bos)))

        return self._get(("model", slug), load, lambda m: m.n_bytes)

    def _loaded(self, family: str, files: ModelFiles) -> LoadedModel[Any, Any]:
        n_needed = n_bytes_needed(files.paths)
        self._leave(n_needed)
        check_memory(files.slug, n_needed)
        return FAMILIES[family](files)

    def open(self, slug: str, terms: Terms | None = None) -> Opened:
        """A dictionary of the catalog, with its weights."""
        entry = self.catalog.dictionary(slug)
        model = self.model(entry.model, terms)
        with self._using(("model", entry.model)), told():
            return self._get(("dictionary", slug), lambda: self._open(entry, model, terms or self._terms), lambda o: _size(o.dictionary))

    def _open(self, entry: DictionaryEntry, model: LoadedModel[Any, Any], terms: Terms) -> Opened:
        hook = model.hook(entry.site, entry.layer)
        model_entry = self.catalog.model(entry.model)
        lent = self._lent.get(entry.slug)
        if lent is not None:
            return Opened(entry, hook, lent, dictionary_revision(entry, model_entry, str(hook), entry.slug))
        if entry.kind != "sae":
            dictionary: Dictionary = Identity(hook.width, model.directions(hook))
            return Opened(entry, hook, dictionary, dictionary_revision(entry, model_entry, str(hook), None))
        path = find_checkpoint(entry, self.settings, terms)
        found = open_checkpoint(path, format=entry.format, width=hook.width, scale=entry.scale)
        weights = sha256_of(max(found.files, key=lambda file: file.stat().st_size))
        scale = entry.scale
        if scale is None and found.candidates:
            scale = noted_scale(self.settings.cache, weights, hook)
        dictionary = found.dictionary if scale in (None, found.scale) else found.scaled(scale).dictionary
        unlike = scale if scale not in (None, *found.candidates[:1]) else None
        return Opened(entry, hook, dictionary, dictionary_revision(entry, model_entry, str(hook), weights, unlike), found, weights, scale)

    def lend(self, entry: DictionaryEntry, dictionary: Dictionary) -> None:
        """A dictionary of a visit, which has no files: `open` finds it by its slug, from now on and until it is taken back."""
        self.take_back(entry.slug)
        self._lent[entry.slug] = dictionary
        self.catalog.guests[entry.slug] = entry

    def take_back(self, slug: str) -> None:
        self.catalog.guests.pop(slug, None)
        self._lent.pop(slug, None)
        with self._lock:
            self._held.pop(("dictionary", slug), None)

    def settle(self, opened: Opened, scale: str) -> Opened:
        """The same dictionary read in another of the ways that its file leaves open, from now on and in every process with this cache."""
        note_scale(self.settings.cache, opened.weights_sha256, opened.hook, scale)
        with self._lock:
            self._held.pop(("dictionary", opened.entry.slug), None)
        return self.open(opened.entry.slug)

    # -- running ---------------------------------------------------------------------------------------------------------

    def run(self, model: str, work: Callable[[Any], T]) -> T:
        """What `work` makes of a loaded model, which is its own for as long and does not leave memory."""
        loaded = self.model(model)
        with self._using(("model", model)), self._running:
            return work(loaded)

    def capture(self, model: str, sample: Waveform | TokenSample, opened: Sequence[Opened]) -> dict[Hook, Activations[Any]]:
        """One pass of the model for several dictionaries."""
        return self.run(model, lambda loaded: loaded.capture(sample, list(dict.fromkeys(o.hook for o in opened))))

    def read(self, model: str, sample: Waveform | TokenSample) -> str:
        """What the model itself reads in the sample."""
        return self.run(model, lambda loaded: loaded.read(sample))


def _scales(cache: Path) -> Path:
    return cache / "scales.json"


def _known_scales(cache: Path) -> dict[str, str]:
    """{weights and hook: scale}; nothing where the file is missing or damaged."""
    try:
        return dict(json.loads(_scales(cache).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def noted_scale(cache: Path, weights_sha256: str, hook: Hook) -> str | None:
    """How the inputs of these weights at this hook are to be read, if a self-check has found that out."""
    return _known_scales(cache).get(f"{weights_sha256} {hook}")


def note_scale(cache: Path, weights_sha256: str, hook: Hook, scale: str) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    write_json(_scales(cache), {**_known_scales(cache), f"{weights_sha256} {hook}": scale})


def _size(dictionary: Dictionary) -> int:
    """Bytes of its own weights; neurons and axes have none."""
    return 0 if isinstance(dictionary, Identity) else sum(t.nbytes for t in vars(dictionary).values() if isinstance(t, Tensor))


def _readable(slug: str, load: Callable[[], T]) -> T:
    """What `load` gives. Raises MissingWeights when the files of a model cannot be read."""
    try:
        with told():
            return load()
    except EarmarkError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise MissingWeights(f"The files of {slug} cannot be read as its model ({reason}). Remove them and fetch them again.") from None
