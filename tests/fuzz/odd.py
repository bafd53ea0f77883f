"""Values that nobody expects, and trees of JSON or TOML values in which some stand where others stood."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

TEXTS = (
    "", " ", ".", "..", "../../etc/passwd", "/etc/passwd", "a/b", "con", "\0", "\u202e", "\u200b", "\ud800", "é" * 90, "x" * 5000, "\U0001f442",
    "'\"><img src=x onerror=1>",
    "<script>1</script>", "{{ 7*7 }}", "%s%n%00", "true", "0", "-1", "1e999", "NaN", "__class__", "__init__",
    "hub", "residual", "sae", "neurons", "\r\nSet-Cookie: a=b", "$(id)",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2, 40, 255, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, math.inf, -math.inf, math.nan)


def odd_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(8)
    if kind < 3:
        return chance.choice(TEXTS)
    if kind < 5:
        return chance.choice(NUMBERS)
    if kind == 5:
        return chance.choice((True, False, None))
    if depth > 3:
        return []
    if kind == 6:
        return [odd_value(chance, depth + 1) for _ in range(chance.choice((0, 1, 3, 50)))]
    return {chance.choice(TEXTS): odd_value(chance, depth + 1) for _ in range(chance.choice((0, 1, 3)))}


def spoilt_tree(tree: Any, chance: random.Random) -> Any:
    """A copy in which one to four things are replaced, left out, added, renamed, or put in place of each other."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        _spoil(tree, chance)
    return tree


def _spoil(tree: Any, chance: random.Random) -> None:
    spots = places(tree)
    if not spots:
        return
    inside, key = chance.choice(spots)
    kind = chance.randrange(6)
    if kind == 0:
        del inside[key]
    elif kind == 1 and isinstance(inside, dict):
        inside[chance.choice(TEXTS)] = inside.pop(key)
    elif kind == 2 and isinstance(inside, dict):
        inside[chance.choice(TEXTS)] = odd_value(chance)
    elif kind == 3:
        other, its = chance.choice(spots)
        try:
            inside[key] = copy.deepcopy(other[its])
        except (KeyError, IndexError):
            pass
    elif kind == 4 and isinstance(inside[key], (int, float)):
        inside[key] = chance.choice((inside[key] * chance.choice((0, -1, 2, 1000)), chance.choice(NUMBERS)))
    else:
        inside[key] = odd_value(chance)


def places(value: Any) -> list[tuple[Any, Any]]:
    """(dict or list, key or index) of everything that could be something else."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [(value, key) for key, _ in items] + [place for _, inner in items for place in places(inner)]
