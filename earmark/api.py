"""What programs get over HTTP: the JSON routes, and the list of all routes beside the page.

Errors are 404 (not here) or 422 (cannot be used) with {"error": a sentence}. Everything answers GET and HEAD only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .errors import BadInput, NotFound
from .links import MAX_TEXT, MAX_WORD_LIST
from .lists import parse_list
from .live.texts.words import parse_words, words_in_corpus
from .parameters import flag
from .shelf.pairs import compare, unit_id
from .shelf.store import Store
from .web.answers import ByteCache, answered, bytes_response, parameter, unit_of
from .web.media import media_routes
from .web.preview import preview_routes
from .web.records import card_json, csv_text, dictionaries_json, examples_csv, hits_json, list_rows, montage_json, pair_json, units_rows, words_json
from .web.search.find import find, found_json

if TYPE_CHECKING:
    from .live.desk import Desk

__all__ = ["card_json", "dictionaries_json", "hits_json", "routes"]


def _format(request: Request) -> str:
    kind = request.query_params.get("format", "json")
    if kind not in {"json", "csv"}:
        raise BadInput(f"'format' is '{kind[:40]}', but must be json or csv.")
    return kind


def routes(store: Store, desk: Desk | None = None) -> list[Route]:
    """Every route beside the page itself; with a desk, `/api/status` also says how busy the model is."""
    cache = ByteCache()

    def encoded(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    @answered
    async def dictionaries(request: Request) -> Response:
        return Response(encoded(await run_in_threadpool(dictionaries_json, store)), media_type="application/json")

    @answered
    async def status(request: Request) -> Response:
        slugs = list(store.catalog.dictionaries)
        shelf = {"up": True, "dictionaries": len(slugs), "with_tables": len(await run_in_threadpool(lambda: [s for s in slugs if store.has_tables(s)]))}
        wait = desk.turns.wait() if desk else None
        model = {"loaded": list(desk.loaded), "waiting": wait.n_before, "wait_s": round(wait.seconds, 1)} if desk and wait else {}
        return Response(encoded(shelf | model), media_type="application/json", headers={"Cache-Control": "no-store"})

    @answered
    async def unit(request: Request) -> Response:
        found = unit_of(request)
        revision = store.dictionary(found.dictionary).revision
        if _format(request) == "csv":
            body = examples_csv((await run_in_threadpool(store.card, found)).examples).encode()
            return bytes_response(request, body, "text/csv; charset=utf-8", f"{found.dictionary}-{found.index}.csv")
        body = await cache.through(("unit", found, revision), lambda: encoded(card_json(store.card(found))))
        name = f"{found.dictionary}-{found.index}.json" if flag(request.query_params.get("download", "")) else None
        return bytes_response(request, body, "application/json", name)

    @answered
    async def search(request: Request) -> Response:
        low, high = (parameter(request, name, float, None, "a finite number") for name in ("min", "max"))
        absolute = parameter(request, "absolute", flag, False, "true or false")
        n = parameter(request, "n", int, 20, "a whole number")
        hits = await run_in_threadpool(store.search, unit_of(request), low, high, absolute, n)
        return Response(encoded(hits_json(hits)), media_type="application/json")

    @answered
    async def found(request: Request) -> Response:
        n = parameter(request, "n", int, 50, "a whole number")
        hits = await run_in_threadpool(find, store, request.query_params.get("q", "")[:MAX_TEXT], n)
        return Response(encoded(found_json(hits)), media_type="application/json")

    @answered
    async def words(request: Request) -> Response:
        listed, order = parse_words(request.query_params.get("words", "")[:MAX_WORD_LIST]), request.query_params.get("order", "auroc")
        n = parameter(request, "n", int, 20, "a whole number")
        scores = await run_in_threadpool(words_in_corpus, store, request.path_params["dictionary"], listed, order, n)
        return Response(encoded(words_json(scores)), media_type="application/json")

    @answered
    async def pair(request: Request) -> Response:
        a, b = unit_id(request.path_params["a"]), unit_id(request.path_params["b"])
        return Response(encoded(pair_json(await run_in_threadpool(compare, store, a, b))), media_type="application/json")

    @answered
    async def health(request: Request) -> Response:
        return Response(encoded(await run_in_threadpool(store.health, request.path_params["dictionary"])), media_type="application/json")

    @answered
    async def units(request: Request) -> Response:
        slug, kind = request.path_params["dictionary"], _format(request)

        def make() -> bytes:
            rows = units_rows(store, slug)
            return csv_text(rows, list(rows[0]) if rows else ["unit"]).encode() if kind == "csv" else encoded(rows)

        body = await cache.through(("units", slug, kind, store.dictionary(slug).revision), make)
        if kind == "csv":
            return bytes_response(request, body, "text/csv; charset=utf-8", f"{slug}.csv")
        return bytes_response(request, body, "application/json")

    @answered
    async def collected(request: Request) -> Response:
        picked, notices = parse_list(request.query_params)
        if notices:
            raise BadInput(" ".join(notices))
        rows = await run_in_threadpool(list_rows, store, picked.units)
        if _format(request) == "json":
            return Response(encoded({"name": picked.name, "units": rows}), media_type="application/json")
        columns = list(dict.fromkeys(column for row in rows for column in row)) or ["dictionary", "unit"]
        return bytes_response(request, csv_text(rows, columns).encode(), "text/csv; charset=utf-8", "list.csv")

    @answered
    async def montage(request: Request) -> Response:
        return Response(encoded(await run_in_threadpool(montage_json, store, unit_of(request))), media_type="application/json")

    @answered
    async def nothing(request: Request) -> Response:
        raise NotFound(f"There is nothing at '{request.url.path[:120]}'. See the page's About tab for what there is.")

    return [
        Route("/api/status", status),
        Route("/api/dictionaries", dictionaries),
        Route("/api/unit/{dictionary}/{index}", unit),
        Route("/api/search/{dictionary}/{index}", search),
        Route("/api/find", found),
        Route("/api/words/{dictionary}", words),
        Route("/api/compare/{a}/{b}", pair),
        Route("/api/units/{dictionary}", units),
        Route("/api/health/{dictionary}", health),
        Route("/api/list", collected),
        Route("/api/montage/{dictionary}/{index}", montage),
        *media_routes(store, cache),
        *preview_routes(store),
        *(Route(f"/{room}/{{rest:path}}", nothing) for room in ("api", "media", "f")),
    ]
