"""What a person types, matched with units: a number, a label ("sk", "/s k/", "nasal", "comma"), words of the strongest clips."""

from __future__ import annotations

import re
from typing import Any

from ..errors import BadInput, EarmarkError
from ..shelf.store import Store
from .records import number

MAX_FOUND = 500


def label_fits(query: str, label: str) -> bool:
    """Whether a label is what a query asks for: its phones, however they are spaced, or words that begin as the query's words do."""
    query = query.casefold().strip()
    phones = ["".join(found.split()) for found in re.findall(r"/([^/]+)/", label.casefold())]
    asked = re.sub(r"[/\s]", "", query)
    if asked and asked in phones:
        return True
    if query.startswith("/"):
        return False
    words = re.findall(r"\w+", query)
    known = re.findall(r"\w+", re.sub(r"/[^/]+/", " ", label.casefold()))
    return bool(words) and all(any(k.startswith(w) for k in known) for w in words)


def find_labels(store: Store, text: str, n: int = 50) -> list[dict[str, Any]]:
    """Units of all dictionaries whose label is what `text` asks for, best score first: {dictionary, unit, label, score, why}.

    The score is the label's held-out precision. Raises BadInput for an empty text or n out of range.
    """
    if not text.strip():
        raise BadInput("Nothing to look for. Give a phone (sk, /s k/), a word, or a class such as nasal, silence or comma.")
    if not 1 <= n <= MAX_FOUND:
        raise BadInput(f"n is {n}; 1 to {MAX_FOUND} units can be listed.")
    found = []
    for slug in store.catalog.dictionaries:
        try:
            labels = store.dictionary(slug, fetch=False).labels
        except EarmarkError:
            continue
        for unit, label in labels.items():
            if label_fits(text, label.text):
                why = f"{label.kind}: {label.precision:.0%} of its strongest activity on clips that did not choose the label"
                found.append({"dictionary": slug, "unit": int(unit), "label": label.text, "score": number(label.precision), "why": why})
    return sorted(found, key=lambda f: (-f["score"], f["dictionary"], f["unit"]))[:n]
