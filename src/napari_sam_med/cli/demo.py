"""``napari-sam-med demo``: the panels on a real volume."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    headless: Annotated[
        Path | None,
        typer.Option(
            "--headless", help="Without a display: drive the panels and leave screenshots and scores here."
        ),
    ] = None,
) -> None:
    """Open napari on a real brain MR with its ground truth and the panels Segment, Evaluate and Diagnostics."""
    from napari_sam_med.gui.tour import run_demo

    run_demo(headless)
