import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from napari_sam_med.plots import SERIES, calibration, dose_curve, heat_map

NAN = float("nan")


@pytest.fixture
def axes():
    return Figure().add_subplot()


@pytest.fixture
def curve():
    return pd.DataFrame(
        {
            "strategy": ["S2", "S5", "S2", "S5"],
            "dose": [15.0, 0.0, 0.0, 15.0],
            "step": ["10-20 px", "none", "none", "10-20 px"],
            "dice": [0.6, 0.9, 0.8, NAN],
            "dice_low": [0.5, 0.85, 0.7, NAN],
            "dice_high": [0.7, 0.95, 0.9, NAN],
        }
    )


def test_a_line_and_a_band_for_each_group_in_order_of_dose(axes, curve):
    dose_curve(axes, curve, ticks="step", y_label="Dice")
    two, five = axes.lines
    assert two.get_xydata().tolist() == [[0, 0.8], [15, 0.6]]
    assert five.get_xydata().tolist() == [[0, 0.9]]
    assert [to_hex(line.get_color()) for line in (two, five)] == list(SERIES[:2])
    assert two.get_marker() != five.get_marker()
    band = axes.collections[0].get_paths()[0].vertices
    assert band.min(axis=0).tolist() == [0, 0.5]
    assert band.max(axis=0).tolist() == [15, 0.9]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["S2", "S5"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["none", "10-20 px"]


def test_one_line_needs_no_legend_and_no_band(axes, curve):
    dose_curve(axes, curve[["dose", "dice"]], group=None)
    assert axes.get_legend() is None
    assert len(axes.lines) == 1


def test_a_group_looks_the_same_in_axes_that_lack_the_others(axes, curve):
    dose_curve(axes, curve[curve["strategy"] == "S5"], names=["S2", "S5"], legend=False)
    assert [to_hex(line.get_color()) for line in axes.lines] == [SERIES[1]]
    assert axes.get_legend() is None


def reliability():
    return pd.DataFrame(
        {
            "bin_low": [0.5, 0.9],
            "bin_high": [0.6, 1.0],
            "n": [3, 40],
            "predicted_iou": [0.55, 0.97],
            "true_iou": [0.7, 0.9],
            "true_iou_low": [NAN, 0.85],
            "true_iou_high": [NAN, 0.95],
        }
    )


def test_dots_lie_where_predicted_and_true_meet_with_intervals_where_known(axes):
    calibration(axes, reliability())
    diagonal, dots = axes.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert dots.get_xydata().tolist() == [[0.55, 0.7], [0.97, 0.9]]
    (interval,) = axes.collections[0].get_segments()
    np.testing.assert_allclose(interval, [[0.97, 0.85], [0.97, 0.95]])
    assert [t.get_text() for t in axes.texts] == ["3", "40"]


def test_counts_go_into_their_own_axes():
    above, below = Figure().subplots(2, 1)
    calibration(above, reliability(), counts=below, x_label="predicted")
    assert [(p.get_x(), p.get_height()) for p in below.patches] == [(0.5, 3), (0.9, 40)]
    assert (above.get_xlabel(), below.get_xlabel()) == ("", "predicted")
    assert not above.texts


def test_nothing_to_draw_is_said_in_words(curve):
    for draw in (
        lambda a: dose_curve(a, curve.iloc[:0]),
        lambda a: dose_curve(a, curve.assign(dice=NAN)),
        lambda a: calibration(a, reliability().iloc[:0]),
    ):
        axes = Figure().add_subplot()
        draw(axes)
        assert axes.texts[0].get_text()
        assert not axes.axison


def test_a_heat_map_lets_the_slice_through_and_is_cut_to_its_values(axes):
    values = np.full((100, 80), NAN)
    values[40:50, 60:70] = 0.25
    shown = heat_map(axes, np.zeros((100, 80), np.uint8), values, spacing_mm=(2.0, 1.0), title="T")
    assert shown.get_clim() == (0, 1)
    assert shown.get_array().mask.sum() == 100 * 80 - 100
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    assert left < 59.5
    assert right == pytest.approx(73)
    assert top < 39.5 < 49.5 < bottom  # rows run down
    assert axes.get_aspect() == 2
    assert len(axes.figure.axes) == 2


def test_a_heat_map_of_nothing_is_the_slice(axes):
    heat_map(axes, np.zeros((10, 10), np.uint8), np.full((10, 10), NAN))
    assert axes.get_xlim() == (-0.5, 9.5)
