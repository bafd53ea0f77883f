"""What a checkpoint is and what it needs: a file here, or a repository of the Hub, with the catalog entry to paste; no model is loaded."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ...dictionaries import Checkpoint, open_checkpoint
from ...dictionaries.files import KNOWN_FILES, NOT_WEIGHTS, SUFFIXES
from ...errors import MissingWeights, NotFound
from ...settings import Settings
from ...shelf.catalog import Catalog, HubFiles, ModelEntry, check_inside, check_repo
from ...shelf.hub import ALL, Terms, fetch
from ...shelf.hub.download import Listed, list_folder

CONFIGS = ("cfg.json", "config.json")


@dataclass(frozen=True)
class Look:
    """What a checkpoint is."""

    name: str
    """as it was asked for"""
    format: str
    activation: str
    n_units: int
    width: int
    """of the activations that it reads"""
    k: int | float | None
    files: tuple[str, ...]
    n_bytes: int
    """of its weights"""
    candidates: tuple[str, ...]
    """ways to read what the file leaves open"""
    needs: str
    """the model and the hook, as far as the file tells, in a sentence"""
    facts: dict[str, Any]
    """what the file says of itself"""
    entry: str
    """the lines for catalog.toml"""

    def json(self) -> dict[str, Any]:
        told = {name: value for name, value in vars(self).items() if name != "facts"}
        return told | {"facts": {n: v for n, v in self.facts.items() if n != "config" and isinstance(v, (str, int, float, bool))}}


@dataclass(frozen=True)
class HubName:
    """owner/name[/path][@revision]"""

    repo: str
    path: str
    revision: str


def parse_hub_name(text: str) -> HubName:
    """Raises BadInput for anything but a name on the Hub."""
    name, _, revision = text.strip().removeprefix("https://huggingface.co/").partition("@")
    owner, _, rest = name.partition("/")
    repo, _, path = rest.partition("/")
    repo = check_repo(f"{owner}/{repo}")
    place = re.match(r"(?:blob|tree|resolve)/([^/]+)/?(.*)", path)
    if place:
        revision, path = revision or place[1], place[2]
    return HubName(repo, check_inside(path.strip("/")), check_inside(revision) or "main")


def look(name: str, settings: Settings, catalog: Catalog | None, *, format: str | None = None, width: int | None = None, scale: str | None = None) -> Look:
    """A file or folder of this machine, else a name on the Hub. Raises NotFound, BadInput or MissingWeights."""
    path = Path(name).expanduser()
    if path.exists():
        found = open_checkpoint(path, format=format, width=width, scale=scale)
        own, data = path.resolve(), settings.data.resolve()
        beside = own != data and own.is_relative_to(data)
        inside = own.relative_to(data).as_posix() if beside else own.name
        place = f"{'file' if own.is_file() else 'folder'} = {_quoted(inside)}" + ("" if beside else "          # copy it beside catalog.toml")
        return _look(name, found, catalog, place, _slug(own.name), (own.name,))
    if name.startswith(("/", ".", "~")) or name.endswith("/") or "/" not in name:
        raise NotFound(f"There is no file or folder '{name[:200]}', and it is no name on the Hub (owner/name, with a path behind it).")
    return look_on_hub(name, settings, catalog, format=format, width=width, scale=scale)


def look_on_hub(
    name: str,
    settings: Settings,
    catalog: Catalog | None,
    terms: Terms = ALL,
    *,
    format: str | None = None,
    width: int | None = None,
    scale: str | None = None,
) -> Look:
    """A name on the Hub, never a path of this machine. Fetches the one checkpoint that it names."""
    asked = parse_hub_name(name)
    try:
        source, inside, is_file = _choose(asked, settings)
        folder = fetch(source, settings, terms=terms)
    except MissingWeights as error:
        raise MissingWeights(f"'{name[:120]}' cannot be opened: {str(error).rstrip('.')}.") from None
    found = open_checkpoint(folder / inside, format=format, width=width, scale=scale)
    revision = "" if source.revision == "main" else f", revision = {_quoted(source.revision)}"
    files = ", ".join(_quoted(f) for f in source.files)
    place = f"hub = {{ repo = {_quoted(source.repo)}, files = [{files}]{revision} }}\n{'file' if is_file else 'folder'} = {_quoted(inside)}"
    slug = _slug(f"{source.repo.partition('/')[2]}-{inside}" if inside else source.repo.partition("/")[2])
    return _look(name, found, catalog, place, slug, source.files, f"https://huggingface.co/{source.repo}")


def _choose(asked: HubName, settings: Settings) -> tuple[HubFiles, str, bool]:
    """(the files to fetch, the file or folder to open, whether it is a file)"""
    parent, _, last = asked.path.rpartition("/")
    if last:
        beside = list_folder(asked.repo, parent, asked.revision, settings)
        own = next((e for e in beside if e.path == asked.path), None)
        if own is None:
            raise MissingWeights(f"{asked.repo} has no '{asked.path}'; there it has {_some(beside)}")
        if not own.is_folder:
            stem = PurePosixPath(own.path).stem
            configs = [e.path for e in beside if PurePosixPath(e.path).name in (f"{stem}_cfg.json", *CONFIGS)]
            return HubFiles(asked.repo, (own.path, *configs), asked.revision), own.path, True
    entries = list_folder(asked.repo, asked.path, asked.revision, settings)
    files = [e for e in entries if not e.is_folder]
    weights = [e for e in files if PurePosixPath(e.path).name in KNOWN_FILES]
    weights = weights or [e for e in files if e.path.endswith(SUFFIXES) and not NOT_WEIGHTS.search(e.path)]
    if len(weights) != 1:
        what = "several checkpoints" if weights else "no checkpoint"
        raise MissingWeights(f"{'/'.join(filter(None, (asked.repo, asked.path)))} holds {what}; name one of {_some(weights or entries)}")
    configs = [e.path for e in files if PurePosixPath(e.path).name in (f"{PurePosixPath(weights[0].path).stem}_cfg.json", *CONFIGS)]
    whole = HubFiles(asked.repo, (weights[0].path, *configs), asked.revision)
    return (whole, asked.path, False) if asked.path else (whole, weights[0].path, True)


def _some(entries: list[Listed]) -> str:
    names = [e.path + ("/" if e.is_folder else "") for e in entries]
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") if names else "nothing"


def _look(name: str, found: Checkpoint, catalog: Catalog | None, place: str, slug: str, files: tuple[str, ...], source: str = "") -> Look:
    sae, facts = found.dictionary, found.facts
    model = _model_of(str(facts.get("model", "")), catalog)
    hook = " of ".join(filter(None, (str(facts.get("site", "")), f"layer {facts['layer']}" if "layer" in facts else ""))) or str(facts.get("hook", ""))
    told = f"the model {facts['model']}" if facts.get("model") else "the model is not told by the file"
    needs = f"A model whose hook is {sae.width} wide: {told}; {f'it reads {hook}' if hook else 'the hook is not told'}."
    lines = [
        f"[dictionaries.{slug}]",
        f"model = {_quoted(model.slug if model else 'MY-MODEL')}" + ("" if model else f"          # one of [models], {sae.width} wide at the hook"),
        'kind = "sae"',
        f"site = {_quoted(str(facts.get('site', 'residual')))}"
        + ("" if "site" in facts else "          # residual, preactivation or neurons: the file does not say"),
        f"layer = {int(facts.get('layer', 0))}" + ("" if "layer" in facts else "          # from 0: the file does not say"),
        f"format = {_quoted(found.format)}",
        place,
        *([f"scale = {_quoted(found.scale)}"] if found.scale else []),
        *([f"source = {_quoted(source)}"] if source else []),
    ]
    n_bytes = sum(f.stat().st_size for f in found.files)
    k = sae.k if isinstance(sae.k, (int, float)) else None
    return Look(name, found.format, sae.activation, sae.n_units, sae.width, k, files, n_bytes, found.candidates, needs, facts, "\n".join(lines) + "\n")


def _model_of(name: str, catalog: Catalog | None) -> ModelEntry | None:
    """The listed model that a file's own word for its model means."""
    short = name.lower().rpartition("/")[2].removesuffix("-small" if name.lower().startswith("gpt2") else "-deduped")
    if catalog is None or not short:
        return None
    fits = (m for m in catalog.models.values() if short in (m.slug.lower(), m.hub.repo.lower().rpartition("/")[2] if m.hub else ""))
    return next(fits, None)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-_")[:80] or "my-sae"


def lines(found: Look) -> list[str]:
    """For people."""
    k = f", k {found.k:g}" if found.k is not None else ""
    told = [
        f"{found.name}: {found.format}",
        f"  {found.n_units:,} units over activations {found.width:,} wide, {found.activation}{k}, {found.n_bytes / 1e6:,.1f} MB",
    ]
    if found.candidates:
        told.append(f"  The file leaves open how its input is scaled; tried when it is opened: {', '.join(found.candidates)}.")
    return [*told, f"  {found.needs}", "", "# for catalog.toml", *found.entry.splitlines()]
