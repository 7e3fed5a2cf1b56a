import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from napari_sam_med.plots import Colors, box_by, histogram, scatter

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
    ):
        axes = Figure().add_subplot()
        draw(axes)
        assert axes.texts[0].get_text()
        assert not axes.axison
