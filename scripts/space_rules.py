"""What a Space asks of a repository, as judgements of plain values: its front matter, the sizes of its files, the headers of its page."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from huggingface_hub import SpaceHardware

from earmark.raw import is_list, is_object

SOURCE = "https://huggingface.co/docs/hub/spaces-config-reference"
MB = 1_000_000
MAX_FILE_BYTES = 25 * MB
MAX_PRECOMPUTED_BYTES = 150 * MB
MAX_PLAIN_BYTES = 10 * MB
"""larger files than this the Hub takes only through Git LFS, or by its own client"""
MAX_DESCRIPTION = 60
LEAST_PYTHON = (3, 11)
"""transformers, pandas and pyarrow need it; a Space without `python_version` has an older one"""
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
HARDWARE = tuple(h.value for h in SpaceHardware)
HUB_PAGES = ("https://huggingface.co", "https://you-earmark.hf.space")
"""pages that show a Space in a frame: the Hub's own, and another Space"""

_REPO = r"[\w.-]+(/[\w.-]+)?"


@dataclass(frozen=True)
class Field:
    """One field of the front matter."""

    fits: Callable[[Any], bool]
    valid: str
    """what it must be, to stand behind "must be" """


def _text(pattern: str, valid: str) -> Field:
    return Field(lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None, valid)


def _one_of(choices: Iterable[str]) -> Field:
    known = tuple(choices)
    return Field(lambda value: value in known, f"one of {', '.join(known)}")


def _list_of(pattern: str, valid: str) -> Field:
    return Field(lambda value: is_list(value) and all(isinstance(v, str) and re.fullmatch(pattern, v) for v in value), f"a list of {valid}")


_FLAG = Field(lambda value: isinstance(value, bool), "true or false")
_COLOUR = _one_of(COLOURS)
_POLICIES = ("cross-origin-embedder-policy", "cross-origin-opener-policy", "cross-origin-resource-policy")

FIELDS: Mapping[str, Field] = {
    "title": _text(r".+", "a text"),
    "emoji": _text(r"[^\w\s]{1,3}", "one emoji"),
    "colorFrom": _COLOUR,
    "colorTo": _COLOUR,
    "sdk": _one_of(("gradio", "docker", "static")),
    "sdk_version": _text(r"\d+\.\d+\.\d+", "a version in quotes or with two dots, such as 6.31.0"),
    "python_version": _text(r"3\.\d+(\.\d+)?", "a text such as 3.12.12; 3.10 without quotes is the number 3.1"),
    "app_file": _text(r"[^/].*\.(py|html)", "a file of the repository"),
    "app_build_command": _text(r".+", "a command"),
    "app_port": Field(lambda value: isinstance(value, int) and 0 < value < 65536, "a port"),
    "base_path": _text(r"/.*", "a path that begins with /"),
    "fullWidth": _FLAG,
    "header": _one_of(("mini", "default")),
    "short_description": _text(rf".{{1,{MAX_DESCRIPTION}}}", f"a text of at most {MAX_DESCRIPTION} letters"),
    "license": _text(r"[a-z0-9.-]+", "a licence's short name, or other"),
    "suggested_hardware": _one_of(HARDWARE),
    "suggested_storage": _one_of(("small", "medium", "large")),
    "models": _list_of(_REPO, "repositories of models, such as openai/whisper-tiny.en"),
    "datasets": _list_of(_REPO, "repositories of data sets"),
    "tags": _list_of(r".+", "texts"),
    "thumbnail": _text(r"https://.+", "an address that begins with https://"),
    "pinned": _FLAG,
    "hf_oauth": _FLAG,
    "hf_oauth_scopes": _list_of(r"[\w:-]+", "scopes"),
    "hf_oauth_expiration_minutes": Field(lambda value: isinstance(value, int) and 0 < value <= 43200, "a number of minutes up to 43200"),
    "hf_oauth_authorized_org": Field(lambda value: isinstance(value, str | list), "an organisation, or a list of them"),
    "disable_embedding": _FLAG,
    "startup_duration_timeout": _text(r"\d+[smh]|\d+", "a time such as 30m or 1h"),
    "custom_headers": Field(lambda v: is_object(v) and {k.lower() for k in v} <= {*_POLICIES}, f"a table with {', '.join(_POLICIES)} alone"),
    "preload_from_hub": _list_of(
        rf"{_REPO}( [^\s,]+(,[^\s,]+)*( [0-9a-f]{{40}})?)?", "a repository each, with files behind it (commas, no spaces) and perhaps a commit"
    ),
    "duplicated_from": _text(_REPO, "a Space"),
}
"""the fields that the Hub's reference describes"""
NEEDED = ("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file", "license")


def front_matter(readme: str) -> dict[str, Any]:
    """The block between the first two lines of dashes. Raises ValueError where there is none."""
    pieces = readme.split("---\n", 2)
    if len(pieces) < 3 or pieces[0].strip():
        raise ValueError("README.md does not begin with a front matter between two lines of three dashes.")
    try:
        block = yaml.safe_load(pieces[1])
    except yaml.YAMLError as error:
        raise ValueError(f"README.md's front matter is no YAML: {' '.join(str(error).split())}") from None
    if not is_object(block):
        raise ValueError("README.md's front matter holds no fields.")
    return block


def front_problems(front: Mapping[str, Any], files: Iterable[str], gradio: str) -> list[str]:
    """What the Hub would refuse or misread, a sentence each. `files`: paths in the repository; `gradio`: the version that requirements.txt pins."""
    said = [f"The field '{name}' is missing." for name in NEEDED if name not in front]
    for name, value in front.items():
        field = FIELDS.get(name)
        if field is None:
            near = difflib.get_close_matches(str(name), FIELDS, n=1)
            said.append(f"The Hub knows no field '{name}'{f'; is {near[0]} meant?' if near else ''}.")
        elif not field.fits(value):
            said.append(f"'{name}' is {value!r}, but must be {field.valid}.")
    python = re.fullmatch(r"3\.(\d+)(\.\d+)?", str(front.get("python_version", "")))
    if python and (3, int(python[1])) < LEAST_PYTHON:
        said.append(f"'python_version' is {front['python_version']}, but the packages need {'.'.join(map(str, LEAST_PYTHON))}.")
    if "app_file" in front and front["app_file"] not in set(files):
        said.append(f"'app_file' is {front['app_file']}, which is not in the repository.")
    if front.get("sdk_version", gradio) != gradio:
        said.append(f"'sdk_version' is {front['sdk_version']}, but requirements.txt pins gradio {gradio}: the Space would install one and then the other.")
    if front.get("disable_embedding"):
        said.append("'disable_embedding' is true: no card could be shown on another page.")
    return said


def size_problems(sizes: Mapping[str, int]) -> list[str]:
    """`sizes`: path in the repository -> bytes."""
    said = [f"{path} has {n / MB:.1f} MB; at most {MAX_FILE_BYTES // MB} are allowed." for path, n in sorted(sizes.items()) if n > MAX_FILE_BYTES]
    tables = sum(n for path, n in sizes.items() if path.startswith("precomputed/"))
    if tables > MAX_PRECOMPUTED_BYTES:
        said.append(f"precomputed/ has {tables / MB:.1f} MB; at most {MAX_PRECOMPUTED_BYTES // MB} are allowed.")
    return said


def large_files(sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Files that a plain git push would be refused for."""
    return tuple(sorted(path for path, n in sizes.items() if n > MAX_PLAIN_BYTES))


def lfs_note(large: Iterable[str]) -> str:
    """What the large files need; empty where there are none."""
    names = tuple(large)
    if not names:
        return ""
    kinds = " ".join(sorted({f"'*.{name.rsplit('.', 1)[-1]}'" for name in names}))
    return (
        f"Above {MAX_PLAIN_BYTES // MB} MB: {', '.join(names)}. `hf upload` stores them as they need; "
        f"for a plain git push, first `git lfs track {kinds}` in the Space's repository."
    )


def header_problems(headers: Mapping[str, str], pages: Iterable[str] = HUB_PAGES) -> list[str]:
    """Of a page's answer: may these other pages show it in a frame?"""
    known = {name.lower(): value for name, value in headers.items()}
    said: list[str] = []
    if "x-frame-options" in known:
        said.append(f"X-Frame-Options is '{known['x-frame-options']}': the Hub could not show the page in its frame.")
    policy = [part.split() for part in known.get("content-security-policy", "").split(";")]
    ancestors = next((part[1:] for part in policy if part and part[0] == "frame-ancestors"), ["*"])
    said += [f"frame-ancestors is '{' '.join(ancestors)}': {page} could not show the page in a frame." for page in pages if not _allowed(page, ancestors)]
    return said


def _allowed(page: str, sources: Iterable[str]) -> bool:
    scheme, _, host = page.partition("://")
    for source in sources:
        named, _, pattern = source.partition("://") if "://" in source else (scheme, "", source)
        if source in {"*", f"{scheme}:"} or (named == scheme and (pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:])))):
            return True
    return False
