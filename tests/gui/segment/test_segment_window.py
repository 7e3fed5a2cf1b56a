"""The Segment panel as a part of the window: empty, low, closed, beside another viewer."""

from __future__ import annotations

import pytest

pytest.importorskip("napari")

from fixtures.evaluate_scene import small_volumes
from fixtures.fake_segmenter import FakeSegmenter
from fixtures.segment_scene import wait_for_candidate
from napari_sam_med.core.prompt import Prompt
from napari_sam_med.gui.app import make_segment_widget
from napari_sam_med.gui.layers import SlicePosition, add_volume
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.inference.worker import ModelWorker

pytestmark = pytest.mark.gui


def test_an_empty_viewer_says_what_to_do(viewer, qtbot):
    panel = make_segment_widget(viewer)
    viewer.window.add_dock_widget(panel, name="Segment")
    qtbot.wait(50)
    assert "sample" in panel.view.message.text
    assert not panel.view.box.isEnabled()
    for action in (
        panel.tools.segment,
        panel.objects.accept,
        panel.objects.undo,
        panel.tools.clear,
        panel.tools.draw_box,
    ):
        action()
    layer = add_volume(viewer, small_volumes()[0])
    qtbot.waitUntil(lambda: panel.controller.position is not None)
    assert panel.view.box.isEnabled()
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: panel.controller.scene is None)
    assert not panel.view.box.isEnabled()


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
