import math

import numpy as np
import pytest

from fixtures.labelled_volumes import as_volume, boxes_pair
from napari_sam_med.core.errors import GridMismatchError, InputError
from napari_sam_med.evaluation.compare import COLUMNS, compare_labels
from napari_sam_med.evaluation.labels import label_array, label_boxes
from napari_sam_med.metrics import compute_metrics


@pytest.fixture
def truth():
    return boxes_pair()[1]


def moved(truth):
    """The box one row down, the disc missing, and a new object 7."""
    data = np.zeros_like(truth.data)
    data[2:9, 6:16, 6:20] = 1
    data[0:2, 30:34, 2:6] = 7
    return truth.with_data(data, name="prediction", label_names={})


def test_identical_volumes_agree_everywhere(truth):
    table = compare_labels(truth, truth)
    assert list(table.columns) == COLUMNS
    assert (table["dice"] == 1).all()
    assert (table["assd_mm"] == 0).all()
    assert (table["prediction_ml"] == table["truth_ml"]).all()
    assert table["level"].value_counts().to_dict() == {"slice": 11, "object": 2, "volume": 1}
    assert set(table["label_name"]) == {"box", "disc", "all"}


def test_levels_by_hand(truth):
    prediction = moved(truth)
    table = compare_labels(prediction, truth)
    box = table[(table["level"] == "object") & (table["label"] == 1)].iloc[0]
    direct = compute_metrics(prediction.data == 1, truth.data == 1, truth.spacing_mm)
    in_3d = {name: value for name, value in direct.items() if not name.endswith("_px")}
    assert {name: box[name] for name in in_3d} == pytest.approx(in_3d)
    assert box[["hd_px", "hd95_px", "assd_px"]].isna().all()
    assert box["truth_ml"] == pytest.approx((7 * 140 + 4) * 3 / 1000)

    in_slice = table[(table["level"] == "slice") & (table["label"] == 1) & (table["slice"] == 4)].iloc[0]
    assert in_slice["dice"] == pytest.approx(2 * 9 * 14 / (2 * 140))
    assert in_slice["hd_mm"] == 1
    assert in_slice["truth_ml"] == pytest.approx(0.42)

    missing = table[table["label"] == 4]
    assert (missing["dice"] == 0).all()
    assert (missing["hd95_mm"] == math.inf).all()
    assert (missing["prediction_ml"] == 0).all()
    extra = table[(table["label"] == 7) & (table["level"] == "slice")]
    assert extra["slice"].tolist() == [0, 1]
    assert (extra["truth_ml"] == 0).all()

    volume = table[table["level"] == "volume"].iloc[0]
    whole = compute_metrics(prediction.data > 0, truth.data > 0, truth.spacing_mm)
    assert volume["dice"] == pytest.approx(whole["dice"])
    assert volume["hd_mm"] == pytest.approx(whole["hd_mm"])


def test_a_flat_object_in_a_thick_volume_is_measured_in_3d():
    a, b = np.zeros((9, 20, 20), np.uint8), np.zeros((9, 20, 20), np.uint8)
    a[4, 5:15, 5:15] = 1
    b[4, 5:15, 5:15] = 1
    b[4, 9, 9] = 0
    a_volume, b_volume = as_volume(a), as_volume(b)
    table = compare_labels(a_volume, b_volume)
    direct = compute_metrics(a, b, a_volume.spacing_mm)
    found = table[table["level"] == "object"].iloc[0]
    assert found["assd_mm"] == pytest.approx(direct["assd_mm"])


def test_labels_and_axis_can_be_chosen(truth):
    table = compare_labels(moved(truth), truth, axis="coronal", labels=[1])
    assert set(table["label"].dropna()) == {1}
    assert set(table["axis"].dropna()) == {"coronal"}
    assert table[table["level"] == "slice"]["slice"].tolist() == list(range(5, 16))
    volume = table[table["level"] == "volume"].iloc[0]
    assert volume["prediction_ml"] == pytest.approx(7 * 140 * 3 / 1000)


def test_another_grid_is_refused_or_resampled(truth):
    data = np.zeros_like(truth.data)
    data[:, :, :-4] = truth.data[
        :, :, 4:
    ]  # four voxels to the right of the patient, and the origin the other way
    other = as_volume(data, shift_mm=(-4, 0, 0))
    with pytest.raises(GridMismatchError):
        compare_labels(other, truth)
    table = compare_labels(other, truth, resample=True)
    assert table[table["level"] == "volume"]["dice"].iloc[0] == 1


def test_nothing_on_either_side_is_an_empty_table(truth):
    nothing = truth.with_data(np.zeros_like(truth.data))
    table = compare_labels(nothing, nothing)
    assert table.empty
    assert list(table.columns) == COLUMNS


def test_label_values_may_be_huge_negative_or_stored_as_floats(truth):
    data = np.array(truth.data, np.int64)
    data[data == 4] = 3_000_000
    data[0, 0, 0] = -5
    boxes = label_boxes(data)
    assert set(boxes) == {1, 3_000_000}
    assert boxes[3_000_000] == (slice(5, 8), slice(22, 35), slice(29, 42))
    floats = truth.with_data(truth.data.astype(np.float64))
    np.testing.assert_array_equal(label_array(floats), truth.data)
    assert set(np.unique(label_array(truth, unite=True))) == {0, 1}
    with pytest.raises(InputError):
        label_array(truth.with_data(truth.data + 0.5))
