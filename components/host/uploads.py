"""What Gradio has taken in for a visitor: only files inside its upload folder are ever opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradio.data_classes import FileData
from gradio.utils import get_upload_folder

from earmark.errors import BadInput


def uploaded(file: FileData | Mapping[str, Any] | str) -> Path:
    """The path of an uploaded file. Raises BadInput for a path that leads anywhere else."""
    given = file.path if isinstance(file, FileData) else file if isinstance(file, str) else file.get("path")
    path, folder = Path(str(given)[:1000].replace("\0", "")).resolve(), Path(get_upload_folder()).resolve()
    if folder not in path.parents or not path.is_file():
        raise BadInput("The file is not here any more. Bring it once more.")
    return path
