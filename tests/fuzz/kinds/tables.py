"""Parquet: tables of a shelf whose manifest vouches for their spoilt bytes (a stranger's may), or does not; spoilt data sets of sounds and texts."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from earmark.offline.corpora.sources import Broken, Options
from earmark.offline.corpora.sources import parquet as sounds
from earmark.offline.corpora.texts import parquet as texts
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.shelf.tables import sha256_of
from earmark.units import UnitId
from tests.fixtures.hostile import tone, written
from tests.fixtures.shelf import CORPUS, NEURONS, SAE, build_shelf
from tests.fuzz.harm import harmed
from tests.fuzz.kinds import Case
from tests.fuzz.watch import Watch

OPTIONS = Options(licence="CC0-1.0", offline=True)


def prepare(folder: Path, watch: Watch) -> Case:
    whole = build_shelf(folder / "whole").folder
    tables = sorted(p.relative_to(whole) for p in whole.rglob("*.parquet"))
    settings = replace(Settings.from_env({}), data=folder / "shelf", offline=True)
    sets = list(data_sets().values())
    look(replace(settings, data=whole), SAE)

    def case(chance: random.Random) -> Callable[[], str]:
        if chance.random() < 0.4:
            (folder / "set.parquet").write_bytes(harmed(chance.choice(sets), chance, sets))
            source = chance.choice((sounds, texts))
            return lambda: count(source, folder / "set.parquet")
        shutil.rmtree(settings.data, ignore_errors=True)
        shutil.copytree(whole, settings.data)
        path = settings.data / chance.choice(tables)
        path.write_bytes(harmed(path.read_bytes(), chance))
        if chance.random() < 0.9:
            vouch(path)
        slug = chance.choice((SAE, NEURONS))
        return lambda: look(settings, slug)

    return case


def vouch(path: Path) -> None:
    """The manifest beside a file says that it is just as it should be."""
    manifest = json.loads((path.parent / "manifest.json").read_text())
    manifest["files"][path.name] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    (path.parent / "manifest.json").write_text(json.dumps(manifest))


def look(settings: Settings, slug: str) -> str:
    """What a visitor sees of a dictionary. Raises EarmarkError."""
    store = Store(settings)
    for unit in (0, 5, 39):
        store.card(UnitId(slug, unit))
    store.search(UnitId(slug, 5), 0.1, None)
    corpus = store.corpus(CORPUS)
    for sample in corpus.ids[:2]:
        corpus.audio(sample)
        corpus.mel(sample)
        corpus.speech(sample)
    return "shown"


def count(source: object, path: Path) -> str:
    """What a data set comes to."""
    n_broken = sum(isinstance(one, Broken) for one in source.read(str(path), OPTIONS))  # type: ignore[attr-defined] -- one after the other, as a corpus is made
    return "broken" if n_broken else "read"


def data_sets() -> dict[str, bytes]:
    """Small data sets in several layouts: of bytes and paths, nested, in dictionaries, in pages of both kinds, packed in several ways."""
    wav = written(tone(0.1))
    audio = pa.array([{"bytes": wav, "path": f"{n}.wav"} for n in range(6)])
    columns = {"audio": audio, "text": [f"sentence {n} " * 20 for n in range(6)], "label": pa.array([0, 1] * 3), "id": [f"x{n}" for n in range(6)]}
    features = {"info": {"features": {"audio": {"_type": "Audio"}, "label": {"_type": "ClassLabel", "names": ["a", "b"]}}}}
    table = pa.table(columns).replace_schema_metadata({b"huggingface": json.dumps(features).encode()})
    deep = pa.table(
        {
            "text": ["x" * 100] * 4,
            "deep": pa.array([[[[[n]]]] for n in range(4)]),
            "map": pa.array([[("k", n)] for n in range(4)], pa.map_(pa.string(), pa.int64())),
        }
    )
    large = pa.table({"audio": pa.array([wav] * 3, pa.large_binary()), "sentence": pa.array(["a", None, "b"], pa.large_string())})
    ways = {
        "snappy": (table, {"compression": "snappy"}),
        "zstd": (table, {"compression": "zstd", "use_dictionary": True}),
        "gzip": (table, {"compression": "gzip", "data_page_version": "2.0"}),
        "plain": (table, {"compression": "none", "use_dictionary": False, "write_page_checksum": True}),
        "deep": (deep, {"compression": "lz4"}),
        "large": (large, {"compression": "brotli"}),
    }
    return {name: _file(made, options) for name, (made, options) in ways.items()}


def _file(table: pa.Table, options: dict[str, object]) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()
