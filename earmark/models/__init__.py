"""Families of models: one file each, named in `FAMILIES`. A family loads weights, places hooks and keeps positions true."""

from __future__ import annotations

from . import whisper

FAMILIES = {module.FAMILY: module.load for module in (whisper,)}
"""family name -> load(sources: ModelFiles) -> LoadedModel; a test fails when a file of this folder is missing here"""
