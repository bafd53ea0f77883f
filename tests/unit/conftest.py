"""The toy house, built once for all unit tests."""

from __future__ import annotations

import pytest

from earmark.offline.tables.build import build
from earmark.settings import Settings
from tests.fixtures.toy import make_house


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A toy model, 150 synthetic sounds, and the tables of three dictionaries, built by two workers."""
    settings = make_house(tmp_path_factory.mktemp("house"))
    assert build(settings, "toy-sae", None, n_workers=2) == ("toy-sae", "toy-neurons", "toy-residual")
    return settings
