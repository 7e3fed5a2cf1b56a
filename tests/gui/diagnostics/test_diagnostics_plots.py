"""Plots of the Diagnostics panel: what they show, where they lead, how fast they are."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("napari")

from matplotlib.colors import to_rgba
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication
from scipy.stats import spearmanr

from fixtures.figure_mouse import click, drag, move, wait_for
from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation.statistics_partial import factor_correlations
from napari_sam_med.gui.layers import slice_position
from napari_sam_med.gui.widgets.diagnostics_statistics import Statistics
from napari_sam_med.gui.widgets.diagnostics_table import known_factors
from napari_sam_med.gui.widgets.evaluate_scores import Scores
from napari_sam_med.gui.widgets.figure_theme import palette_of

pytestmark = pytest.mark.gui


def test_rho_is_spearmans(panel):
    panel.choosers.factor.setCurrentIndex(panel.choosers.factor.findData("aspect_ratio"))
    expected = spearmanr(panel.shown["aspect_ratio"], panel.shown["dice"]).statistic
    title = panel.figure.figure.axes[0].get_title(loc="right")
    assert f"{abs(expected):.2f}" in title
    assert f"n = {len(panel.shown)}" in title


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
