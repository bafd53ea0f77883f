"""Dictionaries: sets of units over one hook. One file a checkpoint format, named in `FORMATS`; neurons and axes need no file."""

from __future__ import annotations

from . import saelens

WEIGHTS = {module.FORMAT: module.WEIGHTS for module in (saelens,)}
"""format name -> the file that holds the weights, whose digest names the dictionary's revision"""
FORMATS = {module.FORMAT: module.load for module in (saelens,)}
"""format name -> load(folder) -> SparseAutoencoder; a test fails when a file of this folder is missing here"""
