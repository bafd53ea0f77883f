"""Dictionaries: sets of units over one hook. One file a checkpoint format, named in `FORMATS`; neurons and axes need no file."""

from __future__ import annotations

from . import saelens

FORMATS = {module.FORMAT: module.load for module in (saelens,)}
"""format name -> load(folder) -> SparseAutoencoder; a test fails when a file of this folder is missing here"""
