import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from napari_sam_med.plots import (
    SERIES,
    Colors,
    box_by,
    dot_lines,
    histogram,
    intervals,
    overlay,
    scatter,
    strip_by,
)
from napari_sam_med.plots.scatter import running_median

LOUD = Colors(dots="#112233", accent="#445566", text="#778899", muted="#aabbcc")


@pytest.fixture
def axes():
    return Figure().add_subplot()


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "x": [1.0, 2.0, np.nan, 4.0, np.inf, 6.0],
            "y": [0.1, 0.2, 0.3, 0.4, 0.5, np.nan],
            "who": ["b", "a", "a", "b", "a", "b"],
        },
        index=[10, 11, 12, 13, 14, 15],
    )


def test_scatter_leaves_out_what_has_no_place_and_says_which_rows_it_drew(axes, table):
    assert scatter(axes, table, "x", "y") == [10, 11, 13]
    assert axes.collections[0].get_offsets().tolist() == [[1, 0.1], [2, 0.2], [4, 0.4]]


def test_scatter_by_group_keeps_the_order_of_its_dots(axes, table):
    shown = scatter(axes, table, "x", "y", group="who")
    dots = np.concatenate([c.get_offsets() for c in axes.collections])
    np.testing.assert_allclose(dots, table.loc[shown, ["x", "y"]])
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["b", "a"]


def test_plots_take_the_colours_they_are_given(axes, table):
    scatter(axes, table, "x", "y", x_label="factor", y_label="Dice", title="T", colors=LOUD)
    assert to_hex(axes.collections[0].get_facecolor()[0]) == LOUD.dots
    assert axes.xaxis.label.get_color() == axes.title.get_color() == LOUD.text
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("factor", "Dice", "T")


def test_boxes_count_their_values(axes, table):
    box_by(axes, table, "y", "who", value_label="Dice", colors=LOUD)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["b\nn = 2", "a\nn = 3"]
    assert axes.get_ylabel() == "Dice"


def test_histogram_counts_finite_values(axes, table):
    histogram(axes, table, "x", bins=5, limits=(0, 5), colors=LOUD)
    assert sum(patch.get_height() for patch in axes.patches) == 3
    assert "n = 4" in axes.get_legend().get_texts()[0].get_text()


@pytest.mark.parametrize("empty", [True, False])
def test_nothing_to_draw_is_said_in_words(table, empty):
    nothing = table.iloc[:0] if empty else table.assign(y=np.nan)
    for draw in (
        lambda a: scatter(a, nothing, "x", "y"),
        lambda a: box_by(a, nothing, "y", "who"),
        lambda a: histogram(a, nothing, "y"),
        lambda a: strip_by(a, nothing, "y", "who"),
        lambda a: dot_lines(a, nothing, "y", "who", "x"),
        lambda a: intervals(a, nothing, "who", "y", "x", "x"),
    ):
        axes = Figure().add_subplot()
        draw(axes)
        assert axes.texts[0].get_text()
        assert not axes.axison


def test_boxes_of_groups_stand_side_by_side_and_count_apart(axes, table):
    box_by(axes, table.assign(model=["m", "m", "m", "m", "n", "n"]), "y", "who", group="model")
    assert [t.get_text() for t in axes.get_xticklabels()] == ["b\nn = 2", "a\nn = 2\n1"]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["m", "n"]
    assert len(axes.patches) == 3  # no box for "b" of model "n"


def test_strip_says_which_rows_it_drew_and_keeps_dots_in_their_columns(axes, table):
    shown = strip_by(axes, table, "y", "who", group="who")
    dots = np.concatenate([c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)])
    assert shown == [10, 13, 11, 12, 14]
    np.testing.assert_allclose(dots[:, 1], table.loc[shown, "y"])
    assert np.round(dots[:, 0]).tolist() == [0, 0, 1, 1, 1]


def test_strip_is_the_same_in_every_drawing(table):
    drawn = []
    for _ in range(2):
        axes = Figure().add_subplot()
        strip_by(axes, table, "y", "who")
        drawn.append(axes.collections[0].get_offsets().tolist())
    assert drawn[0] == drawn[1]


@pytest.fixture
def estimates():
    return pd.DataFrame(
        {
            "name": ["size", "contrast", "order", "shape"],
            "rho": [0.5, -0.1, np.nan, 0.2],
            "low": [0.3, -0.4, np.nan, np.nan],
            "high": [0.7, 0.2, np.nan, np.nan],
        },
        index=[5, 6, 7, 8],
    )


def test_intervals_fill_only_dots_whose_interval_leaves_out_zero(axes, estimates):
    assert intervals(axes, estimates, "name", "rho", "low", "high", colors=LOUD) == [5, 6, 8]
    *_, dots = axes.collections
    assert [to_hex(c) for c in dots.get_facecolor()] == [LOUD.dots, "#ffffff", "#ffffff"]
    assert dots.get_offsets()[:, 0].tolist() == [0.5, -0.1, 0.2]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["size", "contrast", "shape"]
    low, high = axes.get_ylim()
    assert low > high  # the first on top
    segments = axes.collections[0].get_segments()
    assert [s[:, 0].tolist() for s in segments] == [[0.3, 0.7], [-0.4, 0.2]]


def test_interval_below_zero_is_filled_too_and_without_zero_all_are(estimates):
    below = estimates.assign(rho=-estimates.rho, low=-estimates.high, high=-estimates.low)
    axes = Figure().add_subplot()
    intervals(axes, below, "name", "rho", "low", "high", colors=LOUD)
    assert to_hex(axes.collections[-1].get_facecolor()[0]) == LOUD.dots
    axes = Figure().add_subplot()
    intervals(axes, estimates, "name", "rho", "low", "high", zero=None, colors=LOUD)
    assert {to_hex(c) for c in axes.collections[-1].get_facecolor()} == {LOUD.dots}
    assert not axes.lines


def test_intervals_of_one_name_share_a_line(axes, estimates):
    both = pd.concat([estimates.assign(model="a"), estimates.assign(model="b", rho=estimates.rho / 2)])
    intervals(axes, both, "name", "rho", "low", "high", group="model")
    dots = [c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)]
    assert np.round(dots[0][:, 1]).tolist() == np.round(dots[1][:, 1]).tolist() == [0, 1, 2]
    assert (dots[0][:, 1] < dots[1][:, 1]).all()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a", "b"]


def test_dot_lines_draw_means_and_count(axes):
    table = pd.DataFrame(
        {
            "organ": ["liver", "liver", "aorta", "liver"],
            "way": ["S2", "S2", "S2", "S5"],
            "dice": [0.4, 0.6, 0.1, 0.9],
        }
    )
    dot_lines(axes, table, "dice", "organ", "way")
    assert [t.get_text() for t in axes.get_yticklabels()] == ["liver  (n = 2)", "aorta  (n = 1)"]
    s2, s5 = axes.collections[1:]
    assert s2.get_offsets().tolist() == [[0.5, 0], [0.1, 1]]
    assert to_hex(s2.get_facecolor()[0]) == SERIES[0]
    assert s5.get_offsets().compressed().tolist()[:2] == [0.9, 0]


def test_running_median_follows_a_curve_and_keeps_ties_together():
    x = np.arange(100.0)
    across, medians = running_median(x, x**2)
    assert len(across) == 10
    np.testing.assert_allclose(medians, across**2, rtol=0.6, atol=30)
    assert (np.diff(medians) > 0).all()
    across, _ = running_median(np.repeat([1.0, 2.0], 50), np.ones(100))
    assert across.tolist() == [1, 2]
    assert len(running_median(x[:9], x[:9])[0]) == 0


def test_scatter_draws_a_trend_only_when_asked(axes):
    table = pd.DataFrame({"x": np.arange(40.0), "y": np.arange(40.0)})
    scatter(axes, table, "x", "y")
    assert not axes.lines
    scatter(axes, table, "x", "y", trend=True)
    assert len(axes.lines) == 1


def test_overlay_tints_what_is_wrong_and_closes_outlines_at_the_border(axes):
    truth = np.zeros((6, 8), bool)
    truth[:, :4] = True
    prediction = np.zeros((6, 8), bool)
    prediction[:, 2:6] = True
    overlay(
        axes,
        np.full((6, 8), 100, np.uint8),
        truth,
        prediction,
        points=[(2, 3, 1), (4, 6, 0)],
        boxes=[(0, 0, 5, 3)],
        spacing_mm=(2.0, 1.0),
    )
    tint = axes.images[1].get_array()
    assert (tint[:, :2, 3] > 0).all()  # missed
    assert (tint[:, 2:4, 3] == 0).all()  # right
    assert (tint[:, 4:6, 3] > 0).all()  # extra
    assert not np.allclose(tint[0, 0], tint[0, 5])
    (box,) = axes.patches
    assert (box.get_xy(), box.get_width(), box.get_height()) == ((-0.5, -0.5), 4, 6)
    assert [line.get_xydata().tolist() for line in axes.lines] == [[[3, 2]], [[6, 4]]]
    assert axes.get_aspect() == 2
    paths = [path for c in axes.collections for path in c.get_paths()]
    assert len(paths) == 2
    assert all(np.allclose(path.vertices[0], path.vertices[-1]) for path in paths)


def test_overlay_takes_an_empty_prediction_and_classes_of_error(axes):
    truth = np.ones((4, 4), bool)
    overlay(axes, np.zeros((4, 4), np.uint8), truth, ~truth, regions={"hole": truth, "of no name": ~truth})
    tint = axes.images[1].get_array()
    assert np.ptp(tint.reshape(-1, 4), axis=0).max() == 0
