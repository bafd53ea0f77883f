"""Folders of a shelf in which links, pipes, devices and folders stand in place of files: nothing that lies elsewhere is opened or handed out, nothing hangs."""

from __future__ import annotations

import io
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from earmark.errors import EarmarkError
from earmark.settings import Settings
from earmark.shelf.store import Store
from earmark.units import UnitId
from earmark.web.media import NOTICES, clips_zip
from tests.fixtures.shelf import CORPUS, SAE, build_shelf
from tests.fuzz.kinds import Case
from tests.fuzz.kinds.tables import look, vouch
from tests.fuzz.watch import Watch

SECRET = b"zanzibar"


def prepare(folder: Path, watch: Watch) -> Case:
    whole = build_shelf(folder / "whole").folder
    for name in NOTICES:
        (whole / CORPUS / name).write_text(f"{name} of the clips")
        vouch(whole / CORPUS / name)
    secret = folder.parent / "secret.txt"
    secret.write_bytes(SECRET)
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file() and p.parent != whole)
    settings = replace(Settings.from_env({}), data=folder / "shelf", offline=True)
    handed_out(replace(settings, data=whole))

    def case(chance: random.Random) -> Callable[[], str]:
        shutil.rmtree(settings.data, ignore_errors=True)
        shutil.copytree(whole, settings.data)
        for name in chance.sample(files, chance.choice((1, 1, 2))):
            path = settings.data / name
            path.unlink()
            put = chance.choice(
                (watch.canary, secret, "/dev/zero", "/etc/passwd", "/proc/self/environ", "..", path, "gone", os.mkfifo, Path.mkdir, whole / name)
            )
            put(path) if callable(put) else path.symlink_to(put)
        return lambda: handed_out(settings)

    return case


def handed_out(settings: Settings) -> str:
    """All that leaves the shelf. Raises the first sentence that came of it, behind all that was handed out nevertheless."""
    said: list[EarmarkError] = []
    for hand in (lambda: look(settings, SAE), lambda: clips(settings)):
        try:
            assert SECRET not in hand().encode("latin-1")
        except EarmarkError as error:
            said.append(error)
    if said:
        raise said[0]
    return "handed out"


def clips(settings: Settings) -> str:
    with zipfile.ZipFile(io.BytesIO(clips_zip(Store(settings), UnitId(SAE, 5)))) as archive:
        assert all(archive.read(name) == f"{name} of the clips".encode() for name in NOTICES)
        return "".join(archive.read(name).decode("latin-1") for name in archive.namelist())
