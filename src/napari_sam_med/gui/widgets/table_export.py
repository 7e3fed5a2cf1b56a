"""Files written from the panels: through a temporary name, so that a failure leaves no half a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from napari_sam_med.core.errors import OutputError


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV (UTF-8, full precision); a name without suffix gets ``.csv``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    target = path if path.suffix else path.with_suffix(".csv")
    write_whole(target, lambda partial: frame.to_csv(partial, index=False))
    return target


def write_whole(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `target`, then rename it.

    Raises
    ------
    OutputError
        If the file cannot be written or renamed; the target is then as it was.
    """
    partial = target.with_name(target.name + ".part")
    try:
        write(partial)
        partial.replace(target)
    except OSError as error:
        if target.parent.is_dir():
            partial.unlink(missing_ok=True)
        reason = error.strerror or error
        raise OutputError(f"{target} could not be written: {reason}. Choose another folder.") from error
