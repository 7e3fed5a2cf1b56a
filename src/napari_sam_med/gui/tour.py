"""The demo: napari with a real brain MR, its truth and the three panels; without a display, a tour of the same panels.

Importing this module imports neither Qt nor napari: a screen may have to be started first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam_med.core.folders import make_folder
from napari_sam_med.gui.xvfb import DisplayError, require_system_libraries, screen

if TYPE_CHECKING:
    from napari_sam_med.gui.tour_steps import Panels

PLUGIN = "napari-sam-med"
WINDOW = (1400, 900)


def run_demo(headless: Path | None = None) -> int:
    """Open the demo, or drive it and leave pictures and scores.

    Parameters
    ----------
    headless : Path, optional
        Folder for screenshots and ``scores.csv``; no display is needed. By default a window opens and the call returns
        when it is closed.

    Returns
    -------
    int
        0; what goes wrong is raised.

    Raises
    ------
    DisplayError
        If no window can be opened; the sentence says what to install.
    SamMedError
        If a step of the tour fails.
    """
    if headless is None:
        _open_window()
        return 0
    folder = make_folder(headless)
    with screen():
        from napari_sam_med.gui.tour_steps import tour

        tour(folder)
    return 0


def _open_window() -> None:
    if sys.platform.startswith("linux"):
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise DisplayError(
                "This machine has no display to open napari on; run: napari-sam-med demo --headless DIR"
            )
        require_system_libraries(need_xvfb=False)
    import napari

    viewer, _ = open_demo()
    viewer.window.activate()
    napari.run()


def open_demo() -> tuple[Any, Panels]:
    """A viewer with the brain sample and the three panels docked as tabs; the CT is under File ▸ Open Sample."""
    import napari

    from napari_sam_med.gui.tour_steps import dock_panels

    viewer = napari.Viewer(title="napari-sam-med demo")
    viewer.window.resize(*WINDOW)
    panels = dock_panels(viewer)
    viewer.open_sample(PLUGIN, "brain")
    viewer.reset_view()
    return viewer, panels
