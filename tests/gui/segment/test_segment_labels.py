"""The label layer that masks go to: its grid, its objects, its file."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("napari")

from fixtures.evaluate_scene import small_volumes
from fixtures.segment_scene import draw_box, wait_for_candidate
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.gui.layers import add_labels, go_to_slice
from napari_sam_med.gui.state import workspace_for

pytestmark = pytest.mark.gui


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
