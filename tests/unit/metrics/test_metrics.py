import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist
from sklearn.metrics import f1_score, jaccard_score

from napari_sam_med.core.errors import InputError
from napari_sam_med.metrics import METRICS, compute_metrics

DISTANCES = [name for name, metric in METRICS.items() if metric.unit in ("mm", "px")]
MM = [name for name in DISTANCES if METRICS.get(name).unit == "mm"]
OVERLAPS = [name for name, metric in METRICS.items() if not metric.unit]
SYMMETRIC = [*OVERLAPS, *DISTANCES]


@st.composite
def pairs(draw, dimensions=(2, 3)):
    shape = draw(st.lists(st.integers(2, 7), min_size=dimensions[0], max_size=dimensions[-1]))
    a, b = (draw(hnp.arrays(bool, tuple(shape))) for _ in range(2))
    spacing = draw(st.lists(st.sampled_from([0.4, 1.0, 2.5]), min_size=len(shape), max_size=len(shape)))
    return a, b, tuple(spacing)


def surface_points(mask, spacing):
    """Voxels with a face neighbour outside, looked up one by one."""
    padded = np.pad(mask, 1)
    points = []
    for index in np.argwhere(mask):
        at = index + 1
        neighbours = [
            at + step * np.eye(mask.ndim, dtype=int)[axis] for axis in range(mask.ndim) for step in (-1, 1)
        ]
        if not all(padded[tuple(n)] for n in neighbours):
            points.append(index * np.array(spacing))
    return np.array(points)


@given(pairs())
def test_overlaps_agree_with_scikit_learn(pair):
    a, b, spacing = pair
    assume(a.any() or b.any())
    found = compute_metrics(a, b, spacing, OVERLAPS)
    assert found["dice"] == pytest.approx(f1_score(b.ravel(), a.ravel(), zero_division=0))
    assert found["jaccard"] == pytest.approx(jaccard_score(b.ravel(), a.ravel(), zero_division=0))


@given(pairs())
def test_distances_agree_with_brute_force(pair):
    a, b, spacing = pair
    assume(a.any() and b.any())
    between = cdist(surface_points(a, spacing), surface_points(b, spacing))
    there, back = between.min(axis=1), between.min(axis=0)
    found = compute_metrics(a, b, spacing, tolerance_mm=1.3)
    assert found["hd_mm"] == pytest.approx(max(there.max(), back.max()))
    assert found["hd95_mm"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert found["assd_mm"] == pytest.approx((there.sum() + back.sum()) / (len(there) + len(back)))
    near = (there < 1.3).sum() + (back < 1.3).sum()
    assert found["nsd"] == pytest.approx(near / (len(there) + len(back)))


@given(pairs())
def test_pixel_distances_are_those_of_unit_spacing(pair):
    a, b, spacing = pair
    in_px = compute_metrics(a, b, spacing)
    in_mm = compute_metrics(a, b, (1.0,) * a.ndim)
    for name in ("hd", "hd95", "assd"):
        assert in_px[f"{name}_px"] == pytest.approx(in_mm[f"{name}_mm"], nan_ok=True)


@given(pairs())
def test_agreement_is_symmetric_and_perfect_on_itself(pair):
    a, b, spacing = pair
    one, other = compute_metrics(a, b, spacing, SYMMETRIC), compute_metrics(b, a, spacing, SYMMETRIC)
    assert one == pytest.approx(other, nan_ok=True)
    assume(a.any())
    itself = compute_metrics(a, a, spacing)
    assert all(itself[name] == 1 for name in OVERLAPS)
    assert all(itself[name] == 0 for name in [*DISTANCES, "volume_error_pct"])


@pytest.mark.parametrize("shape", [(6, 7), (4, 6, 7)])
def test_empty_masks(shape):
    empty, full = np.zeros(shape, bool), np.ones(shape, bool)
    spacing = (1.0,) * len(shape)
    both = compute_metrics(empty, empty, spacing)
    assert all(math.isnan(value) for value in both.values())
    for one in (compute_metrics(empty, full, spacing), compute_metrics(full, empty, spacing)):
        assert all(one[name] == 0 for name in OVERLAPS)
        assert all(one[name] == math.inf for name in DISTANCES)
    assert compute_metrics(empty, full, spacing)["volume_error_pct"] == -100
    assert compute_metrics(full, empty, spacing)["volume_error_pct"] == math.inf


def test_known_distances_by_hand():
    a, b = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    a[5, 5] = b[5, 9] = True
    found = compute_metrics(a, b, (3.0, 0.5), DISTANCES)
    assert found == {name: 2.0 if name in MM else 4.0 for name in DISTANCES}
    b[:] = False
    b[7, 5] = True
    assert compute_metrics(a, b, (3.0, 0.5), ["hd_mm"]) == {"hd_mm": 6.0}


def test_a_volume_of_one_slice_is_measured_as_the_slice():
    r, c = np.ogrid[:30, :30]
    a = (r - 12) ** 2 + (c - 15) ** 2 < 60
    b = (r - 14) ** 2 + (c - 16) ** 2 < 80
    flat = compute_metrics(a, b, (0.8, 1.1))
    assert compute_metrics(a[None], b[None], (5.0, 0.8, 1.1)) == pytest.approx(flat)


def test_masks_need_not_be_bool_and_far_background_does_not_matter():
    a, b = np.zeros((200, 300), np.uint8), np.zeros((200, 300), np.uint8)
    a[50:60, 50:60] = 3
    b[52:62, 51:61] = 1
    crop = (slice(40, 70), slice(40, 70))
    assert compute_metrics(a, b, (1, 2)) == pytest.approx(compute_metrics(a[crop], b[crop], (1, 2)))


def test_unusable_input_is_refused():
    a = np.ones((4, 4), bool)
    for b, spacing in [(np.ones((4, 5), bool), (1, 1)), (a, (1, 1, 1)), (a, (1, 0)), (a, (1, math.nan))]:
        with pytest.raises(InputError):
            compute_metrics(a, b, spacing)
    with pytest.raises(InputError, match="dice"):
        compute_metrics(a, a, (1, 1), ["no such metric"])


def test_surface_agreement_by_hand():
    truth, shifted = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    truth[5:15, 5:15] = shifted[5:15, 7:17] = True
    # of 36 surface pixels each, 8 of the upper and 8 of the lower side lie on the other's; the left and right sides
    # are 2 pixels away from it
    on = 2 * (2 * 8)
    spacing = (0.7, 0.7)
    for tolerance, expected in ((0.0, on / 72), (0.69, on / 72), (1.4, 1.0)):
        found = compute_metrics(truth, shifted, spacing, ["nsd"], tolerance_mm=tolerance)
        assert found["nsd"] == pytest.approx(expected), tolerance


def test_volume_error_has_a_sign():
    truth, larger = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    truth[:4, :5] = larger[:5, :5] = True
    assert compute_metrics(larger, truth, (1, 1))["volume_error_pct"] == pytest.approx(25)
    assert compute_metrics(truth, larger, (3, 1))["volume_error_pct"] == pytest.approx(-20)


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_unusable_tolerances_are_refused(tolerance):
    a = np.ones((4, 4), bool)
    with pytest.raises(InputError, match="tolerance"):
        compute_metrics(a, a, (1, 1), tolerance_mm=tolerance)


@pytest.mark.parametrize("name", list(METRICS))
def test_metrics_declare_what_they_are(name):
    metric = METRICS.get(name)
    assert metric.name == name
    assert metric.title
    assert metric.unit == "" or name.endswith({"mm": "_mm", "px": "_px", "%": "_pct"}[metric.unit])
    better, worse = np.zeros((12, 12), bool), np.zeros((12, 12), bool)
    truth = np.zeros((12, 12), bool)
    truth[3:9, 3:9] = better[3:9, 4:9] = worse[3:9, 6:12] = worse[0:3, 6:12] = True
    good = compute_metrics(better, truth, (1, 1), [name])[name]
    bad = compute_metrics(worse, truth, (1, 1), [name])[name]
    if metric.direction == "zero":
        assert abs(good) < abs(bad)
    else:
        assert (good > bad) == metric.higher_is_better == (metric.direction == "higher")
    coarse = compute_metrics(worse, truth, (3, 3), [name])[name]
    assert (coarse == pytest.approx(bad)) != metric.needs_spacing
    if metric.unit == "mm":
        assert coarse == pytest.approx(3 * bad)
