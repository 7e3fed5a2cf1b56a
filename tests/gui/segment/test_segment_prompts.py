"""Prompts in a real window: draw, look, accept, undo."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from fixtures.segment_scene import box_slice, draw_box, wait_for_candidate
from napari_sam_med.gui.layers import go_to_slice

pytestmark = pytest.mark.gui


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
    panel.tools.switch_points()
    assert viewer.layers.selection.active == viewer.layers["Points"]
    assert panel.view.positive.isChecked()
    viewer.layers["Points"].add([7, 20, 20])
    wait_for_candidate(qtbot, panel)
    panel.tools.switch_points()
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
