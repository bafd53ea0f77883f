"""The Hub and the other places where files can come from."""

from .download import Terms, fetch, why_silent
from .places import ALL, HERE, far_away, find_checkpoint, find_model, find_package_file

__all__ = ["ALL", "HERE", "Terms", "far_away", "fetch", "find_checkpoint", "find_model", "find_package_file", "why_silent"]
