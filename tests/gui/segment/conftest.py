"""The Segment panel, docked beside a small image, with a segmenter whose answers are known."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")

from fixtures.evaluate_scene import small_volumes
from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.gui.app import make_segment_widget
from napari_sam_med.gui.layers import add_volume
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.inference.worker import ModelWorker


@pytest.fixture
def segmenter():
    return FakeSegmenter()


@pytest.fixture
def viewer(make_napari_viewer, segmenter):
    found = make_napari_viewer()
    workspace_for(found, lambda tell: ModelWorker(tell, load=lambda name, device: segmenter))
    return found


@pytest.fixture
def image(viewer):
    return add_volume(viewer, small_volumes()[0])


@pytest.fixture
def panel(viewer, image, qtbot):
    widget = make_segment_widget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment")
    qtbot.waitUntil(lambda: widget.controller.model is not None and widget.controller.position is not None)
    return widget
