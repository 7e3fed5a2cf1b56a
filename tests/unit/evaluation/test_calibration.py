import numpy as np
import pandas as pd
import pytest

from napari_sam_med.core.errors import InputError
from napari_sam_med.evaluation.calibration import CALIBRATION_COLUMNS, bins_of, calibration, overall


def scores(predicted, iou, cases=None, **columns):
    iou = np.asarray(iou, float)
    n = len(iou)
    table = {
        "case": cases or ["one"] * n,
        "axis": "axial",
        "slice": range(n),
        "model": "m",
        "strategy": "S5",
        "rule": "score",
        "predicted_iou": predicted,
        "dice": 2 * iou / (1 + iou),
        "error": "",
    }
    return pd.DataFrame({**table, **columns})


def test_numbers_by_hand():
    found = calibration(scores([0.12, 0.18, 0.95, 0.91, 1.02], [0.1, 0.4, 0.9, 0.7, 0.8]))
    assert tuple(found.columns) == CALIBRATION_COLUMNS
    (total,) = overall(found).to_dict("records")
    assert total["n"] == 5
    assert total["abs_error"] == pytest.approx((0.02 + 0.22 + 0.05 + 0.21 + 0.22) / 5)
    assert total["predicted_iou"] == pytest.approx((0.12 + 0.18 + 0.95 + 0.91 + 1.02) / 5)
    low, high = bins_of(found).to_dict("records")
    assert (low["bins"], low["bin_low"], low["bin_high"], low["n"]) == ("0.1-0.2", 0.1, 0.2, 2)
    assert low["true_iou"] == pytest.approx(0.25)
    assert low["true_dice"] == pytest.approx((0.2 / 1.1 + 0.8 / 1.4) / 2)
    assert low["abs_error"] == pytest.approx(0.12)
    # what lies above 1 counts in the last bin
    assert (high["bins"], high["n"]) == ("0.9-1", 3)
    assert high["true_iou"] == pytest.approx(0.8)


def test_the_jaccard_column_counts_where_there_is_one():
    found = calibration(scores([0.5], [0.2], jaccard=[0.3]))
    assert overall(found)["true_iou"].item() == pytest.approx(0.3)


def test_intervals_are_over_volumes_if_there_are_several_else_over_slices():
    predicted, iou = [0.5] * 6, [0.1, 0.1, 0.1, 0.9, 0.9, 0.9]
    slices = overall(calibration(scores(predicted, iou))).iloc[0]
    volumes = overall(calibration(scores(predicted, iou, ["a"] * 3 + ["b"] * 3))).iloc[0]
    assert (slices["cluster"], slices["n_clusters"]) == ("slice", 6)
    assert (volumes["cluster"], volumes["n_clusters"]) == ("volume", 2)
    assert (volumes["true_iou_low"], volumes["true_iou_high"]) == pytest.approx((0.1, 0.9))
    assert volumes["true_iou_low"] < slices["true_iou_low"] < slices["true_iou_high"] < 0.9


def test_groups_and_rows_without_a_prediction():
    table = pd.concat(
        [
            scores([0.5, 0.7], [0.5, 0.6], strategy=["S2", "S5"]),
            scores([np.nan], [0.5], model="ellipse"),
            scores([0.5], [np.nan]),
        ]
    )
    apart = calibration(table)
    assert overall(apart)[["model", "strategy", "n"]].to_numpy().tolist() == [["m", "S2", 1], ["m", "S5", 1]]
    together = calibration(table, by=("model",))
    assert overall(together)[["model", "strategy", "rule", "n"]].to_numpy().tolist() == [
        ["m", "all", "all", 2]
    ]
    assert calibration(table.iloc[:0]).empty


def test_tables_without_predictions_are_refused():
    with pytest.raises(InputError, match="predicted_iou"):
        calibration(scores([0.5], [0.5]).drop(columns="predicted_iou"))
    with pytest.raises(InputError, match="1 or more"):
        calibration(scores([0.5], [0.5]), 0)
