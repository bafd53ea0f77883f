"""What programs ask the named endpoints, checked before it is used: a value of another kind is a sentence, as every other expected error; and what is logged
of the rest."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import gradio as gr

from earmark.errors import BadInput, EarmarkError
from earmark.parameters import flag

from .host.doors import UNEXPECTED, note
from .host.stateless import Stateless
from .host.waiting import asking

P = ParamSpec("P")
T = TypeVar("T")
MAX_WHOLE = 10**12


def _whole(name: str, value: object) -> int:
    number = _finite(value)
    if number is None or number != int(number) or abs(number) > MAX_WHOLE:
        raise BadInput(f"'{name}' is {_shown(value)}, but must be a whole number.")
    return int(number)


def _number(name: str, value: object) -> float | None:
    """None for what is left empty."""
    number = _finite(value)
    if number is None and value is not None and value != "":
        raise BadInput(f"'{name}' is {_shown(value)}, but must be a finite number, or empty.")
    return number


def _finite(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _words(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise BadInput(f"'{name}' is {_shown(value)}, but must be a text.")
    return value.encode("utf-8", "replace").decode()


def _flag(name: str, value: object) -> bool:
    found = flag(str(value))
    if found is None:
        raise BadInput(f"'{name}' is {_shown(value)}, but must be true or false.")
    return found


def _shown(value: object) -> str:
    return f"'{value[:40]}'" if isinstance(value, str) else f"{str(value)[:40]}" if isinstance(value, (int, float)) else f"a {type(value).__name__}"


_KINDS: dict[str, Callable[[str, object], Any]] = {"int": _whole, "float | None": _number, "str": _words, "bool": _flag}
"""by the annotation of an endpoint's parameter; others are passed on as they are"""


def asked(function: Callable[P, T]) -> Callable[P, T]:
    """An endpoint whose arguments are what its annotations say, and whose expected errors reach the one who asked as sentences."""
    signature = inspect.signature(function)
    kinds = {name: _KINDS[p.annotation] for name, p in signature.parameters.items() if p.annotation in _KINDS}
    usual = {name: p.default for name, p in signature.parameters.items() if p.default is not inspect.Parameter.empty}

    @functools.wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> T:
        given = signature.bind(*args, **kwargs)
        try:
            given.arguments = {name: usual[name] if value is None and name in usual else value for name, value in given.arguments.items()}
            given.arguments |= {name: kinds[name](name, value) for name, value in given.arguments.items() if name in kinds}
            return function(*given.args, **given.kwargs)
        except EarmarkError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return answer


def _refuse_addresses(value: object) -> None:
    """Gradio would fetch what lies at an address that is given in place of a file, of whatever size, for whoever asks."""
    parts: list[object] = []
    if isinstance(value, dict):
        given = cast("dict[object, object]", value)
        if str(given.get("path", "")).lower().startswith(("http:", "https:")) and "meta" in given:
            raise gr.Error("An address is given in place of a file. Send the file itself.", print_exception=False)
        parts = list(given.values())
    elif isinstance(value, (list, tuple)):
        parts = list(cast("list[object]", value))
    for inner in parts:
        _refuse_addresses(inner)


class Discreet(Stateless):
    """Blocks that fetch nothing, and whose log holds nothing of what visitors bring: of an unexpected error its kind and its place, not its words."""

    async def process_api(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            _refuse_addresses(kwargs.get("inputs", args[1:2]))
            with asking(kwargs.get("session_hash"), getattr(kwargs.get("request"), "request", None)):
                return await super().process_api(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType] -- some of its parameters are open
        except gr.Error:
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, its words stay out of the log
            note(error)
            raise gr.Error(UNEXPECTED, print_exception=False) from None
