"""What is listed, as frozen dataclasses: models, corpora, dictionaries, and where their files can come from."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ...errors import BadInput, unknown
from ...raw import is_object
from ...units import Kind

SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
SECTIONS = {"model": "models", "corpus": "corpora", "dictionary": "dictionaries"}
T = TypeVar("T")


@dataclass(frozen=True)
class HubFiles:
    """Files of one Hub repository: only these are fetched, when first needed."""

    repo: str
    files: tuple[str, ...] = ()
    """paths inside the repository; `*` stands for any part of a name"""
    revision: str = "main"
    """a branch, a tag, or a commit's 40 digits"""
    sha256: dict[str, str] = field(default_factory=dict[str, str])
    """digests of files, by path, where they are known"""


@dataclass(frozen=True)
class HubTables:
    """A folder of a Hub dataset repository that holds a manifest and its tables, as `publish` leaves them."""

    repo: str
    folder: str = ""
    revision: str = "main"


@dataclass(frozen=True)
class Suggestion:
    """A unit that the publisher of a dictionary gives as an example."""

    unit: int
    note: str = ""
    """what the publisher says that it responds to"""
    unclear: bool = False
    """what the publisher could not make sense of"""


@dataclass(frozen=True)
class PackageFile:
    """One file inside an installed Python package."""

    role: str
    package: str
    file: str
    sha256: str


@dataclass(frozen=True)
class ModelEntry:
    """A pretrained network and where its files can come from."""

    slug: str
    family: str
    modality: str
    title: str = ""
    licence: str = ""
    source: str = ""
    path: str | None = None
    """a transformers folder on this machine, relative to the catalog"""
    hub: HubFiles | None = None
    tokenizer: HubFiles | None = None
    """the repository of its tokenizer, where that is another one"""
    packages: tuple[PackageFile, ...] = ()
    always_bos: bool = False
    """of a language model: texts begin with its beginning-of-text token also where its tokenizer by itself would put none"""


@dataclass(frozen=True)
class CorpusEntry:
    """Samples that tables are built from."""

    slug: str
    title: str = ""
    modality: str = "audio"
    licence: str = ""
    source: str = ""
    credit: str = ""
    """the notice shown wherever a sample plays"""
    tables: HubTables | None = None
    """where the samples are, unless they lie beside the catalog"""


@dataclass(frozen=True)
class DictionaryEntry:
    """A set of units over one hook."""

    slug: str
    model: str
    kind: Kind
    layer: int
    """counted from 0"""
    site: str
    """residual, neurons or preactivation: the family knows the module"""
    title: str = ""
    corpus: str | None = None
    format: str | None = None
    """of an SAE's checkpoint; recognised by its content when left out"""
    folder: str | None = None
    """of an SAE's checkpoint: relative to the catalog, or inside the repository that `hub` names"""
    file: str | None = None
    """the same for a checkpoint that is a single file"""
    hub: HubFiles | None = None
    """the repository of an SAE's checkpoint; its files default to `file`, or to all of `folder`"""
    scale: str | None = None
    """how inputs are normed, for formats that leave it open; tried out when left out"""
    tables: HubTables | None = None
    """where the tables are, unless they lie beside the catalog"""
    suggestions: tuple[Suggestion, ...] = ()
    suggested: str = "Its publisher's examples, in the publisher's words"
    """who picked the suggestions, and how"""
    licence: str = ""
    source: str = ""


@dataclass(frozen=True)
class Catalog:
    """Everything that is listed."""

    folder: Path
    default: str
    models: dict[str, ModelEntry]
    corpora: dict[str, CorpusEntry]
    dictionaries: dict[str, DictionaryEntry]
    guests: dict[str, DictionaryEntry] = field(default_factory=dict[str, DictionaryEntry])
    """dictionaries of one visit: found by who knows their slugs, in no list, and gone after it"""
    faults: dict[str, str] = field(default_factory=dict[str, str])
    """entries that cannot be used, such as dictionaries.my-slug -> the sentence that says why; the others are not the worse for it"""

    def model(self, slug: str) -> ModelEntry:
        return self._get("model", self.models, slug)

    def corpus(self, slug: str) -> CorpusEntry:
        """A listed corpus, or one that `python -m earmark corpus` has made and nobody has listed yet."""
        made = self.folder / slug / "manifest.json"
        if slug not in self.corpora and SLUG.fullmatch(slug) and made.is_file():
            try:
                manifest = json.loads(made.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise BadInput(f"The manifest of '{slug}' cannot be read ({type(error).__name__}). Make the corpus again.") from None
            if is_object(manifest) and manifest.get("what") == "corpus":
                told = (("title", slug), ("modality", "audio"), ("licence", ""), ("source", ""))
                return CorpusEntry(slug, *(manifest.get(name, usual) for name, usual in told))
        return self._get("corpus", self.corpora, slug)

    def dictionary(self, slug: str) -> DictionaryEntry:
        return self.guests.get(slug) or self._get("dictionary", self.dictionaries, slug)

    def offered(self, slug: str) -> tuple[DictionaryEntry, ...]:
        """What there is to choose from, for who looks at `slug`: all that are listed, behind it where it is a visit's own."""
        own = (self.guests[slug],) if slug in self.guests else ()
        return (*own, *self.dictionaries.values())

    def _get(self, what: str, entries: dict[str, T], slug: str) -> T:
        if fault := self.faults.get(f"{SECTIONS[what]}.{slug}"):
            raise BadInput(fault)
        if slug not in entries:
            raise unknown(what, slug, entries)
        return entries[slug]

    def siblings(self, slug: str) -> tuple[DictionaryEntry, ...]:
        """The dictionaries over the same layer of the same model, this one included, in the catalog's order."""
        own = self.dictionary(slug)
        guest = (own,) if slug in self.guests else ()
        return guest + tuple(d for d in self.dictionaries.values() if (d.model, d.layer, d.corpus) == (own.model, own.layer, own.corpus))


def model_revision(model: ModelEntry) -> str:
    """What pins a model's weights: the digest of its packaged checkpoint, or its Hub repository with the revision."""
    if model.packages:
        return model.packages[0].sha256[:12]
    return f"{model.hub.repo}@{model.hub.revision}" if model.hub else f"path:{model.path}"


def dictionary_revision(entry: DictionaryEntry, model: ModelEntry, hook: str, weights_sha256: str | None, scale: str | None = None) -> str:
    """A dictionary's short content hash: the same number means the same unit only under the same revision."""
    parts = (model_revision(model), hook, entry.kind, weights_sha256 or "", *([scale] if scale else []))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def licence_text(entry: DictionaryEntry, model: ModelEntry, corpus: CorpusEntry | None) -> str:
    """What lies as LICENSE beside a dictionary's files."""
    what = "autoencoder and the tables" if entry.kind == "sae" else "tables"
    lines = [f"{entry.title or entry.slug} ({entry.slug})", "", f"The {what} in this folder: {entry.licence or 'licence not stated'}."]
    lines.append(f"They were computed from the model {model.title or model.slug} ({model.licence or 'licence not stated'}; {model.source or model.slug})")
    if corpus is not None:
        lines.append(f"and the corpus {corpus.title or corpus.slug} ({corpus.licence or 'licence not stated'}; {corpus.source or corpus.slug}),")
        lines.append("whose samples keep their own licence and are not in this folder.")
    return "\n".join(lines) + "\n"
