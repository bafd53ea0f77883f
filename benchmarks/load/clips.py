"""The clips that visitors bring: files of the corpus's sounds, and what the library finds on each, computed alone beforehand in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import ROOT, child_environment

LIST = "clips.json"
TOLERANCE = 1e-4
"""of a value, relative to the largest of its clip"""
N_KNOWN = 60
"""units that are known of a clip; visitors ask for fewer, so that a unit that falls off the end of a list by rounding is known, too"""


@dataclass(frozen=True)
class KnownClip:
    """A file that a visitor brings, and what is in it."""

    name: str
    path: str
    dictionary: str
    hits: tuple[tuple[int, float], ...]
    """(unit, peak), the strongest of its own largest value first"""
    transcript: str

    def problem(self, hits: Sequence[tuple[int, float]], transcript: str | None = None) -> str:
        """What is wrong with an answer's (unit, peak); empty where it is this clip's."""
        known, scale = dict(self.hits), max(peak for _, peak in self.hits)
        far = [unit for unit, peak in hits if abs(known.get(unit, float("inf")) - peak) > TOLERANCE * scale]
        if not hits or far:
            return f"{self.name}: {len(far)} of {len(hits)} units are not this clip's, such as {far[:3]}"
        if transcript is not None and transcript != self.transcript:
            return f"{self.name}: heard '{transcript[:60]}', not '{self.transcript[:60]}'"
        return ""


def prepare(folder: Path, n: int) -> list[KnownClip]:
    """n clips as files in a folder, with what is known of them. One thread and one process, before there is any load."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.load.clips", str(folder), str(n)]
    subprocess.run(command, cwd=ROOT, env=child_environment(one_thread=True), check=True)
    return read(folder)


def read(folder: Path) -> list[KnownClip]:
    listed: list[dict[str, Any]] = json.loads((folder / LIST).read_text(encoding="utf-8"))
    return [KnownClip(c["name"], c["path"], c["dictionary"], tuple((int(unit), float(peak)) for unit, peak in c["hits"]), c["transcript"]) for c in listed]


def _write(folder: Path, n: int) -> None:
    from benchmarks.material import Material
    from earmark.inputs.audio import decode
    from earmark.live.analysis import analyse
    from earmark.shelf.store import Store

    material = Material()
    store, slug = Store(material.settings), material.default.slug
    listed: list[dict[str, Any]] = []
    for _, sample, _ in material.clips(n):
        data, kind = material.corpus.audio(sample)
        path = folder / f"{sample}.{kind.rsplit('/', 1)[-1].replace('mpeg', 'mp3')}"
        path.write_bytes(data)
        found = analyse(material.runtime, store, slug, decode(data).waveform, top=N_KNOWN)
        hits = [(h.unit, h.peak) for h in found.hits]
        listed.append({"name": sample, "path": str(path), "dictionary": slug, "hits": hits, "transcript": found.transcript or ""})
    (folder / LIST).write_text(json.dumps(listed), encoding="utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]), int(sys.argv[2]))
