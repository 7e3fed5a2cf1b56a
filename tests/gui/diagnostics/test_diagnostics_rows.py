"""Rows of scores in the Diagnostics panel: where they come from, and the way from one to its slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

pytest.importorskip("napari")

from fixtures.figure_mouse import click
from napari_sam_med.core.prompt import tight_box
from napari_sam_med.factors import VESSEL_ADVICE
from napari_sam_med.gui.app import make_diagnostics_widget
from napari_sam_med.gui.layers import slice_position
from napari_sam_med.gui.widgets.diagnostics_overlay import outlines
from napari_sam_med.gui.widgets.evaluate_scores import Scores

pytestmark = pytest.mark.gui


def test_without_scores_the_panel_says_what_to_do(scene, qtbot):
    panel = make_diagnostics_widget(scene.viewer)
    qtbot.addWidget(panel)
    assert panel.pages.currentIndex() == 0
    assert not panel.csv_button.isEnabled()
    panel.show_row(0)
    assert "Errors" not in scene.viewer.layers


def test_scores_arrive_and_are_filtered_by_prompt_rule_and_object(panel):
    assert panel.pages.currentIndex() == 1
    assert set(panel.shown["rule"]) == {"score"}
    assert set(panel.shown["strategy"]) == {"S2"}
    panel.choosers.strategy.setCurrentText("S5")
    assert set(panel.shown["strategy"]) == {"S5"}
    panel.choosers.label.setCurrentText("vessel")
    assert set(panel.shown["label"]) == {2}


def test_an_object_stays_chosen_only_where_somebody_chose_it_and_it_is_the_same(panel, scores):
    every = scores.frame
    panel.show_scores(replace(scores, frame=every[every["label"] == 1]))
    assert set(panel.shown["label"]) == {1}
    panel.show_scores(scores)
    assert set(panel.shown["label"]) == {1, 2}  # the only object that there was had not been chosen
    panel.choosers.label.setCurrentText("vessel")
    panel.show_scores(scores)
    assert set(panel.shown["label"]) == {2}
    others = every.assign(label_name=every["label"].map({1: "tumour", 2: "oedema"}))
    panel.show_scores(replace(scores, frame=others))
    assert set(panel.shown["label"]) == {1, 2}


def test_a_click_on_a_dot_goes_to_its_slice_with_truth_prediction_and_errors(panel, scene, qtbot):
    target = int(panel.shown["dice"].argmin())
    row = panel.shown.iloc[target]
    click(qtbot, panel.figure, target)
    position = slice_position(scene.viewer, scene.truth)
    assert (position.axis, position.index) == (0, row["slice"])
    truth = scene.truth.data[row["slice"]] == row["label"]
    errors = scene.viewer.layers["Errors"].data[row["slice"]]
    missed, extra = np.isin(errors, (1, 3)).sum(), np.isin(errors, (2, 4)).sum()
    both = np.count_nonzero(truth) - missed
    assert 2 * both / (2 * both + missed + extra) == pytest.approx(row["dice"])
    drawn = scene.viewer.layers["Outlines"]
    assert len(drawn.data) >= 2
    assert {int(path[0, 0]) for path in drawn.data} == {row["slice"]}
    world = np.concatenate([np.array([drawn.data_to_world(p) for p in path]) for path in drawn.data])
    assert world[:, 1:].min() >= scene.truth.extent.world[0][1:].min() - 0.01
    assert panel.list.table.current_row() == 0
    panel.overlay_bar.hide_button.click()
    assert "Errors" not in scene.viewer.layers
    assert scene.truth.visible


def test_the_prompt_the_kinds_of_error_and_the_boundary_are_shown(panel, scene, qtbot):
    panel.choosers.choose(panel.choosers.strategy, "S5")
    panel.show_row(0)
    row = panel.shown.iloc[0]
    truth = scene.truth.data[row["slice"]] == row["label"]
    r0, _, _, c1 = tight_box(truth)
    lines = scene.viewer.layers["Outlines"]
    box = next(path for path, colour in zip(lines.data, lines.edge_color, strict=True) if (colour == 1).all())
    assert box[:, 1].min() == pytest.approx(r0 - 0.5)
    assert box[:, 2].max() == pytest.approx(c1 + 0.5)
    errors = scene.viewer.layers["Errors"]
    assert set(np.unique(errors.data)) == {0, 2}  # a box around a round object leaks at its corners
    assert list(errors.features["error"]) == ["", "miss", "leak", "hole", "island"]
    assert errors.features["regions"].iloc[2] == len(panel.failure.regions)
    assert "leak" in panel.message.text
    panel.overlay_bar.boundary.click()
    layer = scene.viewer.layers["Boundary error (mm)"]
    assert layer.data.shape == (1, *truth.shape)
    assert layer.translate[0] == pytest.approx(scene.truth.translate[0] + row["slice"] * scene.truth.scale[0])
    assert np.nanmin(layer.data) >= 0
    assert "Boundary +0.0 to +" in panel.overlay_bar.boundary.text()
    panel.overlay_bar.boundary.click()
    assert "Boundary error (mm)" not in scene.viewer.layers


def test_vessel_like_objects_get_advice(panel, scores):
    assert not panel.advice.isVisibleTo(panel)
    frame = scores.frame.copy()
    frame.loc[frame["label"] == 2, "vessel_like"] = 1
    panel.show_scores(Scores(frame, "vessels"))
    assert panel.advice.isVisibleTo(panel)
    n = len(frame.loc[frame["label"] == 2, "slice"].unique())
    assert f" {n} of " in panel.advice.label.text()
    panel.advice.more.click()
    assert panel.advice.text.text() == VESSEL_ADVICE
    assert panel.advice.text.isVisibleTo(panel)


def test_worst_rows_come_first_and_lead_to_their_slices(panel, scene):
    panel.list.count.setValue(4)
    listed = panel.list.table.frame
    assert list(listed["dice"]) == sorted(panel.shown["dice"])[:4]
    panel.list.table.choose_row(2)
    assert slice_position(scene.viewer, scene.truth).index == listed["slice"].iloc[2]


def test_another_plane_turns_the_viewer(panel, scene, scores):
    frame = panel.shown.copy()
    frame.loc[0, ["axis", "slice", "label"]] = ["sagittal", 20, 1]
    frame["strategy"] = "other"
    panel.show_scores(Scores(frame, "turned", scores.image, scores.truth))
    panel.show_row(0)
    position = slice_position(scene.viewer, scene.truth)
    assert (position.axis, position.index) == (2, 20)


def test_a_long_name_of_the_scores_is_cut_in_its_middle(panel, scores):
    name = "a <very> long name of a segmentation " * 5 + "& its truth"
    panel.show_scores(Scores(scores.frame, name, scores.image, scores.truth))
    label = panel.source_label
    drawn = QLabel.text(label)
    assert label.text() == name
    assert "…" in drawn
    assert (drawn[:8], drawn[-9:]) == ("a <very>", "its truth")
    assert label.fontMetrics().horizontalAdvance(drawn) <= label.width()
    assert label.textFormat() == Qt.TextFormat.PlainText


def test_scores_from_a_file_find_their_slices_in_the_chosen_layers(panel, scene, scores, tmp_path):
    path = tmp_path / "scores.csv"
    scores.frame.to_csv(path, index=False)
    panel.open_scores(path)
    assert panel.source_label.text() == "scores.csv"
    assert panel.choosers.truth_layer.isVisibleTo(panel)
    panel.choosers.truth_layer.choose(scene.truth)
    panel.show_row(1)
    assert slice_position(scene.viewer, scene.truth).index == panel.shown["slice"].iloc[1]
    assert not scene.viewer.layers["Errors"].data.any()


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "axis,slice,label,dice\naxial,1,1,good\n"])
def test_a_file_that_is_no_table_of_scores_is_refused_in_words(panel, tmp_path, text):
    path = tmp_path / "other.csv"
    path.write_text(text)
    before = len(panel.shown)
    panel.open_scores(path)
    assert "⚠" in panel.message.text
    assert "other.csv" in panel.message.text
    assert len(panel.shown) == before


def test_layers_that_are_gone_are_said_in_words(panel, scene):
    scene.viewer.layers.clear()
    panel.show_row(0)
    assert "⚠" in panel.message.text


def test_overlay_layers_taken_away_by_hand_come_back_with_the_next_row(panel, scene):
    panel.overlay_bar.boundary.setChecked(True)
    panel.show_row(0)
    for name in ("Errors", "Outlines", "Boundary error (mm)"):
        scene.viewer.layers.remove(name)
    panel.show_row(1)
    assert {"Errors", "Outlines", "Boundary error (mm)"} <= {layer.name for layer in scene.viewer.layers}
    scene.truth.name = "renamed"
    panel.show_row(2)
    assert "Dice" in panel.message.text
    assert "⚠" not in panel.message.text
    scene.viewer.layers.remove(scene.prediction)  # hidden by the overlay when it goes
    panel.hide_overlay()
    assert scene.truth.visible
    assert not {"Errors", "Outlines", "Boundary error (mm)"} & {layer.name for layer in scene.viewer.layers}


def test_failed_rows_are_neither_plotted_nor_listed(panel, scores):
    frame = scores.frame.copy()
    frame.loc[frame.index[:5], "dice"] = np.nan
    frame.loc[frame.index[:5], "error"] = "The model failed."
    panel.show_scores(Scores(frame, "with failures"))
    assert panel.list.table.frame["dice"].notna().all()
    first = int(panel.shown["dice"].isna().to_numpy().nonzero()[0][0])
    assert panel.figure.position_of(first) is None


def test_outlines_close_around_objects_and_holes():
    mask = np.zeros((12, 12), bool)
    mask[2:10, 2:10] = True
    mask[5:7, 5:7] = False
    mask[0, 11] = True
    found = outlines(mask)
    assert len(found) == 3
    for line in found:
        np.testing.assert_allclose(line[0], line[-1])
    assert found[0].min() == pytest.approx(1.5)
