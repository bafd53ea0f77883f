"""`/f/DICTIONARY/UNIT`, `/health` and `/compare`: the small pages that link previews read, and that lead a person on to the page itself."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ..errors import EarmarkError
from ..links import Link, short_link, unit_media_href, whole_link
from ..shelf.store import Store
from .answers import answered, unit_of
from .media import description_of, modality_of, place_of, unit_title
from .pictures import SHARE_SIZE
from .records import VAGUE

_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rf"(?P<name>{_LABEL}(\.{_LABEL})*)(:(?P<port>\d{{1,5}}))?|\[(?P<v6>[0-9a-fA-F:.]{{2,45}})\](:(?P<port6>\d{{1,5}}))?", re.ASCII)

NAMES_ITSELF = {"Cache-Control": "private, no-cache", "Vary": "X-Forwarded-Host, X-Forwarded-Proto"}
"""headers of an answer in which stands under what name it was asked for"""

# the page asks for no script: the refresh leads on, and the link is there for who has turned that off
_PAGE = Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<meta name="description" content="{{ description }}">
<meta property="og:type" content="website">
<meta property="og:site_name" content="Earmark">
<meta property="og:title" content="{{ title }}">
<meta property="og:description" content="{{ description }}">
<meta property="og:url" content="{{ base }}{{ short }}">
{% if image %}
<meta property="og:image" content="{{ base }}{{ image }}">
<meta property="og:image:width" content="{{ size[0] }}">
<meta property="og:image:height" content="{{ size[1] }}">
<meta property="og:image:alt" content="{{ alt }}">
<meta name="twitter:image" content="{{ base }}{{ image }}">
{% endif %}
<meta name="twitter:card" content="{{ 'summary_large_image' if image else 'summary' }}">
<meta name="twitter:title" content="{{ title }}">
<meta name="twitter:description" content="{{ description }}">
<link rel="canonical" href="{{ base }}{{ page }}">
<meta http-equiv="refresh" content="0; url={{ page }}">
<style>body{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem;color:#1a1a1f;background:#fbf9f4}a{color:#a8380b}</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ description }}</p>
<p><a href="{{ page }}">Open it in Earmark{% if image %} and {{ verb }}{% endif %}</a></p>
</body>
</html>
""")


_SAID = {
    "audio": {"alt": "Mel spectrogram of the strongest sample with the unit's activation drawn over it", "verb": "listen"},
    "text": {"alt": "The texts around the unit's strongest peaks, shaded by its activation", "verb": "read"},
}


def base_of(request: Request) -> str:
    """Scheme and host under which the page is found, behind a proxy too.

    On a Space the Hub says them (SPACE_HOST; with commas, where it has domains of its own), and a request chooses among these. Elsewhere it is what a proxy
    adds, or the request itself: a stranger who writes something else there is the only one to read it, for no shared cache keeps the answer.
    """
    forwarded = {name: request.headers.get(f"x-forwarded-{name}", "").split(",")[0].strip() for name in ("proto", "host")}
    own = [name for name in (told.strip().lower() for told in os.environ.get("SPACE_HOST", "").split(",")) if is_host(name)]
    named = (host.lower() for host in (forwarded["host"], request.base_url.netloc) if is_host(host))
    host = next((name for name in named if name in own or not own), own[0] if own else "localhost")
    scheme = "https" if own else forwarded["proto"] if forwarded["proto"] in {"http", "https"} else request.base_url.scheme
    return f"{scheme}://{host}"


def is_host(told: str) -> bool:
    """Whether it is HOST or HOST:PORT: a name of letters, digits and hyphens, or an address of numbers; nothing that could mean more in a link or in markup."""
    found = _HOST.fullmatch(told)
    if found is None or len(found["name"] or "") > 253 or not 0 < int(found["port"] or found["port6"] or 80) < 65_536:
        return False
    try:
        return found["v6"] is None or bool(ipaddress.IPv6Address(found["v6"]))
    except ValueError:
        return False


def health_words(store: Store, slug: str) -> tuple[str, str]:
    """(title, one sentence) of a dictionary's health."""
    known = store.health(slug)
    said = [f"L0 {known['l0']:.3g}", f"FVU {known['fvu']:.1%}"] if known["fvu"] is not None else []
    said += [f"{known['dead']:.1%} of the units silent"] if known["dead"] is not None else []
    said += [f"{known['ce_recovered']:.1%} of the model's cross-entropy recovered"] if known["ce_recovered"] is not None else []
    return f"Health · {place_of(store, slug)}", ", ".join(said) + "." if said else "Nothing has been computed yet."


def whole_words(store: Store, slug: str) -> tuple[str, str]:
    """(title, one sentence) of the whole picture of a hook: which share of each dictionary's eligible units has a label that holds."""
    entry = store.catalog.dictionary(slug)
    said: list[str] = []
    for sibling in (e for e in store.catalog.siblings(slug) if store.has_tables(e.slug)):
        labels = store.dictionary(sibling.slug).manifest.get("labels")
        if labels:
            narrow = sum(n for kind, n in labels["held"].items() if kind not in VAGUE)
            said.append(f"{narrow / max(labels['n_eligible'], 1):.1%} of {sibling.title or sibling.slug}")
    return f"Features, neurons and axes · {entry.model} layer {entry.layer}", f"Names hold for {', '.join(said)}." if said else "No labels yet."


def preview_routes(store: Store) -> list[Route]:
    def page(request: Request, slug: str, words: Callable[[], tuple[str, str]], short: str, asked: Link, image: str | None = None) -> Response:
        modality, status = "audio", 200
        try:
            modality = modality_of(store, slug)
            title, description = words()
        except EarmarkError as error:
            title, description, status = "Earmark", str(error), error.status
        said = {"title": title, "description": description, "short": short, "image": image, **_SAID[modality]}
        text = _PAGE.render(base=base_of(request), page=asked.href(), size=SHARE_SIZE, **said)
        return HTMLResponse(text, status, NAMES_ITSELF)

    @answered
    async def unit_page(request: Request) -> Response:
        unit = unit_of(request)
        asked, _ = Link.parse({**request.query_params, "tab": "feature", "dictionary": unit.dictionary, "unit": str(unit.index)})
        image = unit_media_href(unit.dictionary, unit.index, "png")
        words = lambda: (f"{unit_title(store, unit)} · {place_of(store, unit.dictionary)}", description_of(store, unit))  # noqa: E731
        return await run_in_threadpool(page, request, unit.dictionary, words, short_link(unit.dictionary, unit.index), asked, image)

    def whole_page(tab: str, words: Callable[[Store, str], tuple[str, str]]) -> Route:
        @answered
        async def answer(request: Request) -> Response:
            slug = request.path_params["dictionary"]
            asked, _ = Link.parse({**request.query_params, "tab": tab, "dictionary": slug})
            return await run_in_threadpool(page, request, slug, lambda: words(store, slug), whole_link(slug, tab), asked)

        return Route(f"/f/{{dictionary}}/{tab}", answer)

    return [whole_page("health", health_words), whole_page("compare", whole_words), Route("/f/{dictionary}/{index}", unit_page)]
