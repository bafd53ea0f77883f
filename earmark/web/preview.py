"""`/f/DICTIONARY/UNIT`: the small page that link previews read, and that leads a person on to the unit's card."""

from __future__ import annotations

import re

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ..errors import EarmarkError
from ..links import Link, short_link, unit_media_href
from ..shelf.store import Store
from .answers import answered, unit_of
from .media import description_of, modality_of, place_of, unit_title
from .pictures import SHARE_SIZE

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:\d{1,5})?")

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
<meta property="og:image" content="{{ base }}{{ image }}">
<meta property="og:image:width" content="{{ size[0] }}">
<meta property="og:image:height" content="{{ size[1] }}">
<meta property="og:image:alt" content="{{ alt }}">
<meta name="twitter:card" content="summary_large_image">
<meta name="twitter:title" content="{{ title }}">
<meta name="twitter:description" content="{{ description }}">
<meta name="twitter:image" content="{{ base }}{{ image }}">
<link rel="canonical" href="{{ base }}{{ page }}">
<meta http-equiv="refresh" content="0; url={{ page }}">
<style>body{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem;color:#1a1a1f;background:#fbf9f4}a{color:#a8380b}</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ description }}</p>
<p><a href="{{ page }}">Open it in Earmark and {{ verb }}</a></p>
</body>
</html>
""")


_SAID = {
    "audio": {"alt": "Mel spectrogram of the strongest sample with the unit's activation drawn over it", "verb": "listen"},
    "text": {"alt": "The texts around the unit's strongest peaks, shaded by its activation", "verb": "read"},
}


def base_of(request: Request) -> str:
    """Scheme and host as the visitor sees them, behind a proxy too."""
    forwarded = {name: request.headers.get(f"x-forwarded-{name}", "").split(",")[0].strip() for name in ("proto", "host")}
    scheme = forwarded["proto"] if forwarded["proto"] in {"http", "https"} else request.base_url.scheme
    host = next((h for h in (forwarded["host"], request.base_url.netloc) if _HOST.fullmatch(h)), "localhost")
    return f"{scheme}://{host}"


def preview_routes(store: Store) -> list[Route]:
    @answered
    async def preview(request: Request) -> Response:
        unit = unit_of(request)
        asked, _ = Link.parse({**request.query_params, "tab": "feature", "dictionary": unit.dictionary, "unit": str(unit.index)})
        modality = "audio"
        headers, status = {"Cache-Control": "no-cache", "Vary": "X-Forwarded-Host, X-Forwarded-Proto"}, 200
        try:
            modality = modality_of(store, unit.dictionary)
            title = f"{unit_title(store, unit)} · {place_of(store, unit.dictionary)}"
            description = await run_in_threadpool(description_of, store, unit)
        except EarmarkError as error:
            title, description, status = "Earmark", str(error), error.status
        text = _PAGE.render(
            title=title,
            description=description,
            base=base_of(request),
            short=short_link(unit.dictionary, unit.index),
            image=unit_media_href(unit.dictionary, unit.index, "png"),
            page=asked.href(),
            size=SHARE_SIZE,
            **_SAID[modality],
        )
        return HTMLResponse(text, status, headers)

    return [Route("/f/{dictionary}/{index}", preview)]
