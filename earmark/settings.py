"""Every setting once: name, default, help. The environment variable is EARMARK_ and the name in capitals."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .errors import BadInput

ROOT = Path(__file__).resolve().parent.parent

# name, default, help; README.md's table is tested against this tuple
SETTINGS: tuple[tuple[str, object, str], ...] = (
    ("data", ROOT / "precomputed", "folder of catalog.toml, corpora and dictionaries"),
    ("cache", Path.home() / ".cache" / "earmark", "folder for activations, checkpoints of builds and converted weights"),
    ("offline", False, "1: never ask the Hub, take weights from installed packages and local files"),
    ("max_upload_mb", 25, "largest file that the command line and the page decode, in megabytes"),
    ("max_audio_s", 60, "longest sound that is analysed, in seconds; longer ones are cut with a notice"),
    ("max_source_s", 1200, "longest sound that is decoded at all, in seconds; longer ones are refused"),
    ("owner", False, "1: the page is its owner's own; About then opens repositories of the Hub by name"),
    ("hub_max_mb", 1000, "largest download from the Hub that a visitor of the page can set off, in megabytes; 0: none"),
    ("model_memory_mb", 6000, "memory for models and dictionaries together, in megabytes; beyond it the least recently used leave"),
)
_SAID = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
_MAY_BE_0 = {"hub_max_mb"}


@dataclass(frozen=True)
class Settings:
    """The values in force for one process."""

    data: Path
    cache: Path
    offline: bool
    max_upload_mb: int
    max_audio_s: int
    max_source_s: int
    owner: bool = False
    hub_max_mb: int = 1000
    model_memory_mb: int = 6000

    @classmethod
    def from_env(cls, env: dict[str, str] | None = None) -> Settings:
        """Read the environment. Raises BadInput for a value that does not parse."""
        env = dict(os.environ) if env is None else env
        values: dict[str, Any] = {name: _parse(name, default, env.get(f"EARMARK_{name.upper()}")) for name, default, _ in SETTINGS}
        return cls(**values)


def _parse(name: str, default: object, text: str | None) -> object:
    if text is None or text == "":
        return default
    if isinstance(default, bool):
        if (word := text.strip().lower()) not in _SAID:
            raise BadInput(f"EARMARK_{name.upper()} is '{text[:40]}', but must be one of {', '.join(_SAID)}.")
        return _SAID[word]
    if isinstance(default, int):
        least = 0 if name in _MAY_BE_0 else 1
        if not text.strip().isdecimal() or int(text) < least:
            raise BadInput(f"EARMARK_{name.upper()} is '{text[:40]}', but must be a whole number from {least}.")
        return int(text)
    return Path(text).expanduser()


assert [f.name for f in fields(Settings)] == [name for name, _, _ in SETTINGS]
