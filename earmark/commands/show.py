"""How a command answers: as JSON with --json, in lines that people read without."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

Args = argparse.Namespace


def show(args: Args, value: Any, lines: Callable[[], list[str]]) -> None:
    """Print one answer on standard output."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False) if args.json else "\n".join(lines()))


def tell(notices: Iterable[str]) -> None:
    """What was done to a sample, on standard error: standard output holds the answer alone."""
    for notice in notices:
        print(f"earmark: {notice}", file=sys.stderr)
