"""Typed views to HTML, through Jinja templates that escape whatever the tables hold. No gradio."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from earmark.links import Filter, Link, api_href, model_href, short_link, unit_media_href, whole_link

from . import figures, glossary, prose, tokens

HERE = Path(__file__).parent


@cache
def _environment() -> Environment:
    env = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    names: dict[str, Any] = {"prose": prose, "figures": figures, "glossary": glossary, "Filter": Filter, "Link": Link, "run": tokens.run}
    names |= {function.__name__: function for function in (api_href, model_href, short_link, unit_media_href, whole_link)}
    env.globals.update(names)
    return env


def render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(**values)


def page_head(nonce: str = "") -> str:
    """The page's scripts, for the head of the document: nothing is fetched. With a nonce they run where the page's policy asks for it."""
    tag = f'<script nonce="{nonce}">' if nonce else "<script>"
    return "".join(f"{tag}\n{script}\n</script>\n" for script in _texts("scripts/*.js"))


def page_style() -> str:
    """The page's looks, one text of all its parts."""
    return "\n".join(_texts("styles/*.css"))


@cache
def _texts(pattern: str) -> list[str]:
    """Files of this folder, in the order of their names: a number comes first where one needs another before it."""
    return [path.read_text(encoding="utf-8") for path in sorted(HERE.glob(pattern))]
