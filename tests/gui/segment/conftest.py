"""The Segment panel, docked beside a small image, with a segmenter whose answers are known."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")

from fixtures.evaluate_scene import small_volumes
from napari_sam_med.gui.app import make_segment_widget
from napari_sam_med.gui.layers import add_volume


@pytest.fixture
def image(viewer):
    return add_volume(viewer, small_volumes()[0])


@pytest.fixture
def panel(viewer, image, qtbot):
    widget = make_segment_widget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment")
    qtbot.waitUntil(lambda: widget.controller.model is not None and widget.controller.position is not None)
    return widget
