"""Building the tables of all units of a language model's three dictionaries, against a bare pass of the model over the same texts."""

from __future__ import annotations

from collections.abc import Iterator

from .build_time import over_bare_pass
from .figures import Figure, long_or, report
from .material import Material

DICTIONARY = "smollm2-135m-l22-sae"


def measure() -> Iterator[Figure]:
    yield Figure("build_of_texts_over_bare_pass_cpu", over_bare_pass(Material(DICTIONARY), long_or(100, 16)), most=1.3)


if __name__ == "__main__":
    report(measure())
