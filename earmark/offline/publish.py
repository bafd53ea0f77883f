"""The command `publish`: a dictionary's tables, and its corpus if asked, into a data set of the Hub; whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInput, BadTable, MissingWeights
from ..settings import Settings
from ..shelf.catalog import check_repo, read_catalog
from ..shelf.hub.faults import Unreachable, said
from ..shelf.tables import read_manifest, sha256_of

NOTICES = ("LICENSE", "NOTICE", "README.txt")
MANIFEST = "manifest.json"
NOT_STATED = "not stated: `licence` is not set in catalog.toml"


@dataclass(frozen=True)
class Parcel:
    """One folder that goes."""

    slug: str
    what: str
    """dictionaries or corpora: its section of the catalog"""
    folder: Path
    files: tuple[str, ...]
    n_bytes: int
    licence: str


def parcels(settings: Settings, slug: str, with_corpus: bool) -> list[Parcel]:
    """What would go, checked against the manifests. Raises BadTable when a file is not what its manifest says."""
    catalog = read_catalog(settings.data)
    entry = catalog.dictionary(slug)
    manifest = read_manifest(settings.data / slug)
    if "tables" not in manifest:
        raise BadTable(f"'{slug}' has no tables yet. Build them with `python -m earmark build {slug}`.")
    found = [_parcel(settings, slug, "dictionaries", manifest, entry.licence or NOT_STATED)]
    if with_corpus:
        corpus = manifest["tables"]["corpus"]
        found.append(_parcel(settings, corpus, "corpora", read_manifest(settings.data / corpus), catalog.corpus(corpus).licence or NOT_STATED))
    return found


def _parcel(settings: Settings, slug: str, what: str, manifest: dict[str, Any], licence: str) -> Parcel:
    folder = settings.data / slug
    files = [n for n in manifest["files"] if n.endswith(".parquet") or n in NOTICES]
    for name in files:
        if not (folder / name).is_file() or sha256_of(folder / name) != manifest["files"][name]["sha256"]:
            raise BadTable(f"'{slug}/{name}' is not the file that its manifest names. Build it again before it is published.")
    files = [*sorted(files), MANIFEST]  # the manifest last: what it names is there then
    return Parcel(slug, what, folder, tuple(files), sum((folder / n).stat().st_size for n in files), licence)


def entry_lines(found: list[Parcel], repo: str, revision: str) -> list[str]:
    """What to paste into catalog.toml."""
    pinned = f', revision = "{revision}"' if revision else ""
    return [line for p in found for line in (f"[{p.what}.{_key(p.slug)}]", f'tables = {{ repo = "{repo}", folder = "{p.slug}"{pinned} }}')]


def _key(slug: str) -> str:
    return f'"{slug}"' if "." in slug else slug


def publish(settings: Settings, slug: str, repo: str, with_corpus: bool = False, dry_run: bool = False) -> list[str]:
    """Upload in one commit; lines for people. Raises BadInput, BadTable, or MissingWeights with what the Hub said."""
    check_repo(repo)
    found = parcels(settings, slug, with_corpus)
    total = sum(p.n_bytes for p in found)
    n_files = sum(len(p.files) for p in found)
    told = [f"{p.slug}/{name}  {(p.folder / name).stat().st_size:,} bytes" for p in found for name in p.files]
    told += [f"licence of {p.slug}: {p.licence}" for p in found]
    told.append(f"{n_files} files, {total:,} bytes, {'would go' if dry_run else 'went'} to the data set {repo}")
    revision = "" if dry_run else _upload(settings, found, repo)
    return [*told, "", "# for catalog.toml", *entry_lines(found, repo, revision)]


def _upload(settings: Settings, found: list[Parcel], repo: str) -> str:
    """The commit."""
    import httpx2
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.constants import is_offline_mode

    if settings.offline or is_offline_mode():
        raise BadInput("EARMARK_OFFLINE or HF_HUB_OFFLINE keeps this machine from the Hub; unset it to publish.")
    if not get_token():
        raise BadInput("This machine is not logged in on the Hub: run `hf auth login` with a token that may write, or set HF_TOKEN.")
    adds = [CommitOperationAdd(f"{p.slug}/{name}", p.folder / name) for p in found for name in p.files]
    asked = False
    try:
        api = HfApi()
        api.create_repo(repo, repo_type="dataset", exist_ok=True)
        asked = True
        done = api.create_commit(repo, adds, commit_message=f"Earmark: tables of {found[0].slug}", repo_type="dataset")
    except (OSError, ValueError, httpx2.HTTPError) as error:
        why = str(known := said(error, repo)).rstrip(".")
        if asked and isinstance(known, Unreachable):
            raise MissingWeights(f"Whether it was published is not known: {why}. Run the same again: it is there then, whole.") from None
        raise MissingWeights(f"Nothing was published: {why}.") from None
    return str(done.oid or "")
