"""The Diagnostics panel in a real window: factors, worst slices, and a click that goes to the failure."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("napari")

from matplotlib.colors import to_rgba
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication
from scipy.stats import spearmanr

from fixtures.evaluate_scene import make_scene, small_volumes
from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.core.errors import InputError
from napari_sam_med.core.prompt import tight_box
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.runner import iter_pair_scores
from napari_sam_med.evaluation.statistics_partial import factor_correlations
from napari_sam_med.evaluation.table import rows_to_table
from napari_sam_med.factors import VESSEL_ADVICE
from napari_sam_med.gui.app import make_diagnostics_widget
from napari_sam_med.gui.layers import slice_position
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.gui.widgets.diagnostics_overlay import outlines
from napari_sam_med.gui.widgets.diagnostics_statistics import Statistics
from napari_sam_med.gui.widgets.diagnostics_table import known_factors
from napari_sam_med.gui.widgets.evaluate_scores import MaskKey, MaskStore, Scores, board_of
from napari_sam_med.gui.widgets.figure_theme import palette_of
from napari_sam_med.inference.session import Session

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def simulated():
    """Scores and masks of S2 and S5 over all slices, by a model that answers with the box or a disc."""
    image, labels = small_volumes()
    config = EvaluationConfig(models=("fake",), axes=("axial",), rules=("score", "oracle"))
    session = Session(FakeSegmenter())
    rows = list(iter_pair_scores(image, labels, config, lambda name: session, keep_masks=True))
    masks = MaskStore()
    for row in rows:
        masks.put(MaskKey(row.model, row.strategy, row.rule, 0, row.slice, row.label), row.mask, row.prompts)
    return rows_to_table(rows), masks


@pytest.fixture
def scene(make_napari_viewer):
    return make_scene(make_napari_viewer(show=True))


@pytest.fixture
def scores(scene, simulated):
    table, masks = simulated
    return Scores(table, "simulated prompts", scene.image, scene.truth, None, masks)


@pytest.fixture
def panel(scene, scores, qtbot):
    """A docked panel that was told of the scores the way the Evaluate panel tells."""
    scene.viewer.window.resize(1200, 800)
    widget = make_diagnostics_widget(scene.viewer)
    scene.viewer.window.add_dock_widget(widget, name="Diagnostics")
    board_of(workspace_for(scene.viewer)).publish(scores)
    qtbot.wait(100)
    return widget


def click(qtbot, figure, key):
    x, y = figure.position_of(key)
    qtbot.mouseClick(figure.canvas, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))


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


def test_rho_is_spearmans(panel):
    panel.choosers.factor.setCurrentIndex(panel.choosers.factor.findData("aspect_ratio"))
    expected = spearmanr(panel.shown["aspect_ratio"], panel.shown["dice"]).statistic
    title = panel.figure.figure.axes[0].get_title(loc="right")
    assert f"{abs(expected):.2f}" in title
    assert f"n = {len(panel.shown)}" in title


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


def test_a_forgiving_click_beside_a_dot_means_that_dot_and_far_away_none(panel, scene, qtbot):
    panel.choosers.strategy.setCurrentText("S5")
    told = []
    panel.figure.picked.connect(told.append)
    x, y = panel.figure.position_of(0)
    axes = panel.figure.figure.axes[0].bbox
    qtbot.mouseClick(panel.figure.canvas, Qt.MouseButton.LeftButton, pos=QPoint(round(x) + 3, round(y) + 3))
    assert len(told) == 1
    empty = QPoint(round(axes.x0 + axes.width / 2), round(panel.figure.canvas.height() - axes.y0 - 8))
    qtbot.mouseClick(panel.figure.canvas, Qt.MouseButton.LeftButton, pos=empty)
    assert len(told) == 1


def wait_for(qtbot, panel):
    qtbot.waitUntil(lambda: not panel.statistics.busy, timeout=60_000)
    qtbot.wait(50)


def cohort(scores):
    """Three volumes of forty rows in which size helps and the number of parts does nothing."""
    rng = np.random.default_rng(1)
    size, parts, noise = rng.random((3, 120))
    frame = pd.DataFrame({"case": np.repeat(["a", "b", "c"], 40), "size_px": size, "components": parts})
    frame = frame.assign(axis="axial", slice=5, label=1, dice=0.3 + 0.5 * size + 0.1 * noise)
    return Scores(frame, "three volumes", scores.image, scores.truth)


def test_partial_correlations_have_intervals_and_lead_to_their_dots(panel, scores, qtbot):
    panel.choosers.choose(panel.choosers.kind, "correlations")
    panel.choosers.choose(panel.choosers.factor, "size_px")
    panel.show_scores(cohort(scores))
    assert panel.figure.position_of("size_px") is None  # computed elsewhere, drawn when it is there
    wait_for(qtbot, panel)
    found = panel._compute("correlations").table.set_index("factor")
    expected = factor_correlations(panel.shown, known_factors(panel.shown), n_samples=1000)
    assert len(expected) == 2
    for each in expected:
        assert found.loc[each.factor, "partial_rho"] == pytest.approx(each.partial_rho)
        assert found.loc[each.factor, "partial_low"] == pytest.approx(each.partial_low)
    assert "3 volumes" in panel.figure.figure.axes[0].get_title(loc="right")
    click(qtbot, panel.figure, "components")
    assert panel.choosers.kind.currentData() == "factor"
    assert panel.choosers.factor.currentData() == "components"


def test_results_of_other_rows_are_not_mixed_up(panel, qtbot):
    panel.choosers.choose(panel.choosers.kind, "correlations")
    wait_for(qtbot, panel)
    before = panel._compute("correlations")
    panel.choosers.choose(panel.choosers.strategy, "S5")
    wait_for(qtbot, panel)
    assert panel._compute("correlations") is not before
    panel.choosers.choose(panel.choosers.strategy, "S2")
    assert panel._compute("correlations") is before
    panel.choosers.choose(panel.choosers.strategy, None)
    assert "Choose one prompt" in panel.figure.figure.axes[0].texts[0].get_text()


def test_calibration_is_drawn_from_predicted_and_true_iou(panel, qtbot):
    panel.choosers.choose(panel.choosers.kind, "calibration")
    wait_for(qtbot, panel)
    error = (panel.shown["predicted_iou"] - panel.shown["jaccard"]).abs().mean()
    assert f"{error:.2f}" in panel.figure.figure.axes[0].get_title(loc="right")


def test_a_box_leads_to_its_dots(panel, qtbot):
    panel.choosers.choose(panel.choosers.kind, "strategy")
    click(qtbot, panel.figure, "S5")
    assert panel.choosers.kind.currentData() == "factor"
    assert set(panel.shown["strategy"]) == {"S5"}
    panel.choosers.choose(panel.choosers.kind, "label_name")
    click(qtbot, panel.figure, "vessel")
    assert set(panel.shown["label"]) == {2}


def move(canvas, point, buttons=Qt.MouseButton.NoButton, modifier=Qt.KeyboardModifier.NoModifier):
    place = QPointF(point)
    moved = QEvent.Type.MouseMove
    event = QMouseEvent(moved, place, canvas.mapToGlobal(place), Qt.MouseButton.NoButton, buttons, modifier)
    QApplication.sendEvent(canvas, event)


def drag(qtbot, panel, corners, modifier=Qt.KeyboardModifier.NoModifier):
    canvas, left = panel.figure.canvas, Qt.MouseButton.LeftButton
    points = [QPoint(round(x), round(y)) for x, y in corners]
    qtbot.mousePress(canvas, left, modifier, points[0])
    for point in points[1:]:
        move(canvas, point, left, modifier)
    qtbot.mouseRelease(canvas, left, modifier, points[-1])


def test_brushed_dots_are_listed_alone_until_the_selection_is_cleared(panel, scene, qtbot):
    places = np.array([panel.figure.position_of(k) for k in range(len(panel.shown))])
    corner = places.mean(axis=0)
    inside = set(np.flatnonzero((places < corner).all(axis=1)))
    assert 0 < len(inside) < len(places)
    drag(qtbot, panel, [(1, 1), (40, 40), corner])
    assert set(panel.list.table.frame["position"]) == inside
    panel.list.table.choose_row(0)
    row = panel.list.table.frame.iloc[0]
    assert slice_position(scene.viewer, scene.truth).index == row["slice"]
    panel.list.clear_button.click()
    assert len(panel.list.table.frame) == 10
    assert not panel.list.clear_button.isVisibleTo(panel)


def test_a_lasso_takes_what_it_encloses(panel, qtbot):
    places = np.array([panel.figure.position_of(k) for k in range(len(panel.shown))])
    x, y = places[0]
    lasso = [(x - 6, y - 6), (x + 6, y - 6), (x + 6, y + 6), (x - 6, y + 6)]
    inside = set(np.flatnonzero((np.abs(places - places[0]) < 5.5).all(axis=1)))
    drag(qtbot, panel, lasso, Qt.KeyboardModifier.ShiftModifier)
    chosen = set(panel.list.selected)
    assert 0 in chosen
    assert inside <= chosen
    panel.choosers.choose(panel.choosers.strategy, "S5")
    assert panel.list.selected == ()


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


def test_figures_follow_the_theme(panel, scene, qtbot):
    for name in ("light", "dark"):
        scene.viewer.theme = name
        qtbot.waitUntil(
            lambda name=name: (
                panel.figure.figure.get_facecolor() == pytest.approx(to_rgba(palette_of(name).background))
            )
        )
        label = panel.figure.figure.axes[0].xaxis.label.get_color()
        assert label == palette_of(name).text


def test_figures_and_rows_are_exported(panel, tmp_path):
    for name, start in (("plot.png", b"\x89PNG"), ("plot.svg", b"<?xml"), ("plot.pdf", b"%PDF")):
        panel.save(lambda name=name: panel.figure.save(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(start)
    panel.save(lambda: panel.figure.save(tmp_path / "plot.xyz"))
    assert "⚠" in panel.message.text
    assert not (tmp_path / "plot.xyz").exists()


def test_scores_from_a_file_find_their_slices_in_the_chosen_layers(panel, scene, scores, tmp_path):
    path = tmp_path / "scores.csv"
    scores.frame.to_csv(path, index=False)
    panel.open_scores(path)
    assert panel.source_label.text() == "<b>scores.csv</b>"
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


def test_a_statistic_that_fails_is_said_and_can_be_asked_again(qtbot):
    told = []
    statistics = Statistics()
    statistics.failed.connect(told.append)

    def steps():
        raise InputError("Nothing to count.")
        yield

    for times in (1, 2):
        assert statistics.ask("key", steps) is None
        qtbot.waitUntil(lambda times=times: len(told) == times, timeout=10_000)
        assert not statistics.busy
    assert set(told) == {"Nothing to count."}


def test_failed_rows_are_neither_plotted_nor_listed(panel, scores):
    frame = scores.frame.copy()
    frame.loc[frame.index[:5], "dice"] = np.nan
    frame.loc[frame.index[:5], "error"] = "The model failed."
    panel.show_scores(Scores(frame, "with failures"))
    assert panel.list.table.frame["dice"].notna().all()
    first = int(panel.shown["dice"].isna().to_numpy().nonzero()[0][0])
    assert panel.figure.position_of(first) is None


def test_ten_thousand_dots_stay_smooth(panel, qtbot, measured):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "axis": "axial",
            "slice": rng.integers(0, 16, 10_000),
            "label": 1,
            "dice": rng.random(10_000),
            "size_px": rng.random(10_000) * 900 + 60,
        }
    )
    panel.show_scores(Scores(frame, "many"))
    x, y = panel.figure.position_of(77)
    canvas = panel.figure.canvas
    key = panel.figure.key_at(x, canvas.height() - y)
    assert frame.iloc[key]["dice"] == pytest.approx(frame["dice"].iloc[77], abs=0.05)

    def seconds(act):
        started = time.perf_counter()
        act()
        QApplication.processEvents()
        return time.perf_counter() - started

    redraw = np.median([seconds(canvas.draw) for _ in range(3)])
    redraws = []
    canvas.mpl_connect("draw_event", redraws.append)
    places = [QPoint(*map(round, panel.figure.position_of(k))) for k in range(40)]
    hovers = [seconds(lambda place=place: move(canvas, place)) for place in places]
    assert panel.figure._hovered is not None
    brush = seconds(lambda: drag(qtbot, panel, [(60, 30), (100, 60), (160, 90)]))
    assert len(panel.list.selected) > 100
    assert not redraws  # rings, brush and chosen dots lie over the figure
    measured(
        f"10,000 dots: redraw {1000 * redraw:.0f} ms, hover {1000 * np.median(hovers):.1f} ms median and "
        f"{1000 * max(hovers):.1f} ms most, brush and list {1000 * brush:.0f} ms"
    )


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
