"""Images of all kinds in the Segment panel, and the window they are seen through."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("napari")

from fixtures.evaluate_scene import small_volumes
from fixtures.segment_scene import box_slice, draw_box, wait_for_candidate
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.gui.layers import SlicePosition, add_volume, go_to_slice, slice_position

pytestmark = pytest.mark.gui


def test_window_reaches_screen_and_model_alike(panel, viewer, image, qtbot):
    panel.view.window_control.choose_preset("lung")
    assert tuple(image.contrast_limits) == pytest.approx((-1350, 150))
    qtbot.waitUntil(lambda: panel.controller.scene.window.limits == pytest.approx((-1350, 150)))
    image.contrast_limits = (0, 200)  # by napari's own slider
    qtbot.waitUntil(lambda: panel.controller.scene.window.limits == pytest.approx((0, 200)))
    assert panel.view.window_control.level.value() == pytest.approx(100)
    panel.view.window_control.width.setValue(50)
    assert tuple(image.contrast_limits) == pytest.approx((75, 125))
    assert np.array_equal(image.data, small_volumes()[0].data)  # the voxels are as they were read


def test_right_drag_widens_and_darkens(panel, image):
    before = np.diff(image.contrast_limits)[0], np.mean(image.contrast_limits)
    assert panel.begin_window_drag()
    panel.drag_window(100, 0)
    assert np.diff(image.contrast_limits)[0] > before[0]
    panel.drag_window(0, 60)
    assert np.diff(image.contrast_limits)[0] == pytest.approx(before[0])
    assert np.mean(image.contrast_limits) > before[1]


def test_right_mouse_button_on_the_canvas_moves_the_window_and_not_the_camera(panel, viewer, image):
    drag = viewer.mouse_drag_callbacks[-1]
    panel.tools.draw_box()
    drawing = list(viewer.layers["Boxes"].mouse_drag_callbacks)
    assert drawing
    before = tuple(image.contrast_limits)
    left = SimpleNamespace(button=1, type="mouse_press", pos=(0, 0), handled=False)
    assert list(drag(viewer, left)) == []
    event = SimpleNamespace(button=2, type="mouse_press", pos=(100, 100), handled=False)
    gesture = drag(viewer, event)
    next(gesture)
    assert event.handled
    assert viewer.layers["Boxes"].mouse_drag_callbacks == []  # no box is drawn by it
    event.type, event.pos, event.handled = "mouse_move", (150, 80), False
    next(gesture)
    assert event.handled
    assert tuple(image.contrast_limits) != before
    event.type = "mouse_release"
    assert list(gesture) == []
    assert viewer.layers["Boxes"].mouse_drag_callbacks == drawing


def test_time_points_are_segmented_one_by_one(viewer, panel, qtbot):
    data = np.random.default_rng(0).normal(0, 100, (3, 32, 32, 6)).astype(np.float32)
    layer = add_volume(viewer, volume_from_source(data, np.diag([2.0, 2, 2, 1]), name="perfusion"))
    panel.view.image.choose(layer)
    qtbot.waitUntil(lambda: panel.canvas.image is not None and panel.canvas.image.name == "perfusion")
    go_to_slice(viewer, layer, "axial", 2, time=1)
    qtbot.waitUntil(lambda: panel.controller.position is not None and panel.controller.position.time == 1)
    corners = np.array([[4.5, 4.5], [4.5, 12.5], [12.5, 12.5], [12.5, 4.5]])
    viewer.layers["Boxes"].add_rectangles(np.insert(np.insert(corners, 0, 2, axis=1), 0, 1, axis=1))
    wait_for_candidate(qtbot, panel)
    panel.objects.accept()
    written = panel.canvas.target.data
    assert written[1, 2].sum() == 64
    assert written.sum() == 64


C, S = np.cos(0.3), np.sin(0.3)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"scale": (-3, -1, -2), "translate": (30, 40, 50)},
        {"scale": (3, 1, 2), "rotate": [[1, 0, 0], [0, C, -S], [0, S, C]]},
        {"scale": (3, 1, 2), "affine": np.diag([2.0, 0.5, 0.5, 1])},
        {},
    ],
    ids=["negative scale", "rotated", "affine", "plain"],
)
def test_layers_made_by_others_are_segmented_where_they_lie(viewer, panel, qtbot, kwargs):
    layer = viewer.add_image(np.random.default_rng(0).random((6, 32, 40)), name="theirs", **kwargs)
    panel.view.image.choose(layer)
    qtbot.waitUntil(lambda: panel.canvas.image == layer)
    go_to_slice(viewer, layer, "axial", 4)
    qtbot.waitUntil(lambda: panel.controller.position is not None and panel.controller.position.index == 4)
    assert slice_position(viewer, layer) == SlicePosition(0, 4)
    draw_box(panel, 0, 4, (4, 10, 9, 30))
    wait_for_candidate(qtbot, panel)
    preview = viewer.layers["Preview"]
    assert np.allclose(preview.data_to_world((0, 6, 20)), layer.data_to_world((4, 6, 20)))
    panel.objects.accept()
    expected = np.zeros((6, 32, 40), bool)
    expected[4] = box_slice((32, 40), (4, 10, 9, 30))
    assert np.array_equal(panel.canvas.target.data == 1, expected)
    assert np.allclose(panel.canvas.target.data_to_world((1, 2, 3)), layer.data_to_world((1, 2, 3)))


def test_a_flat_image_is_segmented(viewer, panel, qtbot):
    layer = viewer.add_image(np.random.default_rng(0).random((32, 40)), name="flat")
    for other in list(viewer.layers):
        if other.name not in ("flat", "Points", "Boxes", "Preview"):
            viewer.layers.remove(other)
    qtbot.waitUntil(lambda: panel.canvas.image == layer and panel.controller.position is not None)
    corners = np.array([[3.5, 9.5], [3.5, 30.5], [9.5, 30.5], [9.5, 9.5]])
    viewer.layers["Boxes"].add_rectangles(corners)
    wait_for_candidate(qtbot, panel)
    panel.objects.accept()
    assert np.array_equal(panel.canvas.target.data == 1, box_slice((32, 40), (4, 10, 9, 30)))


def test_an_image_that_cannot_be_segmented_is_refused_in_words(viewer, panel, qtbot):
    viewer.add_image(np.zeros((8, 9, 3), np.uint8), rgb=True, name="photo")
    panel.view.image.choose(viewer.layers["photo"])
    qtbot.waitUntil(lambda: "photo" in panel.view.message.text)
    assert panel.controller.scene is None


def test_what_was_said_of_one_image_goes_with_it(panel, viewer, image, qtbot):
    draw_box(panel, 0, panel.controller.position.index, (4, 10, 9, 30))
    wait_for_candidate(qtbot, panel)
    panel.objects.accept()
    assert panel.view.message.text
    add_volume(viewer, small_volumes()[0])
    panel.view.image.setCurrentIndex(1 - panel.view.image.currentIndex())
    qtbot.waitUntil(lambda: panel.view.message.text == "")
