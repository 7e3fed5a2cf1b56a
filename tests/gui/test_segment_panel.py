"""The Segment panel in a real window: draw, look, accept, undo, change what is on screen while the model works."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("napari")

from qtpy.QtCore import QTimer

from fixtures.evaluate_scene import small_volumes
from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.core.errors import ModelError
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.gui.app import make_segment_widget
from napari_sam_med.gui.layers import SlicePosition, add_labels, add_volume, go_to_slice, slice_position
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.inference.requests import DownloadProgress, Dropped, LoadModel, ModelLoaded, Stepped
from napari_sam_med.inference.worker import ModelWorker

pytestmark = pytest.mark.gui

AXES = ("axial", "coronal", "sagittal")


class SlowSegmenter(FakeSegmenter):
    """Every `encode` waits at a gate; the gate may be left open."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()

    def encode(self, image):
        assert self.gate.wait(30)
        return super().encode(image)


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


def draw_box(panel, axis, index, box):
    """A rectangle in the Boxes layer, as the mouse leaves it: corners on the voxels' outer borders."""
    r0, c0, r1, c1 = box
    corners = np.array(
        [[r0 - 0.5, c0 - 0.5], [r0 - 0.5, c1 + 0.5], [r1 + 0.5, c1 + 0.5], [r1 + 0.5, c0 - 0.5]]
    )
    panel.canvas.prompts.boxes.add_rectangles(np.insert(corners, axis, index, axis=1))


def wait_for_candidate(qtbot, panel):
    qtbot.waitUntil(lambda: panel.controller.proposal is not None, timeout=5000)


def box_slice(shape, box):
    r0, c0, r1, c1 = box
    mask = np.zeros(shape, bool)
    mask[r0 : r1 + 1, c0 : c1 + 1] = True
    return mask


@pytest.mark.parametrize("axis", range(3))
def test_box_to_mask_to_undo_on_every_plane(panel, viewer, image, qtbot, axis):
    # the coronal and sagittal slices have voxels of 2.5 × 0.8 mm
    box = (4, 10, 9, 30)
    go_to_slice(viewer, image, axis, 7)
    qtbot.waitUntil(lambda: panel.controller.position is not None and panel.controller.position.axis == axis)
    draw_box(panel, axis, 7, box)
    wait_for_candidate(qtbot, panel)
    assert viewer.layers["Preview"].visible
    assert panel.canvas.target is None
    panel.objects.accept()
    target = panel.canvas.target
    shape = tuple(np.delete(image.data.shape, axis))
    assert np.array_equal(np.take(target.data, 7, axis) == 1, box_slice(shape, box))
    assert target.data.sum() == box_slice(shape, box).sum()
    assert not viewer.layers["Preview"].visible
    assert len(viewer.layers["Boxes"].data) == 0
    panel.objects.undo()
    assert target.data.sum() == 0
    wait_for_candidate(qtbot, panel)  # the prompt is back, and so is its candidate
    assert panel.controller.proposal.prompt.box == pytest.approx(box)


def test_napari_s_own_undo_takes_a_mask_back(panel, viewer, image, qtbot):
    go_to_slice(viewer, image, "axial", 7)
    draw_box(panel, 0, 7, (4, 10, 9, 30))
    wait_for_candidate(qtbot, panel)
    panel.objects.accept()
    target = panel.canvas.target
    assert target.data.any()
    target.undo()
    assert not target.data.any()
    target.redo()
    assert target.data.any()
    panel.objects.undo()
    assert not target.data.any()


def test_points_of_both_signs_make_one_prompt(panel, viewer, image, qtbot, segmenter):
    go_to_slice(viewer, image, "axial", 7)
    panel.switch_points()
    assert viewer.layers.selection.active == viewer.layers["Points"]
    assert panel.view.positive.isChecked()
    viewer.layers["Points"].add([7, 20, 20])
    wait_for_candidate(qtbot, panel)
    panel.switch_points()
    assert panel.view.negative.isChecked()
    viewer.layers["Points"].add([7, 22, 26])
    qtbot.waitUntil(lambda: len(segmenter.prompts[-1].points) == 2)
    assert segmenter.prompts[-1].labels.tolist() == [1, 0]
    colours = viewer.layers["Points"].face_color
    assert not np.allclose(colours[0], colours[1])


def test_one_edit_is_one_request(panel, viewer, image, qtbot, segmenter):
    go_to_slice(viewer, image, "axial", 7)
    qtbot.wait(150)
    draw_box(panel, 0, 7, (4, 10, 9, 30))
    wait_for_candidate(qtbot, panel)
    qtbot.wait(200)
    assert len(segmenter.prompts) == 1


def test_candidates_are_previewed_and_the_chosen_one_is_accepted(panel, viewer, image, qtbot):
    go_to_slice(viewer, image, "axial", 7)
    draw_box(panel, 0, 7, (4, 10, 9, 30))
    wait_for_candidate(qtbot, panel)
    assert [b.text() for b in panel.view.candidates.buttons] == ["1:  0.90", "2:  0.70", "3:  0.50"]
    best = int(viewer.layers["Preview"].data.sum())
    panel.view.candidates.buttons[1].click()
    larger = int(viewer.layers["Preview"].data.sum())
    assert larger > best
    panel.objects.accept()
    assert panel.canvas.target.data.sum() == larger


def test_a_second_object_does_not_eat_the_first(panel, viewer, image, qtbot):
    go_to_slice(viewer, image, "axial", 7)
    draw_box(panel, 0, 7, (4, 10, 20, 30))
    wait_for_candidate(qtbot, panel)
    panel.objects.accept()
    target = panel.canvas.target
    first = target.data == 1
    panel.objects.add_object()
    draw_box(panel, 0, 7, (10, 20, 30, 40))
    wait_for_candidate(qtbot, panel)
    panel.objects.accept()
    assert np.array_equal(target.data == 1, first)
    assert (target.data == 2).any()
    assert not ((target.data == 2) & first).any()
    panel.canvas.table.edit(1, locked=True)
    panel.view.overwrite.setChecked(True)
    draw_box(panel, 0, 7, (0, 0, 40, 40))
    wait_for_candidate(qtbot, panel)
    panel.objects.accept()
    assert np.array_equal(target.data == 1, first)


def test_without_live_mode_the_model_waits_for_the_button(panel, viewer, image, qtbot, segmenter):
    panel.view.live.setChecked(False)
    go_to_slice(viewer, image, "axial", 7)
    draw_box(panel, 0, 7, (4, 10, 9, 30))
    qtbot.waitUntil(panel.view.segment.isEnabled)
    assert segmenter.prompts == []
    panel.view.segment.click()
    wait_for_candidate(qtbot, panel)


def test_prompts_belong_to_their_slice_and_wait_for_it(panel, viewer, image, qtbot):
    go_to_slice(viewer, image, "axial", 7)
    draw_box(panel, 0, 7, (4, 10, 9, 30))
    wait_for_candidate(qtbot, panel)
    go_to_slice(viewer, image, "axial", 9)
    qtbot.waitUntil(lambda: panel.controller.proposal is None)
    qtbot.wait(200)
    assert panel.controller.proposal is None
    assert not panel.view.accept.isEnabled()
    go_to_slice(viewer, image, "axial", 7)
    wait_for_candidate(qtbot, panel)


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
    panel.draw_box()
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


def test_labels_on_another_grid_are_refused_and_can_be_resampled(panel, viewer, image, qtbot):
    labels = small_volumes()[1]
    half = volume_from_source(
        np.ascontiguousarray(labels.data[::2]), labels.affine @ np.diag([2.0, 1, 1, 1]), name="coarse truth"
    )
    layer = add_labels(viewer, half)
    panel.view.target.choose(layer)
    message = panel.view.message
    qtbot.waitUntil(lambda: message.button.isVisibleTo(message))
    for fact in ("coarse truth", "(8, 64, 64)", "(16, 64, 64)"):
        assert fact in message.text
    message.button.click()
    qtbot.waitUntil(
        lambda: panel.canvas.target is not None and panel.canvas.target.data.shape == (16, 64, 64)
    )
    assert set(np.unique(panel.canvas.target.data)) == {0, 1, 2}
    assert layer.data.shape == (8, 64, 64)


def test_names_and_visibility_of_objects_reach_the_layer(panel, viewer, image, qtbot):
    layer = add_labels(viewer, small_volumes()[1])
    panel.view.target.choose(layer)
    assert [r.name for r in panel.canvas.table.rows] == ["liver", "vessel"]
    liver = layer.get_color(1)
    panel.view.objects.item(0, 1).setCheckState(
        panel.view.objects.item(0, 1).checkState().__class__.Unchecked
    )
    assert layer.get_color(1)[3] == 0
    panel.canvas.table.edit(1, visible=True)
    assert np.allclose(layer.get_color(1), liver)
    panel.view.objects.item(1, 0).setText("portal vein")
    assert workspace_for(viewer).volume_of(layer).label_names[2] == "portal vein"
    panel.canvas.table.select(2)
    assert layer.selected_label == 2


def test_saved_is_said_after_the_file_was_read_back(panel, viewer, image, qtbot, tmp_path):
    from napari_sam_med.io import read_labels

    go_to_slice(viewer, image, "axial", 7)
    draw_box(panel, 0, 7, (4, 10, 9, 30))
    wait_for_candidate(qtbot, panel)
    panel.objects.accept()
    panel.canvas.table.edit(1, name="liver")
    panel.objects.save(tmp_path / "mask.nii.gz")
    qtbot.waitUntil(lambda: not panel.objects.jobs.busy)
    assert panel.view.message.text.startswith("Saved mask.nii.gz")
    found = read_labels(tmp_path / "mask.nii.gz", reference=small_volumes()[0])
    assert np.array_equal(found.data, panel.canvas.target.data)
    assert found.label_names == {1: "liver"}
    panel.objects.save(tmp_path / "nowhere" / "mask.nii.gz")
    qtbot.waitUntil(lambda: not panel.objects.jobs.busy)
    assert "nowhere" in panel.view.message.text
    assert not panel.view.message.text.startswith("Saved")


def test_encode_all_fills_the_strip(panel, viewer, image, qtbot):
    go_to_slice(viewer, image, "axial", 7)
    qtbot.waitUntil(panel.view.encode.button.isEnabled)
    assert "kB on disk" in panel.view.encode.label.text()
    panel.view.encode.button.click()
    qtbot.waitUntil(lambda: panel.view.encode.strip.encoded == frozenset(range(16)))
    qtbot.waitUntil(lambda: not panel.controller.encoding.running)
    panel.view.encode.strip.slice_clicked.emit(3)
    assert slice_position(viewer, image) == SlicePosition(0, 3)


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


class TestWhileTheModelWorks:
    @pytest.fixture
    def segmenter(self):
        return SlowSegmenter()

    @pytest.mark.parametrize(
        "change", ["slice", "plane", "window", "volume", "no volume", "3d", "panel", "viewer"]
    )
    def test_changing_or_closing_anything_is_safe(self, panel, viewer, image, qtbot, segmenter, change):
        go_to_slice(viewer, image, "axial", 7)
        draw_box(panel, 0, 7, (4, 10, 9, 30))
        qtbot.waitUntil(lambda: panel.controller.waiting)
        if change == "slice":
            go_to_slice(viewer, image, "axial", 9)
        elif change == "plane":
            go_to_slice(viewer, image, "sagittal", 9)
        elif change == "window":
            panel.view.window_control.choose_preset("bone")
        elif change == "volume":
            other = add_volume(viewer, small_volumes()[0].with_data(small_volumes()[0].data, name="other"))
            panel.view.image.choose(other)
        elif change == "no volume":
            viewer.layers.remove(image)
        elif change == "3d":
            viewer.dims.ndisplay = 3
        elif change == "panel":
            viewer.window.remove_dock_widget(panel)
        else:
            viewer.close()
        qtbot.wait(100)
        segmenter.gate.set()
        qtbot.wait(300)
        if change not in ("panel", "viewer", "window", "volume"):
            assert panel.controller.proposal is None
        if change == "slice":
            go_to_slice(viewer, image, "axial", 7)
            wait_for_candidate(qtbot, panel)

    def test_the_window_stays_alive(self, panel, viewer, image, qtbot, segmenter, measured):
        stalls = []
        last = time.perf_counter()

        def beat():
            nonlocal last
            now = time.perf_counter()
            stalls.append(now - last)
            last = now

        timer = QTimer()
        timer.setInterval(10)
        timer.timeout.connect(beat)
        segmenter.seconds = 0.4
        segmenter.gate.set()
        timer.start()
        last = time.perf_counter()
        go_to_slice(viewer, image, "axial", 3)
        draw_box(panel, 0, 3, (4, 10, 9, 30))
        qtbot.waitUntil(lambda: panel.controller.proposal is not None, timeout=10000)
        qtbot.wait(500)
        timer.stop()
        longest = max(stalls)
        measured(f"longest main-thread stall while the model encodes: {1000 * longest:.0f} ms")
        assert longest < 0.35  # less than one encode: nothing waited for the model


def test_a_model_that_cannot_be_loaded_is_told_in_words(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()

    def load(name, device):
        if name == "bad.pth":
            raise ModelError("bad.pth is no SAM checkpoint.")
        return FakeSegmenter()

    workspace = workspace_for(viewer, lambda tell: ModelWorker(tell, load=load))
    panel = make_segment_widget(viewer)
    viewer.window.add_dock_widget(panel, name="Segment")
    qtbot.waitUntil(lambda: workspace.model is not None)
    panel.load_model("bad.pth")
    qtbot.waitUntil(lambda: "bad.pth is no SAM checkpoint." in panel.view.message.text)
    assert workspace.model is not None  # the model before goes on
    assert panel.controller.model == "fake-1"
    assert "CPU" in panel.view.model.info.text()


class SlowDownload:
    """A worker whose second model takes for ever to come."""

    def __init__(self, tell):
        self.tell = tell
        self.loading = None

    def submit(self, request):
        if not isinstance(request, LoadModel):
            return
        if request.model == "builtin":
            self.tell(ModelLoaded(request.number, "builtin", "fp", "cpu", "BSD"))
        else:
            self.loading = request.number
            self.tell(Stepped(request.number, DownloadProgress(100_000_000, 375_000_000)))

    def cancel(self, number):
        if number == self.loading:
            self.tell(Dropped(number))

    def cancel_pending(self, priority):
        pass

    def close(self, timeout=0.0):
        return True


def test_a_download_is_told_and_can_be_cancelled(make_napari_viewer, qtbot):
    viewer = make_napari_viewer()
    workspace = workspace_for(viewer, SlowDownload)
    panel = make_segment_widget(viewer)
    viewer.window.add_dock_widget(panel, name="Segment")
    model = panel.view.model
    qtbot.waitUntil(lambda: workspace.model is not None)
    panel.load_model("sam_vit_b")
    qtbot.waitUntil(lambda: "100 of 375 MB" in model.info.text())
    assert model.cancel_button.isVisibleTo(model)
    model.cancel_button.click()
    qtbot.waitUntil(lambda: workspace.model is not None)
    assert model.combo.currentData() == "builtin"
    assert not model.cancel_button.isVisibleTo(model)
    assert "cancelled" in panel.view.message.text


def test_an_empty_viewer_says_what_to_do(viewer, qtbot):
    panel = make_segment_widget(viewer)
    viewer.window.add_dock_widget(panel, name="Segment")
    qtbot.wait(50)
    assert "sample" in panel.view.message.text
    assert not panel.view.box.isEnabled()
    for action in (
        panel.segment,
        panel.objects.accept,
        panel.objects.undo,
        panel.clear_prompts,
        panel.draw_box,
    ):
        action()
    layer = add_volume(viewer, small_volumes()[0])
    qtbot.waitUntil(lambda: panel.controller.position is not None)
    assert panel.view.box.isEnabled()
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: panel.controller.scene is None)
    assert not panel.view.box.isEnabled()


def test_an_image_that_cannot_be_segmented_is_refused_in_words(viewer, panel, qtbot):
    viewer.add_image(np.zeros((8, 9, 3), np.uint8), rgb=True, name="photo")
    panel.view.image.choose(viewer.layers["photo"])
    qtbot.waitUntil(lambda: "photo" in panel.view.message.text)
    assert panel.controller.scene is None


def test_keys_work_on_the_canvas_and_are_given_back(panel, viewer, qtbot):
    from app_model.types import KeyBinding

    box_key = KeyBinding.from_str("W")
    viewer.keymap[box_key](viewer)
    assert viewer.layers["Boxes"].mode == "add_rectangle"
    assert panel.view.box.isChecked()
    callbacks = len(viewer.mouse_drag_callbacks)
    viewer.window.remove_dock_widget(panel)
    qtbot.wait(50)
    assert box_key not in viewer.keymap
    assert len(viewer.mouse_drag_callbacks) == callbacks - 1


def test_what_was_said_of_one_image_goes_with_it(panel, viewer, image, qtbot):
    draw_box(panel, 0, panel.controller.position.index, (4, 10, 9, 30))
    wait_for_candidate(qtbot, panel)
    panel.objects.accept()
    assert panel.view.message.text
    add_volume(viewer, small_volumes()[0])
    panel.view.image.setCurrentIndex(1 - panel.view.image.currentIndex())
    qtbot.waitUntil(lambda: panel.view.message.text == "")


def test_save_needs_no_scrolling_on_a_low_screen(panel, qtbot):
    panel.resize(panel.width(), 500)
    qtbot.wait(50)
    bottom = panel.view.save.mapTo(panel, panel.view.save.rect().bottomLeft()).y()
    assert bottom <= panel.height()


def test_every_control_has_a_tooltip(panel):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSlider, QComboBox, QDoubleSpinBox, QScrollBar

    for kind in (QAbstractButton, QComboBox, QDoubleSpinBox, QAbstractSlider):
        for widget in panel.findChildren(kind):
            inner = isinstance(widget, QScrollBar) or widget.objectName().startswith("qt_")
            if not inner and widget.parent() is not panel.view.objects:
                assert widget.toolTip(), (
                    f"{type(widget).__name__} {getattr(widget, 'text', str)()!r} has no tooltip"
                )


def test_two_viewers_share_nothing(make_napari_viewer, qtbot):
    panels = []
    for _ in range(2):
        viewer = make_napari_viewer()
        workspace_for(viewer, lambda tell: ModelWorker(tell, load=lambda name, device: FakeSegmenter()))
        add_volume(viewer, small_volumes()[0])
        panel = make_segment_widget(viewer)
        viewer.window.add_dock_widget(panel, name="Segment")
        panels.append(panel)
    for panel in panels:
        qtbot.waitUntil(lambda panel=panel: panel.controller.position is not None)
    panels[0].canvas.prompts.put(
        SlicePosition(0, panels[0].controller.position.index), Prompt(box=(2, 2, 9, 9))
    )
    wait_for_candidate(qtbot, panels[0])
    qtbot.wait(100)
    assert panels[1].controller.proposal is None
