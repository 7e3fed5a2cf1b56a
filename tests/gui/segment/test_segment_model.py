"""While the model loads, downloads, encodes and answers, the Segment panel stays usable."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("napari")

from qtpy.QtCore import QTimer

from fixtures.evaluate_scene import small_volumes
from fixtures.fake_segmenter import FakeSegmenter, GatedSegmenter
from fixtures.segment_scene import draw_box, wait_for_candidate
from napari_sam_med.core.errors import ModelError
from napari_sam_med.gui.app import make_segment_widget
from napari_sam_med.gui.layers import SlicePosition, add_volume, go_to_slice, slice_position
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.inference.requests import DownloadProgress, Dropped, LoadModel, ModelLoaded, Stepped
from napari_sam_med.inference.worker import ModelWorker

pytestmark = pytest.mark.gui


def test_encode_all_fills_the_strip(panel, viewer, image, qtbot):
    go_to_slice(viewer, image, "axial", 7)
    qtbot.waitUntil(panel.view.encode.button.isEnabled)
    assert "kB on disk" in panel.view.encode.label.text()
    panel.view.encode.button.click()
    qtbot.waitUntil(lambda: panel.view.encode.strip.encoded == frozenset(range(16)))
    qtbot.waitUntil(lambda: not panel.controller.encoding.running)
    panel.view.encode.strip.slice_clicked.emit(3)
    assert slice_position(viewer, image) == SlicePosition(0, 3)


class TestWhileTheModelWorks:
    @pytest.fixture
    def segmenter(self):
        return GatedSegmenter()

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
