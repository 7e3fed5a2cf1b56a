"""The Evaluate panel, docked in a viewer with an image, its truth and a prediction."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")

from fixtures.evaluate_scene import make_scene
from napari_sam_med.gui.app import make_evaluate_widget


@pytest.fixture
def scene(viewer):
    return make_scene(viewer)


@pytest.fixture
def panel(scene, qtbot):
    widget = make_evaluate_widget(scene.viewer)
    scene.viewer.window.add_dock_widget(widget, name="Evaluate")
    widget.form.prediction.choose(scene.prediction)
    widget.form.truth.choose(scene.truth)
    qtbot.waitUntil(lambda: widget.form.simulation.labels.count == 2)
    return widget
