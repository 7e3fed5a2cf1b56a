"""Folders for results."""

from __future__ import annotations

from pathlib import Path

from napari_sam_med.core.errors import OutputError


def make_folder(folder: Path) -> Path:
    """The folder for results, made if need be.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"The folder {folder} cannot be made: {error.strerror or error}. Choose another one."
        ) from error
    return folder
