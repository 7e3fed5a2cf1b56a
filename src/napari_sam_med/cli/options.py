"""Checks of options that several commands share; a wrong one is a usage error (status 2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import typer

from napari_sam_med.core.errors import InputError
from napari_sam_med.core.windowing import WINDOW_NAMES, parse_window

T = TypeVar("T")

WINDOW_HELP = (
    f"Grey window: LEVEL/WIDTH or one of {', '.join(WINDOW_NAMES)}. CT: soft-tissue, else mr-percentile."
)


def as_usage(option: str, read: Callable[[], T]) -> T:
    """What `read` returns; its InputError becomes a usage error of `option`."""
    try:
        return read()
    except InputError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def check_window(text: str | None) -> str | None:
    """The text of a window option, if it can be a window."""
    if text is not None and text.strip().lower() not in WINDOW_NAMES:
        as_usage("--window", lambda: parse_window(text))
    return text


def check_output(path: Path, source: Path) -> Path:
    """A mask's file name, if its format and folder can be written and it is not the source itself.

    Raises
    ------
    OutputError
        If the folder does not exist; better said before the model works than after.
    """
    from napari_sam_med.core.errors import OutputError
    from napari_sam_med.io import WRITE_SUFFIXES

    if not path.name.lower().endswith(tuple(WRITE_SUFFIXES)):
        raise typer.BadParameter(
            f"{path.name} has no suffix that can be written; choose one of: {', '.join(WRITE_SUFFIXES)}.",
            param_hint="-o",
        )
    if path.exists() and source.exists() and path.samefile(source):
        raise typer.BadParameter("The mask would replace the volume; choose another name.", param_hint="-o")
    if not path.absolute().parent.is_dir():
        raise OutputError(
            f"The folder {path.parent} for {path.name} does not exist; make it or choose another."
        )
    return path
