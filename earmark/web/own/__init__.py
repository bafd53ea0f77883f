"""What visitors bring and make, over HTTP, each for the page that knows its token. Nothing is cached."""

from __future__ import annotations

from starlette.routing import Route

from ...live.desk import Desk
from .clips import clip_routes
from .trainings import training_routes


def own_routes(desk: Desk) -> list[Route]:
    return [*clip_routes(desk), *training_routes(desk)]


__all__ = ["own_routes"]
