import pandas as pd
from matplotlib.figure import Figure

from napari_sam_med.evaluation.calibration import calibration
from napari_sam_med.evaluation.degradations import DEGRADATIONS
from napari_sam_med.evaluation.robustness_config import LABS
from napari_sam_med.evaluation.robustness_figures import (
    MODE_TITLES,
    draw_calibration,
    draw_curves,
    mode_title,
)
from napari_sam_med.prompts.jitter import BOX_MODES, POINT_MODES


def curves():
    rows = []
    for strategy, mode in (("S2", "first"), ("S5", "edges")):
        for dose, step, dice in ((0.0, "none", 0.9), (5.0, "0-10 px", 0.7)):
            rows.append(("jitter", mode, "m", strategy, "score", dose, step, dice, dice - 0.1, dice + 0.1))
    rows.append(("degradation", "blur", "m", "S5", "score", 2.0, "2 px", 0.8, 0.7, 0.9))
    names = ["lab", "mode", "model", "strategy", "rule", "dose", "step", "dice", "dice_low", "dice_high"]
    return pd.DataFrame(rows, columns=names)


def test_every_mode_of_every_lab_has_a_title():
    assert set(MODE_TITLES) == {*BOX_MODES, *POINT_MODES, "box"}
    assert LABS == ("jitter", "padding", "degradation")
    for kind in DEGRADATIONS:
        assert mode_title("degradation", kind) == DEGRADATIONS.get(kind).title


def test_a_curve_shows_its_mode_alone_and_strategies_keep_their_colours():
    left, right = Figure().subplots(1, 2)
    draw_curves(left, curves(), "jitter", "first")
    draw_curves(right, curves(), "jitter", "edges")
    assert [line.get_label() for line in (*left.lines, *right.lines)] == ["S2", "S5"]
    assert left.lines[0].get_color() != right.lines[0].get_color()
    assert [t.get_text() for t in right.get_xticklabels()] == ["none", "0-10 px"]
    assert right.get_ylim() == (-0.03, 1.03)


def test_degradations_are_drawn_over_their_dose_in_its_unit():
    axes = Figure().add_subplot()
    draw_curves(axes, curves(), "degradation", "blur")
    assert axes.get_xlabel() == "px"
    assert axes.lines[0].get_xydata().tolist() == [[2, 0.8]]


def test_calibration_says_the_mean_absolute_error_of_all_rows():
    scores = pd.DataFrame(
        {
            "case": ["a", "b"],
            "axis": "axial",
            "slice": 1,
            "model": "m",
            "strategy": "S5",
            "rule": "score",
            "predicted_iou": [0.5, 0.9],
            "dice": [0.6, 0.95],
            "jaccard": [0.4, 0.8],
        }
    )
    axes = Figure().add_subplot()
    draw_calibration(axes, calibration(scores), what="all: ")
    assert axes.get_title() == "all: mean absolute error 0.100, n = 2"
    assert axes.lines[1].get_xydata().tolist() == [[0.5, 0.4], [0.9, 0.8]]
