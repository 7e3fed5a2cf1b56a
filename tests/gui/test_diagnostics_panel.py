"""The Diagnostics panel in a real window: factors, worst slices, and a click that goes to the failure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("napari")

from matplotlib.colors import to_rgba
from qtpy.QtCore import QPoint, Qt
from scipy.stats import spearmanr

from fixtures.evaluate_scene import make_scene, small_volumes
from fixtures.fake_segmenter import FakeSegmenter
from napari_sam_med.evaluation.config import EvaluationConfig
from napari_sam_med.evaluation.runner import iter_pair_scores
from napari_sam_med.evaluation.table import rows_to_table
from napari_sam_med.factors import FACTORS
from napari_sam_med.gui.app import make_diagnostics_widget
from napari_sam_med.gui.layers import slice_position
from napari_sam_med.gui.state import workspace_for
from napari_sam_med.gui.widgets.diagnostics_overlay import outlines
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
    panel.strategy.setCurrentText("S5")
    assert set(panel.shown["strategy"]) == {"S5"}
    panel.label.setCurrentText("vessel")
    assert set(panel.shown["label"]) == {2}


def test_rho_is_spearmans(panel):
    panel.factor.setCurrentIndex(panel.factor.findData("aspect_ratio"))
    expected = spearmanr(panel.shown["aspect_ratio"], panel.shown["dice"]).statistic
    title = panel.scatter.figure.axes[0].get_title(loc="right")
    assert f"{abs(expected):.2f}" in title
    assert f"n = {len(panel.shown)}" in title
    assert panel.overview.isVisibleTo(panel)


def test_a_click_on_a_dot_goes_to_its_slice_with_truth_prediction_and_errors(panel, scene, qtbot):
    target = int(panel.shown["dice"].argmin())
    row = panel.shown.iloc[target]
    click(qtbot, panel.scatter, target)
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
    assert panel.worst_table.current_row() == 0
    panel.hide_button.click()
    assert "Errors" not in scene.viewer.layers
    assert scene.truth.visible


def test_a_forgiving_click_beside_a_dot_means_that_dot_and_far_away_none(panel, scene, qtbot):
    panel.strategy.setCurrentText("S5")
    told = []
    panel.scatter.picked.connect(told.append)
    x, y = panel.scatter.position_of(0)
    axes = panel.scatter.figure.axes[0].bbox
    qtbot.mouseClick(panel.scatter.canvas, Qt.MouseButton.LeftButton, pos=QPoint(round(x) + 3, round(y) + 3))
    assert len(told) == 1
    empty = QPoint(round(axes.x0 + axes.width / 2), round(panel.scatter.canvas.height() - axes.y0 - 8))
    qtbot.mouseClick(panel.scatter.canvas, Qt.MouseButton.LeftButton, pos=empty)
    assert len(told) == 1


def test_a_bar_chooses_its_factor(panel, qtbot):
    shown = [name for name in FACTORS if panel.overview.position_of(name) is not None]
    other = next(name for name in shown if name != panel.factor.currentData())
    click(qtbot, panel.overview, other)
    assert panel.factor.currentData() == other
    assert FACTORS.get(other).title in panel.scatter.figure.axes[0].get_xlabel()


def test_worst_rows_come_first_and_lead_to_their_slices(panel, scene):
    panel.worst_count.setValue(4)
    listed = panel.worst_table.frame
    assert list(listed["dice"]) == sorted(panel.shown["dice"])[:4]
    panel.worst_table.choose_row(2)
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
                panel.scatter.figure.get_facecolor() == pytest.approx(to_rgba(palette_of(name).background))
            )
        )
        label = panel.scatter.figure.axes[0].xaxis.label.get_color()
        assert label == palette_of(name).text


def test_figures_and_rows_are_exported(panel, tmp_path):
    for name, start in (("plot.png", b"\x89PNG"), ("plot.svg", b"<?xml"), ("plot.pdf", b"%PDF")):
        panel.save(lambda name=name: panel.scatter.save(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(start)
    panel.save(lambda: panel.scatter.save(tmp_path / "plot.xyz"))
    assert "⚠" in panel.message.text
    assert not (tmp_path / "plot.xyz").exists()


def test_scores_from_a_file_find_their_slices_in_the_chosen_layers(panel, scene, scores, tmp_path):
    path = tmp_path / "scores.csv"
    scores.frame.to_csv(path, index=False)
    panel.open_scores(path)
    assert panel.source_label.text() == "<b>scores.csv</b>"
    assert panel.truth_layer.isVisibleTo(panel)
    panel.truth_layer.choose(scene.truth)
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


def test_failed_rows_are_neither_plotted_nor_listed(panel, scores):
    frame = scores.frame.copy()
    frame.loc[frame.index[:5], "dice"] = np.nan
    frame.loc[frame.index[:5], "error"] = "The model failed."
    panel.show_scores(Scores(frame, "with failures"))
    assert panel.worst_table.frame["dice"].notna().all()
    first = int(panel.shown["dice"].isna().to_numpy().nonzero()[0][0])
    assert panel.scatter.position_of(first) is None


def test_ten_thousand_dots_are_picked_at_once(panel, qtbot):
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
    x, y = panel.scatter.position_of(77)
    key = panel.scatter.key_at(x, panel.scatter.canvas.height() - y)
    nearest = frame.iloc[key]
    assert nearest["dice"] == pytest.approx(frame["dice"].iloc[77], abs=0.05)


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
