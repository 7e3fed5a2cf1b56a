"""Compare in a real window: tables, the way to a slice, grids, files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("napari")

from qtpy.QtCore import Qt

from fixtures.evaluate_panel import dice, finish
from fixtures.evaluate_scene import SPACING_MM
from napari_sam_med.core.geometry import volume_from_source
from napari_sam_med.gui.app import make_evaluate_widget
from napari_sam_med.gui.layers import add_labels, slice_position
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.gui.widgets.evaluate_scores import board_of

pytestmark = pytest.mark.gui


def test_layers_are_guessed_by_their_names(scene, qtbot):
    panel = make_evaluate_widget(scene.viewer)
    qtbot.addWidget(panel)
    assert panel.form.image.layer is scene.image
    assert panel.form.truth.layer is scene.truth
    assert panel.form.prediction.layer is scene.prediction
    scene.viewer.layers.remove(scene.prediction)
    assert panel.form.prediction.layer is scene.truth
    assert panel.form.plane.currentText() == "Axial"


def test_compare_fills_three_levels_with_true_values(panel, scene, qtbot):
    qtbot.mouseClick(panel.form.compare_button, Qt.MouseButton.LeftButton)
    assert panel.busy
    finish(qtbot, panel)
    frames = panel.results.frames()
    truth, found = scene.truth.data, scene.prediction.data
    slices = frames["Slices"].set_index(["slice", "label"])
    assert slices.loc[(7, 1), "dice"] == pytest.approx(dice(truth[7] == 1, found[7] == 1))
    assert len(slices) == sum(len(np.unique(truth[k])) - 1 for k in range(16))
    objects = frames["Objects"].set_index("label")
    assert objects.loc[1, "dice"] == pytest.approx(dice(truth == 1, found == 1))
    assert objects.loc[2, "truth_ml"] == pytest.approx((truth == 2).sum() * np.prod(SPACING_MM) / 1000)
    assert objects.loc[1, "hd95_mm"] == pytest.approx(1.6, abs=0.01)
    whole = frames["Volume"].iloc[0]
    assert whole["dice"] == pytest.approx(dice(truth > 0, found > 0))
    assert slices.loc[(7, 1), "size_px"] == (truth[7] == 1).sum()
    assert board_of(workspace_for(scene.viewer)).scores.frame is frames["Slices"]


def test_a_chosen_row_goes_to_its_slice_and_shows_the_errors(panel, scene, qtbot):
    panel.compare()
    finish(qtbot, panel)
    frame = panel.results.frames()["Slices"]
    row = frame.index[(frame["slice"] == 11) & (frame["label"] == 2)][0]
    panel.results.table.choose_row(int(row))
    position = slice_position(scene.viewer, scene.truth)
    assert (position.axis, position.index) == (0, 11)
    errors = scene.viewer.layers["Errors"].data[11]
    truth, found = scene.truth.data[11] == 2, scene.prediction.data[11] == 2
    np.testing.assert_array_equal(np.isin(errors, (1, 3)), truth & ~found)
    np.testing.assert_array_equal(np.isin(errors, (2, 4)), found & ~truth)
    assert not scene.viewer.layers["Errors"].data[:11].any()


def test_another_grid_is_refused_in_words_and_mended_by_the_button(panel, scene, qtbot):
    coarse = scene.truth.data[:, ::2, ::2].copy()
    affine = np.array([[0, 0, -1.6, 25], [0, -1.6, 0, 20], [-2.5, 0, 0, 30], [0, 0, 0, 1.0]])
    layer = add_labels(scene.viewer, volume_from_source(coarse, affine, name="coarse"))
    panel.form.prediction.choose(layer)
    panel.compare()
    assert not panel.busy
    assert "spacing" in panel.message.text
    assert panel.message.button.isVisibleTo(panel)
    qtbot.mouseClick(panel.message.button, Qt.MouseButton.LeftButton)
    finish(qtbot, panel)
    resampled = panel.form.prediction.layer
    assert resampled.data.shape == scene.truth.data.shape
    panel.compare()
    finish(qtbot, panel)
    assert panel.results.frames()["Volume"]["dice"].iloc[0] > 0.8


def test_the_level_on_screen_is_exported_with_all_columns(panel, tmp_path, qtbot):
    panel.compare()
    finish(qtbot, panel)
    panel.results.show_level("Objects")
    panel.results.export(tmp_path / "objects.csv")
    table = pd.read_csv(tmp_path / "objects.csv")
    assert list(table["label"]) == [1, 2]
    assert {"dice", "jaccard", "hd95_mm", "assd_mm", "prediction_ml", "truth_ml"} <= set(table)


def test_a_mask_in_few_slices_is_said_beside_the_dice_of_the_volume(panel, scene, qtbot):
    scene.prediction.data[:7] = 0
    scene.prediction.data[9:] = 0
    panel.compare()
    finish(qtbot, panel)
    frames = panel.results.frames()
    truth, found = scene.truth.data, scene.prediction.data
    tube = frames["Objects"].set_index("label").loc[2]
    assert tube["masked"] == "2 of 16"
    there = [dice(truth[k] == 2, found[k] == 2) for k in (7, 8)]
    assert tube["masked_dice"] == pytest.approx(np.mean(there))
    assert tube["dice"] < tube["masked_dice"]
    assert "2 of 16" in panel.results.summary.text()
