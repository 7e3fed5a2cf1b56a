"""Command line: one file a command. Importing this package imports neither torch nor napari."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave by ``SystemExit``: 0 done, 1 the work failed (one sentence), 2 usage.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; the process's own arguments by default.
    """
    from napari_sam_med.cli.app import run

    run(arguments)
