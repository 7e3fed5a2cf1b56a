"""Composition root: makes the dock widgets and wires them to the viewer they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam_med.core.errors import InputError

if TYPE_CHECKING:
    import napari
    from qtpy.QtWidgets import QWidget


def make_segment_widget(viewer: napari.Viewer | None = None) -> QWidget:
    """The Segment panel for a viewer (default: the one in front)."""
    from napari_sam_med.gui.widgets.segment import SegmentPanel

    return SegmentPanel(_viewer_or_current(viewer))


def make_evaluate_widget(viewer: napari.Viewer | None = None) -> QWidget:
    """The Evaluate panel for a viewer (default: the one in front)."""
    from napari_sam_med.gui.widgets.evaluate import EvaluatePanel

    return EvaluatePanel(_viewer_or_current(viewer))


def make_diagnostics_widget(viewer: napari.Viewer | None = None) -> QWidget:
    """The Diagnostics panel for a viewer (default: the one in front)."""
    from napari_sam_med.gui.widgets.diagnostics import DiagnosticsPanel

    return DiagnosticsPanel(_viewer_or_current(viewer))


def _viewer_or_current(viewer: napari.Viewer | None) -> napari.Viewer:
    # napari passes no viewer to widget factories that are functions
    if viewer is not None:
        return viewer
    import napari

    found = napari.current_viewer()
    if found is None:
        raise InputError("There is no napari viewer; open one first, then this panel.")
    return found
