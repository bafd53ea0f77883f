"""Single parameters of an address: read from its query with a notice where that fails, and written back."""

from __future__ import annotations

import math
from collections.abc import Mapping


def encodable(query: Mapping[str, str]) -> dict[str, str]:
    """The same with a question mark for each half of a surrogate pair, which no address can carry."""
    return {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}


def flag(text: str) -> bool | None:
    """What a yes-or-no parameter says: a flag that says false is false; None for anything else."""
    text = text.strip().lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    return False if text in {"", "0", "false", "no", "off"} else None


def short(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def number(query: Mapping[str, str], name: str, notices: list[str]) -> float | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        notices.append(f"'{name}' in the address is '{text[:40]}', which is no number; it was left out.")
        return None
    return value


def integer(query: Mapping[str, str], name: str, notices: list[str]) -> int | None:
    text = query.get(name, "").strip()
    if not text:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        notices.append(f"'{name}' in the address is '{text[:40]}', which is no whole number; it was left out.")
        return None
    return int(text[:12])
